// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"
#include "window.h"

namespace tern {

/// Which algorithm computes a float32 convolution. `automatic` chooses by the shape between Tern's
/// Winograd convolution (3x3, stride 1 or 2), which rounds a few times coarser, and oneDNN's direct
/// convolution; `direct` forces the latter.
enum class ConvAlgorithm : uint8_t { automatic, direct };

/// How the window goes over the image, as torch.nn.Conv2d's arguments.
struct Conv2dParams {
  Size2d stride = 1;                                   ///< steps between windows
  Size2d padding = 0;                                  ///< zeros around the image
  Size2d dilation = 1;                                 ///< distance between the window's elements
  int64_t groups = 1;                                  ///< divides both numbers of channels
  DataFormat data_format = DataFormat::NCHW;           ///< which axis is which
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;  ///< what computes float32
};

/// 2-d convolution (cross-correlation, as everywhere in the field):
/// y[n,k,i,j] = b[k] + sum over c,r,s of x[n, c, i*stride + r*dilation - padding, ...] w[k,c,r,s].
/// x [N,C,H,W] (or [N,H,W,C] with DataFormat::NHWC), weight [K, C/groups, R, S] in either format,
/// bias [K] or undefined; result [N,K,H',W'] with
/// H' = (H + 2 padding - dilation (R-1) - 1) / stride + 1, rounded down. float32 results lie
/// channels-last, float64 results row-major. Differentiable to any order. Throws Error for shapes,
/// dtypes or options that do not fit.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dParams& params = {});
/// relu(conv2d(x, weight, bias, params)) in one pass over the result.
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                   const Conv2dParams& params = {});

/// Batch norm with the statistics of evaluation, [K] each; weight and bias may be undefined.
struct FixedBatchNorm {
  Tensor running_mean = {};  ///< subtracted
  Tensor running_var = {};   ///< divided by, as its root
  Tensor weight = {};        ///< gamma
  Tensor bias = {};          ///< beta
  double eps = 1e-5;         ///< added to the variance
};

/// batch_norm(conv2d(x, weight, bias, params), ...) in evaluation, or with `relu` batch_norm_relu:
/// the same bits, in the same memory, and where Winograd computes the convolution in one pass. For
/// inference, which records nothing: Throws Error if it would have to be recorded, and as the two.
Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const FixedBatchNorm& norm, bool relu, const Conv2dParams& params = {});

}  // namespace tern
