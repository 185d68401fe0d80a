// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "../core/tensor.h"

namespace tern {

/// @name Reductions
/// Over `axes` (counted from the end when negative; all axes when empty). The reduced axes go away,
/// or stay with length 1 if `keepdim`. float32 sums are accumulated in blocks of a size fixed by
/// the shape, so the result is the same for every number of threads.
/// @{

/// The sum.
Tensor sum(const Tensor& x, const std::vector<int64_t>& axes = {}, bool keepdim = false);
/// The sum divided by the number of elements that are added.
Tensor mean(const Tensor& x, const std::vector<int64_t>& axes = {}, bool keepdim = false);
/// The largest. The gradient goes to the first maximum along an axis, and is shared equally by all
/// maxima when several axes are reduced (as PyTorch's amax does).
Tensor max(const Tensor& x, const std::vector<int64_t>& axes = {}, bool keepdim = false);
/// The index (i64) of the first maximum along `axis`.
Tensor argmax(const Tensor& x, int64_t axis, bool keepdim = false);
/// @}

}  // namespace tern
