// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include "internal/counters.h"

namespace tern {

Counters counters() {
  constexpr auto relaxed = std::memory_order_relaxed;
  return {.allocations = counts::allocations.load(relaxed),
          .system_allocations = counts::system_allocations.load(relaxed),
          .bytes_in_use = counts::bytes_in_use.load(relaxed),
          .bytes_cached = counts::bytes_cached.load(relaxed),
          .reorders = counts::reorders.load(relaxed),
          .primitive_hits = counts::primitive_hits.load(relaxed),
          .primitive_misses = counts::primitive_misses.load(relaxed)};
}

void reset_counters() {
  for (auto* count : {&counts::allocations, &counts::system_allocations, &counts::reorders,
                      &counts::primitive_hits, &counts::primitive_misses}) {
    count->store(0, std::memory_order_relaxed);
  }
}

}  // namespace tern
