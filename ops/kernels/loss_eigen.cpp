// SPDX-License-Identifier: Apache-2.0
// One set of loops for both floating types.
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "../../core/memory.h"
#include "functions.h"
#include "loss.h"
#include "strided.h"
#include "vectors.h"

namespace tern::kernels {

namespace {

template <class T>
using ConstArray = Eigen::Map<const Eigen::ArrayX<T>>;

int64_t grain_of_rows(const CrossEntropyShape& shape) {
  return std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, shape.classes));
}

using kernels::largest_of;
double largest_of(int64_t n, const double* x) { return *std::max_element(x, x + n); }

/// y[i] = exp(x[i] - y[i])
void exponentials(int64_t n, const double* x, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::exp(x[i] - y[i]);
}
void exponentials(int64_t n, const float* x, float* y) { functions().exp_difference(n, x, y, y); }

/// Of each of a few rows: its largest value, and the sum of exp(x - largest). Short rows share a
/// call of exp.
template <class T>
struct Sums {
  static constexpr int64_t kPart = 256;
  T largest[kPart], total[kPart];

  static int64_t rows_at_once(int64_t classes) { return std::max<int64_t>(1, kPart / classes); }

  void compute(int64_t rows, int64_t classes, const T* x) {
    T part[kPart];
    for (int64_t i = 0; i < rows; ++i) {
      largest[i] = largest_of(classes, x + i * classes);
      total[i] = 0;
    }
    for (int64_t first = 0; first < classes; first += kPart) {
      const int64_t length = std::min(kPart, classes - first);
      for (int64_t i = 0; i < rows; ++i) std::fill_n(part + i * length, length, largest[i]);
      exponentials(rows * length, x + first, part);
      for (int64_t i = 0; i < rows; ++i) total[i] += ConstArray<T>(part + i * length, length).sum();
    }
  }
};

}  // namespace

template <class T>
void cross_entropy(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                   T* log_sum_exp, double* loss) {
  parallel_for(shape.rows, grain_of_rows(shape), [&](int64_t begin, int64_t end) {
    Sums<T> sums;
    const int64_t at_once = sums.rows_at_once(shape.classes);
    for (int64_t first = begin; first < end; first += at_once) {
      const int64_t rows = std::min(at_once, end - first);
      sums.compute(rows, shape.classes, x + first * shape.classes);
      for (int64_t i = first; i < first + rows; ++i) {
        log_sum_exp[i] = 0;
        loss[i] = 0;
        if (classes[i] == shape.ignore_index) continue;
        const ConstArray<T> row(x + i * shape.classes, shape.classes);
        const T largest = sums.largest[i - first], log_sum = std::log(sums.total[i - first]);
        log_sum_exp[i] = largest + log_sum;
        // Differences to the largest keep their digits.
        const T of_class = row[classes[i]] - largest;
        loss[i] =
            static_cast<double>(log_sum) - (1 - shape.smoothing) * static_cast<double>(of_class);
        if (shape.smoothing > 0) {
          loss[i] -= shape.smoothing * static_cast<double>((row - largest).mean());
        }
      }
    }
  });
}

template <class T>
void cross_entropy_backward(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                            const T* log_sum_exp, double scale, const T* dy, int64_t dy_step,
                            T* dx) {
  const T everywhere = static_cast<T>(shape.smoothing / static_cast<double>(shape.classes));
  parallel_for(shape.rows, grain_of_rows(shape), [&](int64_t begin, int64_t end) {
    const int64_t width = shape.classes;
    for (int64_t i = begin; i < end; ++i) {
      std::fill_n(dx + i * width, width, log_sum_exp[i]);
    }
    exponentials((end - begin) * width, x + begin * width, dx + begin * width);
    for (int64_t i = begin; i < end; ++i) {
      T* out = dx + i * width;
      if (classes[i] == shape.ignore_index) {
        std::fill(out, out + width, T{0});
        continue;
      }
      const T factor = static_cast<T>(scale * static_cast<double>(dy[i * dy_step]));
      for (int64_t k = 0; k < width; ++k) out[k] = (out[k] - everywhere) * factor;
      out[classes[i]] -= static_cast<T>(1 - shape.smoothing) * factor;
    }
  });
}

template <class T>
double squared_distance(int64_t count, const T* x, const T* target) {
  constexpr int64_t kBlock = 16384;
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  const memory::Scratch scratch(static_cast<size_t>(blocks) * sizeof(double));
  double* partial = scratch.as<double>();
  parallel_for(blocks, 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock, n = std::min(kBlock, count - first);
      partial[b] = 0;
      for (int64_t i = 0; i < n; i += 512) {
        const int64_t length = std::min<int64_t>(512, n - i);
        partial[b] += static_cast<double>(
            (ConstArray<T>(x + first + i, length) - ConstArray<T>(target + first + i, length))
                .square()
                .sum());
      }
    }
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; ++b) total += partial[b];
  return total;
}

template <class T>
void squared_difference(int64_t count, const T* x, const T* target, T* y) {
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = (x[i] - target[i]) * (x[i] - target[i]);
  });
}

template <class T>
void scaled_difference(int64_t count, const T* x, const T* target, double scale, T* y) {
  const T factor = static_cast<T>(scale);
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = (x[i] - target[i]) * factor;
  });
}

template void cross_entropy(const CrossEntropyShape&, const float*, const int64_t*, float*,
                            double*);
template void cross_entropy(const CrossEntropyShape&, const double*, const int64_t*, double*,
                            double*);
template void cross_entropy_backward(const CrossEntropyShape&, const float*, const int64_t*,
                                     const float*, double, const float*, int64_t, float*);
template void cross_entropy_backward(const CrossEntropyShape&, const double*, const int64_t*,
                                     const double*, double, const double*, int64_t, double*);
template double squared_distance(int64_t, const float*, const float*);
template double squared_distance(int64_t, const double*, const double*);
template void squared_difference(int64_t, const float*, const float*, float*);
template void squared_difference(int64_t, const double*, const double*, double*);
template void scaled_difference(int64_t, const float*, const float*, double, float*);
template void scaled_difference(int64_t, const double*, const double*, double, double*);

}  // namespace tern::kernels
