// SPDX-License-Identifier: Apache-2.0
// What the operations of conv.h share: the sizes of a convolution, its three kernels as recorded
// operations, and checks. Signals are images with a height of 1.
#pragma once

#include <vector>

#include "../../core/op_scope.h"
#include "../../core/tensor.h"
#include "../conv.h"
#include "../kernels/conv.h"

namespace tern {

/// A convolution of given sizes, as its nodes know it.
struct Conv : kernels::ConvShape {
  bool relu = false;  // of the result

  Shape x_shape() const { return {n, c, h, w}; }
  Shape weight_shape() const { return {k, c / groups, r, s}; }
  Shape y_shape() const { return {n, k, out_h, out_w}; }
  double flops() const {
    const int64_t fan_in = c / groups * r * s;
    return 2.0 * static_cast<double>(y_shape().numel()) * static_cast<double>(fan_in);
  }
};

// Note [Closed under differentiation]
// y = conv(x, w), dx = data(dy, w) and dw = weights(x, dy) are the three ways to contract
// sum(y * dy) over all but one of its factors. Each is linear in both arguments, and its gradients
// are the other two. So conv_transpose2d, which is data(x, w), needs no gradients of its own.

/// x * weight + bias, then relu. N,C,H,W; the bias may be undefined.
Tensor convolve(const Conv& conv, const Tensor& x, const Tensor& weight, const Tensor& bias);
/// What is called "dx" above, plus a bias that may be undefined. `name` is the node's.
Tensor conv_backward_data(const char* name, const Conv& conv, const Tensor& dy,
                          const Tensor& weight, const Tensor& bias);

/// The shape of x or a weight with `rank` axes, with a height of 1 if that is 3.
Shape as_images(const Shape& shape);

/// Throws Error naming `op` unless x and weight are floating tensors of one dtype with `rank` axes.
void check_conv_operands(const char* op, const Tensor& x, const Tensor& weight, int rank);

/// Throws Error naming `op` unless the bias is undefined or has an element for each of `channels`.
void check_conv_bias(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     int64_t channels);

}  // namespace tern
