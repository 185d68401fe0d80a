// SPDX-License-Identifier: Apache-2.0
// The kernels of conv2d. Weights are OIHW in all.
#pragma once

#include <cstdint>

#include "../window.h"
#include "batch_norm.h"
#include "dispatch.h"

namespace tern::kernels {

/// The sizes of x [n,c,h,w], weight [k,c/groups,r,s] and y [n,k,out_h,out_w]; none is zero.
/// `padding` is in front; behind, there are as many zeros as the last window reaches.
struct ConvShape {
  int64_t n, c, h, w;
  int64_t k, r, s;
  int64_t out_h, out_w;
  Size2d stride, padding, dilation;
  int64_t groups;
  bool direct;  ///< never by Winograd's algorithm
};

/// The memory format in which the kernels of a dtype take and give activations.
inline MemoryFormat conv_format(DType dtype) {
  return fast_kernels(dtype) ? MemoryFormat::channels_last : MemoryFormat::row_major;
}

/// y = x * w + bias, then max(y, 0) if relu. `bias` may be null.
void conv_forward_fast(const ConvShape& shape, const float* x, const float* w, const float* bias,
                       bool relu, float* y);
template <class T>
void conv_forward_reference(const ConvShape& shape, const T* x, const T* w, const T* bias,
                            bool relu, T* y);
template <class T>
void conv_forward(const ConvShape& shape, const T* x, const T* w, const T* bias, bool relu, T* y) {
  dispatch(conv_forward_fast, conv_forward_reference<T>, shape, x, w, bias, relu, y);
}

/// dx of sum(dy * y)
void conv_backward_data_fast(const ConvShape& shape, const float* dy, const float* w, float* dx);
template <class T>
void conv_backward_data_reference(const ConvShape& shape, const T* dy, const T* w, T* dx);
template <class T>
void conv_backward_data(const ConvShape& shape, const T* dy, const T* w, T* dx) {
  dispatch(conv_backward_data_fast, conv_backward_data_reference<T>, shape, dy, w, dx);
}

/// dw and db of sum(dy * y). `db` may be null.
void conv_backward_weights_fast(const ConvShape& shape, const float* x, const float* dy, float* dw,
                                float* db);
template <class T>
void conv_backward_weights_reference(const ConvShape& shape, const T* x, const T* dy, T* dw, T* db);
template <class T>
void conv_backward_weights(const ConvShape& shape, const T* x, const T* dy, T* dw, T* db) {
  dispatch(conv_backward_weights_fast, conv_backward_weights_reference<T>, shape, x, dy, dw, db);
}

/// Batch norm of conv_forward(...), by statistics that are given: the bits of the two calls. `norm`
/// has y as its x.
void conv_batch_norm_fast(const ConvShape& shape, const float* x, const float* w, const float* bias,
                          const batch_norm::Problem<float>& norm,
                          const batch_norm::Statistics& statistics, float* y);

/// oneDNN's direct convolution, for the shapes that are none for Winograd's.
namespace direct {
void forward(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y);
void backward_data(const ConvShape& shape, const float* dy, const float* w, float* dx);
void backward_weights(const ConvShape& shape, const float* x, const float* dy, float* dw,
                      float* db);
}  // namespace direct

/// Gradients of depthwise convolutions that the others are slow at: whether they are taken here.
namespace depthwise {
bool computes_backward_data(const ConvShape& shape);
bool computes_backward_weights(const ConvShape& shape);
void backward_data(const ConvShape& shape, const float* dy, const float* w, float* dx);
void backward_weights(const ConvShape& shape, const float* x, const float* dy, float* dw);
}  // namespace depthwise

}  // namespace tern::kernels
