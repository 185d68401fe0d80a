// SPDX-License-Identifier: Apache-2.0
#include "in_place.h"

#include <cmath>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/binary.h"
#include "internal/unary.h"

namespace tern {

namespace {

using kernels::Binary;

void check_unrecorded(const char* op, const Tensor& x, const Tensor& y = {}) {
  if (recording({x})) {
    fail(op, "changes ", x, " in place, which requires a gradient: do it inside a NoGrad scope");
  }
  if (y.defined() && recording({y})) {
    fail(op, "the other tensor, ", y, ", requires a gradient, and a change of ", x,
         " in place is not recorded: use the operation that returns a tensor");
  }
}

Tensor change(const char* op, Binary kind, const Tensor& x, const Tensor& y) {
  check_unrecorded(op, x, y);
  const OpScope scope(op, x, y);
  const NoGrad no_grad;
  binary_into(op, kind, x, y);
  x.bump_version();
  return scope.result(x);
}

template <class F>
Tensor change(const char* op, const Tensor& x, double y, double sign = 1) {
  check_unrecorded(op, x);
  const OpScope scope(op, x, "y", y);
  unary_into<F>(op, x, {sign * y});
  x.bump_version();
  return scope.result(x);
}

// x + alpha * y
Tensor add_scaled(const char* op, Binary kind, const Tensor& x, const Tensor& y, double alpha) {
  check_unrecorded(op, x, y);
  const OpScope scope(op, x, y, "alpha", alpha);
  const NoGrad no_grad;
  binary_into(op, kind, x, alpha == 1 ? y : y * alpha);
  x.bump_version();
  return scope.result(x);
}

// Whether x op= y has to be recorded. A leaf's change never is: what trains it would lose it.
bool rebinds(const Tensor& x, const Tensor& y) {
  return !(x.is_leaf() && x.requires_grad()) && recording({x, y});
}

Tensor& rebind(const char* op, Tensor& x, const Tensor& y) {
  if (y.shape() != x.shape()) {
    fail(op, "the result would have another shape, ", y, ", than x, ", x,
         ": assign the operation's result");
  }
  return x = y;
}

}  // namespace

Tensor add_(const Tensor& x, const Tensor& y, double alpha) {
  return add_scaled("add_", Binary::add, x, y, alpha);
}
Tensor sub_(const Tensor& x, const Tensor& y, double alpha) {
  return add_scaled("sub_", Binary::sub, x, y, alpha);
}
Tensor mul_(const Tensor& x, const Tensor& y) { return change("mul_", Binary::mul, x, y); }
Tensor div_(const Tensor& x, const Tensor& y) { return change("div_", Binary::div, x, y); }
Tensor add_(const Tensor& x, double y) { return change<kernels::Add>("add_", x, y); }
Tensor sub_(const Tensor& x, double y) { return change<kernels::Add>("sub_", x, y, -1); }
Tensor mul_(const Tensor& x, double y) { return change<kernels::Mul>("mul_", x, y); }
Tensor div_(const Tensor& x, double y) { return change<kernels::Div>("div_", x, y); }

Tensor lerp_(const Tensor& x, const Tensor& y, double weight) {
  check_unrecorded("lerp_", x, y);
  const OpScope scope("lerp_", x, y, "weight", weight);
  const NoGrad no_grad;
  x.copy_(lerp(x, y, weight));
  return scope.result(x);
}

Tensor clamp_(const Tensor& x, double lo, double hi) {
  check_unrecorded("clamp_", x);
  if (std::isnan(lo) || std::isnan(hi))
    fail("clamp_", "lo is ", lo, ", hi is ", hi, ", want numbers");
  const OpScope scope("clamp_", x, "lo", lo, "hi", hi);
  unary_into<kernels::Clamp>("clamp_", x, {lo, hi});
  x.bump_version();
  return scope.result(x);
}

Tensor& operator+=(Tensor& x, const Tensor& y) {
  if (rebinds(x, y)) return rebind("+=", x, x + y);
  add_(x, y);
  return x;
}
Tensor& operator-=(Tensor& x, const Tensor& y) {
  if (rebinds(x, y)) return rebind("-=", x, x - y);
  sub_(x, y);
  return x;
}
Tensor& operator*=(Tensor& x, const Tensor& y) {
  if (rebinds(x, y)) return rebind("*=", x, x * y);
  mul_(x, y);
  return x;
}
Tensor& operator/=(Tensor& x, const Tensor& y) {
  if (rebinds(x, y)) return rebind("/=", x, x / y);
  div_(x, y);
  return x;
}
Tensor& operator+=(Tensor& x, double y) {
  if (rebinds(x, {})) return x = x + y;
  add_(x, y);
  return x;
}
Tensor& operator-=(Tensor& x, double y) {
  if (rebinds(x, {})) return x = x - y;
  sub_(x, y);
  return x;
}
Tensor& operator*=(Tensor& x, double y) {
  if (rebinds(x, {})) return x = x * y;
  mul_(x, y);
  return x;
}
Tensor& operator/=(Tensor& x, double y) {
  if (rebinds(x, {})) return x = x / y;
  div_(x, y);
  return x;
}

}  // namespace tern
