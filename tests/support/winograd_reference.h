// SPDX-License-Identifier: Apache-2.0
// The reference for Winograd's convolutions. Not in winograd_test.cpp, because helpers are
// optimized, unlike tests.
#pragma once

#include <cstdint>
#include <vector>

#include "../../ops/kernels/winograd.h"

namespace tern::kernels::winograd {

inline int64_t x_size(const Shape& s) { return s.n * s.h * s.w * s.c; }
inline int64_t y_size(const Shape& s) { return s.n * s.output_h() * s.output_w() * s.k; }
inline int64_t w_size(const Shape& s) { return s.k * s.c * 9; }

/// Normally distributed.
std::vector<float> random_values(int64_t count, unsigned seed);

/// Root mean square and largest error, relative to the root mean square of the exact values.
struct Errors {
  double rms, max;
};
Errors errors_of(const std::vector<float>& found, const std::vector<double>& exact);

/// The direct sums in float64, for all three passes.
struct Exact {
  std::vector<double> y, dx, dw;

  Exact(const Shape& s, const std::vector<float>& x, const std::vector<float>& w,
        const std::vector<float>& bias, const std::vector<float>& dy);
};

}  // namespace tern::kernels::winograd
