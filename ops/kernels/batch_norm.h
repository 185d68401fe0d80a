// SPDX-License-Identifier: Apache-2.0
// Batch norm on raw memory: the signature that both backends share. Private: not installed.
#pragma once

#include <cstddef>
#include <cstdint>

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

/// float32, on loops for the machine's instruction set; the same bits for every number of threads
/// and on every machine.
void forward_training(const Problem<float>& p, double* mean, double* var, float* y);
void forward(const Problem<float>& p, const Statistics& statistics, float* y);
void backward(const Problem<float>& p, const Statistics& statistics, const float* dy,
              const Gradients<float>& gradients);
/// What forward computes per channel: y = (x - center) * scale + shift.
void constants_of(const Problem<float>& p, const Statistics& statistics, float* center,
                  float* scale, float* shift);
/// The statistics alone, as forward_training computes them.
void statistics_of(const Problem<float>& p, double* mean, double* var);

/// float32 on oneDNN's primitives. `images` is the size of the first axis. With relu, forward
/// leaves a mask of workspace_bytes() bytes for backward.
namespace onednn {
size_t workspace_bytes(const Problem<float>& p, int64_t images);
void forward(const Problem<float>& p, int64_t images, const Statistics& statistics, float* y,
             uint8_t* workspace);
void backward(const Problem<float>& p, int64_t images, const Statistics& statistics,
              const float* dy, const uint8_t* workspace, const Gradients<float>& gradients);
}  // namespace onednn

/// The same, written to be read: float64, and the oracle for float32.
namespace reference {
template <class T>
void forward_training(const Problem<T>& p, double* mean, double* var, T* y);
template <class T>
void forward(const Problem<T>& p, const Statistics& statistics, T* y);
template <class T>
void backward(const Problem<T>& p, const Statistics& statistics, const T* dy,
              const Gradients<T>& gradients);
}  // namespace reference

}  // namespace tern::kernels::batch_norm
