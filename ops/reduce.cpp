// SPDX-License-Identifier: Apache-2.0
#include "reduce.h"

#include <bit>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "arithmetic.h"
#include "backend.h"
#include "kernels/reduce.h"
#include "stretch.h"

namespace tern {

namespace {

using kernels::ReducePlan;

/// Bit i for axis i.
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

/// What fill(y) writes as the kept axes lie in x, as a tensor of shape `result`; `keep` is x's
/// shape with 1 on the reduced axes.
template <class Fill>
Tensor reduced(const Tensor& x, const Shape& keep, const Shape& result, DType dtype,
               const Fill& fill) {
  if (x.order() == Order::row_major) {
    const Tensor y = empty(result, dtype);
    fill(y);
    return y;
  }
  const NoGrad no_grad;
  const Tensor y = empty(keep, dtype, x.order());
  fill(y);
  return result == keep ? y : view_as(y, result);
}

class SumNode final : public Node {
 public:
  SumNode(const Tensor& x, const Shape& keep, double divisor)
      : shape_(x.shape()), order_(x.order()), keep_(keep), divisor_(divisor) {}
  const char* name() const override { return "sum"; }
  Gradients backward(const Tensor& dy) override {
    Tensor g = dy.shape() == keep_ ? dy : view_as(dy, keep_);
    if (divisor_ != 1) g = g / divisor_;
    return {stretch(g, shape_, order_)};
  }

 private:
  Shape shape_;
  Order order_;
  Shape keep_;
  double divisor_;
};

Tensor sum_axes(const Tensor& x, uint32_t mask, const Shape& result, double divisor) {
  const Shape keep = reduced_shape(x.shape(), mask, true);
  const DType dtype = is_floating(x.dtype()) ? x.dtype() : DType::i64;
  const Tensor y = reduced(x, keep, result, dtype, [&](const Tensor& out) {
    const ReducePlan plan(x, mask);
    if (use_onednn(x)) {
      kernels::sum_f32(plan, x.raw<float>(), divisor, out.raw<float>());
      return;
    }
    visit(x.dtype(), [&](auto t) {
      using T = decltype(t);
      using R = std::conditional_t<std::is_integral_v<T>, int64_t, T>;
      kernels::sum_eigen(plan, x.raw<T>(), divisor, out.raw<R>());
    });
  });
  return record<SumNode>(y, {x}, x, keep, divisor);
}

class MaxNode final : public Node {
 public:
  MaxNode(const Tensor& x, const Tensor& y, uint32_t mask)
      : x_(this, x), y_(this, y, Saved::Role::output), mask_(mask) {}
  const char* name() const override { return "max"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor x = x_.get();
    const Shape keep = reduced_shape(x.shape(), mask_, true);
    const Tensor weights = empty_like(x);
    {
      const NoGrad no_grad;
      const Tensor y = to_order(view_as(y_.get(), keep), x.order());
      visit_floating(x.dtype(), [&](auto t) {
        using T = decltype(t);
        kernels::max_weights(ReducePlan(x, mask_), x.raw<T>(), y.raw<T>(), std::popcount(mask_) > 1,
                             weights.raw<T>());
      });
    }
    return {stretch(view_as(dy, keep), x.shape(), x.order()) * weights};
  }

 private:
  Saved x_, y_;
  uint32_t mask_;
};

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int64_t>& axes, bool keepdim) {
  const ProfilerRange range("sum", x);
  const uint32_t mask = mask_of("sum", x, axes);
  return sum_axes(x, mask, reduced_shape(x.shape(), mask, keepdim), 1);
}

Tensor mean(const Tensor& x, const std::vector<int64_t>& axes, bool keepdim) {
  const ProfilerRange range("mean", x);
  if (!is_floating(x.dtype())) {
    fail("mean", "x is ", x, ", want f32 or f64: convert with .to(DType::f32)");
  }
  const uint32_t mask = mask_of("mean", x, axes);
  double count = 1;
  for (int d = 0; d < x.shape().size(); ++d) {
    if (mask >> d & 1) count *= static_cast<double>(x.shape()[d]);
  }
  return sum_axes(x, mask, reduced_shape(x.shape(), mask, keepdim), count);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const ProfilerRange range("sum_to", x);
  const int lead = x.shape().size() - shape.size();
  uint32_t mask = 0;
  for (int d = 0; d < x.shape().size(); ++d) {
    const int64_t wanted = d < lead ? 1 : shape[d - lead];
    if (d < lead || wanted != x.shape()[d]) mask |= 1u << d;
    if (lead < 0 || (wanted != x.shape()[d] && wanted != 1)) {
      fail("sum_to", "shape ", shape, " does not stretch to x ", x,
           ": its axes, aligned at the last, must be 1 or equal");
    }
  }
  if (lead < 0) fail("sum_to", "shape ", shape, " has more axes than x ", x);
  return sum_axes(x, mask, shape, 1);
}

Tensor max(const Tensor& x, const std::vector<int64_t>& axes, bool keepdim) {
  const ProfilerRange range("max", x);
  const uint32_t mask = mask_of("max", x, axes);
  const Shape keep = reduced_shape(x.shape(), mask, true);
  if (x.numel() == 0 && keep.numel() > 0) {
    fail("max", "x ", x, " has no elements to reduce, want at least one");
  }
  const Shape result = reduced_shape(x.shape(), mask, keepdim);
  const Tensor y = reduced(x, keep, result, x.dtype(), [&](const Tensor& out) {
    if (x.numel() == 0) return;
    const ReducePlan plan(x, mask);
    if (use_onednn(x)) {
      kernels::max_f32(plan, x.raw<float>(), out.raw<float>());
      return;
    }
    visit(x.dtype(), [&](auto t) {
      using T = decltype(t);
      kernels::max_eigen(plan, x.raw<T>(), out.raw<T>());
    });
  });
  return record<MaxNode>(y, {x}, x, y, mask);
}

Tensor argmax(const Tensor& x, int64_t axis, bool keepdim) {
  const ProfilerRange range("argmax", x);
  const int along = resolve_axis("argmax", axis, x.shape());
  const Shape keep = x.shape().with(along, 1);
  if (x.shape()[along] == 0 && keep.numel() > 0) {
    fail("argmax", "axis ", axis, " of x ", x, " has no elements, want at least one");
  }
  const Shape result = reduced_shape(x.shape(), 1u << along, keepdim);
  return reduced(x, keep, result, DType::i64, [&](const Tensor& y) {
    if (x.numel() == 0) return;
    const int64_t inner = kernels::strides_of(x.shape(), x.order()).at[along];
    const int64_t length = x.shape()[along];
    visit(x.dtype(), [&](auto t) {
      kernels::argmax(x.raw<decltype(t)>(), x.numel() / (length * inner), length, inner,
                      y.raw<int64_t>());
    });
  });
}

}  // namespace tern
