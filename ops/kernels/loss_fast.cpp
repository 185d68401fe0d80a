// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "../../core/internal/memory.h"
#include "functions.h"
#include "loss.h"
#include "strided.h"
#include "vectors.h"

namespace tern::kernels {

namespace {

using ConstArray = Eigen::Map<const Eigen::ArrayXf>;

int64_t grain_of_rows(const CrossEntropyShape& shape) {
  return std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, shape.classes));
}

/// Of each of a few rows: its largest value, and the sum of exp(x - largest). Short rows share a
/// call of exp.
struct Sums {
  static constexpr int64_t kPart = 256;
  float largest[kPart], total[kPart];

  static int64_t rows_at_once(int64_t classes) { return std::max<int64_t>(1, kPart / classes); }

  void compute(int64_t rows, int64_t classes, const float* x) {
    float part[kPart];
    for (int64_t i = 0; i < rows; ++i) {
      largest[i] = largest_of(classes, x + i * classes);
      total[i] = 0;
    }
    for (int64_t first = 0; first < classes; first += kPart) {
      const int64_t length = std::min(kPart, classes - first);
      for (int64_t i = 0; i < rows; ++i) std::fill_n(part + i * length, length, largest[i]);
      functions().exp_difference(rows * length, x + first, part, part);
      for (int64_t i = 0; i < rows; ++i) total[i] += sum_of(length, part + i * length);
    }
  }
};

}  // namespace

void cross_entropy_fast(const CrossEntropyShape& shape, const float* x, const int64_t* classes,
                        float* log_sum_exp, double* loss) {
  parallel_for(shape.rows, grain_of_rows(shape), [&](int64_t begin, int64_t end) {
    Sums sums;
    const int64_t at_once = sums.rows_at_once(shape.classes);
    for (int64_t first = begin; first < end; first += at_once) {
      const int64_t rows = std::min(at_once, end - first);
      sums.compute(rows, shape.classes, x + first * shape.classes);
      for (int64_t i = first; i < first + rows; ++i) {
        log_sum_exp[i] = 0;
        loss[i] = 0;
        if (classes[i] == shape.ignore_index) continue;
        const ConstArray row(x + i * shape.classes, shape.classes);
        const float largest = sums.largest[i - first], log_sum = std::log(sums.total[i - first]);
        log_sum_exp[i] = largest + log_sum;
        // Differences to the largest keep their digits.
        const float of_class = row[classes[i]] - largest;
        loss[i] = static_cast<double>(log_sum);
        // Not 0 times infinity where the class is masked.
        if (shape.smoothing < 1) loss[i] -= (1 - shape.smoothing) * static_cast<double>(of_class);
        if (shape.smoothing > 0) {
          loss[i] -= shape.smoothing * static_cast<double>((row - largest).mean());
        }
      }
    }
  });
}

void cross_entropy_backward_fast(const CrossEntropyShape& shape, const float* x,
                                 const int64_t* classes, const float* log_sum_exp, double scale,
                                 const float* dy, int64_t dy_step, float* dx) {
  const float everywhere = static_cast<float>(shape.smoothing / static_cast<double>(shape.classes));
  parallel_for(shape.rows, grain_of_rows(shape), [&](int64_t begin, int64_t end) {
    const int64_t width = shape.classes;
    for (int64_t i = begin; i < end; ++i) {
      std::fill_n(dx + i * width, width, log_sum_exp[i]);
    }
    functions().exp_difference((end - begin) * width, x + begin * width, dx + begin * width,
                               dx + begin * width);
    for (int64_t i = begin; i < end; ++i) {
      float* out = dx + i * width;
      if (classes[i] == shape.ignore_index) {
        std::fill(out, out + width, 0.0f);
        continue;
      }
      const float factor = static_cast<float>(scale * static_cast<double>(dy[i * dy_step]));
      for (int64_t k = 0; k < width; ++k) out[k] = (out[k] - everywhere) * factor;
      out[classes[i]] -= static_cast<float>(1 - shape.smoothing) * factor;
    }
  });
}

double squared_distance_fast(int64_t count, const float* x, const float* target) {
  constexpr int64_t kBlock = 16384;
  const int64_t blocks = divide_up(count, kBlock);
  const memory::Scratch scratch(static_cast<size_t>(blocks) * sizeof(double));
  double* partial = scratch.as<double>();
  parallel_for(blocks, 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock, n = std::min(kBlock, count - first);
      partial[b] = 0;
      for (int64_t i = 0; i < n; i += 512) {
        const int64_t length = std::min<int64_t>(512, n - i);
        partial[b] += static_cast<double>(
            (ConstArray(x + first + i, length) - ConstArray(target + first + i, length))
                .square()
                .sum());
      }
    }
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; ++b) total += partial[b];
  return total;
}

void squared_difference_fast(int64_t count, const float* x, const float* target, float* y) {
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = (x[i] - target[i]) * (x[i] - target[i]);
  });
}

void scaled_difference_fast(int64_t count, const float* x, const float* target, double scale,
                            float* y) {
  const float factor = static_cast<float>(scale);
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = (x[i] - target[i]) * factor;
  });
}

}  // namespace tern::kernels
