// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Logic
/// bool tensors, broadcasting, of tensors of any dtypes: an element holds if it is not 0 (NaN
/// does). Not differentiable.
/// @{

Tensor logical_and(const Tensor& a, const Tensor& b);  ///< whether both hold
Tensor logical_or(const Tensor& a, const Tensor& b);   ///< whether one holds, or both
Tensor logical_xor(const Tensor& a, const Tensor& b);  ///< whether exactly one holds
Tensor logical_not(const Tensor& x);                   ///< whether x does not hold
/// @}

/// @name Operators of masks
/// The function of the operation, of bool and u8 tensors: u8 is a mask as well, not bits. Throws
/// Error for other dtypes.
/// @{

Tensor operator&(const Tensor& a, const Tensor& b);  ///< logical_and
Tensor operator|(const Tensor& a, const Tensor& b);  ///< logical_or
Tensor operator^(const Tensor& a, const Tensor& b);  ///< logical_xor
Tensor operator!(const Tensor& x);                   ///< logical_not
Tensor operator~(const Tensor& x);                   ///< logical_not
/// @}

}  // namespace tern
