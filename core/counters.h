// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern {

/// What happened in this process since it started (or since reset_counters). Made for tests and
/// for looking at a training loop: in a steady loop `system_allocations` and `reorders` stand
/// still.
struct Counters {
  int64_t allocations = 0;         ///< tensor and scratch blocks handed out
  int64_t system_allocations = 0;  ///< of those, how many had to be asked of the system
  int64_t bytes_in_use = 0;        ///< bytes of blocks that are handed out now
  int64_t bytes_cached = 0;        ///< bytes of free blocks that are kept for reuse
  int64_t reorders = 0;          ///< copies of a whole tensor made only to change its memory order
  int64_t primitive_hits = 0;    ///< oneDNN primitives found in the cache
  int64_t primitive_misses = 0;  ///< oneDNN primitives created
};

/// The counts as they are now.
Counters counters();
/// Sets the running counts to zero (bytes_in_use and bytes_cached keep telling the present state).
void reset_counters();

/// The oneDNN implementations that have been used and are in the cache now, as "conv2d:
/// jit:avx512_core". One that starts with "ref" is slow.
std::vector<std::string> primitive_implementations();

}  // namespace tern
