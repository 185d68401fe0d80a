// SPDX-License-Identifier: Apache-2.0
#include "movement.h"

#include <algorithm>
#include <string>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/movement.h"
#include "kernels/strided.h"
#include "reduce.h"

namespace tern {

namespace {

using kernels::Strides;

std::string text_of(const std::vector<int64_t>& numbers) {
  std::string text = "[";
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(numbers[i]);
  }
  return text + "]";
}

// The sizes of `count` elements of x, with a number for -1.
std::vector<int64_t> resolve_sizes(const char* op, int64_t count, const std::vector<int64_t>& sizes,
                                   const Tensor& x) {
  int64_t known = 1;
  size_t open = sizes.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      if (open != sizes.size()) fail(op, "more than one size is -1 in ", text_of(sizes));
      open = i;
    } else if (sizes[i] < 0) {
      fail(op, "size ", sizes[i], " in ", text_of(sizes), ", want -1 or at least 0");
    } else if (__builtin_mul_overflow(known, sizes[i], &known)) {
      fail(op, "sizes ", text_of(sizes), " have more elements than there can be");
    }
  }
  std::vector<int64_t> resolved = sizes;
  if (open != sizes.size()) {
    if (known == 0) {
      fail(op, "size -1 in ", text_of(sizes), " could be anything: x is ", x, ", give all sizes");
    }
    if (count % known != 0) {
      fail(op, "the ", count, " elements of x ", x, " cannot be shaped ", text_of(sizes), ": ",
           known, " does not divide them");
    }
    resolved[open] = count / known;
  } else if (known != count) {
    fail(op, "x ", x, " has ", count, " elements, sizes ", text_of(sizes), " have ", known);
  }
  return resolved;
}

// ---- Reshape ------------------------------------------------------------------------------------

class ReshapeNode final : public Node {
 public:
  explicit ReshapeNode(const Tensor& x) : shape_(x.shape()), order_(x.memory_format()) {}
  const char* name() const override { return "reshape"; }
  Gradients backward(const Tensor& dy) override {
    return {to_memory_format(view_as(dy, shape_), order_)};
  }

 private:
  Shape shape_;
  MemoryFormat order_;
};

// ---- Permute ------------------------------------------------------------------------------------

using Axes = std::vector<int64_t>;

Tensor permute_axes(const Tensor& x, const Axes& axes);

class PermuteNode final : public Node {
 public:
  explicit PermuteNode(const Axes& axes) : inverse_(axes.size()) {
    for (size_t i = 0; i < axes.size(); ++i)
      inverse_[static_cast<size_t>(axes[i])] = static_cast<int64_t>(i);
  }
  const char* name() const override { return "permute"; }
  Gradients backward(const Tensor& dy) override { return {permute_axes(dy, inverse_)}; }

 private:
  Axes inverse_;
};

Tensor permute_axes(const Tensor& x, const Axes& axes) {
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  int64_t sizes[Shape::kMaxRank];
  Strides strides;
  const Strides own = kernels::strides_of(x.shape(), x.memory_format());
  for (size_t i = 0; i < axes.size(); ++i) {
    sizes[i] = x.shape()[static_cast<int>(axes[i])];
    strides.at[i] = own.at[axes[i]];
  }
  const Shape shape(std::span<const int64_t>(sizes, axes.size()));

  Tensor y;
  if (x.memory_format() == MemoryFormat::channels_last && axes == Axes{0, 2, 3, 1}) {
    y = Tensor(shape, x.dtype(), MemoryFormat::row_major, x.storage());
  } else if (x.memory_format() == MemoryFormat::row_major && axes == Axes{0, 3, 1, 2}) {
    y = Tensor(shape, x.dtype(), MemoryFormat::channels_last, x.storage());
  } else {
    const bool same_channels = axes.size() == 4 && axes[0] == 0 && axes[1] == 1;
    y = empty(shape, x.dtype(), same_channels ? x.memory_format() : MemoryFormat::row_major);
    kernels::copy_strided(x.dtype(), shape, x.raw_data(), strides, y.raw_data(),
                          kernels::strides_of(shape, y.memory_format()));
  }
  return record<PermuteNode>(y, {x}, axes);
}

// ---- Parts along an axis: slice, split, unbind, cat ---------------------------------------------

/// Parts of a tensor along an axis that have no element in common, each a tensor of its own. Taking
/// them and putting them back, with zeros between them, are each other's adjoints: both take one
/// pass over memory, whatever the number of parts.
struct Parts {
  const char* take_name;
  const char* put_name;
  int axis;
  bool drop_axis = false;  // the parts have length 1 and go without the axis
  std::vector<Part> list = {};
};

Box box_of(const Parts& parts, const Part& part, const Shape& whole) {
  Box box = Box::whole(whole);
  box.parts[parts.axis] = part;
  if (parts.drop_axis) box.dropped = 1u << parts.axis;
  return box;
}

std::vector<Tensor> take_parts(const Tensor& x, Parts parts);

/// Parts that are undefined are zero.
Tensor put_parts(std::span<const Tensor> pieces, const Parts& parts, const Shape& shape,
                 MemoryFormat format);

class PutNode final : public Node {
 public:
  explicit PutNode(Parts parts) : parts_(std::move(parts)) {}
  const char* name() const override { return parts_.put_name; }
  Gradients backward(const Tensor& dy) override {
    Parts wanted = parts_;
    wanted.list.clear();
    for (size_t i = 0; i < parts_.list.size(); ++i) {
      if (needs(i)) wanted.list.push_back(parts_.list[i]);
    }
    std::vector<Tensor> taken = take_parts(dy, std::move(wanted));
    Gradients gradients(parts_.list.size());
    auto next = taken.begin();
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (needs(i)) gradients[i] = std::move(*next++);
    }
    return gradients;
  }

 private:
  Parts parts_;
};

class TakeNode final : public Node {
 public:
  TakeNode(Parts parts, const Tensor& x)
      : parts_(std::move(parts)), shape_(x.shape()), format_(x.memory_format()) {}
  const char* name() const override { return parts_.take_name; }
  Gradients backward(std::span<const Tensor> dys) override {
    return {put_parts(dys, parts_, shape_, format_)};
  }
  bool add_gradient(const Tensor& dy, const Tensor& sum) override {
    add_to_box(sum, box_of(parts_, parts_.list[0], shape_), dy);
    return true;
  }

 private:
  Parts parts_;
  Shape shape_;
  MemoryFormat format_;
};

std::vector<Tensor> take_parts(const Tensor& x, Parts parts) {
  const MemoryFormat format = parts.drop_axis ? MemoryFormat::row_major : x.memory_format();
  std::vector<Tensor> pieces;
  pieces.reserve(parts.list.size());
  for (const Part& part : parts.list) {
    const Box box = box_of(parts, part, x.shape());
    pieces.push_back(empty(shape_of(box, x.shape()), x.dtype(), format));
    copy_box(x, box, pieces.back(), true);
  }
  return record<TakeNode>(std::move(pieces), {x}, std::move(parts), x);
}

Tensor put_parts(std::span<const Tensor> pieces, const Parts& parts, const Shape& shape,
                 MemoryFormat format) {
  std::vector<Tensor> defined;
  Parts put = parts;
  put.list.clear();
  int64_t covered = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!pieces[i].defined()) continue;
    defined.push_back(pieces[i]);
    put.list.push_back(parts.list[i]);
    covered += parts.list[i].count;
  }
  const Tensor y = empty(shape, defined[0].dtype(), format);
  if (covered != shape[parts.axis]) y.zero_();
  for (size_t i = 0; i < defined.size(); ++i) {
    copy_box(y, box_of(put, put.list[i], shape), defined[i], false);
  }
  return record<PutNode>(y, defined, std::move(put));
}

/// Consecutive parts of the given sizes.
Parts consecutive(Parts parts, std::span<const int64_t> sizes) {
  int64_t start = 0;
  for (const int64_t size : sizes) {
    parts.list.push_back({start, size});
    start += size;
  }
  return parts;
}

/// Each part is a tensor: of more there is no use, and handles alone would take gigabytes.
void check_parts(const char* op, int64_t count, const Tensor& x) {
  constexpr int64_t kMost = 1 << 20;
  if (count > kMost) {
    fail(op, "x ", x, " would become ", count, " tensors, want at most ", kMost,
         ": index what is needed of it");
  }
}

/// Where a new axis of x goes.
int64_t new_axis(const char* op, int64_t axis, const Tensor& x) {
  const int64_t rank = x.dim();
  if (axis < -rank - 1 || axis > rank || rank == Shape::kMaxRank) {
    fail(op, "axis ", axis, ", want ", -rank - 1, " to ", rank, " and at most ", Shape::kMaxRank,
         " axes in all (x ", x, ")");
  }
  return axis < 0 ? axis + rank + 1 : axis;
}

// ---- Broadcasting -------------------------------------------------------------------------------

class StretchNode final : public Node {
 public:
  explicit StretchNode(const Shape& shape) : shape_(shape) {}
  const char* name() const override { return "broadcast_to"; }
  Gradients backward(const Tensor& dy) override { return {sum_to(dy, shape_)}; }

 private:
  Shape shape_;
};

}  // namespace

Box Box::whole(const Shape& shape) {
  Box box;
  for (int d = 0; d < shape.size(); ++d) box.parts[d] = {0, shape[d]};
  return box;
}

Part part_of_axis(int64_t size, int64_t start, int64_t end, int64_t step) {
  const auto clamped = [size](int64_t i) {
    return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
  };
  const int64_t first = clamped(start);
  const int64_t length = std::max(first, clamped(end)) - first;
  const int64_t count = divide_up(length, step);
  return {first, count, count > 1 ? step : 1};  // the next index may be more than a number holds
}

Shape shape_of(const Box& box, const Shape& whole) {
  int64_t sizes[Shape::kMaxRank];
  size_t rank = 0;
  for (int d = 0; d < whole.size(); ++d) {
    if (!(box.dropped >> d & 1)) sizes[rank++] = box.parts[d].count;
  }
  return Shape(std::span<const int64_t>(sizes, rank));
}

void copy_box(const Tensor& whole, const Box& box, const Tensor& piece, bool take) {
  const Shape inner = shape_of(box, whole.shape());
  if (inner.numel() == 0) return;
  Strides in_whole = kernels::strides_of(whole.shape(), whole.memory_format());
  const Strides own = kernels::broadcast_strides(piece, inner);
  Strides in_piece;
  Shape shape = whole.shape();
  int64_t offset = 0;
  int axis = 0;
  for (int d = 0; d < whole.shape().size(); ++d) {
    const auto& [start, count, step] = box.parts[d];
    offset += in_whole.at[d] * start;
    in_whole.at[d] *= step;
    shape = shape.with(d, count);
    if (!(box.dropped >> d & 1)) in_piece.at[d] = own.at[axis++];
  }
  void* place = whole.raw<char>() + static_cast<size_t>(offset) * size_of(whole.dtype());
  if (take) {
    kernels::copy_strided(whole.dtype(), shape, place, in_whole, piece.raw_data(), in_piece);
  } else {
    kernels::copy_strided(whole.dtype(), shape, piece.raw_data(), in_piece, place, in_whole);
  }
}

void add_to_box(const Tensor& whole, const Box& box, const Tensor& piece) {
  const Tensor part = empty_like(piece);
  copy_box(whole, box, part, true);
  copy_box(whole, box, part + piece, false);
}

Tensor view_as(const Tensor& x, const Shape& shape) {
  if (x.memory_format() == MemoryFormat::row_major && x.shape() == shape) return x;
  Tensor plain = x;
  if (x.memory_format() != MemoryFormat::row_major) {
    const NoGrad no_grad;
    plain = contiguous(x);
  }
  return record<ReshapeNode>(Tensor(shape, x.dtype(), MemoryFormat::row_major, plain.storage()),
                             {x}, x);
}

Tensor reshape(const Tensor& x, const IntList& sizes) {
  const OpScope scope("reshape", x, "sizes", sizes.numbers());
  return scope.result(view_as(x, Shape(resolve_sizes("reshape", x.numel(), sizes.numbers(), x))));
}

Tensor flatten(const Tensor& x, int64_t start_axis, int64_t end_axis) {
  const OpScope scope("flatten", x, "start_axis", start_axis, "end_axis", end_axis);
  if (x.dim() == 0) return scope.result(view_as(x, {1}));
  const int start = resolve_axis("flatten", start_axis, x.shape());
  const int end = resolve_axis("flatten", end_axis, x.shape());
  if (start > end) {
    fail("flatten", "start_axis ", start_axis, " comes after end_axis ", end_axis, " (x ", x, ")");
  }
  int64_t sizes[Shape::kMaxRank];
  size_t rank = 0;
  for (int d = 0; d < x.shape().size(); ++d) {
    if (d > start && d <= end) {
      sizes[rank - 1] *= x.shape()[d];
    } else {
      sizes[rank++] = x.shape()[d];
    }
  }
  return scope.result(view_as(x, Shape(std::span<const int64_t>(sizes, rank))));
}

Tensor transpose(const Tensor& x, int64_t a, int64_t b) {
  const OpScope scope("transpose", x, "a", a, "b", b);
  const auto first = static_cast<size_t>(resolve_axis("transpose", a, x.shape()));
  const auto second = static_cast<size_t>(resolve_axis("transpose", b, x.shape()));
  Axes axes(static_cast<size_t>(x.dim()));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  std::swap(axes[first], axes[second]);
  return scope.result(permute_axes(x, axes));
}

Tensor permute(const Tensor& x, const std::vector<int64_t>& axes) {
  const OpScope scope("permute", x, "axes", axes);
  if (static_cast<int64_t>(axes.size()) != x.dim()) {
    fail("permute", "axes ", text_of(axes), " are ", axes.size(), ", x ", x, " has ", x.dim());
  }
  Axes resolved(axes.size());
  uint32_t seen = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int axis = resolve_axis("permute", axes[i], x.shape());
    if (seen >> axis & 1) fail("permute", "axis ", axes[i], " is there twice in ", text_of(axes));
    seen |= 1u << axis;
    resolved[i] = axis;
  }
  return scope.result(permute_axes(x, resolved));
}

Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  const OpScope scope("slice", x, "axis", axis, "start", start, "end", end, "step", step);
  const int which = resolve_axis("slice", axis, x.shape());
  if (step < 1) fail("slice", "step is ", step, ", want at least 1 (x ", x, ")");
  const int64_t size = x.shape()[which];
  const Part part = part_of_axis(size, start, end, step);
  const Tensor y = take_parts(x, {"slice", "slice_backward", which, false, {part}})[0];
  OpScope::reads_only(y.numel() * static_cast<int64_t>(size_of(x.dtype())));
  return scope.result(y);
}

Tensor select(const Tensor& x, int64_t axis, int64_t i) {
  const OpScope scope("select", x, "axis", axis, "i", i);
  const int which = resolve_axis("select", axis, x.shape());
  const int64_t size = x.shape()[which];
  if (i < -size || i >= size) {
    fail("select", "index ", i, " is not in axis ", axis, " of x ", x, ", want ", -size, " to ",
         size - 1);
  }
  OpScope::reads_only(x.numel() / size * static_cast<int64_t>(size_of(x.dtype())));
  return scope.result(
      take_parts(x, {"select", "select_backward", which, true, {{i < 0 ? i + size : i, 1}}})[0]);
}

Tensor narrow(const Tensor& x, int64_t axis, int64_t start, int64_t length) {
  const OpScope scope("narrow", x, "axis", axis, "start", start, "length", length);
  const int which = resolve_axis("narrow", axis, x.shape());
  const int64_t size = x.shape()[which];
  const int64_t first = start < 0 ? start + size : start;
  if (first < 0 || length < 0 || first > size || length > size - first) {
    fail("narrow", "start ", start, " and length ", length, " do not lie in axis ", axis, " of x ",
         x, ", which has ", size);
  }
  const Tensor y = take_parts(x, {"narrow", "narrow_backward", which, false, {{first, length}}})[0];
  OpScope::reads_only(y.numel() * static_cast<int64_t>(size_of(x.dtype())));
  return scope.result(y);
}

Tensor cat(const std::vector<Tensor>& tensors, int64_t axis) {
  const OpScope scope("cat", tensors, "axis", axis);
  if (tensors.empty()) fail("cat", "there are no tensors to join, want at least one");
  const Tensor& first = tensors[0];
  const int along = resolve_axis("cat", axis, first.shape());
  std::vector<int64_t> sizes;
  sizes.reserve(tensors.size());
  int64_t total = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& x = tensors[i];
    if (x.dtype() != first.dtype() || x.dim() != first.dim() ||
        x.shape().with(along, 0) != first.shape().with(along, 0)) {
      fail("cat", "tensor ", i, " is ", x, ", want the dtype and (but for axis ", along,
           ") the shape of tensor 0, ", first);
    }
    sizes.push_back(x.shape()[along]);
    if (__builtin_add_overflow(total, sizes.back(), &total)) {
      fail("cat", "axis ", along, " of the result is longer than 2^63-1 (tensor ", i, " is ", x,
           ")");
    }
  }
  return scope.result(put_parts(tensors, consecutive({"cat_backward", "cat", along}, sizes),
                                first.shape().with(along, total), first.memory_format()));
}

Tensor stack(const std::vector<Tensor>& tensors, int64_t axis) {
  const OpScope scope("stack", tensors, "axis", axis);
  if (tensors.empty()) fail("stack", "there are no tensors to stack, want at least one");
  const Tensor& first = tensors[0];
  const int64_t place = new_axis("stack", axis, first);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].dtype() != first.dtype() || tensors[i].shape() != first.shape()) {
      fail("stack", "tensor ", i, " is ", tensors[i], ", want the dtype and shape of tensor 0, ",
           first);
    }
  }
  std::vector<int64_t> sizes(first.shape().begin(), first.shape().end());
  sizes.insert(sizes.begin() + place, static_cast<int64_t>(tensors.size()));
  const Parts parts{"stack_backward", "stack", static_cast<int>(place), true};
  const std::vector<int64_t> ones(tensors.size(), 1);
  return scope.result(
      put_parts(tensors, consecutive(parts, ones), Shape(sizes), MemoryFormat::row_major));
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int64_t axis) {
  const OpScope scope("split", x, "sizes", sizes, "axis", axis);
  const int along = resolve_axis("split", axis, x.shape());
  int64_t total = 0;
  bool fits = true;
  for (const int64_t size : sizes) {
    fits = fits && size >= 0 && !__builtin_add_overflow(total, size, &total);
  }
  if (!fits || total != x.shape()[along]) {
    fail("split", "sizes ", text_of(sizes), " do not add up to axis ", axis, " of x ", x,
         ", which has ", x.shape()[along], ": want sizes of at least 0 that do");
  }
  return scope.results(take_parts(x, consecutive({"split", "split_backward", along}, sizes)));
}

std::vector<Tensor> split(const Tensor& x, std::initializer_list<int64_t> sizes, int64_t axis) {
  return split(x, std::vector<int64_t>(sizes), axis);
}

std::vector<Tensor> split(const Tensor& x, int64_t size, int64_t axis) {
  const OpScope scope("split", x, "size", size, "axis", axis);
  const int64_t length = x.shape()[resolve_axis("split", axis, x.shape())];
  if (size < 0 || (size == 0 && length > 0)) {
    fail("split", "size is ", size, ", want at least 1 (x ", x, ")");
  }
  if (length > 0) check_parts("split", divide_up(length, size), x);
  std::vector<int64_t> sizes;
  for (int64_t rest = length; rest > 0; rest -= sizes.back()) sizes.push_back(std::min(size, rest));
  if (sizes.empty()) sizes.push_back(0);
  return scope.results(split(x, sizes, axis));
}

std::vector<Tensor> chunk(const Tensor& x, int64_t count, int64_t axis) {
  const OpScope scope("chunk", x, "count", count, "axis", axis);
  const int64_t length = x.shape()[resolve_axis("chunk", axis, x.shape())];
  if (count < 1) fail("chunk", "count is ", count, ", want at least 1 (x ", x, ")");
  if (length == 0) {
    check_parts("chunk", count, x);
    return scope.results(split(x, std::vector<int64_t>(static_cast<size_t>(count), 0), axis));
  }
  return scope.results(split(x, divide_up(length, std::min(count, length)), axis));
}

std::vector<Tensor> unbind(const Tensor& x, int64_t axis) {
  const OpScope scope("unbind", x, "axis", axis);
  const int along = resolve_axis("unbind", axis, x.shape());
  check_parts("unbind", x.shape()[along], x);
  const std::vector<int64_t> sizes(static_cast<size_t>(x.shape()[along]), 1);
  return scope.results(
      take_parts(x, consecutive({"unbind", "unbind_backward", along, true}, sizes)));
}

Tensor unsqueeze(const Tensor& x, int64_t axis) {
  const OpScope scope("unsqueeze", x, "axis", axis);
  const int64_t place = new_axis("unsqueeze", axis, x);
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  sizes.insert(sizes.begin() + place, 1);
  return scope.result(view_as(x, Shape(sizes)));
}

Tensor squeeze(const Tensor& x, int64_t axis) {
  const OpScope scope("squeeze", x, "axis", axis);
  const int which = resolve_axis("squeeze", axis, x.shape());
  if (x.shape()[which] != 1) return scope.result(x);
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  sizes.erase(sizes.begin() + which);
  return scope.result(view_as(x, Shape(sizes)));
}

Tensor squeeze(const Tensor& x) {
  const OpScope scope("squeeze", x);
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  if (std::erase(sizes, 1) == 0) return scope.result(x);
  return scope.result(view_as(x, Shape(sizes)));
}

Tensor unflatten(const Tensor& x, int64_t axis, const IntList& list) {
  const OpScope scope("unflatten", x, "axis", axis, "sizes", list.numbers());
  const int which = resolve_axis("unflatten", axis, x.shape());
  const std::vector<int64_t> parts =
      resolve_sizes("unflatten", x.shape()[which], list.numbers(), x);
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  sizes.erase(sizes.begin() + which);
  sizes.insert(sizes.begin() + which, parts.begin(), parts.end());
  return scope.result(view_as(x, Shape(sizes)));
}

Tensor stretch(const Tensor& x, const Shape& shape, MemoryFormat order) {
  if (x.shape() == shape) return to_memory_format(x, order);
  const Tensor y = empty(shape, x.dtype(), order);
  kernels::copy_strided(x.dtype(), shape, x.raw_data(), kernels::broadcast_strides(x, shape),
                        y.raw_data(), kernels::strides_of(shape, order));
  return record<StretchNode>(y, {x}, x.shape());
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const OpScope scope("broadcast_to", x, "shape", shape);
  if (broadcast_shapes("broadcast_to", x.shape(), shape) != shape) {
    fail("broadcast_to", "x ", x, " does not stretch to shape ", shape,
         ", want axes that are 1 or equal, aligned at the last");
  }
  const bool keeps_rank = x.dim() == shape.size();
  return scope.result(stretch(x, shape, keeps_rank ? x.memory_format() : MemoryFormat::row_major));
}

}  // namespace tern
