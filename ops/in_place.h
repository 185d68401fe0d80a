// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Arithmetic in place
/// They change x's memory, for every tensor that shares it, and return x. The other tensors have
/// x's dtype and broadcast to its shape. A change is never recorded: while recording, x and the
/// others must not require a gradient (Error; use `x = x + y`, or a NoGrad scope for a parameter).
/// A backward pass that needs the old values throws.
/// @{

Tensor add_(const Tensor& x, const Tensor& y, double alpha = 1);  ///< x + alpha * y
Tensor sub_(const Tensor& x, const Tensor& y, double alpha = 1);  ///< x - alpha * y
Tensor mul_(const Tensor& x, const Tensor& y);                    ///< x * y
Tensor div_(const Tensor& x, const Tensor& y);                    ///< x / y
Tensor add_(const Tensor& x, double y);                           ///< x + y
Tensor sub_(const Tensor& x, double y);                           ///< x - y
Tensor mul_(const Tensor& x, double y);                           ///< x * y
Tensor div_(const Tensor& x, double y);                           ///< x / y
/// lerp(x, y, weight): moving averages.
Tensor lerp_(const Tensor& x, const Tensor& y, double weight);
/// clamp(x, lo, hi)
Tensor clamp_(const Tensor& x, double lo, double hi);
/// @}

/// @name Compound assignment
/// The change in place, or, where that would have to be recorded (x is the result of a recorded
/// operation, or y requires a gradient), `x = x + y`: the handle x then means the new tensor, and
/// other handles of the old one keep its values. Either way x has the right gradient, and its shape
/// stays. Throws Error for a leaf that requires a gradient, outside of a NoGrad scope.
/// @{

Tensor& operator+=(Tensor& x, const Tensor& y);  ///< x + y
Tensor& operator-=(Tensor& x, const Tensor& y);  ///< x - y
Tensor& operator*=(Tensor& x, const Tensor& y);  ///< x * y
Tensor& operator/=(Tensor& x, const Tensor& y);  ///< x / y
Tensor& operator+=(Tensor& x, double y);         ///< x + y
Tensor& operator-=(Tensor& x, double y);         ///< x - y
Tensor& operator*=(Tensor& x, double y);         ///< x * y
Tensor& operator/=(Tensor& x, double y);         ///< x / y
/// @}

}  // namespace tern
