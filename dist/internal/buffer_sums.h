// SPDX-License-Identifier: Apache-2.0
// Buffers of a net over shards and ranks.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../communicator.h"

namespace tern::dist {

/// Keeps buffers alike: of the floating ones that a step has changed anywhere, what remains is the
/// average over all shards by examples, and of scalar i64 ones, which count, the largest. Every
/// shard begins with what the step began with, so that it does not matter who runs how many of
/// them.
class BufferSums {
 public:
  explicit BufferSums(const std::vector<std::pair<std::string, Tensor>>& buffers);

  /// With several shards per rank: the net is about to run a shard.
  void begin_shard(bool is_first);
  /// With several shards per rank: a shard of so many examples has run.
  void end_shard(int64_t examples);
  /// Appends numbers about this rank: which buffers have changed, and the counters.
  void describe(std::vector<int64_t>& numbers);
  /// The end of a step: what each rank appended, and the numbers of this rank's and of all
  /// examples.
  void average(const Communicator& world, const std::vector<std::vector<int64_t>>& of_rank,
               int64_t examples, int64_t total);
  /// Forgets everything of this step.
  void reset();

 private:
  struct Floating {
    Tensor buffer;
    uint64_t version = 0;  // when the step began
    bool changed = false;
    Tensor start = {};                  // values when the step began
    std::vector<Tensor> partials = {};  // weighted sums of 1, 2, 4... shards, f64
  };
  struct Counter {
    Tensor buffer;
    int64_t start = 0;
    int64_t largest = 0;
  };

  std::vector<Floating> floating_;
  std::vector<Counter> counters_;
  int64_t kept_ = 0;
};

}  // namespace tern::dist
