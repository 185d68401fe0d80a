// SPDX-License-Identifier: Apache-2.0
// The kernels of conv2d: oneDNN's on channels-last memory, Eigen's on row-major memory. Weights are
// OIHW in both. Private: not installed.
#pragma once

#include <cstdint>

#include "../window.h"

namespace tern::kernels {

/// The sizes of x [n,c,h,w], weight [k,c/groups,r,s] and y [n,k,out_h,out_w]; none is zero.
struct ConvShape {
  int64_t n, c, h, w;
  int64_t k, r, s;
  int64_t out_h, out_w;
  Size2d stride, padding, dilation;
  int64_t groups;
};

/// @name y = x * w + bias; dx; dw and db of sum(dy * y). `bias` and `db` may be null.
/// @{
void conv_forward_onednn(const ConvShape& shape, const float* x, const float* w, const float* bias,
                         float* y);
void conv_backward_data_onednn(const ConvShape& shape, const float* dy, const float* w, float* dx);
void conv_backward_weights_onednn(const ConvShape& shape, const float* x, const float* dy,
                                  float* dw, float* db);

template <class T>
void conv_forward_eigen(const ConvShape& shape, const T* x, const T* w, const T* bias, T* y);
template <class T>
void conv_backward_data_eigen(const ConvShape& shape, const T* dy, const T* w, T* dx);
template <class T>
void conv_backward_weights_eigen(const ConvShape& shape, const T* x, const T* dy, T* dw, T* db);
/// @}

}  // namespace tern::kernels
