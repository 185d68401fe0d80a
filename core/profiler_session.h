// SPDX-License-Identifier: Apache-2.0
// What a profiler has recorded. Private: not installed.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>

#include "profiler.h"

namespace tern::detail {

struct ProfilerSession {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  std::mutex mutex;
  std::list<ProfilerEvent> events = {};  // by the time they ended
  int64_t end = -1;                      // while it records

  int64_t now() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
  }
};

}  // namespace tern::detail
