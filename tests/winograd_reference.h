// SPDX-License-Identifier: Apache-2.0
// What Winograd's convolutions are compared with. Not a part of winograd_test.cpp, because helpers
// are optimized in sanitized builds, too.
#pragma once

#include <cstdint>
#include <vector>

#include "../ops/kernels/winograd.h"

namespace tern::kernels::winograd {

inline int64_t x_size(const Shape& s) { return s.n * s.h * s.w * s.c; }
inline int64_t y_size(const Shape& s) { return s.n * s.output_h() * s.output_w() * s.k; }
inline int64_t w_size(const Shape& s) { return s.k * s.c * 9; }

/// The direct sums in float64, for all three passes.
struct Exact {
  std::vector<double> y, dx, dw;

  Exact(const Shape& s, const std::vector<float>& x, const std::vector<float>& w,
        const std::vector<float>& bias, const std::vector<float>& dy);
};

}  // namespace tern::kernels::winograd
