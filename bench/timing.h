// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace bench {

/// Milliseconds per call, averaged over `calls` calls.
template <class F>
double milliseconds(const F& f, int calls = 1) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) f();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  return took.count() / calls;
}

/// The same over about 20 ms.
template <class F>
double milliseconds_of_turn(const F& f) {
  return milliseconds(f, static_cast<int>(std::clamp(20 / milliseconds(f), 1.0, 2e4)));
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The median time of a repeated call: its data lie in the caches, if they fit.
template <class F>
double median_milliseconds(const F& f) {
  f();
  const double once = milliseconds(f);
  const int calls = static_cast<int>(std::clamp(0.2 / (once + 1e-6), 1.0, 1e4));
  const int rounds = static_cast<int>(std::clamp(20 / (once * calls), 5.0, 100.0));
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) times.push_back(milliseconds(f, calls));
  return median(times);
}

/// The median time of a call whose data have been evicted from the caches.
template <class F>
double median_milliseconds_from_memory(const F& f) {
  static std::vector<char> other(size_t{64} << 20);
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    for (size_t line = 0; line < other.size(); line += 64) ++other[line];
    times.push_back(milliseconds(f));
  }
  return median(times);
}

}  // namespace bench
