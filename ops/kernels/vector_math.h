// SPDX-License-Identifier: Apache-2.0
// float32 functions without branches, so that loops over them vectorise. Private: not installed.
// Polynomials from S. L. Moshier's Cephes library (expf, tanhf); errors below 2 ulp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace tern::kernels {

/// 2^n for -127 < n < 128
inline float power_of_two(int32_t n) { return std::bit_cast<float>((n + 127) << 23); }

/// exp(x); 0 for -inf, inf from 88.73 on, subnormal results included.
inline float exp_f32(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float shifted = x * 1.44269504f + kRound;
  const int32_t n = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  const float whole = shifted - kRound;
  const float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // In two steps: 2^n itself may not be a normal number.
  const int32_t half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

inline float logistic_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

inline float tanh_f32(float x) {
  const float size = std::fabs(x);
  const float far = std::copysign(1.0f - 2.0f / (exp_f32(2.0f * size) + 1.0f), x);
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x;
  return size < 0.625f ? near : far;
}

}  // namespace tern::kernels
