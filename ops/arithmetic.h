// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include "../core/tensor.h"

namespace tern {

namespace detail {
/// A number as an argument. `{}` is none: it stands for an undefined tensor.
struct Number {
  Number(double number) : value(number) {}
  double value;
};
}  // namespace detail

/// @name Elementwise arithmetic
/// Shapes broadcast as NumPy's; both tensors have the same dtype (throws Error otherwise: convert
/// with x.to(dtype)). A bool tensor counts as a u8 tensor of 0 and 1, and so does the result.
/// Differentiable for floating dtypes. The result lies in the memory format of the operand that has
/// the result's shape.
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

/// a^b, elementwise, for a number a. d/db = a^b * log(a); 0 for a = 0.
Tensor pow(double a, const Tensor& b);

/// @name Minimum, maximum and remainder
/// Elementwise with broadcasting, of tensors of one dtype, integers included.
/// @{

/// The smaller of a and b, NaN if one of them is. The derivative is that of the smaller; where both
/// are equal each has half.
Tensor minimum(const Tensor& a, const Tensor& b);
/// The larger of a and b, NaN if one of them is. The derivative is that of the larger; where both
/// are equal each has half.
Tensor maximum(const Tensor& a, const Tensor& b);
/// minimum(a, b). A template, so that `min(x, {})` speaks of axes.
template <std::same_as<Tensor> T>
Tensor min(const Tensor& a, const T& b) {
  return minimum(a, b);
}
/// maximum(a, b)
template <std::same_as<Tensor> T>
Tensor max(const Tensor& a, const T& b) {
  return maximum(a, b);
}
/// a - b * floor(a / b): it has the sign of b, as in Python. d/da = 1, d/db = -floor(a / b). Throws
/// Error for an integer b of 0.
Tensor remainder(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& a, double b);
/// @}

/// relu(a + b) in one pass, a and b of the same shape: the end of a residual block. If `a` is a
/// unshared temporary, as in add_relu(bn(x), b), the result has that memory.
Tensor add_relu(Tensor a, const Tensor& b);

/// @name Comparisons
/// bool tensors, broadcasting (read with data<bool>(), or as 0 and 1 with data<uint8_t>()). Not
/// differentiable. Elements of integer tensors are compared with numbers as they are, fractions and
/// numbers out of their range included.
/// @{

/// Whether the comparison holds.
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

/// a where `condition` (bool or u8) is not 0, b elsewhere; all three broadcast. One of a and b may
/// be undefined: zeros. Elements that are not chosen get gradient 0, whatever they are.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
/// As above, with one number of the other's dtype.
Tensor where(const Tensor& condition, const Tensor& a, detail::Number b);
Tensor where(const Tensor& condition, detail::Number a, const Tensor& b);  ///< as above
/// x, with `value` where `mask` (bool or u8, broadcast to x's shape) is not 0. As
/// torch.masked_fill.
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);

/// @name Combinations
/// Elementwise with broadcasting.
/// @{

/// a + weight * (b - a), exactly b for a weight of 1.
Tensor lerp(const Tensor& a, const Tensor& b, double weight);
/// The same with a weight for each element.
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight);
/// x + value * a * b
Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, double value = 1);
/// x + value * a / b
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, double value = 1);
/// @}

}  // namespace tern
