// SPDX-License-Identifier: Apache-2.0
#include "softmax.h"

#include "../core/error.h"
#include "../core/fused_node.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/op.h"
#include "kernels/softmax.h"
#include "kernels/strided.h"
#include "math.h"
#include "reduce.h"

namespace tern {

namespace {

using kernels::SoftmaxShape;

SoftmaxShape shape_of(bool logarithm, const Tensor& x, int axis) {
  const int64_t inner = kernels::strides_of(x.shape(), x.memory_format()).at[axis];
  const int64_t length = x.shape()[axis];
  return {logarithm, x.numel() / (length * inner), length, inner};
}

class SoftmaxNode final : public FusedNode {
 public:
  SoftmaxNode(const Tensor& y, bool logarithm, int axis)
      : y_(this, y, Saved::Role::output), logarithm_(logarithm), axis_(axis) {}
  const char* name() const override { return logarithm_ ? "log_softmax" : "softmax"; }

 private:
  Gradients fused(const Tensor& dy) override {
    const Tensor y = y_.get();
    const Tensor aligned = to_memory_format(dy, y.memory_format());
    const Tensor dx = empty_like(y);
    if (dx.numel() == 0) return {dx};
    const SoftmaxShape shape = shape_of(logarithm_, y, axis_);
    visit_floating(y.dtype(), [&]<class T>(T) {
      kernels::softmax_backward(shape, y.raw<T>(), aligned.raw<T>(), dx.raw<T>());
    });
    return {dx};
  }

  std::vector<Tensor> saved() override {
    const Tensor y = y_.get();
    return {zeros_like(y), y};
  }
  // Of a change of x, as y knows all of x but a constant.
  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor &change = saved[0], &y = saved[1];
    if (logarithm_) return (y + change) - log(sum(exp(y + change), {axis_}, true));
    const Tensor part = y * exp(change);
    return part / sum(part, {axis_}, true);
  }

  Saved y_;
  bool logarithm_;
  int axis_;
};

Tensor normalized(const char* op, bool logarithm, const Tensor& x, int64_t axis) {
  const OpScope scope(op, x, "axis", axis);
  const int along = resolve_axis(op, axis, x.shape());
  check_floating(op, "x", x);
  const Tensor y = empty_like(x);
  if (y.numel() > 0) {
    const SoftmaxShape shape = shape_of(logarithm, x, along);
    visit_floating(x.dtype(), [&]<class T>(T) { kernels::softmax(shape, x.raw<T>(), y.raw<T>()); });
  }
  return scope.result(record<SoftmaxNode>(y, {x}, y, logarithm, along));
}

}  // namespace

Tensor softmax(const Tensor& x, int64_t axis) { return normalized("softmax", false, x, axis); }
Tensor log_softmax(const Tensor& x, int64_t axis) {
  return normalized("log_softmax", true, x, axis);
}

}  // namespace tern
