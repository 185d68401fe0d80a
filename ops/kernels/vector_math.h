// SPDX-License-Identifier: Apache-2.0
// float32 functions on four numbers at a time, and loops over them. Private: not installed.
// Written with vector types because the compiler leaves loops with comparisons of floats scalar.
// Polynomials from S. L. Moshier's Cephes library (expf, logf, tanhf); errors of about 2 ulp. NaN
// stays NaN.
#pragma once

#include <bit>
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

/// 2^n for -127 < n < 128
inline Vec power_of_two(IntVec n) { return std::bit_cast<Vec>((n + 127) << 23); }

/// exp(x); 0 for -inf, inf from 88.73 on, subnormal results included.
inline Vec exp(Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  x = x < -104.0f ? Vec{} - 104.0f : x;
  x = x > 89.0f ? Vec{} + 89.0f : x;
  const Vec shifted = x * 1.44269504f + kRound;
  const IntVec n = std::bit_cast<IntVec>(shifted) - std::bit_cast<int32_t>(kRound);
  const Vec whole = shifted - kRound;
  const Vec r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // In two steps: 2^n itself may not be a normal number.
  const IntVec half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

inline Vec log(Vec x) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const IntVec subnormal = x < std::numeric_limits<float>::min();
  const IntVec bits = std::bit_cast<IntVec>(subnormal ? x * 8388608.0f : x);
  const Vec mantissa = std::bit_cast<Vec>((bits & 0x007fffff) | 0x3f000000);  // in [0.5, 1)
  const IntVec low = mantissa < 0.707106781f;                                 // -1 where true
  const IntVec exponent = (bits >> 23) - 126 + 23 * subnormal + low;
  const Vec e = __builtin_convertvector(exponent, Vec);
  const Vec f = (low ? mantissa + mantissa : mantissa) - 1.0f;
  const Vec z = f * f;
  Vec p = 7.0376836292e-2f * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  Vec y = p * f * z - e * 2.12194440e-4f;
  y = (f + (y - 0.5f * z)) + e * 0.693359375f;
  y = x < kInfinity ? y : x;  // inf and NaN
  y = x < 0.0f ? Vec{} + std::numeric_limits<float>::quiet_NaN() : y;
  return x == 0.0f ? Vec{} - kInfinity : y;
}

inline Vec logistic(Vec x) { return 1.0f / (1.0f + exp(-x)); }

inline Vec tanh(Vec x) {
  const IntVec sign = std::bit_cast<IntVec>(x) & std::numeric_limits<int32_t>::min();
  const Vec size = std::bit_cast<Vec>(std::bit_cast<IntVec>(x) ^ sign);
  const Vec far = 1.0f - 2.0f / (exp(2.0f * size) + 1.0f);
  const Vec z = x * x;
  Vec p = -5.70498872745e-3f * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const Vec near = p * z * x + x;
  return size < 0.625f ? near : std::bit_cast<Vec>(std::bit_cast<IntVec>(far) | sign);
}

}  // namespace tern::kernels
