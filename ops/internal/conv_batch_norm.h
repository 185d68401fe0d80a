// SPDX-License-Identifier: Apache-2.0
// A convolution that normalizes what it writes, for nn/fusion.cpp.
#pragma once

#include "../conv.h"

namespace tern {

/// Batch norm with the statistics of evaluation, [K] each; weight and bias may be undefined.
struct FixedBatchNorm {
  Tensor running_mean = {};  ///< subtracted
  Tensor running_var = {};   ///< divided by, as its root
  Tensor weight = {};        ///< gamma
  Tensor bias = {};          ///< beta
  double eps = 1e-5;         ///< added to the variance
  bool relu = false;         ///< whether a ReLU follows
};

/// batch_norm(conv2d(x, weight, bias, options), ...) in evaluation, or with norm.relu
/// batch_norm_relu: the same bits, in the same memory, and where Winograd computes the convolution
/// in one pass. Throws Error if it would have to be recorded, and as the two.
Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const FixedBatchNorm& norm, const Conv2dOptions& options = {});

}  // namespace tern
