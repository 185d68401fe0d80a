// SPDX-License-Identifier: Apache-2.0
// Normalization of parts of each example: layer, RMS, group and instance norm.
#pragma once

#include <cstdint>

#include "batch_norm.h"
#include "dispatch.h"

namespace tern::kernels::norm {

/// `images` images of groups * channels channels of `inner` elements; each group of channels of an
/// image is normalized by itself. Layer norm is a group of one image: {rows, 1, n, 1}.
struct Layout {
  int64_t images, groups, channels, inner;
  bool channels_last;  ///< whether the memory runs [images][inner][groups * channels]

  int64_t all_channels() const { return groups * channels; }
  int64_t parts() const { return images * groups; }   ///< how many are normalized
  int64_t count() const { return channels * inner; }  ///< the elements of each, n
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias, with the mean and the biased variance of each
/// part; unless `centered`, mean is 0 and var the mean of the squares. weight and bias
/// [groups * channels] are null for 1 and 0.
template <class T>
struct Problem {
  Layout layout;
  const T* x;
  const T* weight;
  const T* bias;
  double eps;
  bool centered;
};

using batch_norm::Gradients;

/// y, and the statistics of each part, in double so that nothing is lost until the backward pass.
void forward_fast(const Problem<float>& p, double* mean, double* var, float* y);
template <class T>
void forward_reference(const Problem<T>& p, double* mean, double* var, T* y);
template <class T>
void forward(const Problem<T>& p, double* mean, double* var, T* y) {
  dispatch(forward_fast, forward_reference<T>, p, mean, var, y);
}

/// The gradients; dy and dx lie as x does.
void backward_fast(const Problem<float>& p, const double* mean, const double* var, const float* dy,
                   const Gradients<float>& gradients);
template <class T>
void backward_reference(const Problem<T>& p, const double* mean, const double* var, const T* dy,
                        const Gradients<T>& gradients);
template <class T>
void backward(const Problem<T>& p, const double* mean, const double* var, const T* dy,
              const Gradients<T>& gradients) {
  dispatch(backward_fast, backward_reference<T>, p, mean, var, dy, gradients);
}

}  // namespace tern::kernels::norm
