// SPDX-License-Identifier: Apache-2.0
// Vectors of the baseline, four floats each, which every machine has; written with vector types
// because the compiler leaves loops with comparisons of floats scalar. exp and the like:
// functions.h
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace tern::kernels {
namespace {
constexpr int kLanes = 4;
}  // namespace
}  // namespace tern::kernels

#include "simd.h"

namespace tern::kernels {
namespace {

inline Vec load_first(const float* p, int64_t count) {
  Vec v{};
  __builtin_memcpy(&v, p, static_cast<uint64_t>(count) * sizeof(float));
  return v;
}
inline void store_first(float* p, int64_t count, Vec v) {
  __builtin_memcpy(p, &v, static_cast<uint64_t>(count) * sizeof(float));
}

/// f(f(first, x[0]), x[1]) ... in some fixed order; f is associative and has the neutral `first`.
template <class F>
float fold(int64_t n, const float* x, float first, const F& f) {
  Vec a = Vec{} + first, b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    a = f(a, load<Vec>(x + i));
    b = f(b, load<Vec>(x + i + kLanes));
    c = f(c, load<Vec>(x + i + 2 * kLanes));
    d = f(d, load<Vec>(x + i + 3 * kLanes));
  }
  for (; i < n; ++i) a = f(a, Vec{x[i], first, first, first});
  a = f(f(a, b), f(c, d));
  a = f(a, Vec{a[2], a[3], first, first});
  return f(a, Vec{a[1], first, first, first})[0];
}

/// The larger one; NaN where one is NaN.
inline constexpr auto larger_or_nan = [](Vec a, Vec b) { return ((b > a) | (b != b)) ? b : a; };
inline float largest_of(int64_t n, const float* x) {
  return fold(n, x, -std::numeric_limits<float>::infinity(), larger_or_nan);
}
/// The smaller one; NaN where one is NaN.
inline constexpr auto smaller_or_nan = [](Vec a, Vec b) { return ((b < a) | (b != b)) ? b : a; };
inline float smallest_of(int64_t n, const float* x) {
  return fold(n, x, std::numeric_limits<float>::infinity(), smaller_or_nan);
}
inline float sum_of(int64_t n, const float* x) {
  return fold(n, x, 0.0f, [](Vec a, Vec b) { return a + b; });
}

}  // namespace
}  // namespace tern::kernels
