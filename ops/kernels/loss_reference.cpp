// SPDX-License-Identifier: Apache-2.0
// The formulas, row by row.
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "../../core/internal/parallel.h"
#include "loss.h"

namespace tern::kernels {

namespace {

template <class T>
using Array = Eigen::ArrayX<T>;
template <class T>
using ConstView = Eigen::Map<const Array<T>>;

// Calls body(row) for every row.
template <class Body>
void for_rows(const CrossEntropyShape& shape, const Body& body) {
  const int64_t grain = divide_up(kGrain / 8, shape.classes);
  parallel_for(shape.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace

template <class T>
void cross_entropy_reference(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                             T* log_sum_exp, double* loss) {
  for_rows(shape, [&](int64_t i) {
    log_sum_exp[i] = 0;
    loss[i] = 0;
    if (classes[i] == shape.ignore_index) return;
    const T* row = x + i * shape.classes;
    const double largest = static_cast<double>(*std::max_element(row, row + shape.classes));
    // Distances to the largest keep their digits.
    double sum = 0, mean = 0;
    for (int64_t k = 0; k < shape.classes; ++k) {
      const double distance = static_cast<double>(row[k]) - largest;
      sum += std::exp(distance);
      mean += distance / static_cast<double>(shape.classes);
    }
    log_sum_exp[i] = static_cast<T>(largest + std::log(sum));
    loss[i] = std::log(sum);
    // Not 0 times infinity where the class is masked.
    if (shape.smoothing < 1) {
      loss[i] -= (1 - shape.smoothing) * (static_cast<double>(row[classes[i]]) - largest);
    }
    if (shape.smoothing > 0) loss[i] -= shape.smoothing * mean;
  });
}

template <class T>
void cross_entropy_backward_reference(const CrossEntropyShape& shape, const T* x,
                                      const int64_t* classes, const T* log_sum_exp, double scale,
                                      const T* dy, int64_t dy_step, T* dx) {
  for_rows(shape, [&](int64_t i) {
    for (int64_t k = 0; k < shape.classes; ++k) {
      const int64_t at = i * shape.classes + k;
      if (classes[i] == shape.ignore_index) {
        dx[at] = 0;
        continue;
      }
      const double softmax =
          std::exp(static_cast<double>(x[at]) - static_cast<double>(log_sum_exp[i]));
      const double target = shape.smoothing / static_cast<double>(shape.classes) +
                            (k == classes[i] ? 1 - shape.smoothing : 0);
      dx[at] = static_cast<T>((softmax - target) * scale * static_cast<double>(dy[i * dy_step]));
    }
  });
}

template <class T>
double squared_distance_reference(int64_t count, const T* x, const T* target) {
  return (ConstView<T>(x, count) - ConstView<T>(target, count))
      .template cast<double>()
      .square()
      .sum();
}

template <class T>
void squared_difference_reference(int64_t count, const T* x, const T* target, T* y) {
  Eigen::Map<Array<T>>(y, count) = (ConstView<T>(x, count) - ConstView<T>(target, count)).square();
}

template <class T>
void scaled_difference_reference(int64_t count, const T* x, const T* target, double scale, T* y) {
  Eigen::Map<Array<T>>(y, count) =
      (ConstView<T>(x, count) - ConstView<T>(target, count)) * static_cast<T>(scale);
}

template void cross_entropy_reference(const CrossEntropyShape&, const float*, const int64_t*,
                                      float*, double*);
template void cross_entropy_backward_reference(const CrossEntropyShape&, const float*,
                                               const int64_t*, const float*, double, const float*,
                                               int64_t, float*);
template double squared_distance_reference(int64_t, const float*, const float*);
template void squared_difference_reference(int64_t, const float*, const float*, float*);
template void scaled_difference_reference(int64_t, const float*, const float*, double, float*);
template void cross_entropy_reference(const CrossEntropyShape&, const double*, const int64_t*,
                                      double*, double*);
template void cross_entropy_backward_reference(const CrossEntropyShape&, const double*,
                                               const int64_t*, const double*, double, const double*,
                                               int64_t, double*);
template double squared_distance_reference(int64_t, const double*, const double*);
template void squared_difference_reference(int64_t, const double*, const double*, double*);
template void scaled_difference_reference(int64_t, const double*, const double*, double, double*);

}  // namespace tern::kernels
