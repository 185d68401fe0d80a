// SPDX-License-Identifier: Apache-2.0
// Softmax and its logarithm along the middle axis of [outer][length][inner].
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace tern::kernels {

struct SoftmaxShape {
  bool logarithm;
  int64_t outer, length, inner;
  int64_t numel() const { return outer * length * inner; }
};

void softmax_fast(const SoftmaxShape& shape, const float* x, float* y);
template <class T>
void softmax_reference(const SoftmaxShape& shape, const T* x, T* y);
template <class T>
void softmax(const SoftmaxShape& shape, const T* x, T* y) {
  dispatch(softmax_fast, softmax_reference<T>, shape, x, y);
}

/// softmax: dx = y * (dy - sum(dy * y)); logarithm: dx = dy - exp(y) * sum(dy).
void softmax_backward_fast(const SoftmaxShape& shape, const float* y, const float* dy, float* dx);
template <class T>
void softmax_backward_reference(const SoftmaxShape& shape, const T* y, const T* dy, T* dx);
template <class T>
void softmax_backward(const SoftmaxShape& shape, const T* y, const T* dy, T* dx) {
  dispatch(softmax_backward_fast, softmax_backward_reference<T>, shape, y, dy, dx);
}

}  // namespace tern::kernels
