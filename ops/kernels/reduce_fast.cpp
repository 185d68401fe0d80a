// SPDX-License-Identifier: Apache-2.0
// Reductions of float32 at the speed of memory: one group of axes after the other, the innermost
// first, so that every step sees x[outer][length][inner].
#include <cmath>
#include <vector>

#include "../../core/internal/memory.h"
#include "reduce.h"
#include "vectors.h"

namespace tern::kernels {

namespace {

constexpr int64_t kBlock = 16384;   // terms of a task: fixed, whatever the number of threads
constexpr int64_t kColumns = 1024;  // columns of a task
constexpr int64_t kPartial = 16;    // partial sums that do not wait for each other
constexpr int64_t kRun = 512;       // terms that are added in T before double takes over

/// The sum of n numbers in a row.
template <class T>
double sum_run(const T* x, int64_t n) {
  double total = 0;
  int64_t i = 0;
  for (; i + kPartial <= n;) {
    T lanes[kPartial] = {};
    const int64_t end = std::min(n - kPartial, i + kRun - kPartial);
    for (; i <= end; i += kPartial)
      for (int64_t j = 0; j < kPartial; ++j) lanes[j] += x[i + j];
    for (int64_t width = kPartial / 2; width > 0; width /= 2)
      for (int64_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
    total += static_cast<double>(lanes[0]);
  }
  for (; i < n; ++i) total += static_cast<double>(x[i]);
  return total;
}

/// total[j] += the sum of x[i * stride + j] over the rows i.
template <class T>
void sum_rows(const T* x, int64_t rows, int64_t stride, int64_t columns, double* total) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4, x += 4 * stride) {
    const T* b = x + stride;
    const T* c = b + stride;
    const T* d = c + stride;
    for (int64_t j = 0; j < columns; ++j)
      total[j] += static_cast<double>((x[j] + b[j]) + (c[j] + d[j]));
  }
  for (; i < rows; ++i, x += stride)
    for (int64_t j = 0; j < columns; ++j) total[j] += static_cast<double>(x[j]);
}

/// The same for a few columns that lie side by side: several rows are taken for one.
template <class T>
void sum_narrow_rows(const T* x, int64_t rows, int64_t columns, double* total) {
  constexpr int64_t kWidth = 64;
  const int64_t joined = kWidth / columns;
  double wide[kWidth] = {};
  sum_rows(x, rows / joined, joined * columns, joined * columns, wide);
  for (int64_t i = 0; i < joined; ++i)
    for (int64_t j = 0; j < columns; ++j) total[j] += wide[i * columns + j];
  const int64_t done = rows / joined * joined;
  sum_rows(x + done * columns, rows - done, columns, columns, total);
}

/// y[outer][inner] = sums of x[outer][length][inner].
template <class T>
void sum_axis(const T* x, int64_t outer, int64_t length, int64_t inner, double* y) {
  const int64_t width = std::min(inner, kColumns);
  const int64_t block = std::max<int64_t>(1, kBlock / width);
  const int64_t blocks = divide_up(length, block);
  const int64_t chunks = divide_up(inner, width);
  const memory::Scratch scratch(
      blocks > 1 ? static_cast<size_t>(outer * blocks * inner) * sizeof(double) : 0);
  double* partial = blocks > 1 ? scratch.as<double>() : y;
  const int64_t work = std::min(length, block) * width;
  parallel_for(outer * blocks * chunks, std::max<int64_t>(1, kGrain / work),
               [&](int64_t begin, int64_t end) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t chunk = task % chunks, row = task / chunks;
                   const int64_t o = row / blocks, first = row % blocks * block;
                   const int64_t rows = std::min(block, length - first);
                   const int64_t column = chunk * width;
                   const int64_t columns = std::min(width, inner - column);
                   const T* source = x + (o * length + first) * inner + column;
                   double* target = partial + row * inner + column;
                   if (inner == 1) {
                     *target = sum_run(source, rows);
                     continue;
                   }
                   std::fill(target, target + columns, 0.0);
                   if (inner <= 32) {
                     sum_narrow_rows(source, rows, columns, target);
                   } else {
                     sum_rows(source, rows, inner, columns, target);
                   }
                 }
               });
  if (blocks == 1) return;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t j = 0; j < inner; ++j) {
      double total = 0;
      for (int64_t b = 0; b < blocks; ++b) total += partial[(o * blocks + b) * inner + j];
      y[o * inner + j] = total;
    }
  }
}

void extreme_axis(Extreme which, const float* x, int64_t outer, int64_t length, int64_t inner,
                  float* y) {
  const int64_t work = length * inner;
  const bool largest = which == Extreme::largest;
  parallel_for(outer, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const float* source = x + o * length * inner;
      float* target = y + o * inner;
      if (inner == 1) {
        *target = largest ? largest_of(length, source) : smallest_of(length, source);
        continue;
      }
      std::copy(source, source + inner, target);
      for (int64_t i = 1; i < length; ++i) {
        if (largest) {
          transform(inner, target, source + i * inner, target, larger_or_nan);
        } else {
          transform(inner, target, source + i * inner, target, smaller_or_nan);
        }
      }
    }
  });
}

/// Calls step(group, outer, length, inner) for each reduced group of axes, the innermost first.
template <class Step>
void for_groups(const ReducePlan& plan, const Step& step) {
  int64_t inner = 1;
  for (int d = plan.rank - 1; d >= 0; --d) {
    if (!plan.reduced[d]) {
      inner *= plan.sizes[d];
      continue;
    }
    int64_t outer = 1;
    for (int k = 0; k < d; ++k) outer *= plan.sizes[k];
    step(d, outer, plan.sizes[d], inner);
  }
}

}  // namespace

void sum_fast(const ReducePlan& plan, const float* x, double divisor, float* y) {
  const int64_t outputs = plan.output_count();
  if (outputs == 0) return;
  if (plan.input_count() == 0) {
    std::fill(y, y + outputs, static_cast<float>(0.0 / divisor));
    return;
  }
  // Short results need no memory of their own.
  constexpr int64_t kFew = 64;
  double few[2][kFew];
  std::vector<memory::Scratch> scratch;
  const double* so_far = nullptr;
  int place = 0;
  for_groups(plan, [&](int, int64_t outer, int64_t length, int64_t inner) {
    double* target = few[place ^= 1];
    if (outer * inner > kFew) {
      scratch.emplace_back(static_cast<size_t>(outer * inner) * sizeof(double));
      target = scratch.back().as<double>();
    }
    if (so_far) {
      sum_axis(so_far, outer, length, inner, target);
    } else {
      sum_axis(x, outer, length, inner, target);
    }
    so_far = target;
  });
  bool finite = true;
  for (int64_t i = 0; i < outputs; ++i) {
    y[i] = static_cast<float>(so_far[i] / divisor);
    finite = finite && std::isfinite(so_far[i]);
  }
  // Parts of a sum may be too large for floats where the sum is not.
  if (!finite) sum_reference(plan, x, divisor, y);
}

void extreme_fast(const ReducePlan& plan, Extreme which, const float* x, float* y) {
  std::vector<memory::Scratch> scratch;
  const float* so_far = x;
  for_groups(plan, [&](int group, int64_t outer, int64_t length, int64_t inner) {
    // The outermost group is the last one.
    float* target = y;
    for (int d = 0; d < group; ++d) {
      if (!plan.reduced[d]) continue;
      scratch.emplace_back(static_cast<size_t>(outer * inner) * sizeof(float));
      target = scratch.back().as<float>();
      break;
    }
    extreme_axis(which, so_far, outer, length, inner, target);
    so_far = target;
  });
}

}  // namespace tern::kernels
