// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "../core/tensor.h"

namespace tern {

/// @name Elementwise functions
/// Of f32 and f64 tensors (abs, square, sign, clamp and what rounds of any); the result lies in x's
/// memory format.
/// @{

/// e to the power of x.
Tensor exp(const Tensor& x);
/// Natural logarithm: NaN below 0, -inf at 0.
Tensor log(const Tensor& x);
/// log(1 + x), exact for small x too: NaN below -1, -inf at -1.
Tensor log1p(const Tensor& x);
/// Logarithm to base 2: NaN below 0, -inf at 0.
Tensor log2(const Tensor& x);
/// Logarithm to base 10: NaN below 0, -inf at 0.
Tensor log10(const Tensor& x);
/// exp(x) - 1, exact for small x too.
Tensor expm1(const Tensor& x);
/// NaN below 0; the derivative at 0 is infinite.
Tensor sqrt(const Tensor& x);
/// 1 / sqrt(x): NaN below 0, inf at 0.
Tensor rsqrt(const Tensor& x);
/// 1 / x
Tensor reciprocal(const Tensor& x);
/// |x|; the derivative at 0 is 0.
Tensor abs(const Tensor& x);
/// x^2
Tensor square(const Tensor& x);
/// The sine of radians.
Tensor sin(const Tensor& x);
/// The cosine of radians.
Tensor cos(const Tensor& x);
/// The angle from -pi/2 to pi/2, in radians, whose tangent is x.
Tensor atan(const Tensor& x);
/// The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.
Tensor erf(const Tensor& x);
/// min(max(x, lo), hi), as torch.clamp: NaN stays NaN; hi where lo > hi. The derivative is 1 from
/// lo to hi, both included, and 0 outside and at NaN. Integer tensors take whole numbers. Throws
/// Error if lo or hi is NaN; infinity is no limit.
Tensor clamp(const Tensor& x, double lo, double hi);
/// The same with limits for each element, which broadcast; either may be undefined: no limit. NaN
/// in a limit passes. Differentiable in the limits, too, where they are the result.
Tensor clamp(const Tensor& x, const Tensor& lo, const Tensor& hi);
/// max(x, lo) and min(x, hi): clamp with one limit.
Tensor clamp_min(const Tensor& x, double lo);
Tensor clamp_max(const Tensor& x, double hi);
/// @}

/// @name Rounding and sign
/// Integer tensors stay as they are; the derivative is 0 everywhere.
/// @{

Tensor floor(const Tensor& x);  ///< the largest whole number that is not above x
Tensor ceil(const Tensor& x);   ///< the smallest whole number that is not below x
Tensor round(const Tensor& x);  ///< the nearest whole number, the even one of two: 2.5 becomes 2
Tensor trunc(const Tensor& x);  ///< x without what is behind the point
Tensor sign(const Tensor& x);   ///< -1, 0 or 1; 0 for NaN
/// @}

/// @name NaN and infinity
/// bool tensors, not differentiable. Integers are finite numbers.
/// @{

Tensor isnan(const Tensor& x);     ///< whether x is NaN
Tensor isinf(const Tensor& x);     ///< whether x is inf or -inf
Tensor isfinite(const Tensor& x);  ///< whether x is neither infinite nor NaN
/// @}

/// x, but `nan` for NaN, `posinf` for inf and `neginf` for -inf, by default the largest and the
/// lowest number of the dtype. The derivative is 0 where x is replaced. Integers stay as they are.
Tensor nan_to_num(const Tensor& x, double nan = 0, std::optional<double> posinf = std::nullopt,
                  std::optional<double> neginf = std::nullopt);

}  // namespace tern
