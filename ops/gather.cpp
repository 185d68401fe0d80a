// SPDX-License-Identifier: Apache-2.0
#include "gather.h"

#include <algorithm>

#include "../core/error.h"
#include "../core/internal/convert.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "internal/selection.h"
#include "internal/unary.h"
#include "kernels/strided.h"
#include "movement.h"

namespace tern {

namespace {

void require_index(const char* op, const Tensor& index) {
  if (index.dtype() != DType::i64) fail(op, "index is ", index, ", want i64");
}

void require_same_dtype(const char* op, const Tensor& x, const Tensor& src) {
  if (src.dtype() != x.dtype()) {
    fail(op, "src is ", src, ", want the dtype of x ", x, ": convert it with .to(dtype)");
  }
}

void require_numbers(const char* op, const Tensor& x) {
  if (x.dtype() == DType::boolean) fail(op, "x is ", x, ", want numbers: use .to(DType::u8)");
}

[[noreturn]] void fail_entry(const char* op, int64_t entry, int64_t number, int64_t first,
                             int64_t size) {
  fail(op, "entry ", entry, " of index is ", number, ", want ", first, " to ", size - 1,
       ", as the axis has length ", size);
}

/// Makes any tensor of x's rank lie in rows as x does once it is permuted.
using Permuted = Tensor (*)(const Tensor& t);

/// Calls f(x, permuted, axis), with all permuted so that x is row-major, which is free for x, and
/// returns its result in x's own format.
Tensor as_rows(const Tensor& x, int axis, FunctionRef<Tensor(const Tensor&, Permuted, int)> f) {
  if (x.memory_format() == MemoryFormat::row_major || same_in_both_formats(x.shape())) {
    return f(
        x, [](const Tensor& t) { return t; }, axis);
  }
  constexpr int kPlaces[] = {0, 3, 1, 2};  // of N,C,H,W in N,H,W,C
  const Permuted permuted = [](const Tensor& t) { return permute(t, {0, 2, 3, 1}); };
  return permute(f(permuted(x), permuted, kPlaces[axis]), {0, 3, 1, 2});
}

/// Whole slices of x at the indices of an axis.
Selection slices(const char* op, const Tensor& x, int axis, const Tensor& index) {
  const Shape& shape = x.shape();
  const int64_t* numbers = index.raw<int64_t>();
  for (int64_t i = 0; i < index.numel(); ++i) {
    if (numbers[i] < 0 || numbers[i] >= shape[axis]) fail_entry(op, i, numbers[i], 0, shape[axis]);
  }
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < axis; ++d) outer *= shape[d];
  for (int d = axis + 1; d < shape.size(); ++d) inner *= shape[d];
  return Selection::of_middle(shape.with(axis, index.numel()), outer, shape[axis], inner, index);
}

/// One element of a row-major x for each of the index, at its own indices on the other axes.
/// Negative numbers count from the end if `wraps`.
Selection elements(const char* op, const Tensor& x, int axis, const Tensor& given,
                   bool wraps = false) {
  const Tensor index = contiguous(given);
  const Shape& shape = index.shape();
  const int64_t size = x.shape()[axis];
  kernels::Strides others = kernels::strides_of(x.shape(), MemoryFormat::row_major);
  const int64_t stride = std::exchange(others.at[axis], 0);
  const auto nest =
      kernels::LoopNest::over(shape, {kernels::strides_of(shape, MemoryFormat::row_major), others});
  const int64_t first = wraps ? -size : 0;
  const Tensor places = empty({shape.numel()}, DType::i64);
  const int64_t* from = index.raw<int64_t>();
  int64_t* to = places.raw<int64_t>();
  kernels::parallel_runs(nest, [&](int64_t i, int64_t place, int64_t, int64_t n) {
    const int64_t step = nest.run_stride(1);
    for (int64_t k = 0; k < n; ++k) {
      const int64_t number = from[i + k];
      if (number < first || number >= size) fail_entry(op, i + k, number, first, size);
      to[i + k] = place + k * step + (number < 0 ? number + size : number) * stride;
    }
  });
  return {.shape = shape, .places = places, .count = x.numel()};
}

void check_elements(const char* op, const Tensor& x, int axis, const Tensor& index) {
  require_index(op, index);
  bool fits = index.dim() == x.dim();
  for (int d = 0; fits && d < x.shape().size(); ++d)
    fits = d == axis || index.shape()[d] <= x.shape()[d];
  if (!fits) {
    fail(op, "index is ", index, ", want the axes of x ", x, " and (but for axis ", axis,
         ") at most its sizes");
  }
}

/// src at the indices that `index` has.
Tensor part_for(const char* op, const Tensor& index, const Tensor& src) {
  bool fits = src.dim() == index.dim();
  Tensor part = src;
  for (int d = 0; fits && d < index.shape().size(); ++d) fits = index.shape()[d] <= src.shape()[d];
  if (!fits) fail(op, "src is ", src, ", want at least the sizes of index ", index);
  for (int d = 0; d < index.shape().size(); ++d) part = narrow(part, d, 0, index.shape()[d]);
  return part;
}

Tensor scattered(const char* op, const Tensor& x, int axis, const Tensor& index,
                 const Tensor& src) {
  return as_rows(x, axis, [&](const Tensor& rows, Permuted permuted, int along) {
    const Selection selection = elements(op, rows, along, permuted(index));
    const Tensor y = rows.clone();
    write_selected(op, y, selection, src.dim() > 0 ? permuted(src) : src);
    return y;
  });
}

}  // namespace

Tensor index_select(const Tensor& x, int64_t axis, const Tensor& index) {
  const OpScope scope("index_select", x, index, "axis", axis);
  const int which = resolve_axis("index_select", axis, x.shape());
  require_index("index_select", index);
  if (index.dim() > 1) fail("index_select", "index is ", index, ", want one axis");
  return scope.result(as_rows(x, which, [&](const Tensor& rows, Permuted, int along) {
    return take(rows, slices("index_select", rows, along, index));
  }));
}

Tensor gather(const Tensor& x, int64_t axis, const Tensor& index) {
  const OpScope scope("gather", x, index, "axis", axis);
  const int which = resolve_axis("gather", axis, x.shape());
  check_elements("gather", x, which, index);
  return scope.result(as_rows(x, which, [&](const Tensor& rows, Permuted permuted, int along) {
    return take(rows, elements("gather", rows, along, permuted(index)));
  }));
}

Tensor take_along(const Tensor& x, int64_t axis, const Tensor& index) {
  const OpScope scope("take_along", x, index, "axis", axis);
  const int which = resolve_axis("take_along", axis, x.shape());
  require_index("take_along", index);
  if (index.dim() != x.dim()) {
    fail("take_along", "index is ", index, ", want as many axes as x ", x, " has");
  }
  const int64_t size = x.shape()[which];
  const Shape others =
      broadcast_shapes("take_along", x.shape().with(which, 1), index.shape().with(which, 1));
  const Tensor whole = broadcast_to(x, others.with(which, size));
  const Tensor numbers = broadcast_to(index, others.with(which, index.shape()[which]));
  return scope.result(as_rows(whole, which, [&](const Tensor& rows, Permuted permuted, int along) {
    return take(rows, elements("take_along", rows, along, permuted(numbers), true));
  }));
}

Tensor scatter(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& src) {
  const OpScope scope("scatter", x, index, src, "axis", axis);
  const int which = resolve_axis("scatter", axis, x.shape());
  check_elements("scatter", x, which, index);
  require_same_dtype("scatter", x, src);
  return scope.result(scattered("scatter", x, which, index, part_for("scatter", index, src)));
}

Tensor scatter(const Tensor& x, int64_t axis, const Tensor& index, double value) {
  const OpScope scope("scatter", x, index, "axis", axis, "value", value);
  const int which = resolve_axis("scatter", axis, x.shape());
  check_elements("scatter", x, which, index);
  check_scalar("scatter", x.dtype(), value);
  return scope.result(scattered("scatter", x, which, index, full({}, value, x.dtype())));
}

Tensor scatter_add(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& src) {
  const OpScope scope("scatter_add", x, index, src, "axis", axis);
  const int which = resolve_axis("scatter_add", axis, x.shape());
  check_elements("scatter_add", x, which, index);
  require_same_dtype("scatter_add", x, src);
  require_numbers("scatter_add", x);
  const Tensor part = part_for("scatter_add", index, src);
  return scope.result(as_rows(x, which, [&](const Tensor& rows, Permuted permuted, int along) {
    return add_selected(rows, rows.shape(), elements("scatter_add", rows, along, permuted(index)),
                        permuted(part));
  }));
}

Tensor index_add(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& src) {
  const OpScope scope("index_add", x, index, src, "axis", axis);
  const int which = resolve_axis("index_add", axis, x.shape());
  require_index("index_add", index);
  if (index.dim() > 1) fail("index_add", "index is ", index, ", want one axis");
  require_same_dtype("index_add", x, src);
  require_numbers("index_add", x);
  if (src.shape() != x.shape().with(which, index.numel())) {
    fail("index_add", "src is ", src, ", want the shape of x ", x, ", but ", index.numel(),
         " (the length of index) on axis ", axis);
  }
  return scope.result(as_rows(x, which, [&](const Tensor& rows, Permuted permuted, int along) {
    return add_selected(rows, rows.shape(), slices("index_add", rows, along, index), permuted(src));
  }));
}

}  // namespace tern
