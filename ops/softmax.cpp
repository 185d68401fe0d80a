// SPDX-License-Identifier: Apache-2.0
#include "softmax.h"

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "arithmetic.h"
#include "backend.h"
#include "kernels/softmax.h"
#include "kernels/strided.h"
#include "math.h"
#include "reduce.h"

namespace tern {

namespace {

using kernels::SoftmaxShape;

SoftmaxShape shape_of(bool logarithm, const Tensor& x, int axis) {
  const int64_t inner = kernels::strides_of(x.shape(), x.order()).at[axis];
  const int64_t length = x.shape()[axis];
  return {logarithm, x.numel() / (length * inner), length, inner};
}

class SoftmaxNode final : public Node {
 public:
  SoftmaxNode(const Tensor& y, bool logarithm, int axis)
      : y_(this, y, Saved::Role::output), logarithm_(logarithm), axis_(axis) {}
  const char* name() const override { return logarithm_ ? "log_softmax" : "softmax"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor y = y_.get();
    if (recording({dy, y})) {
      if (logarithm_) return {dy - exp(y) * sum(dy, {axis_}, true)};
      return {y * (dy - sum(dy * y, {axis_}, true))};
    }
    const Tensor aligned = to_order(dy, y.order());
    const Tensor dx = empty_like(y);
    if (dx.numel() == 0) return {dx};
    const SoftmaxShape shape = shape_of(logarithm_, y, axis_);
    if (use_onednn(y)) {
      kernels::softmax_backward_f32(shape, y.raw<float>(), aligned.raw<float>(), dx.raw<float>());
    } else {
      visit_floating(y.dtype(), [&](auto t) {
        using T = decltype(t);
        kernels::softmax_backward_eigen(shape, y.raw<T>(), aligned.raw<T>(), dx.raw<T>());
      });
    }
    return {dx};
  }

 private:
  Saved y_;
  bool logarithm_;
  int axis_;
};

Tensor normalized(const char* op, bool logarithm, const Tensor& x, int64_t axis) {
  const ProfilerRange range(op, x);
  const int along = resolve_axis(op, axis, x.shape());
  if (!is_floating(x.dtype())) {
    fail(op, "x is ", x, ", want f32 or f64: convert with .to(DType::f32)");
  }
  const Tensor y = empty_like(x);
  if (y.numel() > 0) {
    const SoftmaxShape shape = shape_of(logarithm, x, along);
    if (use_onednn(x)) {
      kernels::softmax_f32(shape, x.raw<float>(), y.raw<float>());
    } else {
      visit_floating(x.dtype(), [&](auto t) {
        using T = decltype(t);
        kernels::softmax_eigen(shape, x.raw<T>(), y.raw<T>());
      });
    }
  }
  return record<SoftmaxNode>(y, {x}, y, logarithm, along);
}

}  // namespace

Tensor softmax(const Tensor& x, int64_t axis) { return normalized("softmax", false, x, axis); }
Tensor log_softmax(const Tensor& x, int64_t axis) {
  return normalized("log_softmax", true, x, axis);
}

}  // namespace tern
