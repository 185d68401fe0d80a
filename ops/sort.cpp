// SPDX-License-Identifier: Apache-2.0
#include "sort.h"

#include "../core/error.h"
#include "../core/op_scope.h"
#include "gather.h"
#include "kernels/sort.h"
#include "kernels/strided.h"

namespace tern {

namespace {

Tensor places_of(const Tensor& x, int axis, int64_t count, bool descending) {
  const Tensor places = empty(x.shape().with(axis, count), DType::i64, x.memory_format());
  if (places.numel() > 0) {
    const int64_t length = x.shape()[axis];
    const int64_t inner = kernels::strides_of(x.shape(), x.memory_format()).at[axis];
    const kernels::Columns columns{x.numel() / (length * inner), length, inner, count};
    visit(x.dtype(), [&]<class T>(T) {
      kernels::sort_places(columns, descending, x.raw<T>(), places.raw<int64_t>());
    });
  }
  return places;
}

std::pair<Tensor, Tensor> ordered(const OpScope& scope, const Tensor& x, int axis, int64_t count,
                                  bool descending) {
  const Tensor places = places_of(x, axis, count, descending);
  const Tensor values = gather(x, axis, places);
  scope.results({values, places});
  return {values, places};
}

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t axis, bool descending) {
  const OpScope scope("sort", x, "axis", axis, "descending", descending);
  const int along = resolve_axis("sort", axis, x.shape());
  return ordered(scope, x, along, x.shape()[along], descending);
}

Tensor argsort(const Tensor& x, int64_t axis, bool descending) {
  const OpScope scope("argsort", x, "axis", axis, "descending", descending);
  const int along = resolve_axis("argsort", axis, x.shape());
  return scope.result(places_of(x, along, x.shape()[along], descending));
}

std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t count, int64_t axis, bool largest) {
  const OpScope scope("topk", x, "count", count, "axis", axis, "largest", largest);
  const int along = resolve_axis("topk", axis, x.shape());
  if (count < 0 || count > x.shape()[along]) {
    fail("topk", "count is ", count, ", want 0 to ", x.shape()[along], ", the length of axis ",
         axis, " of x ", x);
  }
  return ordered(scope, x, along, count, largest);
}

}  // namespace tern
