// SPDX-License-Identifier: Apache-2.0
#include "indexing.h"

#include <bit>
#include <utility>

#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "internal/op.h"
#include "internal/selection.h"
#include "internal/unary.h"
#include "kernels/indexing.h"
#include "movement.h"

namespace tern {

namespace {

/// A tensor among the indices: `numbers` of the elements of `axes` axes that are taken as one.
struct Listed {
  int axis;
  int axes;
  int64_t length;
  Tensor numbers;
};

/// Indices that fit a tensor: a box of it, and what tensors select of that.
struct Resolved {
  Box box;
  bool is_whole = true;  // the box
  std::vector<Listed> listed;
};

Tensor one_axis(std::vector<int64_t> numbers) {
  const auto count = static_cast<int64_t>(numbers.size());
  return tensor(numbers, {count});
}

/// The numbers of the elements where a mask is not 0.
Tensor numbers_of(const Tensor& mask) {
  const Tensor plain = contiguous(mask);
  return one_axis(kernels::nonzero(plain.dtype(), plain.numel(), plain.raw_data()));
}

/// The numbers in `given`, counted from 0.
Tensor counted(const char* op, const Tensor& given, int axis, const Tensor& x) {
  const Tensor numbers = contiguous(given).clone();
  const int64_t size = x.shape()[axis];
  int64_t* at = numbers.raw<int64_t>();
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    if (at[i] < -size || at[i] >= size) {
      fail(op, "entry ", i, " of the index of axis ", axis, " is ", at[i], ", want ", -size, " to ",
           size - 1, " (x ", x, ")");
    }
    if (at[i] < 0) at[i] += size;
  }
  return numbers;
}

Resolved resolve(const char* op, const Tensor& x, const std::vector<Index>& indices) {
  const Shape& shape = x.shape();
  Resolved resolved{.box = Box::whole(shape), .listed = {}};
  int axis = 0;
  for (const Index& index : indices) {
    const auto* tensor = std::get_if<Tensor>(&index.value());
    const int axes = tensor && is_mask(*tensor) ? static_cast<int>(tensor->dim()) : 1;
    if (axis + axes > shape.size()) {
      fail(op, "there are ", indices.size(), " indices for ", axis + axes, " axes or more, x ", x,
           " has ", shape.size());
    }
    const int64_t size = axes > 0 ? shape[axis] : 1;
    if (const auto* number = std::get_if<int64_t>(&index.value())) {
      if (*number < -size || *number >= size) {
        fail(op, "index ", *number, " is not in axis ", axis, " of x ", x, ", want ", -size, " to ",
             size - 1);
      }
      resolved.box.parts[axis] = {*number < 0 ? *number + size : *number, 1};
      resolved.box.dropped |= 1u << axis;
      resolved.is_whole = false;
    } else if (const auto* range = std::get_if<Range>(&index.value())) {
      if (range->step < 1) fail(op, "step is ", range->step, ", want at least 1");
      const Part part = part_of_axis(size, range->start, range->stop, range->step);
      resolved.box.parts[axis] = part;
      resolved.is_whole = resolved.is_whole && part.count == size;
    } else if (is_mask(*tensor)) {
      int64_t length = 1;
      bool fits = axes > 0;
      for (int d = 0; d < axes; ++d) {
        fits = fits && tensor->shape()[d] == shape[axis + d];
        length *= shape[axis + d];
      }
      if (!fits) {
        fail(op, "the mask is ", *tensor, ", want the sizes of x ", x, " from axis ", axis, " on");
      }
      resolved.listed.push_back({axis, axes, length, numbers_of(*tensor)});
    } else if (tensor->dtype() == DType::i64) {
      resolved.listed.push_back({axis, 1, size, counted(op, *tensor, axis, x)});
    } else {
      fail(op, "the index of axis ", axis, " is ", *tensor,
           ", want numbers (i64) or a mask (bool or u8)");
    }
    axis += axes;
  }
  return resolved;
}

Selection selection_of(const Resolved& resolved, const Tensor& x) {
  return {.shape = shape_of(resolved.box, x.shape()), .box = resolved.box};
}

/// Whether no axis lies between those that tensors select from.
bool are_adjacent(const std::vector<Listed>& listed) {
  for (size_t i = 1; i < listed.size(); ++i) {
    if (listed[i].axis != listed[i - 1].axis + listed[i - 1].axes) return false;
  }
  return true;
}

/// What tensors select of adjacent axes, the first of which is `first`.
Selection selection_of(const std::vector<Listed>& listed, const Shape& whole, int first) {
  Shape common = listed[0].numbers.shape();
  for (const Listed& one : listed) common = broadcast_shapes("index", common, one.numbers.shape());
  const Tensor along = empty({common.numel()}, DType::i64);
  along.zero_();
  int64_t* at = along.raw<int64_t>();
  int64_t size = 1;
  int axes = 0;
  for (const Listed& one : listed) {
    const Tensor numbers = stretch(one.numbers, common, MemoryFormat::row_major);
    const int64_t* from = numbers.raw<int64_t>();
    for (int64_t i = 0; i < along.numel(); ++i) at[i] = at[i] * one.length + from[i];
    size *= one.length;
    axes += one.axes;
  }
  int64_t outer = 1, inner = 1;
  std::vector<int64_t> sizes(whole.begin(), whole.begin() + first);
  for (int d = 0; d < first; ++d) outer *= whole[d];
  for (int d = first + axes; d < whole.size(); ++d) inner *= whole[d];
  sizes.insert(sizes.end(), common.begin(), common.end());
  sizes.insert(sizes.end(), whole.begin() + first + axes, whole.end());
  return Selection::of_middle(Shape(sizes), outer, size, inner, along);
}

Tensor read(const Tensor& x, Resolved resolved) {
  Tensor y = x;
  if (!resolved.is_whole) {
    y = take(x, selection_of(resolved, x));
    const uint32_t dropped = resolved.box.dropped;
    for (Listed& one : resolved.listed) {
      one.axis -= std::popcount(dropped & ((1u << one.axis) - 1));
    }
  }
  if (resolved.listed.empty()) return y;
  int first = resolved.listed[0].axis;
  if (!are_adjacent(resolved.listed)) {
    uint32_t taken = 0;
    std::vector<int64_t> axes;
    for (const Listed& one : resolved.listed) {
      for (int d = one.axis; d < one.axis + one.axes; ++d) {
        axes.push_back(d);
        taken |= 1u << d;
      }
    }
    for (int d = 0; d < y.shape().size(); ++d) {
      if (!(taken >> d & 1)) axes.push_back(d);
    }
    y = permute(y, axes);
    first = 0;
  }
  return take(y, selection_of(resolved.listed, y.shape(), first));
}

/// The same as a selection of x, for writing.
Selection selection_of(const char* op, const Tensor& x, const std::vector<Index>& indices) {
  const Resolved resolved = resolve(op, x, indices);
  if (resolved.listed.empty()) return selection_of(resolved, x);
  if (resolved.is_whole && are_adjacent(resolved.listed)) {
    return selection_of(resolved.listed, x.shape(), resolved.listed[0].axis);
  }
  // Where the elements come from says where they go.
  const Tensor numbers = arange(static_cast<double>(x.numel()));
  const Tensor places = contiguous(read(view_as(numbers, x.shape()), resolved));
  return {.shape = places.shape(), .places = places, .count = x.numel()};
}

std::vector<Tensor> tensors_of(const std::vector<Index>& indices) {
  std::vector<Tensor> tensors;
  for (const Index& index : indices) {
    if (const auto* tensor = std::get_if<Tensor>(&index.value())) tensors.push_back(*tensor);
  }
  return tensors;
}

}  // namespace

AttributeValue attribute_of(const std::vector<Index>& indices) {
  std::vector<int64_t> numbers;
  for (const Index& index : indices) {
    numbers.push_back(static_cast<int64_t>(index.value().index()));
    if (const auto* number = std::get_if<int64_t>(&index.value())) {
      numbers.insert(numbers.end(), {*number, 0, 0});
    } else if (const auto* range = std::get_if<Range>(&index.value())) {
      numbers.insert(numbers.end(), {range->start, range->stop, range->step});
    } else {
      numbers.insert(numbers.end(), {0, 0, 0});
    }
  }
  return numbers;
}

Tensor index(const Tensor& x, const std::vector<Index>& indices) {
  const std::vector<Tensor> tensors = tensors_of(indices);
  const OpScope scope("index", x, tensors, "indices", indices);
  const Tensor y = read(x, resolve("index", x, indices));
  OpScope::reads_only(y.numel() * static_cast<int64_t>(size_of(x.dtype())));
  return scope.result(y);
}

Tensor index_put_(const Tensor& x, const std::vector<Index>& indices, const Tensor& v) {
  const std::vector<Tensor> tensors = tensors_of(indices);
  const OpScope scope("index_put_", x, tensors, v, "indices", indices);
  write_selected("index_put_", x, selection_of("index_put_", x, indices), v);
  OpScope::writes(x);
  return scope.result(x);
}

Tensor index_put_(const Tensor& x, const std::vector<Index>& indices, double v) {
  const std::vector<Tensor> tensors = tensors_of(indices);
  const OpScope scope("index_put_", x, tensors, "indices", indices, "v", v);
  write_selected("index_put_", x, selection_of("index_put_", x, indices), full({}, v, x.dtype()));
  OpScope::writes(x);
  return scope.result(x);
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  const OpScope scope("masked_select", x, mask);
  if (!is_mask(mask)) fail("masked_select", "mask is ", mask, ", want bool or u8");
  const Shape shape = broadcast_shapes("masked_select", x.shape(), mask.shape());
  const Tensor numbers = numbers_of(broadcast_to(mask, shape));
  const Tensor whole = contiguous(broadcast_to(x, shape));
  return scope.result(
      take(whole, {.shape = numbers.shape(), .places = numbers, .count = whole.numel()}));
}

Tensor nonzero(const Tensor& x) {
  const OpScope scope("nonzero", x);
  const Tensor plain = contiguous(x.detach());
  const std::vector<int64_t> numbers =
      kernels::nonzero(plain.dtype(), plain.numel(), plain.raw_data());
  const Shape& shape = x.shape();
  const int rank = shape.size();
  const Tensor y = empty({static_cast<int64_t>(numbers.size()), rank}, DType::i64);
  int64_t* row = y.raw<int64_t>();
  for (int64_t number : numbers) {
    for (int d = rank - 1; d >= 0; --d) {
      row[d] = number % shape[d];
      number /= shape[d];
    }
    row += rank;
  }
  return scope.result(y);
}

Indexed Tensor::operator[](const Index& index) const { return {*this, {index}}; }
Indexed Tensor::operator[](std::initializer_list<Index> indices) const { return {*this, indices}; }

Indexed::Indexed(const Tensor& base, std::vector<Index> indices)
    : Tensor(index(base, indices)), base_(base), indices_(std::move(indices)) {}

Indexed Indexed::operator[](const Index& index) const { return (*this)[{index}]; }
Indexed Indexed::operator[](std::initializer_list<Index> indices) const {
  Indexed inner(*this, indices);
  if (base_.defined()) inner.outer_ = std::make_shared<Indexed>(*this);
  return inner;
}

void Indexed::write(const Tensor& v) const {
  index_put_(base_, indices_, v);
  if (outer_ && !base_.is_same(outer_->base_)) outer_->write(base_);
}

void Indexed::operator=(const Tensor& v) && { write(v); }
void Indexed::operator=(const Indexed& v) && { write(v); }
void Indexed::operator=(double v) && { write(full({}, v, dtype())); }
Indexed& Indexed::operator=(const Tensor& other) & {
  Tensor::operator=(other);
  base_ = Tensor();
  indices_.clear();
  outer_.reset();
  return *this;
}

}  // namespace tern
