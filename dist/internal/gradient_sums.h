// SPDX-License-Identifier: Apache-2.0
// Sums of gradients over shards and ranks.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "worker.h"

namespace tern::dist {

/// Adds the gradients of all shards of a step in one binary tree over shards: those of this rank
/// below, the ranks above. Gradients are exchanged in buckets while others are still computed.
class GradientSums {
 public:
  using Named = std::vector<std::pair<std::string, Tensor>>;

  GradientSums(Named parameters, Worker& worker, int64_t bucket_bytes);

  /// The end of a shard that is not the rank's last: takes the gradients out of grad().
  void keep();
  /// Begins the exchange: from now on add(i) is called as gradients become ready.
  void begin();
  bool exchanging() const { return exchanging_; }
  /// Parameter i has its gradient, or none. Throws Error the second time.
  void add(size_t i);
  /// add() for those that are left, which the pass did not reach.
  void add_others();
  /// Whether this rank has a gradient of parameter i.
  bool has(size_t i) const { return state_[i] == State::added; }
  /// After all exchanges: the sum over all ranks, flat.
  Tensor sum(size_t i) const;
  /// The end of the exchange. The first time, buckets are arranged anew, in the order in which rank
  /// 0's gradients have become ready.
  void end();
  /// Forgets everything of this step.
  void reset();

  const Named& parameters() const { return parameters_; }

 private:
  enum class State : uint8_t { waiting, absent, added };
  struct Bucket {
    Tensor sums;
    std::vector<size_t> members;
    size_t waiting = 0;
  };
  struct Place {
    size_t bucket = 0;
    int64_t offset = 0;
  };
  using Partial = std::vector<Tensor>;  // by parameter, undefined where there is none

  void arrange(const std::vector<size_t>& order);
  void put(size_t i, const Tensor& gradient);
  void send_full_buckets();
  void check(size_t i) const;

  const Named parameters_;
  Worker& worker_;
  const int64_t bucket_bytes_;
  std::vector<Bucket> buckets_;
  std::vector<Place> places_;
  std::vector<State> state_;
  std::vector<size_t> arrived_;
  std::vector<Partial> partials_;  // of 1, 2, 4... shards, as the bits of a counter
  int64_t kept_ = 0;
  size_t next_bucket_ = 0;
  bool exchanging_ = false;
  bool arranged_ = false;
};

/// a += b, where undefined tensors are zeros, over memory that lies alike. Both are unshared.
void add_shards(Tensor& a, Tensor b);

}  // namespace tern::dist
