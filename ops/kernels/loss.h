// SPDX-License-Identifier: Apache-2.0
// Losses and their gradients in one pass each. Private: not installed.
#pragma once

#include <cstdint>

namespace tern::kernels {

struct CrossEntropyShape {
  int64_t rows, classes;
  int64_t ignore_index;
  double smoothing;
};

/// Of every row: log(sum(exp(x))) for the backward pass, and the loss (0 if the row is ignored).
template <class T>
void cross_entropy(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                   T* log_sum_exp, double* loss);
/// dx = scale * dy * (softmax(x) - target), 0 in ignored rows. dy advances by dy_step from row to
/// row.
template <class T>
void cross_entropy_backward(const CrossEntropyShape& shape, const T* x, const int64_t* classes,
                            const T* log_sum_exp, double scale, const T* dy, int64_t dy_step,
                            T* dx);

/// The sum of (x - target)^2, added up in blocks of fixed size.
template <class T>
double squared_distance(int64_t count, const T* x, const T* target);
/// y = (x - target)^2
template <class T>
void squared_difference(int64_t count, const T* x, const T* target, T* y);
/// y = (x - target) * scale
template <class T>
void scaled_difference(int64_t count, const T* x, const T* target, double scale, T* y);

}  // namespace tern::kernels
