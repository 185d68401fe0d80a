// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "../core/tensor.h"

namespace tern {

/// The same elements, in row-major order of their indices, under another shape: `{2, -1}` (one size
/// may be -1: whatever is left), `-1` (one axis), `y.shape()`. Shares memory if x is row-major.
Tensor reshape(const Tensor& x, const IntList& sizes);
/// Axis `axis` as several axes of the given sizes, one of which may be -1.
Tensor unflatten(const Tensor& x, int64_t axis, const IntList& sizes);
/// Axes start_axis to end_axis joined into one.
Tensor flatten(const Tensor& x, int64_t start_axis = 0, int64_t end_axis = -1);
/// Axes `a` and `b` swapped.
Tensor transpose(const Tensor& x, int64_t a, int64_t b);
/// Axis i of the result is axis axes[i] of x. Between N,H,W,C and N,C,H,W this is free: the
/// row-major tensor and the channels-last one are the same bytes.
Tensor permute(const Tensor& x, const std::vector<int64_t>& axes);
/// Indices start, start+step, ... below `end` along `axis`; negative start and end count from the
/// end of the axis, and are clamped to it, as Python's slices. Always a copy.
Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step = 1);
/// x at index i of `axis`, without that axis; i counts from the end when negative. As
/// torch.select.
Tensor select(const Tensor& x, int64_t axis, int64_t i);
/// `length` indices of `axis` from `start` (counted from the end when negative). As torch.narrow,
/// but a copy.
Tensor narrow(const Tensor& x, int64_t axis, int64_t start, int64_t length);
/// The tensors one after the other along `axis`; all other sizes are equal. Always a copy.
Tensor cat(const std::vector<Tensor>& tensors, int64_t axis = 0);
/// Tensors of one shape side by side along a new axis before `axis` of the result; row-major. The
/// contrary of unbind. As torch.stack.
Tensor stack(const std::vector<Tensor>& tensors, int64_t axis = 0);
/// x along `axis` in parts of `size`, the last one with what is left: x.size(axis) / size tensors,
/// rounded up. As torch.split. Like slice, it copies; its gradient takes one pass over memory for
/// any number of parts. Throws Error for more than 2^20 parts, as chunk and unbind do.
std::vector<Tensor> split(const Tensor& x, int64_t size, int64_t axis = 0);
/// x along `axis` in parts of the given sizes, which add up to x.size(axis).
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int64_t axis = 0);
/// As above: split(x, {2}) means one part of size 2.
std::vector<Tensor> split(const Tensor& x, std::initializer_list<int64_t> sizes, int64_t axis = 0);
/// x along `axis` in `count` parts of equal sizes, of which the last may be smaller, and missing: 5
/// in 4 chunks gives 2, 2, 1. As torch.chunk.
std::vector<Tensor> chunk(const Tensor& x, int64_t count, int64_t axis = 0);
/// x at each index of `axis`, without that axis: the steps of a sequence. As torch.unbind.
std::vector<Tensor> unbind(const Tensor& x, int64_t axis = 0);
/// x with an axis of length 1 inserted before `axis`.
Tensor unsqueeze(const Tensor& x, int64_t axis);
/// x without its axis `axis` if that has length 1.
Tensor squeeze(const Tensor& x, int64_t axis);
/// x without all its axes of length 1.
Tensor squeeze(const Tensor& x);
/// x with its elements in reverse order along `axes`.
Tensor flip(const Tensor& x, const IntList& axes);
/// x with each index moved up by `shifts[i]` along `axes[i]`, what leaves at the end coming back at
/// the start. Without axes, x is shifted as if it were flat.
Tensor roll(const Tensor& x, const IntList& shifts, const IntList& axes = {});
/// x turned by 90 degrees `k` times in the plane of two axes, from the first towards the second.
Tensor rot90(const Tensor& x, int64_t k = 1, const IntList& axes = {0, 1});
/// x `times[i]` times along axis i; more times than axes add axes in front. As torch's
/// Tensor.repeat and NumPy's tile.
Tensor repeat(const Tensor& x, const IntList& times);
/// The tensors side by side: joined along axis 1, vectors along their only axis.
Tensor hstack(const std::vector<Tensor>& tensors);
/// The tensors one below the other: joined along axis 0, vectors as rows.
Tensor vstack(const std::vector<Tensor>& tensors);

/// What lies around a padded tensor.
enum class PadMode {
  constant,          ///< one value
  zeros = constant,  ///< 0, as layers call it
  reflect,           ///< x mirrored at its first and last element, which are not repeated
  replicate,         ///< the nearest element of x
  circular,          ///< x again, from its other end
};
const char* to_string(PadMode mode);  ///< "reflect"

/// Options of pad.
struct PadOptions {
  PadMode mode = PadMode::constant;  ///< what the new elements are
  double value = 0;                  ///< of mode constant
};
/// x with more elements at the ends of its last axes, by PyTorch's order: `{left, right}` of the
/// last axis, then `{top, bottom}` of the one before, and so on. With mode constant a negative
/// number takes elements away.
Tensor pad(const Tensor& x, const IntList& amounts, const PadOptions& options = {});

/// x stretched to `shape` by broadcasting; x itself if it has that shape.
Tensor broadcast_to(const Tensor& x, const Shape& shape);

}  // namespace tern
