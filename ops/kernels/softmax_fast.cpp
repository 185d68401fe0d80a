// SPDX-License-Identifier: Apache-2.0
// Softmax of float32. Not oneDNN's: its exp turns NaN into a number, its log is 50 ulp off, and
// away from AVX-512 its backward pass is a reference implementation (2.6.3).
#include <algorithm>
#include <cmath>

#include "functions.h"
#include "softmax.h"
#include "strided.h"
#include "vectors.h"

namespace tern::kernels {

namespace {

constexpr int64_t kColumns = 256;

/// Calls row(offset) for dense columns, columns(offset, count) for groups of neighbouring ones.
template <class Row, class Columns>
void for_columns(const SoftmaxShape& shape, const Row& row, const Columns& columns) {
  const int64_t width = std::min(kColumns, shape.inner);
  const int64_t groups = divide_up(shape.inner, width);
  const int64_t grain = std::max<int64_t>(1, kGrain / 4 / (shape.length * width));
  parallel_for(shape.outer * groups, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % groups * width;
      const int64_t offset = i / groups * shape.length * shape.inner + first;
      if (shape.inner == 1) {
        row(offset);
      } else {
        columns(offset, std::min(width, shape.inner - first));
      }
    }
  });
}

// Lambdas, which g++ inlines into the loops: it calls functions by their addresses.
constexpr auto add = [](Vec a, Vec b) { return a + b; };
constexpr auto sub = [](Vec a, Vec b) { return a - b; };
constexpr auto mul = [](Vec a, Vec b) { return a * b; };

void softmax_row(bool logarithm, int64_t n, const float* x, float* y) {
  const float largest = largest_of(n, x);
  functions().exp(n, x, largest, y);
  const float total = sum_of(n, y);
  if (logarithm) {
    const float log_total = std::log(total);
    transform(n, x, y, [=](Vec v) { return (v - largest) - log_total; });
  } else {
    transform(n, y, y, [=, factor = 1 / total](Vec v) { return v * factor; });
  }
}

void softmax_columns(const SoftmaxShape& shape, int64_t n, const float* x, float* y) {
  float largest[kColumns], total[kColumns] = {};
  const auto each_row = [&](const auto& f) {
    for (int64_t k = 0; k < shape.length; ++k) f(k * shape.inner);
  };
  std::copy(x, x + n, largest);
  each_row([&](int64_t row) { transform(n, largest, x + row, largest, larger_or_nan); });
  each_row([&](int64_t row) {
    functions().exp_difference(n, x + row, largest, y + row);
    transform(n, total, y + row, total, add);
  });
  if (shape.logarithm) {
    functions().log(n, total, total);
    each_row([&](int64_t row) {
      transform(n, x + row, largest, y + row, sub);
      transform(n, y + row, total, y + row, sub);
    });
  } else {
    transform(n, total, total, [](Vec v) { return 1.0f / v; });
    each_row([&](int64_t row) { transform(n, y + row, total, y + row, mul); });
  }
}

void backward_row(bool logarithm, int64_t n, const float* y, const float* dy, float* dx) {
  if (logarithm) {
    functions().log_softmax_backward(n, y, dy, sum_of(n, dy), dx);
  } else {
    transform(n, y, dy, dx, mul);
    const float total = sum_of(n, dx);
    transform(n, y, dy, dx, [=](Vec v, Vec dv) { return v * (dv - total); });
  }
}

void backward_columns(const SoftmaxShape& shape, int64_t n, const float* y, const float* dy,
                      float* dx) {
  float total[kColumns] = {};
  for (int64_t row = 0; row < shape.length * shape.inner; row += shape.inner) {
    if (shape.logarithm) {
      transform(n, total, dy + row, total, add);
      functions().exp(n, y + row, 0, dx + row);
    } else {
      transform(n, y + row, dy + row, dx + row, mul);
      transform(n, total, dx + row, total, add);
    }
  }
  for (int64_t row = 0; row < shape.length * shape.inner; row += shape.inner) {
    if (shape.logarithm) {
      transform(n, dx + row, total, dx + row, mul);
      transform(n, dy + row, dx + row, dx + row, sub);
    } else {
      transform(n, dy + row, total, dx + row, sub);
      transform(n, y + row, dx + row, dx + row, mul);
    }
  }
}

}  // namespace

void softmax_fast(const SoftmaxShape& shape, const float* x, float* y) {
  for_columns(
      shape,
      [&](int64_t offset) { softmax_row(shape.logarithm, shape.length, x + offset, y + offset); },
      [&](int64_t offset, int64_t n) { softmax_columns(shape, n, x + offset, y + offset); });
}

void softmax_backward_fast(const SoftmaxShape& shape, const float* y, const float* dy, float* dx) {
  for_columns(
      shape,
      [&](int64_t offset) {
        backward_row(shape.logarithm, shape.length, y + offset, dy + offset, dx + offset);
      },
      [&](int64_t offset, int64_t n) {
        backward_columns(shape, n, y + offset, dy + offset, dx + offset);
      });
}

}  // namespace tern::kernels
