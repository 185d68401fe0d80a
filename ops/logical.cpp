// SPDX-License-Identifier: Apache-2.0
#include "logical.h"

#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/op.h"

namespace tern {

namespace {

Tensor truth(const Tensor& x) { return x.dtype() == DType::boolean ? x : ne(x, 0.0); }

void check_mask(const char* op, const Tensor& x) {
  if (is_mask(x)) return;
  fail(op, "a mask is ", x, ", want bool, as comparisons give it, or u8: use logical_and, ",
       "logical_or, logical_xor or logical_not");
}

}  // namespace

// Comparisons of 0 and 1: a and b is a > !b, a or b is a >= !b.
Tensor logical_and(const Tensor& a, const Tensor& b) {
  const OpScope scope("logical_and", a, b);
  return scope.result(gt(truth(a), logical_not(b)));
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  const OpScope scope("logical_or", a, b);
  return scope.result(ge(truth(a), logical_not(b)));
}
Tensor logical_xor(const Tensor& a, const Tensor& b) {
  const OpScope scope("logical_xor", a, b);
  return scope.result(ne(truth(a), truth(b)));
}
Tensor logical_not(const Tensor& x) {
  const OpScope scope("logical_not", x);
  return scope.result(eq(x, 0.0));
}

Tensor operator&(const Tensor& a, const Tensor& b) {
  check_mask("&", a);
  check_mask("&", b);
  return logical_and(a, b);
}
Tensor operator|(const Tensor& a, const Tensor& b) {
  check_mask("|", a);
  check_mask("|", b);
  return logical_or(a, b);
}
Tensor operator^(const Tensor& a, const Tensor& b) {
  check_mask("^", a);
  check_mask("^", b);
  return logical_xor(a, b);
}
Tensor operator!(const Tensor& x) {
  check_mask("!", x);
  return logical_not(x);
}
Tensor operator~(const Tensor& x) {
  check_mask("~", x);
  return logical_not(x);
}

}  // namespace tern
