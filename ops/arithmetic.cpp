// SPDX-License-Identifier: Apache-2.0
#include "arithmetic.h"

#include <cmath>
#include <limits>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "internal/arithmetic.h"
#include "internal/binary.h"
#include "internal/movement.h"
#include "internal/op.h"
#include "internal/unary.h"
#include "kernels/binary.h"
#include "math.h"
#include "reduce.h"

namespace tern {

namespace {

using kernels::Binary;
using kernels::Compare;
using kernels::LoopNest;

// The dtype that a tensor has in arithmetic and comparisons: bool counts as u8 (the same bytes).
DType number_dtype(const Tensor& x) {
  const DType dtype = x.dtype();
  return dtype == DType::boolean ? DType::u8 : dtype;
}

// The dtype that a and b have in common, which is floating if it must be.
DType common_dtype(const char* op, const Tensor& a, const Tensor& b, bool floating) {
  if (!b.defined()) fail(op, "tensors are ", a, " and ", b, ", want two tensors");
  const DType dtype = number_dtype(a);
  if (dtype != number_dtype(b)) {
    fail(op, "dtypes differ (", a, " and ", b, "): convert one with .to(dtype)");
  }
  if (floating && !is_floating(dtype)) {
    fail(op, "tensors are ", a, " and ", b, ", want f32 or f64: convert with .to(DType::f32)");
  }
  return dtype;
}

// Lets run(nest, a, b, y) fill a tensor y, a nest over y, a and b. y is a fresh one, or has the
// memory of `a` if that is of the result's shape and dtype and may be `reused`.
template <class Run>
Tensor elementwise(const char* op, const Tensor& a, const Tensor& b, DType dtype, bool reused,
                   const Run& run) {
  if (const Shape& same = a.shape(); same == b.shape()) {
    const MemoryFormat format = a.memory_format();
    const Tensor y = reused ? Tensor(same, dtype, format, a.storage()) : empty(same, dtype, format);
    if (reused) OpScope::writes(y);
    const LoopNest nest = LoopNest::flat(same.numel());
    if (b.memory_format() == format) {
      run(nest, a, b, y);
    } else {
      const NoGrad no_grad;
      run(nest, a, to_memory_format(b, format), y);
    }
    return y;
  }
  const Shape shape = broadcast_shapes(op, a.shape(), b.shape());
  MemoryFormat order = MemoryFormat::row_major;
  if (a.shape() == shape) {
    order = a.memory_format();
  } else if (b.shape() == shape) {
    order = b.memory_format();
  } else if (a.memory_format() == MemoryFormat::channels_last ||
             b.memory_format() == MemoryFormat::channels_last) {
    // Neither has the result's shape: the one that has four axes decides, if they are the last.
    order = shape.size() == 4 ? MemoryFormat::channels_last : MemoryFormat::row_major;
  }
  const Tensor y = reused ? Tensor(shape, dtype, order, a.storage()) : empty(shape, dtype, order);
  if (reused) OpScope::writes(y);
  run(LoopNest::over(shape,
                     {kernels::strides_of(shape, order), kernels::broadcast_strides(a, shape),
                      kernels::broadcast_strides(b, shape)}),
      a, b, y);
  return y;
}

Tensor compared(const char* op, Compare kind, const Tensor& a, const Tensor& b) {
  const DType dtype = common_dtype(op, a, b, false);
  return elementwise(op, a, b, DType::boolean, false,
                     [&](const LoopNest& nest, const Tensor& u, const Tensor& v, const Tensor& y) {
                       visit(dtype, [&]<class T>(T) {
                         kernels::compare(kind, nest, u.raw<T>(), v.raw<T>(), y.raw<uint8_t>());
                       });
                     });
}

// A comparison with an integer in place of one with a number.
struct IntegerComparison {
  Compare kind;
  double b;
};

// What holds for integers from `least` to `largest` where `kind` holds with b: a limit is a whole
// number, and one that no integer reaches makes the answer the same for all.
IntegerComparison with_integer(Compare kind, double b, double least, double largest) {
  const IntegerComparison never{Compare::lt, least}, always{Compare::ge, least};
  if (kind == Compare::eq || kind == Compare::ne) {
    if (b == std::trunc(b) && b >= least && b <= largest) return {kind, b};
    return kind == Compare::eq ? never : always;
  }
  if (std::isnan(b)) return never;
  const bool below = kind == Compare::lt || kind == Compare::le;
  if (b < least) return below ? never : always;
  if (b > largest) return below ? always : never;
  return {kind, kind == Compare::lt || kind == Compare::ge ? std::ceil(b) : std::floor(b)};
}

Tensor compare(const char* op, Compare kind, const Tensor& a, const Tensor& b) {
  const OpScope scope(op, a, b);
  return scope.result(compared(op, kind, a, b));
}

Tensor compare(const char* op, Compare kind, const Tensor& a, double b) {
  const OpScope scope(op, a, "b", b);
  if (is_floating(a.dtype())) {
    return scope.result(compared(op, kind, a, full({}, b, a.dtype())));
  }
  const DType dtype = number_dtype(a);
  // 2^63 - 1 is no double; the largest that an i64 holds is this one.
  const bool bytes = dtype == DType::u8;
  const auto [integer_kind, integer] =
      with_integer(kind, b, bytes ? 0 : -0x1p63, bytes ? 255 : 0x1p63 - 1024);
  return scope.result(compared(op, integer_kind, a, full({}, integer, dtype)));
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

class MulNode final : public Node {
 public:
  MulNode(const Tensor& a, const Tensor& b)
      : a_(this, needed_by(b, a)),
        b_(this, needed_by(a, b)),
        a_shape_(a.shape()),
        b_shape_(b.shape()) {}
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
      : b_(this, b), y_(this, needed_by(b, y), Saved::Role::output), a_shape_(a.shape()) {}
  const char* name() const override { return "div"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    const Tensor b = b_.get();
    const Tensor g = quotient(dy, b);
    if (needs(0)) gradients[0] = sum_to(g, a_shape_);
    if (needs(1)) gradients[1] = neg(sum_to(product(g, y_.get()), b.shape()));
    return gradients;
  }

 private:
  Saved b_, y_;
  Shape a_shape_;
};

class PowNode final : public Node {
 public:
  PowNode(const Tensor& a, const Tensor& b, const Tensor& y)
      : a_(this, a), b_(this, b), y_(this, needed_by(b, y), Saved::Role::output) {}
  const char* name() const override { return "pow"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    const Tensor a = a_.get();
    const Tensor b = b_.get();
    if (needs(0)) {
      // a^0 is constant, though a^-1 may be infinite: these exponents are masked before and after,
      // as the derivative of a masked infinity is 0 times infinity.
      const Tensor constant = eq(b, 0.0);
      const Tensor exponent = where(constant, full({}, 1.0, b.dtype()), b);
      const Tensor factor = exponent * pow(a, exponent - 1.0);
      gradients[0] = sum_to(product(dy, where(constant, {}, factor)), a.shape());
    }
    if (needs(1)) {
      // 0^b is constant for b >= 0, though log(0) is not finite.
      const Tensor constant = mul(eq(a, 0.0), ge(b, 0.0));
      const Tensor base = where(constant, full({}, 1.0, a.dtype()), a);
      gradients[1] = sum_to(product(dy, y_.get() * log(base)), b.shape());
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
    const Tensor g = unary_backward<kernels::Relu>(dy, y_.get());
    return {g, g};
  }

 private:
  Saved y_;
};

/// A number as `where` takes it beside x.
Tensor choice_of(const char* op, const Tensor& x, double number) {
  check_scalar(op, x.dtype(), number);
  if (number == 0 && !std::signbit(number)) return {};
  return full({}, number, x.dtype());
}

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

Tensor binary(const char* op, kernels::Binary kind, const Tensor& a, const Tensor& b, bool reused) {
  const bool floating = kind == Binary::div || kind == Binary::pow || kind == Binary::add_relu;
  const DType dtype = common_dtype(op, a, b, floating);
  return elementwise(op, a, b, dtype, reused,
                     [&](const LoopNest& nest, const Tensor& u, const Tensor& v, const Tensor& y) {
                       visit(dtype, [&]<class T>(T) {
                         kernels::binary(kind, nest, u.raw<T>(), v.raw<T>(), y.raw<T>());
                       });
                     });
}

Tensor add(const Tensor& a, const Tensor& b) {
  const OpScope scope("add", a, b);
  return scope.result(record<AddNode>(binary("add", Binary::add, a, b), {a, b}, a, b, false));
}
Tensor sub(const Tensor& a, const Tensor& b) {
  const OpScope scope("sub", a, b);
  return scope.result(record<AddNode>(binary("sub", Binary::sub, a, b), {a, b}, a, b, true));
}
Tensor mul(const Tensor& a, const Tensor& b) {
  const OpScope scope("mul", a, b);
  return scope.result(record<MulNode>(binary("mul", Binary::mul, a, b), {a, b}, a, b));
}
Tensor div(const Tensor& a, const Tensor& b) {
  const OpScope scope("div", a, b);
  const Tensor y = binary("div", Binary::div, a, b);
  return scope.result(record<DivNode>(y, {a, b}, a, b, y));
}
Tensor pow(const Tensor& a, const Tensor& b) {
  const OpScope scope("pow", a, b);
  const Tensor y = binary("pow", Binary::pow, a, b);
  return scope.result(record<PowNode>(y, {a, b}, a, b, y));
}

// Where dy is 0 and the factor is infinite or NaN the factor counts as 0, and only there: the
// derivative with respect to dy is the factor.
Tensor product(const Tensor& dy, const Tensor& factor) {
  if (!recording({dy, factor})) return binary("mul", Binary::product, dy, factor);
  const Tensor finite = lt(abs(factor.detach()), std::numeric_limits<double>::infinity());
  return dy * where(finite + ne(dy, 0.0), factor, {});
}
Tensor quotient(const Tensor& dy, const Tensor& divisor) {
  if (!recording({dy, divisor})) return binary("div", Binary::quotient, dy, divisor);
  const Tensor regular = gt(abs(divisor.detach()), 0.0) + ne(dy, 0.0);
  return dy / where(regular, divisor, full({}, 1.0, divisor.dtype()));
}

void binary_into(const char* op, kernels::Binary kind, const Tensor& a, const Tensor& b) {
  if (a.dtype() == DType::boolean) fail(op, "x is ", a, ", want numbers: use logical operations");
  if (broadcast_shapes(op, a.shape(), b.shape()) != a.shape()) {
    fail(op, "x is ", a, ", the other tensor ", b, ", want one that x's shape need not grow for");
  }
  binary(op, kind, a, b, true);
}

Tensor add(const Tensor& a, double b) { return unary<kernels::Add>(a, {b}); }
Tensor mul(const Tensor& a, double b) { return unary<kernels::Mul>(a, {b}); }
Tensor neg(const Tensor& a) { return unary<kernels::Neg>(a); }
Tensor operator/(const Tensor& a, double b) { return unary<kernels::Div>(a, {b}); }
Tensor operator-(double a, const Tensor& b) { return unary<kernels::SubFrom>(b, {a}); }
Tensor operator/(double a, const Tensor& b) { return unary<kernels::Divide>(b, {a}); }
Tensor pow(const Tensor& a, double exponent) {
  if (exponent == 2) return unary<kernels::PowTwo>(a, {exponent});
  return unary<kernels::Pow>(a, {exponent});
}

Tensor add_relu(Tensor a, const Tensor& b) {
  const OpScope scope("add_relu", a, b);
  if (a.shape() != b.shape()) {
    fail("add_relu", "a is ", a, ", b is ", b, ", want the same shape: use relu(a + b)");
  }
  const Tensor y = binary("add_relu", Binary::add_relu, a, b, a.is_unshared());
  return scope.result(record<AddReluNode>(y, {a, b}, y));
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
  const OpScope scope("where", condition, a, b);
  if (!is_mask(condition)) {
    fail("where", "condition is ", condition, ", want bool, as comparisons give it, or u8");
  }
  if (!a.defined() && !b.defined()) fail("where", "a and b are undefined, want at least one");
  if (a.defined() && b.defined() && a.dtype() != b.dtype()) {
    fail("where", "dtypes differ (", a, " and ", b, "): convert one with .to(dtype)");
  }
  const Tensor& one = a.defined() ? a : b;
  Shape shape = broadcast_shapes("where", condition.shape(), one.shape());
  if (b.defined()) shape = broadcast_shapes("where", shape, b.shape());
  const Tensor& whole = one.shape() == shape ? one : b;  // one that has the result's shape
  const MemoryFormat order =
      whole.defined() && whole.shape() == shape ? whole.memory_format() : MemoryFormat::row_major;
  const auto is_number = [](const Tensor& x) { return x.numel() == 1 && !recording({x}); };
  const auto aligned = [&](const Tensor& x) {
    return x.defined() && !is_number(x) ? stretch(x, shape, order) : x;
  };
  const auto choice = [&](const Tensor& x) {
    return x.defined() ? kernels::Choice{x.raw_data(), is_number(x)} : kernels::Choice{};
  };
  const Tensor c = stretch(condition, shape, order), u = aligned(a), v = aligned(b);
  const Tensor y = empty(shape, one.dtype(), order);
  kernels::where(one.dtype(), shape.numel(), c.raw<uint8_t>(), choice(u), choice(v), y.raw_data());
  return scope.result(record<WhereNode>(y, {u, v}, c));
}

Tensor where(const Tensor& condition, const Tensor& a, detail::Number b) {
  const OpScope scope("where", condition, a, "b", b.value);
  return scope.result(where(condition, a, choice_of("where", a, b.value)));
}

Tensor where(const Tensor& condition, detail::Number a, const Tensor& b) {
  const OpScope scope("where", condition, b, "a", a.value);
  return scope.result(where(condition, choice_of("where", b, a.value), b));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  const OpScope scope("masked_fill", x, mask, "value", value);
  const Tensor number = choice_of("masked_fill", x, value);
  if (broadcast_shapes("masked_fill", mask.shape(), x.shape()) != x.shape()) {
    fail("masked_fill", "mask is ", mask, ", want a shape that stretches to that of x ", x);
  }
  return scope.result(where(mask, number, x));
}

}  // namespace tern
