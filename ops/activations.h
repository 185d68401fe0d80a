// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// max(x, 0); the derivative at 0 is 0.
Tensor relu(const Tensor& x);
/// x where x > 0, negative_slope * x elsewhere.
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
/// 1 / (1 + exp(-x))
Tensor sigmoid(const Tensor& x);
/// The hyperbolic tangent.
Tensor tanh(const Tensor& x);
/// x * Phi(x) with the normal distribution function Phi (the exact form, with erf).
Tensor gelu(const Tensor& x);
/// x * sigmoid(x)
Tensor silu(const Tensor& x);

}  // namespace tern
