// SPDX-License-Identifier: Apache-2.0
// The counts behind counters().
#pragma once

#include <atomic>
#include <cstdint>

namespace tern::counts {

inline std::atomic<int64_t> allocations{0};
inline std::atomic<int64_t> system_allocations{0};
inline std::atomic<int64_t> bytes_in_use{0};
inline std::atomic<int64_t> bytes_cached{0};
inline std::atomic<int64_t> reorders{0};
inline std::atomic<int64_t> primitive_hits{0};
inline std::atomic<int64_t> primitive_misses{0};

}  // namespace tern::counts
