// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "../core/state_dict.h"
#include "../data/loader.h"
#include "../nn/module.h"
#include "communicator.h"

namespace tern::dist {

/// Options of DataParallel, the same on every rank.
struct DataParallelOptions {
  /// Gradients are exchanged in pieces of about so many bytes, while the backward pass computes the
  /// others. The first piece has at most 1 MiB, so that the exchange begins early.
  int64_t bucket_bytes = 25 << 20;
  /// Into how many parts the batch of a step is cut: a multiple of the number of ranks, each of
  /// which runs as many of them one after the other. 0: one for each rank. The same number of
  /// shards, a power of two, gives the same bits for every number of ranks that is one as well.
  int shards = 0;
  /// Seed of what the net draws in training (dropout): every shard of every step has numbers of its
  /// own. Without it, rank 0 draws one from its default_generator(), if there is more than one
  /// shard.
  std::optional<uint64_t> seed = {};
  /// Every so many steps the ranks compare their parameters; 0: never.
  int64_t check_every = 100;
};

/// Trains a net by several ranks, each of which has a copy and computes the gradients of its part
/// of every batch. What all ranks get is the gradient of the mean loss over the whole batch, so
/// that optimizers do the same on every rank:
///
///     Net net;
///     dist::DataParallel parallel(net, world);
///     optim::SGD sgd(net.parameters(), {.lr = 0.1});
///     data::DataLoader loader(set, {.batch_size = 128, .shuffle = true, .seed = 1,
///                                   .shard = parallel.shard()});
///     for (auto [x, y] : loader) {
///       if (!parallel.backward(cross_entropy(net(x), y), x.size(0))) continue;
///       sgd.step();
///       sgd.zero_grad();
///     }
///
/// * Parameters and buffers become those of rank 0 at first. Throws Error if the nets or the
///   options differ, and says where.
/// * Ranks may have different numbers of examples, also none: every example counts as much.
/// * A parameter that this rank's loss does not depend on has a gradient of zeros here; one that no
///   rank's depends on keeps what it had.
/// * Floating buffers (running statistics) that have changed are averaged over the ranks, by
///   examples, and scalar counters become the largest, so every rank could save the net.
/// * Gradients are sums in a fixed tree (Communicator::all_reduce): the same bits on every rank.
///   Clip them after backward.
/// * default_generator() is set when the net runs in training, see DataParallelOptions::seed.
/// * With one rank, one shard and no seed, a step is a plain one, to the bit.
///
/// The net may be used as before, and cloned. Made and destroyed by all ranks in the same order.
class DataParallel {
 public:
  /// Throws Error for options out of range, or (on every rank) if nets or options differ.
  DataParallel(const nn::Module& net, Communicator world, const DataParallelOptions& options = {});
  ~DataParallel();
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// The backward pass of `loss`, the mean over this rank's `examples` examples; with none, `loss`
  /// gives no gradients and may be undefined (unless batch norm is synchronised). With several
  /// shards per rank, one call for each. The last call of a step exchanges the gradients, leaves
  /// them in grad(), added to what was there before the step, and returns true: then it is time for
  /// the optimizer. Until then grad() means nothing.
  ///
  /// Throws Error for a loss that is no scalar or requires no gradient, if ranks do different
  /// things, if parameters have drifted apart, and if no rank has an example. With several ranks
  /// the group is of no more use after any exception.
  bool backward(const Tensor& loss, int64_t examples);

  /// While it lives, backward() adds up gradients on this rank without exchanging them, and returns
  /// false; they are part of the next step that ends, every example counting as much. To be used by
  /// all ranks alike, with one shard per rank.
  class NoSync {
   public:
    ~NoSync();
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    friend class DataParallel;
    explicit NoSync(DataParallel& parallel);
    DataParallel& parallel_;
  };
  [[nodiscard]] NoSync no_sync();  ///< `const auto accumulate = parallel.no_sync();`

  /// This rank's part of every batch, for LoaderOptions.
  data::Shard shard() const;
  int64_t steps() const;  ///< how many steps have ended
  /// "steps" and "seed": what a checkpoint needs besides the net.
  StateDict state_dict() const;
  /// Goes on from there: random numbers are those of an undisturbed run. Throws Error, before any
  /// change, for entries that are missing or no numbers.
  void load_state_dict(const StateDict& dict);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tern::dist
