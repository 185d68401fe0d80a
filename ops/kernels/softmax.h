// SPDX-License-Identifier: Apache-2.0
// Softmax and its logarithm along the middle axis of [outer][length][inner]. Private: not
// installed.
#pragma once

#include <cstdint>

namespace tern::kernels {

struct SoftmaxShape {
  bool logarithm;
  int64_t outer, length, inner;
  int64_t numel() const { return outer * length * inner; }
};

void softmax_f32(const SoftmaxShape& shape, const float* x, float* y);
template <class T>
void softmax_eigen(const SoftmaxShape& shape, const T* x, T* y);

/// softmax: dx = y * (dy - sum(dy * y)); logarithm: dx = dy - exp(y) * sum(dy).
void softmax_backward_f32(const SoftmaxShape& shape, const float* y, const float* dy, float* dx);
template <class T>
void softmax_backward_eigen(const SoftmaxShape& shape, const T* y, const T* dy, T* dx);

}  // namespace tern::kernels
