// SPDX-License-Identifier: Apache-2.0
#include "arithmetic.h"

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "kernels/binary.h"
#include "math.h"
#include "stretch.h"
#include "unary.h"

namespace tern {

namespace {

using kernels::Binary;
using kernels::Compare;
using kernels::LoopNest;
using kernels::Unary;

void check_dtypes(const char* op, const Tensor& a, const Tensor& b, bool floating) {
  if (a.dtype() != b.dtype()) {
    fail(op, "dtypes differ (", a, " and ", b, "): convert one with .to(dtype)");
  }
  if (floating && !is_floating(a.dtype())) {
    fail(op, "tensors are ", a, " and ", b, ", want f32 or f64: convert with .to(DType::f32)");
  }
}

/// Lets run(nest, a, b, y) fill a tensor y, a nest over y, a and b. y is a fresh one, or has the
/// memory of `a` if that is of the same shape and dtype and may be `reused`.
template <class Run>
Tensor elementwise(const char* op, const Tensor& a, const Tensor& b, DType dtype, bool reused,
                   const Run& run) {
  const ProfilerRange range(op, a, b);
  if (a.shape() == b.shape()) {
    const Tensor y = reused ? a.detach() : empty(a.shape(), dtype, a.order());
    if (reused) ProfilerRange::writes(y);
    const LoopNest nest = LoopNest::flat(y.numel());
    if (a.order() == b.order()) {
      run(nest, a, b, y);
    } else {
      const NoGrad no_grad;
      run(nest, a, to_order(b, a.order()), y);
    }
    return y;
  }
  const Shape shape = broadcast_shapes(op, a.shape(), b.shape());
  Order order = Order::row_major;
  if (a.shape() == shape) {
    order = a.order();
  } else if (b.shape() == shape) {
    order = b.order();
  } else if (a.order() == Order::channels_last || b.order() == Order::channels_last) {
    // Neither has the result's shape: the one that has four axes decides, if they are the last.
    order = shape.size() == 4 ? Order::channels_last : Order::row_major;
  }
  const Tensor y = empty(shape, dtype, order);
  run(LoopNest::over(shape,
                     {kernels::strides_of(shape, order), kernels::broadcast_strides(a, shape),
                      kernels::broadcast_strides(b, shape)}),
      a, b, y);
  return y;
}

Tensor binary(const char* op, Binary kind, const Tensor& a, const Tensor& b, bool reused = false) {
  const bool floating = kind != Binary::add && kind != Binary::sub && kind != Binary::mul;
  check_dtypes(op, a, b, floating);
  return elementwise(op, a, b, a.dtype(), reused,
                     [&](const LoopNest& nest, const Tensor& u, const Tensor& v, const Tensor& y) {
                       kernels::binary(kind, a.dtype(), nest, u.raw_data(), v.raw_data(),
                                       y.raw_data());
                     });
}

Tensor compare(const char* op, Compare kind, const Tensor& a, const Tensor& b) {
  check_dtypes(op, a, b, false);
  return elementwise(op, a, b, DType::u8, false,
                     [&](const LoopNest& nest, const Tensor& u, const Tensor& v, const Tensor& y) {
                       kernels::compare(kind, a.dtype(), nest, u.raw_data(), v.raw_data(),
                                        y.raw<uint8_t>());
                     });
}

Tensor compare(const char* op, Compare kind, const Tensor& a, double b) {
  check_scalar(op, a.dtype(), b);
  return compare(op, kind, a, full({}, b, a.dtype()));
}

class AddNode final : public Node {
 public:
  AddNode(const Tensor& a, const Tensor& b, bool minus)
      : a_(a.shape()), b_(b.shape()), minus_(minus) {}
  const char* name() const override { return minus_ ? "sub" : "add"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    if (needs(0)) gradients[0] = sum_to(dy, a_);
    if (needs(1)) {
      gradients[1] = sum_to(dy, b_);
      if (minus_) gradients[1] = neg(gradients[1]);
    }
    return gradients;
  }

 private:
  Shape a_, b_;
  bool minus_;
};

/// `x` if the other operand's gradient, which needs it, can be asked for.
Tensor needed(const Tensor& x, const Tensor& other) { return other.requires_grad() ? x : Tensor(); }

class MulNode final : public Node {
 public:
  MulNode(const Tensor& a, const Tensor& b)
      : a_(this, needed(a, b)), b_(this, needed(b, a)), a_shape_(a.shape()), b_shape_(b.shape()) {}
  const char* name() const override { return "mul"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    if (needs(0)) gradients[0] = sum_to(mul(dy, b_.get()), a_shape_);
    if (needs(1)) gradients[1] = sum_to(mul(dy, a_.get()), b_shape_);
    return gradients;
  }

 private:
  Saved a_, b_;
  Shape a_shape_, b_shape_;
};

class DivNode final : public Node {
 public:
  DivNode(const Tensor& a, const Tensor& b, const Tensor& y)
      : b_(this, b), y_(this, needed(y, b), Saved::Role::output), a_shape_(a.shape()) {}
  const char* name() const override { return "div"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    const Tensor b = b_.get();
    const Tensor g = dy / b;
    if (needs(0)) gradients[0] = sum_to(g, a_shape_);
    if (needs(1)) gradients[1] = neg(sum_to(g * y_.get(), b.shape()));
    return gradients;
  }

 private:
  Saved b_, y_;
  Shape a_shape_;
};

class PowNode final : public Node {
 public:
  PowNode(const Tensor& a, const Tensor& b, const Tensor& y)
      : a_(this, a), b_(this, b), y_(this, needed(y, b), Saved::Role::output) {}
  const char* name() const override { return "pow"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    const Tensor a = a_.get();
    const Tensor b = b_.get();
    if (needs(0)) {
      const Tensor g = dy * (b * pow(a, b - 1.0));
      gradients[0] = sum_to(where(eq(b, 0.0), {}, g), a.shape());
    }
    if (needs(1)) {
      // 0^b is constant for b >= 0, though log(0) is not finite.
      const Tensor g = dy * (y_.get() * log(a));
      gradients[1] = sum_to(where(mul(eq(a, 0.0), ge(b, 0.0)), {}, g), b.shape());
    }
    return gradients;
  }

 private:
  Saved a_, b_, y_;
};

class AddReluNode final : public Node {
 public:
  explicit AddReluNode(const Tensor& y) : y_(this, y, Saved::Role::output) {}
  const char* name() const override { return "add_relu"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor g = unary_backward(Unary::relu, 0, dy, y_.get());
    return {g, g};
  }

 private:
  Saved y_;
};

class WhereNode final : public Node {
 public:
  explicit WhereNode(const Tensor& condition) : condition_(this, condition) {}
  const char* name() const override { return "where"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    if (needs(0)) gradients[0] = where(condition_.get(), dy, {});
    if (needs(1)) gradients[1] = where(condition_.get(), {}, dy);
    return gradients;
  }

 private:
  Saved condition_;
};

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return record<AddNode>(binary("add", Binary::add, a, b), {a, b}, a, b, false);
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return record<AddNode>(binary("sub", Binary::sub, a, b), {a, b}, a, b, true);
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return record<MulNode>(binary("mul", Binary::mul, a, b), {a, b}, a, b);
}
Tensor div(const Tensor& a, const Tensor& b) {
  const Tensor y = binary("div", Binary::div, a, b);
  return record<DivNode>(y, {a, b}, a, b, y);
}
Tensor pow(const Tensor& a, const Tensor& b) {
  const Tensor y = binary("pow", Binary::pow, a, b);
  return record<PowNode>(y, {a, b}, a, b, y);
}

Tensor add(const Tensor& a, double b) { return unary("add", Unary::add, a, b); }
Tensor mul(const Tensor& a, double b) { return unary("mul", Unary::mul, a, b); }
Tensor neg(const Tensor& a) { return unary("neg", Unary::neg, a); }
Tensor operator/(const Tensor& a, double b) { return unary("div", Unary::div, a, b); }
Tensor operator-(double a, const Tensor& b) { return unary("sub", Unary::rsub, b, a); }
Tensor operator/(double a, const Tensor& b) { return unary("div", Unary::rdiv, b, a); }
Tensor pow(const Tensor& a, double exponent) { return unary("pow", Unary::pow, a, exponent); }

Tensor add_relu(Tensor a, const Tensor& b) {
  if (a.shape() != b.shape()) {
    fail("add_relu", "a is ", a, ", b is ", b, ", want the same shape: use relu(a + b)");
  }
  const Tensor y = binary("add_relu", Binary::add_relu, a, b, a.is_unshared());
  return record<AddReluNode>(y, {a, b}, y);
}

Tensor eq(const Tensor& a, const Tensor& b) { return compare("eq", Compare::eq, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare("ne", Compare::ne, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare("lt", Compare::lt, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare("le", Compare::le, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare("gt", Compare::gt, a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare("ge", Compare::ge, a, b); }
Tensor eq(const Tensor& a, double b) { return compare("eq", Compare::eq, a, b); }
Tensor ne(const Tensor& a, double b) { return compare("ne", Compare::ne, a, b); }
Tensor lt(const Tensor& a, double b) { return compare("lt", Compare::lt, a, b); }
Tensor le(const Tensor& a, double b) { return compare("le", Compare::le, a, b); }
Tensor gt(const Tensor& a, double b) { return compare("gt", Compare::gt, a, b); }
Tensor ge(const Tensor& a, double b) { return compare("ge", Compare::ge, a, b); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const ProfilerRange range("where", condition, a, b);
  if (condition.dtype() != DType::u8) {
    fail("where", "condition is ", condition, ", want u8, as comparisons give it");
  }
  if (!a.defined() && !b.defined()) fail("where", "a and b are undefined, want at least one");
  if (a.defined() && b.defined()) check_dtypes("where", a, b, false);
  const Tensor& one = a.defined() ? a : b;
  Shape shape = broadcast_shapes("where", condition.shape(), one.shape());
  if (b.defined()) shape = broadcast_shapes("where", shape, b.shape());
  const Order order = one.shape() == shape ? one.order() : Order::row_major;
  const auto aligned = [&](const Tensor& x) { return x.defined() ? stretch(x, shape, order) : x; };
  const Tensor c = aligned(condition), u = aligned(a), v = aligned(b);
  const Tensor y = empty(shape, one.dtype(), order);
  kernels::where(one.dtype(), shape.numel(), c.raw<uint8_t>(), u.defined() ? u.raw_data() : nullptr,
                 v.defined() ? v.raw_data() : nullptr, y.raw_data());
  return record<WhereNode>(y, {u, v}, c);
}

}  // namespace tern
