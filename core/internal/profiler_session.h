// SPDX-License-Identifier: Apache-2.0
// What a profiler has recorded.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>

#include "../op_listener.h"
#include "../profiler.h"

namespace tern::detail {

struct ProfilerSession final : OpListener {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point beginning = Clock::now();
  std::mutex mutex;
  std::list<ProfilerEvent> events = {};  // by the time they ended
  int64_t ending = -1;                   // while it records

  int64_t now() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - beginning).count();
  }

  void begin(const OpCall& call) noexcept override;
  void end(const OpCall& call) noexcept override;
  void note(const OpCall* call, const OpNote& note) noexcept override;
};

}  // namespace tern::detail
