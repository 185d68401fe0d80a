// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Elementwise arithmetic
/// Shapes broadcast as NumPy's; both tensors have the same dtype (throws Error otherwise: convert
/// with x.to(dtype)). Differentiable for floating dtypes. The result lies in the memory order of
/// the operand that has the result's shape.
/// @{

Tensor add(const Tensor& a, const Tensor& b);  ///< a + b
Tensor sub(const Tensor& a, const Tensor& b);  ///< a - b
Tensor mul(const Tensor& a, const Tensor& b);  ///< a * b
Tensor div(const Tensor& a, const Tensor& b);  ///< a / b
Tensor add(const Tensor& a, double b);         ///< a + b
Tensor mul(const Tensor& a, double b);         ///< a * b
Tensor neg(const Tensor& a);                   ///< -a
/// @}

/// @name Operators
/// @{

/// The function of the operation: add, sub, mul, div or neg.
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, double b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, double b) { return add(a, -b); }
inline Tensor operator*(const Tensor& a, double b) { return mul(a, b); }
Tensor operator/(const Tensor& a, double b);
inline Tensor operator+(double a, const Tensor& b) { return add(b, a); }
Tensor operator-(double a, const Tensor& b);
inline Tensor operator*(double a, const Tensor& b) { return mul(b, a); }
Tensor operator/(double a, const Tensor& b);
inline Tensor operator-(const Tensor& a) { return neg(a); }
/// @}

/// a^exponent, elementwise. d/da = exponent * a^(exponent-1).
Tensor pow(const Tensor& a, double exponent);
/// a^b, elementwise with broadcasting. d/db = a^b * log(a).
Tensor pow(const Tensor& a, const Tensor& b);

/// relu(a + b) in one pass, a and b of the same shape: the end of a residual block. If `a` is a
/// temporary whose memory nobody shares, as in add_relu(bn(x), b), the result has that memory.
Tensor add_relu(Tensor a, const Tensor& b);

/// @name Comparisons
/// u8 tensors of 0 and 1, broadcasting. Not differentiable.
/// @{

/// 1 where the comparison holds, 0 elsewhere.
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
Tensor eq(const Tensor& a, double b);
Tensor ne(const Tensor& a, double b);
Tensor lt(const Tensor& a, double b);
Tensor le(const Tensor& a, double b);
Tensor gt(const Tensor& a, double b);
Tensor ge(const Tensor& a, double b);
/// @}

/// a where `condition` (u8) is not 0, b elsewhere; all three broadcast. One of a and b may be
/// undefined: zeros. Elements that are not chosen get gradient 0, whatever they are.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

/// Adds up `x` over the axes along which `shape` was broadcast to x's shape: the adjoint of
/// broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// x stretched to `shape` by broadcasting.
Tensor broadcast_to(const Tensor& x, const Shape& shape);

}  // namespace tern
