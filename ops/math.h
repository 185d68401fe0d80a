// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Elementwise functions
/// @{
Tensor exp(const Tensor& x);
/// Natural logarithm: NaN below 0, -inf at 0.
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
/// |x|; the derivative at 0 is 0.
Tensor abs(const Tensor& x);
/// @}

}  // namespace tern
