// SPDX-License-Identifier: Apache-2.0
// Losses and their gradients in one pass each.
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace tern::kernels {

struct CrossEntropyShape {
  int64_t rows, classes;
  int64_t ignore_index;
  double smoothing;
};

/// Of every row: log(sum(exp(x))) for the backward pass, and the loss (0 if the row is ignored).
void cross_entropy_fast(const CrossEntropyShape& shape, const float* x, const int64_t* classes,
                        float* log_sum_exp, double* loss);
template <class T>
void cross_entropy_reference(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                             T* log_sum_exp, double* loss);
template <class T>
void cross_entropy(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                   T* log_sum_exp, double* loss) {
  dispatch(cross_entropy_fast, cross_entropy_reference<T>, shape, x, classes, log_sum_exp, loss);
}

/// dx = scale * dy * (softmax(x) - target), 0 in ignored rows. dy advances by dy_step from row to
/// row.
void cross_entropy_backward_fast(const CrossEntropyShape& shape, const float* x,
                                 const int64_t* classes, const float* log_sum_exp, double scale,
                                 const float* dy, int64_t dy_step, float* dx);
template <class T>
void cross_entropy_backward_reference(const CrossEntropyShape& shape, const T* x,
                                      const int64_t* classes, const T* log_sum_exp, double scale,
                                      const T* dy, int64_t dy_step, T* dx);
template <class T>
void cross_entropy_backward(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                            const T* log_sum_exp, double scale, const T* dy, int64_t dy_step,
                            T* dx) {
  dispatch(cross_entropy_backward_fast, cross_entropy_backward_reference<T>, shape, x, classes,
           log_sum_exp, scale, dy, dy_step, dx);
}

/// The sum of (x - target)^2, added up in blocks of fixed size.
double squared_distance_fast(int64_t count, const float* x, const float* target);
template <class T>
double squared_distance_reference(int64_t count, const T* x, const T* target);
template <class T>
double squared_distance(int64_t count, const T* x, const T* target) {
  return dispatch(squared_distance_fast, squared_distance_reference<T>, count, x, target);
}

/// y = (x - target)^2
void squared_difference_fast(int64_t count, const float* x, const float* target, float* y);
template <class T>
void squared_difference_reference(int64_t count, const T* x, const T* target, T* y);
template <class T>
void squared_difference(int64_t count, const T* x, const T* target, T* y) {
  dispatch(squared_difference_fast, squared_difference_reference<T>, count, x, target, y);
}

/// y = (x - target) * scale
void scaled_difference_fast(int64_t count, const float* x, const float* target, double scale,
                            float* y);
template <class T>
void scaled_difference_reference(int64_t count, const T* x, const T* target, double scale, T* y);
template <class T>
void scaled_difference(int64_t count, const T* x, const T* target, double scale, T* y) {
  dispatch(scaled_difference_fast, scaled_difference_reference<T>, count, x, target, scale, y);
}

}  // namespace tern::kernels
