// SPDX-License-Identifier: Apache-2.0
// Loops over float32 numbers, four at a time, written with vector types because the compiler leaves
// loops with comparisons of floats scalar. Private: not installed. exp and the like: functions.h
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace tern::kernels {

using Vec = float __attribute__((vector_size(16)));
using IntVec = int32_t __attribute__((vector_size(16)));
inline constexpr int64_t kLanes = 4;

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

/// y[i] = f(x[i])
template <class F>
void transform(int64_t n, const float* x, float* y, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(load(x + i)));
  if (i == n) return;
  Vec v{};
  const size_t rest = static_cast<size_t>(n - i) * sizeof(float);
  std::memcpy(&v, x + i, rest);
  v = f(v);
  std::memcpy(y + i, &v, rest);
}

/// y[i] = f(a[i], b[i])
template <class F>
void transform(int64_t n, const float* a, const float* b, float* y, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(load(a + i), load(b + i)));
  if (i == n) return;
  Vec u{}, v{};
  const size_t rest = static_cast<size_t>(n - i) * sizeof(float);
  std::memcpy(&u, a + i, rest);
  std::memcpy(&v, b + i, rest);
  u = f(u, v);
  std::memcpy(y + i, &u, rest);
}

/// f(f(first, x[0]), x[1]) ... in some fixed order; f is associative and has the neutral `first`.
template <class F>
float fold(int64_t n, const float* x, float first, const F& f) {
  Vec a = Vec{} + first, b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    a = f(a, load(x + i));
    b = f(b, load(x + i + kLanes));
    c = f(c, load(x + i + 2 * kLanes));
    d = f(d, load(x + i + 3 * kLanes));
  }
  for (; i < n; ++i) a = f(a, Vec{x[i], first, first, first});
  a = f(f(a, b), f(c, d));
  a = f(a, Vec{a[2], a[3], first, first});
  return f(a, Vec{a[1], first, first, first})[0];
}

inline Vec larger(Vec a, Vec b) { return ((b > a) | (b != b)) ? b : a; }
inline float largest_of(int64_t n, const float* x) {
  return fold(n, x, -std::numeric_limits<float>::infinity(), larger);
}
inline float sum_of(int64_t n, const float* x) {
  return fold(n, x, 0.0f, [](Vec a, Vec b) { return a + b; });
}

}  // namespace tern::kernels
