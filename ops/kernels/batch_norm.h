// SPDX-License-Identifier: Apache-2.0
// Batch norm on raw memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dispatch.h"

namespace tern::kernels::batch_norm {

/// How the elements lie: `outer` groups of `channels` groups of `inner` consecutive elements of one
/// channel. [N,C,H,W] in row-major order is {N, C, HW}, in channels-last order {NHW, C, 1}.
struct Layout {
  int64_t outer, channels, inner;

  /// The number of values per channel, n.
  int64_t count() const { return outer * inner; }
};

/// y = (x - mean) * weight / sqrt(var + eps) + bias, then max(y, 0) if relu. weight and bias are
/// null for 1 and 0.
template <class T>
struct Problem {
  Layout layout;
  const T* x;
  const T* weight;
  const T* bias;
  double eps;
  bool relu;
  /// The size of the first axis, if oneDNN's primitives are to compute it (float32 only), else 0.
  int64_t primitive_images = 0;
  /// workspace_bytes() bytes that the forward pass leaves for the backward pass, or null.
  uint8_t* workspace = nullptr;
};

/// Per channel; var is the biased one (divided by n). double also for float32, so that nothing is
/// lost between the forward and the backward pass.
struct Statistics {
  const double* mean;
  const double* var;
  /// Whether they were computed from x, so that the gradient flows through them.
  bool of_batch;
};

/// Null for what is not wanted.
template <class T>
struct Gradients {
  T* dx;
  T* dweight;
  T* dbias;
};

/// 1 / sqrt(var + eps). A channel of equal values has no scale: with eps = 0 it is normalized to 0.
double inverse_std(double var, double eps, bool of_batch);

/// What the primitives want with relu, for a mask; 0 for everything else.
size_t workspace_bytes_fast(const Problem<float>& p);
template <class T>
size_t workspace_bytes(const Problem<T>& p) {
  return dispatch(
      workspace_bytes_fast, [](const Problem<T>&) { return size_t{0}; }, p);
}

/// @name y, by the statistics of x, which are left in mean and var; by given ones; and the
/// gradients. The fast ones are float32 on loops for the machine's instruction set: the same bits
/// for every number of threads and on every machine.
/// @{

void forward_training_fast(const Problem<float>& p, double* mean, double* var, float* y);
template <class T>
void forward_training_reference(const Problem<T>& p, double* mean, double* var, T* y);
template <class T>
void forward_training(const Problem<T>& p, double* mean, double* var, T* y) {
  dispatch(forward_training_fast, forward_training_reference<T>, p, mean, var, y);
}

void forward_fast(const Problem<float>& p, const Statistics& statistics, float* y);
template <class T>
void forward_reference(const Problem<T>& p, const Statistics& statistics, T* y);
template <class T>
void forward(const Problem<T>& p, const Statistics& statistics, T* y) {
  dispatch(forward_fast, forward_reference<T>, p, statistics, y);
}

void backward_fast(const Problem<float>& p, const Statistics& statistics, const float* dy,
                   const Gradients<float>& gradients);
template <class T>
void backward_reference(const Problem<T>& p, const Statistics& statistics, const T* dy,
                        const Gradients<T>& gradients);
template <class T>
void backward(const Problem<T>& p, const Statistics& statistics, const T* dy,
              const Gradients<T>& gradients) {
  dispatch(backward_fast, backward_reference<T>, p, statistics, dy, gradients);
}
/// @}

/// What forward_fast computes per channel: y = (x - center) * scale + shift.
void constants_of(const Problem<float>& p, const Statistics& statistics, float* center,
                  float* scale, float* shift);

/// oneDNN's primitives. They normalize by statistics that are given.
namespace onednn {
size_t workspace_bytes(const Problem<float>& p);
void forward(const Problem<float>& p, const Statistics& statistics, float* y);
void backward(const Problem<float>& p, const Statistics& statistics, const float* dy,
              const Gradients<float>& gradients);
}  // namespace onednn

}  // namespace tern::kernels::batch_norm
