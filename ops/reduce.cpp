// SPDX-License-Identifier: Apache-2.0
#include "reduce.h"

#include <bit>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/movement.h"
#include "internal/op.h"
#include "kernels/reduce.h"

namespace tern {

namespace {

using kernels::Extreme;
using kernels::ReducePlan;

// Bit i for axis i.
uint32_t mask_of(const char* op, const Tensor& x, const std::vector<int64_t>& axes) {
  if (axes.empty()) return (1u << x.dim()) - 1;
  uint32_t mask = 0;
  for (const int64_t axis : axes) {
    const uint32_t bit = 1u << resolve_axis(op, axis, x.shape());
    if (mask & bit) fail(op, "axis ", axis, " is given twice (x ", x, ")");
    mask |= bit;
  }
  return mask;
}

Shape reduced_shape(const Shape& shape, uint32_t mask, bool keepdim) {
  int64_t sizes[Shape::kMaxRank];
  size_t rank = 0;
  for (int d = 0; d < shape.size(); ++d) {
    const bool reduced = mask >> d & 1;
    if (!reduced || keepdim) sizes[rank++] = reduced ? 1 : shape[d];
  }
  return Shape(std::span<const int64_t>(sizes, rank));
}

// What fill(y) writes as the kept axes lie in x, as a tensor of shape `result`; `keep` is x's
// shape with 1 on the reduced axes.
template <class Fill>
Tensor reduced(const Tensor& x, const Shape& keep, const Shape& result, DType dtype,
               const Fill& fill) {
  if (x.memory_format() == MemoryFormat::row_major) {
    const Tensor y = empty(result, dtype);
    fill(y);
    return y;
  }
  const NoGrad no_grad;
  const Tensor y = empty(keep, dtype, x.memory_format());
  fill(y);
  return result == keep ? y : view_as(y, result);
}

class SumNode final : public Node {
 public:
  SumNode(const Tensor& x, const Shape& keep, double divisor)
      : shape_(x.shape()), order_(x.memory_format()), keep_(keep), divisor_(divisor) {}
  const char* name() const override { return "sum"; }
  Gradients backward(const Tensor& dy) override {
    Tensor g = dy.shape() == keep_ ? dy : view_as(dy, keep_);
    if (divisor_ != 1) g = g / divisor_;
    return {stretch(g, shape_, order_)};
  }

 private:
  Shape shape_;
  MemoryFormat order_;
  Shape keep_;
  double divisor_;
};

Tensor sum_axes(const Tensor& x, uint32_t mask, const Shape& result, double divisor) {
  const Shape keep = reduced_shape(x.shape(), mask, true);
  const DType dtype = is_floating(x.dtype()) ? x.dtype() : DType::i64;
  const Tensor y = reduced(x, keep, result, dtype, [&](const Tensor& out) {
    const ReducePlan plan(x, mask);
    visit(x.dtype(), [&]<class T>(T) {
      kernels::sum(plan, x.raw<T>(), divisor, out.raw<kernels::SumOf<T>>());
    });
  });
  return record<SumNode>(y, {x}, x, keep, divisor);
}

class ExtremeNode final : public Node {
 public:
  ExtremeNode(const char* name, const Tensor& x, const Tensor& y, uint32_t mask)
      : name_(name), x_(this, x), y_(this, y, Saved::Role::output), mask_(mask) {}
  const char* name() const override { return name_; }
  Gradients backward(const Tensor& dy) override {
    const Tensor x = x_.get();
    const Shape keep = reduced_shape(x.shape(), mask_, true);
    const Tensor weights = empty_like(x);
    {
      const NoGrad no_grad;
      const Tensor y = to_memory_format(view_as(y_.get(), keep), x.memory_format());
      visit_floating(x.dtype(), [&]<class T>(T) {
        kernels::extreme_weights(ReducePlan(x, mask_), x.raw<T>(), y.raw<T>(),
                                 std::popcount(mask_) > 1, weights.raw<T>());
      });
    }
    return {stretch(view_as(dy, keep), x.shape(), x.memory_format()) * weights};
  }

 private:
  const char* name_;
  Saved x_, y_;
  uint32_t mask_;
};

Tensor extreme(const char* op, Extreme which, const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope(op, x, "axes", axes.numbers(), "keepdim", keepdim);
  const uint32_t mask = mask_of(op, x, axes);
  const Shape keep = reduced_shape(x.shape(), mask, true);
  if (x.numel() == 0 && keep.numel() > 0) {
    fail(op, "x ", x, " has no elements to reduce, want at least one");
  }
  const Shape result = reduced_shape(x.shape(), mask, keepdim);
  const Tensor y = reduced(x, keep, result, x.dtype(), [&](const Tensor& out) {
    if (x.numel() == 0) return;
    const ReducePlan plan(x, mask);
    visit(x.dtype(), [&]<class T>(T) { kernels::extreme(plan, which, x.raw<T>(), out.raw<T>()); });
  });
  return scope.result(record<ExtremeNode>(y, {x}, op, x, y, mask));
}

Tensor arg_extreme(const char* op, Extreme which, const Tensor& x, int64_t axis, bool keepdim) {
  const OpScope scope(op, x, "axis", axis, "keepdim", keepdim);
  const int along = resolve_axis(op, axis, x.shape());
  const Shape keep = x.shape().with(along, 1);
  if (x.shape()[along] == 0 && keep.numel() > 0) {
    fail(op, "axis ", axis, " of x ", x, " has no elements, want at least one");
  }
  const Shape result = reduced_shape(x.shape(), 1u << along, keepdim);
  return scope.result(reduced(x, keep, result, DType::i64, [&](const Tensor& y) {
    if (x.numel() == 0) return;
    const int64_t inner = kernels::strides_of(x.shape(), x.memory_format()).at[along];
    const int64_t length = x.shape()[along];
    visit(x.dtype(), [&]<class T>(T) {
      kernels::arg_extreme(which, x.raw<T>(), x.numel() / (length * inner), length, inner,
                           y.raw<int64_t>());
    });
  }));
}

Tensor arg_extreme(const char* op, Extreme which, const Tensor& x) {
  const OpScope scope(op, x);
  if (x.numel() == 0) fail(op, "x ", x, " has no elements, want at least one");
  const NoGrad no_grad;
  return scope.result(arg_extreme(op, which, view_as(x, {x.numel()}), 0, false));
}

// Running sums; their adjoint runs from the other end.
Tensor running_sum(const Tensor& x, int axis, bool reverse);

class CumsumNode final : public Node {
 public:
  CumsumNode(int axis, bool reverse) : axis_(axis), reverse_(reverse) {}
  const char* name() const override { return "cumsum"; }
  Gradients backward(const Tensor& dy) override { return {running_sum(dy, axis_, !reverse_)}; }

 private:
  int axis_;
  bool reverse_;
};

Tensor running_sum(const Tensor& x, int axis, bool reverse) {
  const Tensor y = empty_like(x);
  const int64_t length = x.shape()[axis];
  if (x.numel() > 0) {
    const int64_t inner = kernels::strides_of(x.shape(), x.memory_format()).at[axis];
    const int64_t outer = x.numel() / (length * inner);
    const auto run = [&]<class T>(T) {
      kernels::cumsum(x.raw<T>(), outer, length, inner, reverse, y.raw<T>());
    };
    if (x.dtype() == DType::i64) {
      run(int64_t{});
    } else {
      visit_floating(x.dtype(), run);
    }
  }
  return record<CumsumNode>(y, {x}, axis, reverse);
}

}  // namespace

Tensor sum(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("sum", x, "axes", axes.numbers(), "keepdim", keepdim);
  const uint32_t mask = mask_of("sum", x, axes);
  return scope.result(sum_axes(x, mask, reduced_shape(x.shape(), mask, keepdim), 1));
}

Tensor mean(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("mean", x, "axes", axes.numbers(), "keepdim", keepdim);
  check_floating("mean", "x", x);
  const uint32_t mask = mask_of("mean", x, axes);
  double count = 1;
  for (int d = 0; d < x.shape().size(); ++d) {
    if (mask >> d & 1) count *= static_cast<double>(x.shape()[d]);
  }
  return scope.result(sum_axes(x, mask, reduced_shape(x.shape(), mask, keepdim), count));
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  // Sums of integers are i64, also where one element is added.
  if (x.shape() == shape) return is_floating(x.dtype()) ? x : x.to(DType::i64);
  const OpScope scope("sum_to", x, "shape", shape);
  const int lead = x.shape().size() - shape.size();
  uint32_t mask = 0;
  for (int d = 0; d < x.shape().size(); ++d) {
    const int64_t wanted = d < lead ? 1 : shape[d - lead];
    if (d < lead || wanted != x.shape()[d]) mask |= 1u << d;
    if (lead < 0 || (wanted != x.shape()[d] && wanted != 1)) {
      fail("sum_to", "shape ", shape, " does not stretch to x ", x,
           ", want axes that are 1 or equal, aligned at the last");
    }
  }
  if (lead < 0) fail("sum_to", "shape ", shape, " has more axes than x ", x);
  return scope.result(sum_axes(x, mask, shape, 1));
}

Tensor max(const Tensor& x, const IntList& axes, bool keepdim) {
  return extreme("max", Extreme::largest, x, axes, keepdim);
}
Tensor min(const Tensor& x, const IntList& axes, bool keepdim) {
  return extreme("min", Extreme::smallest, x, axes, keepdim);
}
Tensor argmax(const Tensor& x, int64_t axis, bool keepdim) {
  return arg_extreme("argmax", Extreme::largest, x, axis, keepdim);
}
Tensor argmax(const Tensor& x) { return arg_extreme("argmax", Extreme::largest, x); }
Tensor argmin(const Tensor& x, int64_t axis, bool keepdim) {
  return arg_extreme("argmin", Extreme::smallest, x, axis, keepdim);
}
Tensor argmin(const Tensor& x) { return arg_extreme("argmin", Extreme::smallest, x); }

Tensor cumsum(const Tensor& x, int64_t axis) {
  const OpScope scope("cumsum", x, "axis", axis);
  const int along = resolve_axis("cumsum", axis, x.shape());
  return scope.result(running_sum(is_floating(x.dtype()) ? x : x.to(DType::i64), along, false));
}

}  // namespace tern
