// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "../core/state_dict.h"
#include "dataset.h"

namespace tern::data {

/// Which part of every batch a loader is to give, where several train or evaluate together: the
/// batch is cut into `of` parts, as equal as possible, and the loader gives `own` of them from part
/// `first` on, one after the other. A part of a small batch may have no examples.
struct Shard {
  int first = 0;  ///< the number of the first part, from 0
  int own = 1;    ///< how many parts the loader gives
  int of = 1;     ///< into how many parts every batch is cut
};

/// Options of DataLoader.
struct LoaderOptions {
  int64_t batch_size = 1;  ///< examples per batch
  bool shuffle = false;    ///< a new order in every epoch
  bool drop_last = false;  ///< drop the last batch if it is smaller than batch_size
  /// Threads that prepare batches ahead of the loop; with 0, the loop prepares them itself. The
  /// number affects neither the order nor any value.
  int64_t workers = 0;
  /// Seed of the shuffling and the augmentation. Without it, each epoch draws its seed from
  /// default_generator() when it begins.
  std::optional<uint64_t> seed = {};
  int64_t prefetch = 2;  ///< batches that each worker may prepare ahead
  /// Parts of batches instead of whole ones. The loaders of all parts need the same options and, to
  /// shuffle, the same seed: together they give every example once.
  Shard shard = {};
};

/// Iterates over a data set in batches, one epoch per loop:
///
///     data::DataLoader loader(data::FashionMNIST(), {.batch_size = 64, .shuffle = true});
///     for (auto [x, y] : loader) { ... }
///
/// Exceptions of the data set are rethrown in the loop, with or without workers, and end the epoch;
/// where memory or threads run out, they are Errors. Leaving the loop early is allowed. In a child
/// process (fork), an epoch that was begun before throws Error: begin a new one.
class DataLoader {
 public:
  class Iterator;

  /// Throws Error for options out of range, an empty data set, and if drop_last leaves no batch.
  explicit DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options = {});
  /// Takes any data set by value.
  template <std::derived_from<Dataset> D>
  explicit DataLoader(D dataset, const LoaderOptions& options = {})
      : DataLoader(std::shared_ptr<const Dataset>(std::make_shared<D>(std::move(dataset))),
                   options) {}

  /// The number of batches per epoch, or of parts of batches (LoaderOptions::shard).
  int64_t size() const;
  const Dataset& dataset() const { return *dataset_; }       ///< the data set
  const LoaderOptions& options() const { return options_; }  ///< the options

  /// The number of the next epoch, from 0. Set it to resume an interrupted training; it matters to
  /// loaders with a seed only.
  int64_t epoch() const { return epoch_; }
  /// Sets the number of the next epoch. Throws Error unless it is from 0 to 2^53.
  void set_epoch(int64_t epoch);

  /// Where the loop is: "epoch", "seed" and "batch", the batches of that epoch that it has
  /// received. Between epochs, "batch" is 0 and "epoch" the number of the next one. Batches are
  /// whole ones, so that a loader of another shard goes on there as well; in the middle of one it
  /// throws Error.
  StateDict state_dict() const;
  /// The next loop goes on there, with the batches that the interrupted one has not received, in
  /// their order; it is empty if there are none left. Throws Error, before any change, for entries
  /// that are missing, unexpected or out of range.
  void load_state_dict(const StateDict& dict);

  /// Begins an epoch, or goes on with the one that load_state_dict has set.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }  ///< the end of the epoch

 private:
  struct Position {
    uint64_t seed = 0;
    int64_t batch = 0;  // the next one
    bool over = false;
  };

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  int64_t epoch_ = 0;
  std::shared_ptr<const Position> position_;  // of the epoch that was begun last
  std::shared_ptr<const Position> resumed_;   // where the next one begins, if not at its beginning
};

/// A position in an epoch.
class DataLoader::Iterator {
 public:
  using value_type = Batch;                ///< required of iterators
  using difference_type = std::ptrdiff_t;  ///< required of iterators

  const Batch& operator*() const { return batch_; }    ///< the current batch
  const Batch* operator->() const { return &batch_; }  ///< the current batch
  /// Advances to the next batch. Throws Error after the end, and after an exception.
  Iterator& operator++();
  void operator++(int) { ++*this; }  ///< advances to the next batch
  /// Whether the epoch is over.
  friend bool operator==(const Iterator& it, std::default_sentinel_t) {
    return it.epoch_ == nullptr;
  }

 private:
  friend class DataLoader;
  class Epoch;
  explicit Iterator(std::shared_ptr<Epoch> epoch);

  std::shared_ptr<Epoch> epoch_;
  Batch batch_;
};

}  // namespace tern::data
