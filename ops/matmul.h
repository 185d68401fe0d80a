// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// Matrix product of the last two axes, [..., M, K] x [..., K, N] -> [..., M, N]; leading axes
/// broadcast. One-dimensional operands work as PyTorch's: [K] x [K] is a scalar. Differentiable to
/// any order. Throws Error for shapes or dtypes that do not fit.
Tensor matmul(const Tensor& a, const Tensor& b);

/// y = x w^T + b with x [..., in], w [out, in] and b [out] (or undefined): [..., out].
/// Throws Error for shapes or dtypes that do not fit.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace tern
