// SPDX-License-Identifier: Apache-2.0
// Operations of movement.h that turn, repeat and pad.
#include <algorithm>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "internal/movement.h"
#include "kernels/strided.h"
#include "movement.h"

namespace tern {

namespace {

using Sizes = std::vector<int64_t>;

Sizes sizes_of(const Tensor& x) { return {x.shape().begin(), x.shape().end()}; }

// ---- Flip ---------------------------------------------------------------------------------------

Tensor flip_axes(const Tensor& x, uint32_t mask);

class FlipNode final : public Node {
 public:
  explicit FlipNode(uint32_t mask) : mask_(mask) {}
  const char* name() const override { return "flip"; }
  Gradients backward(const Tensor& dy) override { return {flip_axes(dy, mask_)}; }

 private:
  uint32_t mask_;
};

Tensor flip_axes(const Tensor& x, uint32_t mask) {
  const Tensor y = empty_like(x);
  if (x.numel() > 0) {
    // Read from the last element backwards.
    kernels::Strides strides = kernels::strides_of(x.shape(), x.memory_format());
    int64_t last = 0;
    for (int d = 0; d < x.dim(); ++d) {
      if (!(mask >> d & 1)) continue;
      last += (x.shape()[d] - 1) * strides.at[d];
      strides.at[d] = -strides.at[d];
    }
    const char* source = x.raw<char>() + static_cast<size_t>(last) * size_of(x.dtype());
    kernels::copy_strided(x.dtype(), x.shape(), source, strides, y.raw_data(),
                          kernels::strides_of(x.shape(), y.memory_format()));
  }
  return record<FlipNode>(y, {x}, mask);
}

Tensor roll_axis(const Tensor& x, int64_t shift, int axis) {
  const int64_t length = x.shape()[axis];
  if (length == 0 || shift % length == 0) return x;
  const int64_t cut = length - (shift % length + length) % length;
  const std::vector<Tensor> parts = split(x, {cut, length - cut}, axis);
  return cat({parts[1], parts[0]}, axis);
}

// ---- Pad ----------------------------------------------------------------------------------------

// x in the middle of `value`; `before` and `after` hold a number of elements for each axis, which
// is negative where elements of x are dropped. The adjoint pads with the opposite numbers.
Tensor pad_constant(const Tensor& x, const Sizes& before, const Sizes& after, double value);

class PadNode final : public Node {
 public:
  PadNode(Sizes before, Sizes after) : before_(std::move(before)), after_(std::move(after)) {
    for (int64_t& n : before_) n = -n;
    for (int64_t& n : after_) n = -n;
  }
  const char* name() const override { return "pad"; }
  Gradients backward(const Tensor& dy) override { return {pad_constant(dy, before_, after_, 0)}; }

 private:
  Sizes before_, after_;
};

Tensor pad_constant(const Tensor& x, const Sizes& before, const Sizes& after, double value) {
  Sizes sizes = sizes_of(x), kept = sizes;
  const kernels::Strides from = kernels::strides_of(x.shape(), x.memory_format());
  for (size_t d = 0; d < sizes.size(); ++d) {
    kept[d] = std::max<int64_t>(
        0, sizes[d] + std::min<int64_t>(0, before[d]) + std::min<int64_t>(0, after[d]));
    sizes[d] += before[d] + after[d];
  }
  const Tensor y = empty(sizes, x.dtype(), x.memory_format());
  const Shape middle(kept);
  if (middle.numel() != y.numel()) y.fill_(value);
  if (middle.numel() > 0) {
    const kernels::Strides to = kernels::strides_of(y.shape(), y.memory_format());
    int64_t source = 0, target = 0;
    for (size_t d = 0; d < sizes.size(); ++d) {
      source += std::max<int64_t>(0, -before[d]) * from.at[d];
      target += std::max<int64_t>(0, before[d]) * to.at[d];
    }
    const auto bytes = static_cast<int64_t>(size_of(x.dtype()));
    kernels::copy_strided(x.dtype(), middle, x.raw<char>() + source * bytes, from,
                          y.raw<char>() + target * bytes, to);
  }
  return record<PadNode>(y, {x}, before, after);
}

// What lies `amount` wide before x along an axis, or behind it.
Tensor border(const Tensor& x, int axis, int64_t amount, bool front, PadMode mode) {
  const int64_t length = x.shape()[axis];
  if (mode == PadMode::replicate) {
    const Tensor edge = front ? slice(x, axis, 0, 1) : slice(x, axis, length - 1, length);
    return stretch(edge, x.shape().with(axis, amount), x.memory_format());
  }
  if (mode == PadMode::circular) {
    return front ? slice(x, axis, length - amount, length) : slice(x, axis, 0, amount);
  }
  const Tensor near =
      front ? slice(x, axis, 1, amount + 1) : slice(x, axis, length - 1 - amount, length - 1);
  return flip_axes(near, 1u << axis);
}

}  // namespace

Tensor flip(const Tensor& x, const IntList& axes) {
  const OpScope scope("flip", x, "axes", axes.numbers());
  uint32_t mask = 0;
  for (const int64_t axis : axes.numbers()) {
    const uint32_t bit = 1u << resolve_axis("flip", axis, x.shape());
    if (mask & bit) fail("flip", "axis ", axis, " is given twice (x ", x, ")");
    mask |= bit;
  }
  return scope.result(flip_axes(x, mask));
}

Tensor roll(const Tensor& x, const IntList& shifts, const IntList& axes) {
  const Sizes &by = shifts.numbers(), &along = axes.numbers();
  const OpScope scope("roll", x, "shifts", by, "axes", along);
  if (along.empty() && by.size() == 1) {
    return scope.result(view_as(roll_axis(view_as(x, {x.numel()}), by[0], 0), x.shape()));
  }
  if (by.size() != along.size()) {
    fail("roll", "there are ", by.size(), " shifts and ", along.size(),
         " axes, want one shift for each axis");
  }
  Sizes resolved;
  for (const int64_t axis : along) resolved.push_back(resolve_axis("roll", axis, x.shape()));
  Tensor y = x;
  for (size_t i = 0; i < by.size(); ++i) y = roll_axis(y, by[i], static_cast<int>(resolved[i]));
  return scope.result(y.is_same(x) ? x.clone() : y);
}

Tensor rot90(const Tensor& x, int64_t k, const IntList& axes) {
  const OpScope scope("rot90", x, "k", k, "axes", axes.numbers());
  if (axes.numbers().size() != 2) {
    fail("rot90", "there are ", axes.numbers().size(), " axes, want two (x ", x, ")");
  }
  const int a = resolve_axis("rot90", axes.numbers()[0], x.shape());
  const int b = resolve_axis("rot90", axes.numbers()[1], x.shape());
  if (a == b) fail("rot90", "axis ", a, " is given twice (x ", x, ")");
  switch ((k % 4 + 4) % 4) {
    case 1:
      return scope.result(flip_axes(transpose(x, a, b), 1u << a));
    case 2:
      return scope.result(flip_axes(x, 1u << a | 1u << b));
    case 3:
      return scope.result(flip_axes(transpose(x, a, b), 1u << b));
    default:
      return scope.result(x.clone());
  }
}

Tensor repeat(const Tensor& x, const IntList& times) {
  const Sizes& counts = times.numbers();
  const OpScope scope("repeat", x, "times", counts);
  if (static_cast<int64_t>(counts.size()) < x.dim()) {
    fail("repeat", "there are ", counts.size(), " numbers of times, want one for each axis of x ",
         x);
  }
  Sizes sizes = sizes_of(x);
  sizes.insert(sizes.begin(), counts.size() - sizes.size(), 1);
  Sizes wanted = sizes;
  for (size_t d = 0; d < counts.size(); ++d) {
    if (counts[d] < 0 || __builtin_mul_overflow(sizes[d], counts[d], &wanted[d])) {
      fail("repeat", "axis ", d, " of length ", sizes[d], " is repeated ", counts[d],
           " times, want at least 0 and a length that fits");
    }
  }
  const Shape result(wanted);  // throws if it is too large
  Tensor y = x;
  // One axis after the other, the last first, as [before, times, rest].
  for (size_t d = counts.size(); d-- > 0;) {
    if (counts[d] == 1) continue;
    int64_t before = 1;
    for (size_t k = 0; k < d; ++k) before *= sizes[k];
    const int64_t rest = before == 0 ? 0 : y.numel() / before;
    y = view_as(y, {before, 1, rest});
    y = stretch(y, {before, counts[d], rest}, MemoryFormat::row_major);
  }
  if (y.is_same(x)) y = x.clone();
  return scope.result(view_as(y, result));
}

Tensor hstack(const std::vector<Tensor>& tensors) {
  const OpScope scope("hstack", tensors);
  std::vector<Tensor> parts = tensors;
  for (Tensor& x : parts) {
    if (x.dim() == 0) x = view_as(x, {1});
  }
  return scope.result(cat(parts, !parts.empty() && parts[0].dim() > 1 ? 1 : 0));
}

Tensor vstack(const std::vector<Tensor>& tensors) {
  const OpScope scope("vstack", tensors);
  std::vector<Tensor> parts = tensors;
  for (Tensor& x : parts) {
    if (x.dim() < 2) x = view_as(x, {1, x.numel()});
  }
  return scope.result(cat(parts, 0));
}

const char* to_string(PadMode mode) {
  switch (mode) {
    case PadMode::constant:
      return "constant";
    case PadMode::reflect:
      return "reflect";
    case PadMode::replicate:
      return "replicate";
    case PadMode::circular:
      return "circular";
  }
  return "?";
}

Tensor pad(const Tensor& x, const IntList& amounts, const PadOptions& options) {
  const Sizes& list = amounts.numbers();
  const OpScope scope("pad", x, "amounts", list, "mode", options.mode, "value", options.value);
  const auto rank = static_cast<size_t>(x.dim());
  if (list.size() % 2 != 0 || list.size() > 2 * rank) {
    fail("pad", "there are ", list.size(), " amounts, want two for each axis from the last on (x ",
         x, ")");
  }
  Sizes before(rank, 0), after(rank, 0);
  for (size_t i = 0; i < list.size() / 2; ++i) {
    const size_t d = rank - 1 - i;
    const int64_t length = x.shape()[static_cast<int>(d)];
    before[d] = list[2 * i];
    after[d] = list[2 * i + 1];
    for (const int64_t amount : {before[d], after[d]}) {
      const int64_t most = options.mode == PadMode::reflect                    ? length - 1
                           : options.mode == PadMode::circular                 ? length
                           : options.mode == PadMode::replicate && length == 0 ? 0
                                                                               : INT32_MAX;
      const int64_t least = options.mode == PadMode::constant ? -length : 0;
      if (amount != 0 && (amount < least || amount > most)) {
        fail("pad", "amount ", amount, " at axis ", d, " of length ", length, ", want ", least,
             " to ", std::max<int64_t>(0, most), " with mode ", to_string(options.mode));
      }
    }
    if (length + before[d] + after[d] < 0) {
      fail("pad", "amounts ", before[d], " and ", after[d], " take more than axis ", d,
           " of length ", length, " has");
    }
  }
  if (options.mode == PadMode::constant) {
    return scope.result(pad_constant(x, before, after, options.value));
  }
  Tensor y = x;
  for (int axis = 0; axis < x.dim(); ++axis) {
    const int64_t front = before[static_cast<size_t>(axis)];
    const int64_t back = after[static_cast<size_t>(axis)];
    std::vector<Tensor> parts;
    if (front > 0) parts.push_back(border(y, axis, front, true, options.mode));
    parts.push_back(y);
    if (back > 0) parts.push_back(border(y, axis, back, false, options.mode));
    if (parts.size() > 1) y = cat(parts, axis);
  }
  return scope.result(y.is_same(x) ? x.clone() : y);
}

}  // namespace tern
