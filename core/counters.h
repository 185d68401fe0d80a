// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern {

/// Process-wide counts since the start or reset_counters. For tests and diagnostics: in steady
/// state, `system_allocations` and `reorders` do not grow.
struct Counters {
  int64_t allocations = 0;         ///< tensor and scratch blocks handed out
  int64_t system_allocations = 0;  ///< those of them that needed memory from the system
  int64_t bytes_in_use = 0;        ///< bytes of blocks in use now
  int64_t bytes_cached = 0;        ///< bytes of free blocks kept for reuse
  int64_t reorders = 0;            ///< copies of a whole tensor to change its memory format
  int64_t primitive_hits = 0;      ///< oneDNN primitives found in the cache
  int64_t primitive_misses = 0;    ///< oneDNN primitives created
};

/// The current counts.
Counters counters();
/// Resets the counts to zero, except bytes_in_use and bytes_cached.
void reset_counters();

/// The oneDNN implementations of the cached primitives, as "conv2d: jit:avx512_core". Those that
/// start with "ref" are slow.
std::vector<std::string> primitive_implementations();

}  // namespace tern
