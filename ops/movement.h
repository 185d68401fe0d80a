// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "../core/tensor.h"

namespace tern {

/// The same elements, in row-major order of their indices, under another shape; one size may be -1
/// (whatever is left). Shares memory if x is row-major.
Tensor reshape(const Tensor& x, const std::vector<int64_t>& sizes);
/// Axes start_axis to end_axis joined into one.
Tensor flatten(const Tensor& x, int64_t start_axis = 0, int64_t end_axis = -1);
/// Axes `a` and `b` swapped.
Tensor transpose(const Tensor& x, int64_t a, int64_t b);
/// Axis i of the result is axis axes[i] of x. Between N,H,W,C and N,C,H,W this is free: the
/// row-major tensor and the channels-last one are the same bytes.
Tensor permute(const Tensor& x, const std::vector<int64_t>& axes);
/// Indices start, start+step, ... below `end` along `axis`; negative start and end count from the
/// end of the axis, and are clamped to it, as Python's slices.
Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step = 1);
/// The tensors one after the other along `axis`; all other sizes are equal.
Tensor cat(const std::vector<Tensor>& tensors, int64_t axis = 0);
/// x with an axis of length 1 inserted before `axis`.
Tensor unsqueeze(const Tensor& x, int64_t axis);
/// x without its axis `axis` if that has length 1.
Tensor squeeze(const Tensor& x, int64_t axis);

}  // namespace tern
