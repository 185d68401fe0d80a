// SPDX-License-Identifier: Apache-2.0
#include "movement.h"

#include <algorithm>
#include <string>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "arithmetic.h"
#include "kernels/strided.h"
#include "stretch.h"

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

// ---- Reshape ------------------------------------------------------------------------------------

class ReshapeNode final : public Node {
 public:
  explicit ReshapeNode(const Tensor& x) : shape_(x.shape()), order_(x.order()) {}
  const char* name() const override { return "reshape"; }
  Gradients backward(const Tensor& dy) override { return {to_order(view_as(dy, shape_), order_)}; }

 private:
  Shape shape_;
  Order order_;
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
  const ProfilerRange range("permute", x);
  int64_t sizes[Shape::kMaxRank];
  Strides strides;
  const Strides own = kernels::strides_of(x.shape(), x.order());
  for (size_t i = 0; i < axes.size(); ++i) {
    sizes[i] = x.shape()[static_cast<int>(axes[i])];
    strides.at[i] = own.at[axes[i]];
  }
  const Shape shape(std::span<const int64_t>(sizes, axes.size()));

  Tensor y;
  if (x.order() == Order::channels_last && axes == Axes{0, 2, 3, 1}) {
    y = Tensor(shape, x.dtype(), Order::row_major, x.storage());
  } else if (x.order() == Order::row_major && axes == Axes{0, 3, 1, 2}) {
    y = Tensor(shape, x.dtype(), Order::channels_last, x.storage());
  } else {
    const bool same_channels = axes.size() == 4 && axes[0] == 0 && axes[1] == 1;
    y = empty(shape, x.dtype(), same_channels ? x.order() : Order::row_major);
    kernels::copy_strided(x.dtype(), shape, x.raw_data(), strides, y.raw_data(),
                          kernels::strides_of(shape, y.order()));
  }
  return record<PermuteNode>(y, {x}, axes);
}

// ---- Slice and its adjoint ----------------------------------------------------------------------

struct Cut {
  int axis;
  int64_t start, step;
};

void* place_of(const Tensor& x, const Strides& strides, const Cut& cut) {
  return x.raw<char>() + static_cast<size_t>(strides.at[cut.axis] * cut.start) * size_of(x.dtype());
}

Tensor take(const Tensor& x, const Cut& cut, int64_t count);

/// Zeros of the given shape with x at the place that the cut describes.
Tensor put_into_zeros(const Tensor& x, const Cut& cut, const Shape& shape);

class PutNode final : public Node {
 public:
  PutNode(const Cut& cut, int64_t count) : cut_(cut), count_(count) {}
  const char* name() const override { return "slice_backward"; }
  Gradients backward(const Tensor& dy) override { return {take(dy, cut_, count_)}; }

 private:
  Cut cut_;
  int64_t count_;
};

class SliceNode final : public Node {
 public:
  SliceNode(const Cut& cut, const Shape& shape) : cut_(cut), shape_(shape) {}
  const char* name() const override { return "slice"; }
  Gradients backward(const Tensor& dy) override { return {put_into_zeros(dy, cut_, shape_)}; }

 private:
  Cut cut_;
  Shape shape_;
};

Tensor take(const Tensor& x, const Cut& cut, int64_t count) {
  const ProfilerRange range("slice", x);
  const Shape shape = x.shape().with(cut.axis, count);
  const Tensor y = empty(shape, x.dtype(), x.order());
  if (y.numel() > 0) {
    Strides from = kernels::strides_of(x.shape(), x.order());
    const void* source = place_of(x, from, cut);
    from.at[cut.axis] *= cut.step;
    kernels::copy_strided(x.dtype(), shape, source, from, y.raw_data(),
                          kernels::strides_of(shape, y.order()));
  }
  return record<SliceNode>(y, {x}, cut, x.shape());
}

Tensor put_into_zeros(const Tensor& x, const Cut& cut, const Shape& shape) {
  const ProfilerRange range("slice_backward", x);
  const Tensor y = empty(shape, x.dtype(), x.order());
  y.zero_();
  if (x.numel() > 0) {
    Strides to = kernels::strides_of(shape, y.order());
    void* target = place_of(y, to, cut);
    to.at[cut.axis] *= cut.step;
    kernels::copy_strided(x.dtype(), x.shape(), x.raw_data(),
                          kernels::strides_of(x.shape(), x.order()), target, to);
  }
  return record<PutNode>(y, {x}, cut, x.shape()[cut.axis]);
}

// ---- Cat ----------------------------------------------------------------------------------------

class CatNode final : public Node {
 public:
  CatNode(const std::vector<Tensor>& tensors, int axis) : axis_(axis) {
    sizes_.reserve(tensors.size());
    for (const Tensor& x : tensors) sizes_.push_back(x.shape()[axis]);
  }
  const char* name() const override { return "cat"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(sizes_.size());
    int64_t start = 0;
    for (size_t i = 0; i < sizes_.size(); ++i) {
      if (needs(i)) gradients[i] = take(dy, {axis_, start, 1}, sizes_[i]);
      start += sizes_[i];
    }
    return gradients;
  }

 private:
  int axis_;
  std::vector<int64_t> sizes_;
};

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

Tensor view_as(const Tensor& x, const Shape& shape) {
  if (x.order() == Order::row_major && x.shape() == shape) return x;
  const ProfilerRange range("reshape", x);
  Tensor plain = x;
  if (x.order() != Order::row_major) {
    const NoGrad no_grad;
    plain = contiguous(x);
  }
  return record<ReshapeNode>(Tensor(shape, x.dtype(), Order::row_major, plain.storage()), {x}, x);
}

Tensor reshape(const Tensor& x, const std::vector<int64_t>& sizes) {
  int64_t known = 1;
  size_t open = sizes.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      if (open != sizes.size()) fail("reshape", "more than one size is -1 in ", text_of(sizes));
      open = i;
    } else if (sizes[i] < 0) {
      fail("reshape", "size ", sizes[i], " in ", text_of(sizes), ", want -1 or at least 0");
    } else if (__builtin_mul_overflow(known, sizes[i], &known)) {
      fail("reshape", "sizes ", text_of(sizes), " have more elements than there can be");
    }
  }
  std::vector<int64_t> resolved = sizes;
  if (open != sizes.size()) {
    if (known == 0) {
      fail("reshape", "size -1 in ", text_of(sizes), " could be anything: x is ", x,
           ", give all sizes");
    }
    if (x.numel() % known != 0) {
      fail("reshape", "the ", x.numel(), " elements of x ", x, " cannot be shaped ", text_of(sizes),
           ": ", known, " does not divide them");
    }
    resolved[open] = x.numel() / known;
  } else if (known != x.numel()) {
    fail("reshape", "x ", x, " has ", x.numel(), " elements, sizes ", text_of(sizes), " have ",
         known);
  }
  return view_as(x, Shape(resolved));
}

Tensor flatten(const Tensor& x, int64_t start_axis, int64_t end_axis) {
  if (x.dim() == 0) return view_as(x, {1});
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
  return view_as(x, Shape(std::span<const int64_t>(sizes, rank)));
}

Tensor transpose(const Tensor& x, int64_t a, int64_t b) {
  const auto first = static_cast<size_t>(resolve_axis("transpose", a, x.shape()));
  const auto second = static_cast<size_t>(resolve_axis("transpose", b, x.shape()));
  Axes axes(static_cast<size_t>(x.dim()));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  std::swap(axes[first], axes[second]);
  return permute_axes(x, axes);
}

Tensor permute(const Tensor& x, const std::vector<int64_t>& axes) {
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
  return permute_axes(x, resolved);
}

Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  const int which = resolve_axis("slice", axis, x.shape());
  if (step < 1) fail("slice", "step is ", step, ", want at least 1 (x ", x, ")");
  const int64_t size = x.shape()[which];
  const auto clamped = [size](int64_t i) {
    return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
  };
  const int64_t first = clamped(start);
  const int64_t last = std::max(first, clamped(end));
  const int64_t length = last - first;
  const int64_t count = length / step + (length % step != 0);
  if (count == size) return x;
  return take(x, {which, first, step}, count);
}

Tensor cat(const std::vector<Tensor>& tensors, int64_t axis) {
  const ProfilerRange range("cat", tensors);
  if (tensors.empty()) fail("cat", "there are no tensors to join, want at least one");
  const Tensor& first = tensors[0];
  const int along = resolve_axis("cat", axis, first.shape());
  int64_t total = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& x = tensors[i];
    if (x.dtype() != first.dtype() || x.dim() != first.dim() ||
        x.shape().with(along, 0) != first.shape().with(along, 0)) {
      fail("cat", "tensor ", i, " is ", x, ", want the dtype and (but for axis ", along,
           ") the shape of tensor 0, ", first);
    }
    total += x.shape()[along];
  }
  if (tensors.size() == 1) return first;
  // A node has at most 64 inputs.
  constexpr size_t kMaxInputs = 64;
  if (tensors.size() > kMaxInputs && recording(tensors)) {
    std::vector<Tensor> parts;
    for (size_t i = 0; i < tensors.size(); i += kMaxInputs) {
      const auto begin = tensors.begin() + static_cast<std::ptrdiff_t>(i);
      const size_t count = std::min(kMaxInputs, tensors.size() - i);
      parts.push_back(cat({begin, begin + static_cast<std::ptrdiff_t>(count)}, along));
    }
    return cat(parts, along);
  }

  const Shape shape = first.shape().with(along, total);
  const Tensor y = empty(shape, first.dtype(), first.order());
  const Strides to = kernels::strides_of(shape, y.order());
  int64_t start = 0;
  for (const Tensor& x : tensors) {
    if (x.numel() > 0) {
      kernels::copy_strided(x.dtype(), x.shape(), x.raw_data(),
                            kernels::strides_of(x.shape(), x.order()),
                            place_of(y, to, {along, start, 1}), to);
    }
    start += x.shape()[along];
  }
  return record<CatNode>(y, tensors, tensors, along);
}

Tensor unsqueeze(const Tensor& x, int64_t axis) {
  const int64_t rank = x.dim();
  if (axis < -rank - 1 || axis > rank || rank == Shape::kMaxRank) {
    fail("unsqueeze", "axis ", axis, ", want ", -rank - 1, " to ", rank, " and at most ",
         Shape::kMaxRank, " axes in all (x ", x, ")");
  }
  const int64_t place = axis < 0 ? axis + rank + 1 : axis;
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  sizes.insert(sizes.begin() + place, 1);
  return view_as(x, Shape(sizes));
}

Tensor squeeze(const Tensor& x, int64_t axis) {
  const int which = resolve_axis("squeeze", axis, x.shape());
  if (x.shape()[which] != 1) return x;
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  sizes.erase(sizes.begin() + which);
  return view_as(x, Shape(sizes));
}

Tensor stretch(const Tensor& x, const Shape& shape, Order order) {
  if (x.shape() == shape) return to_order(x, order);
  const ProfilerRange range("broadcast_to", x);
  const Tensor y = empty(shape, x.dtype(), order);
  kernels::copy_strided(x.dtype(), shape, x.raw_data(), kernels::broadcast_strides(x, shape),
                        y.raw_data(), kernels::strides_of(shape, order));
  return record<StretchNode>(y, {x}, x.shape());
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (broadcast_shapes("broadcast_to", x.shape(), shape) != shape) {
    fail("broadcast_to", "x ", x, " does not stretch to shape ", shape,
         ": its axes, aligned at the last, must be 1 or equal");
  }
  const bool keeps_rank = x.dim() == shape.size();
  return stretch(x, shape, keeps_rank ? x.order() : Order::row_major);
}

}  // namespace tern
