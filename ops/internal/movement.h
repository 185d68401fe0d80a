// SPDX-License-Identifier: Apache-2.0
// What front-ends use of ops/movement.cpp: reshape, broadcast_to and slices once everything is
// checked.
#pragma once

#include <cstdint>

#include "../../core/tensor.h"

namespace tern {

/// x under another shape of as many elements: what reshape does once the sizes are known.
Tensor view_as(const Tensor& x, const Shape& shape);

/// x stretched to `shape` by broadcasting, in the given memory format. The adjoint of sum_to.
Tensor stretch(const Tensor& x, const Shape& shape, MemoryFormat order);

/// Indices start, start + step, ... of an axis.
struct Part {
  int64_t start, count, step = 1;
};

/// The elements of a tensor at a part of each axis.
struct Box {
  Part parts[Shape::kMaxRank];
  uint32_t dropped = 0;  // bit d: the box goes without axis d, of which it has one index

  static Box whole(const Shape& shape);
};

/// What `slice(start, end, step)` means on an axis of `size`.
Part part_of_axis(int64_t size, int64_t start, int64_t end, int64_t step);

/// The shape of a box of a tensor of shape `whole`.
Shape shape_of(const Box& box, const Shape& whole);

/// Copies between the box of `whole` and the tensor `piece`: out of `whole` if `take`, else into
/// it, and then `piece` may have any shape that stretches to the box's.
void copy_box(const Tensor& whole, const Box& box, const Tensor& piece, bool take);

/// Adds `piece` to the box of `whole`, of the same dtype.
void add_to_box(const Tensor& whole, const Box& box, const Tensor& piece);

}  // namespace tern
