// SPDX-License-Identifier: Apache-2.0
#include "math.h"

#include <cmath>
#include <limits>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/unary.h"
#include "logical.h"

namespace tern {

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor exp(const Tensor& x) { return unary<kernels::Exp>(x); }
Tensor log(const Tensor& x) { return unary<kernels::Log>(x); }
Tensor log1p(const Tensor& x) { return unary<kernels::Log1p>(x); }
Tensor log2(const Tensor& x) { return unary<kernels::Log2>(x); }
Tensor log10(const Tensor& x) { return unary<kernels::Log10>(x); }
Tensor expm1(const Tensor& x) { return unary<kernels::Expm1>(x); }
Tensor sqrt(const Tensor& x) { return unary<kernels::Sqrt>(x); }
Tensor rsqrt(const Tensor& x) { return unary<kernels::Rsqrt>(x); }
Tensor reciprocal(const Tensor& x) { return 1.0 / x; }
Tensor abs(const Tensor& x) { return unary<kernels::Abs>(x); }
Tensor square(const Tensor& x) { return unary<kernels::Square>(x); }
Tensor sin(const Tensor& x) { return unary<kernels::Sin>(x); }
Tensor cos(const Tensor& x) { return unary<kernels::Cos>(x); }
Tensor atan(const Tensor& x) { return unary<kernels::Atan>(x); }
Tensor erf(const Tensor& x) { return unary<kernels::Erf>(x); }
Tensor clamp(const Tensor& x, double lo, double hi) {
  if (std::isnan(lo) || std::isnan(hi)) {
    fail("clamp", "lo is ", lo, ", hi is ", hi, ", want numbers: infinity where there is no limit");
  }
  return unary<kernels::Clamp>(x, {lo, hi});
}

Tensor clamp(const Tensor& x, const Tensor& lo, const Tensor& hi) {
  const OpScope scope("clamp", x, lo, hi);
  if (!lo.defined() && !hi.defined()) fail("clamp", "lo and hi are undefined, want at least one");
  // Not maximum and minimum, which would halve the gradient of an x that lies on its limit.
  Tensor y = x;
  if (lo.defined()) y = where(logical_or(lt(y, lo), isnan(lo)), lo, y);
  if (hi.defined()) y = where(logical_or(gt(y, hi), isnan(hi)), hi, y);
  return scope.result(y);
}
// Integers have no infinite limit.
Tensor clamp_min(const Tensor& x, double lo) {
  if (is_floating(x.dtype())) return clamp(x, lo, kInfinity);
  check_scalar("clamp_min", x.dtype(), lo);
  return clamp(x, full({}, lo, x.dtype()), {});
}
Tensor clamp_max(const Tensor& x, double hi) {
  if (is_floating(x.dtype())) return clamp(x, -kInfinity, hi);
  check_scalar("clamp_max", x.dtype(), hi);
  return clamp(x, {}, full({}, hi, x.dtype()));
}

Tensor floor(const Tensor& x) { return unary<kernels::Floor>(x); }
Tensor ceil(const Tensor& x) { return unary<kernels::Ceil>(x); }
Tensor round(const Tensor& x) { return unary<kernels::Round>(x); }
Tensor trunc(const Tensor& x) { return unary<kernels::Trunc>(x); }
Tensor sign(const Tensor& x) { return unary<kernels::Sign>(x); }

Tensor isnan(const Tensor& x) {
  const OpScope scope("isnan", x);
  return scope.result(ne(x, x));
}
Tensor isinf(const Tensor& x) {
  const OpScope scope("isinf", x);
  const NoGrad no_grad;
  return scope.result(eq(abs(x), kInfinity));
}
Tensor isfinite(const Tensor& x) {
  const OpScope scope("isfinite", x);
  const NoGrad no_grad;
  return scope.result(lt(abs(x), kInfinity));
}

Tensor nan_to_num(const Tensor& x, double nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  const double largest = x.dtype() == DType::f32 ? std::numeric_limits<float>::max()
                                                 : std::numeric_limits<double>::max();
  const double above = posinf.value_or(largest), below = neginf.value_or(-largest);
  const OpScope scope("nan_to_num", x, "nan", nan, "posinf", above, "neginf", below);
  if (!is_floating(x.dtype())) return scope.result(x.clone());
  const auto number = [&](double value) { return full({}, value, x.dtype()); };
  Tensor y = where(eq(x, kInfinity), number(above), x);
  y = where(eq(x, -kInfinity), number(below), y);
  return scope.result(where(isnan(x), number(nan), y));
}

}  // namespace tern
