// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Reductions
/// Over `axes` (counted from the end when negative; all axes when empty): `sum(x)`, `sum(x, 1)`,
/// `mean(x, {-2, -1}, true)`. The reduced axes go away, or stay with length 1 if `keepdim`. float32
/// sums are accumulated in blocks of a size fixed by the shape, so the result is the same for every
/// number of threads. Where nothing is reduced although there is a result to give (an axis of
/// length 0), max, min, argmax, argmin and median throw Error, and other functions give their
/// neutral element; a result without elements is empty in all of them.
/// @{

/// The sum. It is infinite only if it is too large itself, whatever its parts are.
Tensor sum(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// The sum divided by the number of elements that are added.
Tensor mean(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// The product; of integers, an i64.
Tensor prod(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// The largest, NaN if there is one. The gradient goes to the first maximum along an axis, and is
/// shared equally by all maxima when several axes are reduced (as PyTorch's amax does).
Tensor max(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// The smallest, with the rules of max.
Tensor min(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// The index (i64) of the first maximum along `axis`; NaN counts as one.
Tensor argmax(const Tensor& x, int64_t axis, bool keepdim = false);
/// The index (i64) of the first maximum among all elements, in row-major order.
Tensor argmax(const Tensor& x);
/// The index (i64) of the first minimum along `axis`; NaN counts as one.
Tensor argmin(const Tensor& x, int64_t axis, bool keepdim = false);
/// The index (i64) of the first minimum among all elements, in row-major order.
Tensor argmin(const Tensor& x);
/// Whether any element is not 0 (bool). NaN is not 0.
Tensor any(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// Whether no element is 0 (bool).
Tensor all(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// How many elements are not 0 (i64).
Tensor count_nonzero(const Tensor& x, const IntList& axes = {}, bool keepdim = false);
/// log(sum(exp(x))), which neither overflows nor loses small terms.
Tensor logsumexp(const Tensor& x, const IntList& axes = {}, bool keepdim = false);

/// Options of var and std.
struct VarOptions {
  double correction = 1;  ///< what is taken off the number of elements: 1 is unbiased, 0 biased
  bool keepdim = false;   ///< keep the reduced axes, with length 1
};
/// The variance, sum((x - mean)^2) / max(0, n - correction): NaN for one element without bias.
Tensor var(const Tensor& x, const IntList& axes = {}, const VarOptions& options = {});
/// The square root of var; its gradient is 0 where it is 0. At global scope with
/// `using namespace tern`, write tern::std.
Tensor std(const Tensor& x, const IntList& axes = {}, const VarOptions& options = {});

/// The norm sum(|x|^p)^(1/p); max(|x|) for p = INFINITY, min(|x|) for -INFINITY, the number of
/// elements that are not 0 for p = 0. No square overflows or vanishes. The gradient where the norm
/// is 0 is 0.
Tensor norm(const Tensor& x, double p = 2, const IntList& axes = {}, bool keepdim = false);

/// Options of normalize.
struct NormalizeOptions {
  double p = 2;        ///< of the norm
  int64_t axis = 1;    ///< along which the norm is taken
  double eps = 1e-12;  ///< the least number that is divided by
};
/// x / max(norm(x, p, axis), eps), as torch.nn.functional.normalize.
Tensor normalize(const Tensor& x, const NormalizeOptions& options = {});

/// The lower one of the two middle elements in order, as torch.median; NaN if there is one. The
/// gradient goes to that element.
Tensor median(const Tensor& x);
/// The median along an axis.
Tensor median(const Tensor& x, int64_t axis, bool keepdim = false);
/// @}

/// Sums of the elements up to and with each one along `axis`; of integers, i64.
Tensor cumsum(const Tensor& x, int64_t axis);

/// Whether a and b have the same shape and equal elements (NaN equals nothing). Throws Error for
/// different dtypes.
bool equal(const Tensor& a, const Tensor& b);

/// Adds up `x` over the axes along which `shape` was broadcast to x's shape: the adjoint of
/// broadcasting. Integers become i64.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace tern
