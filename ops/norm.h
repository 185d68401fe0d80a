// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Normalization of each example by itself
/// y = (x - mean) / sqrt(var + eps) * weight + bias over a part of each example; var is the biased
/// variance. weight and bias may be undefined. Statistics are computed in two steps, so that a
/// large mean costs no digits; a part of equal values gives bias, with eps = 0 as well. x is f32 or
/// f64; the result has its memory format. Differentiable to any order. Throw Error for shapes and
/// dtypes that do not fit, and unless eps is finite and not negative.
/// @{

/// Over the last axes, whose sizes are `normalized_shape`, the shape of weight and bias as well (Ba
/// et al., 2016). As torch.nn.functional.layer_norm.
Tensor layer_norm(const Tensor& x, const IntList& normalized_shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);
/// x / sqrt(mean(x^2) + eps) * weight over the last axes (Zhang and Sennrich, 2019). As
/// torch.nn.functional.rms_norm, whose eps is by default the dtype's smallest step.
Tensor rms_norm(const Tensor& x, const IntList& normalized_shape, const Tensor& weight = {},
                double eps = 1e-5);
/// Over groups of neighbouring channels of x [N, C, ...] and all that follows (Wu and He, 2018);
/// weight and bias [C]. `num_groups` divides C. As torch.nn.functional.group_norm.
Tensor group_norm(const Tensor& x, int64_t num_groups, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);

/// Options of instance_norm.
struct InstanceNormOptions {
  bool use_input_stats = true;  ///< normalize with x's own statistics, not with the running ones
  double momentum = 0.1;        ///< running = (1 - momentum) * running + momentum * average of x's
  double eps = 1e-5;            ///< added to the variance, at least 0
};
/// Over each channel of each image of x [N, C, ...] (Ulyanov et al., 2016); weight and bias [C].
/// running_mean and running_var [C], if defined, are updated by the averages over the batch (of the
/// unbiased variance), or normalize unless `use_input_stats`. As
/// torch.nn.functional.instance_norm.
Tensor instance_norm(const Tensor& x, const Tensor& running_mean = {},
                     const Tensor& running_var = {}, const Tensor& weight = {},
                     const Tensor& bias = {}, const InstanceNormOptions& options = {});
/// @}

}  // namespace tern
