// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "dataset.h"

namespace tern::data {

/// How a DataLoader goes through its data.
struct LoaderOptions {
  int64_t batch_size = 1;  ///< examples in a batch
  bool shuffle = false;    ///< a new order in every epoch
  bool drop_last = false;  ///< leave out the last batch if it is smaller than the others
  /// Threads that make batches ahead of the loop; 0: the loop makes them itself. The number changes
  /// neither the order nor any value.
  int64_t workers = 0;
  /// Of the orders and of the data set's random changes. Without it, each epoch takes a number from
  /// default_generator() when it begins.
  std::optional<uint64_t> seed = {};
  int64_t prefetch = 2;  ///< batches that each worker may be ahead
};

/// Goes through a data set in batches, once per loop:
///
///     data::DataLoader loader(data::FashionMNIST(), {.batch_size = 64, .shuffle = true});
///     for (auto [x, y] : loader) { ... }
///
/// An Error in the data set comes out of the loop, workers or not; leaving the loop early is fine.
class DataLoader {
 public:
  class Iterator;

  /// Throws Error for options out of range, an empty data set, and a batch_size that leaves no
  /// batch.
  explicit DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options = {});
  /// Takes any data set by value.
  template <std::derived_from<Dataset> D>
  explicit DataLoader(D dataset, const LoaderOptions& options = {})
      : DataLoader(std::shared_ptr<const Dataset>(std::make_shared<D>(std::move(dataset))),
                   options) {}

  /// The number of batches in an epoch.
  int64_t size() const;
  const Dataset& dataset() const { return *dataset_; }       ///< what it goes through
  const LoaderOptions& options() const { return options_; }  ///< as given

  /// The number of the next epoch to begin, from 0. Setting it goes on with a training that was
  /// interrupted; only loaders with a seed depend on it.
  int64_t epoch() const { return epoch_; }
  void set_epoch(int64_t epoch) { epoch_ = epoch; }  ///< of the next epoch

  /// Begins an epoch.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }  ///< the end of the epoch

 private:
  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  int64_t epoch_ = 0;
};

/// A place in an epoch.
class DataLoader::Iterator {
 public:
  using value_type = Batch;                ///< for the standard library
  using difference_type = std::ptrdiff_t;  ///< for the standard library

  const Batch& operator*() const { return batch_; }    ///< the batch
  const Batch* operator->() const { return &batch_; }  ///< the batch
  Iterator& operator++();                              ///< goes to the next batch
  void operator++(int) { ++*this; }                    ///< goes to the next batch
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
