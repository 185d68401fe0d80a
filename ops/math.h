// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Elementwise functions
/// Of f32 and f64 tensors (abs of any); the result lies in x's memory order.
/// @{

/// e to the power of x.
Tensor exp(const Tensor& x);
/// Natural logarithm: NaN below 0, -inf at 0.
Tensor log(const Tensor& x);
/// NaN below 0; the derivative at 0 is infinite.
Tensor sqrt(const Tensor& x);
/// |x|; the derivative at 0 is 0.
Tensor abs(const Tensor& x);
/// The sine of radians.
Tensor sin(const Tensor& x);
/// The cosine of radians.
Tensor cos(const Tensor& x);
/// The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.
Tensor erf(const Tensor& x);
/// @}

}  // namespace tern
