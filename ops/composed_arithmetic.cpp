// SPDX-License-Identifier: Apache-2.0
// Arithmetic whose gradients, or values, are made of other operations.
#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/binary.h"
#include "internal/op.h"
#include "internal/unary.h"
#include "math.h"
#include "reduce.h"

namespace tern {

namespace {

using kernels::Binary;

class ExtremeNode final : public Node {
 public:
  ExtremeNode(const Tensor& a, const Tensor& b, bool least)
      : a_(this, a), b_(this, b), least_(least) {}
  const char* name() const override { return least_ ? "minimum" : "maximum"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    const Tensor a = a_.get(), b = b_.get();
    const Tensor g = where(eq(a, b), dy * 0.5, dy);
    const Tensor below = lt(a, b), above = gt(a, b);
    if (needs(0)) gradients[0] = sum_to(where(least_ ? above : below, {}, g), a.shape());
    if (needs(1)) gradients[1] = sum_to(where(least_ ? below : above, {}, g), b.shape());
    return gradients;
  }

 private:
  Saved a_, b_;
  bool least_;
};

class RemainderNode final : public Node {
 public:
  RemainderNode(const Tensor& a, const Tensor& b)
      : a_(this, needed_by(b, a)), b_(this, needed_by(b, b)), a_shape_(a.shape()) {}
  const char* name() const override { return "remainder"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    if (needs(0)) gradients[0] = sum_to(dy, a_shape_);
    if (needs(1)) {
      const Tensor b = b_.get();
      gradients[1] = neg(sum_to(dy * floor(a_.get() / b), b.shape()));
    }
    return gradients;
  }

 private:
  Saved a_, b_;
  Shape a_shape_;
};

}  // namespace

Tensor minimum(const Tensor& a, const Tensor& b) {
  const OpScope scope("minimum", a, b);
  const Tensor y = binary("minimum", Binary::minimum, a, b);
  return scope.result(record<ExtremeNode>(y, {a, b}, a, b, true));
}
Tensor maximum(const Tensor& a, const Tensor& b) {
  const OpScope scope("maximum", a, b);
  const Tensor y = binary("maximum", Binary::maximum, a, b);
  return scope.result(record<ExtremeNode>(y, {a, b}, a, b, false));
}
Tensor remainder(const Tensor& a, const Tensor& b) {
  const OpScope scope("remainder", a, b);
  if (!is_floating(b.dtype())) {
    const NoGrad no_grad;
    if (b.numel() > 0 && max(eq(b, 0.0)).item<bool>()) {
      fail("remainder", "b is ", b, " and holds 0, want other integers");
    }
  }
  const Tensor y = binary("remainder", Binary::remainder, a, b);
  return scope.result(record<RemainderNode>(y, {a, b}, a, b));
}
Tensor remainder(const Tensor& a, double b) {
  check_scalar("remainder", a.dtype(), b);
  return remainder(a, full({}, b, a.dtype() == DType::boolean ? DType::u8 : a.dtype()));
}

Tensor pow(double a, const Tensor& b) { return unary<kernels::PowOf>(b, {a}); }

Tensor lerp(const Tensor& a, const Tensor& b, double weight) {
  const OpScope scope("lerp", a, b, "weight", weight);
  // From the nearer end, so that both ends are exact.
  return scope.result(weight < 0.5 ? a + (b - a) * weight : b - (b - a) * (1 - weight));
}
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight) {
  const OpScope scope("lerp", a, b, weight);
  const Tensor way = b - a;
  return scope.result(where(lt(weight, 0.5), a + way * weight, b - way * (1.0 - weight)));
}
Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, double value) {
  const OpScope scope("addcmul", x, a, b, "value", value);
  const Tensor product = a * b;
  return scope.result(x + (value == 1 ? product : product * value));
}
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, double value) {
  const OpScope scope("addcdiv", x, a, b, "value", value);
  const Tensor quotient = a / b;
  return scope.result(x + (value == 1 ? quotient : quotient * value));
}

}  // namespace tern
