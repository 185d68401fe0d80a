// SPDX-License-Identifier: Apache-2.0
#include "winograd_reference.h"

#include <cmath>
#include <cstddef>
#include <random>

namespace tern::kernels::winograd {

namespace {

/// Calls body(x pixel, y pixel, tap) for every product of a pixel with a tap.
template <class Body>
void for_each_product(const Shape& s, Body body) {
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < s.output_h(); ++i) {
      for (int64_t j = 0; j < s.output_w(); ++j) {
        for (int64_t r = 0; r < 9; ++r) {
          const int64_t y = s.stride * i + r / 3 - s.pad_h, x = s.stride * j + r % 3 - s.pad_w;
          if (y < 0 || y >= s.h || x < 0 || x >= s.w) continue;
          body((n * s.h + y) * s.w + x, (n * s.output_h() + i) * s.output_w() + j, r);
        }
      }
    }
  }
}

}  // namespace

std::vector<float> random_values(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

Errors errors_of(const std::vector<float>& found, const std::vector<double>& exact) {
  double squares = 0, error_squares = 0, worst = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double error = std::abs(static_cast<double>(found[i]) - exact[i]);
    if (!(error <= worst)) worst = error;  // a NaN is the worst
    squares += exact[i] * exact[i];
    error_squares += error * error;
  }
  return {std::sqrt(error_squares / squares),
          worst / std::sqrt(squares / static_cast<double>(exact.size()))};
}

Exact::Exact(const Shape& s, const std::vector<float>& x, const std::vector<float>& w,
             const std::vector<float>& bias, const std::vector<float>& dy)
    : y(static_cast<size_t>(y_size(s))),
      dx(static_cast<size_t>(x_size(s))),
      dw(static_cast<size_t>(w_size(s))) {
  std::vector<double> taps(w.size()), dtaps(w.size());  // [tap][c][k]
  const auto for_each_weight = [&](auto body) {
    for (int64_t k = 0; k < s.k; ++k) {
      for (int64_t c = 0; c < s.c; ++c) {
        for (int64_t r = 0; r < 9; ++r) {
          body(static_cast<size_t>((r * s.c + c) * s.k + k),
               static_cast<size_t>((k * s.c + c) * 9 + r));
        }
      }
    }
  };
  for_each_weight([&](size_t tap, size_t weight) { taps[tap] = static_cast<double>(w[weight]); });
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = static_cast<double>(bias[i % static_cast<size_t>(s.k)]);
  }
  for_each_product(s, [&](int64_t x_pixel, int64_t y_pixel, int64_t r) {
    double* out = y.data() + y_pixel * s.k;
    const float* cotangent = dy.data() + y_pixel * s.k;
    for (int64_t c = 0; c < s.c; ++c) {
      const double value = static_cast<double>(x[static_cast<size_t>(x_pixel * s.c + c)]);
      const double* tap = taps.data() + (r * s.c + c) * s.k;
      double* dtap = dtaps.data() + (r * s.c + c) * s.k;
      double sum = 0;
      for (int64_t k = 0; k < s.k; ++k) {
        const double d = static_cast<double>(cotangent[k]);
        out[k] += value * tap[k];
        dtap[k] += value * d;
        sum += d * tap[k];
      }
      dx[static_cast<size_t>(x_pixel * s.c + c)] += sum;
    }
  });
  for_each_weight([&](size_t tap, size_t weight) { dw[weight] = dtaps[tap]; });
}

}  // namespace tern::kernels::winograd
