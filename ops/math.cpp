// SPDX-License-Identifier: Apache-2.0
#include "math.h"

#include "unary.h"

namespace tern {

using kernels::Unary;

Tensor exp(const Tensor& x) { return unary("exp", Unary::exp, x); }
Tensor log(const Tensor& x) { return unary("log", Unary::log, x); }
Tensor sqrt(const Tensor& x) { return unary("sqrt", Unary::sqrt, x); }
Tensor abs(const Tensor& x) { return unary("abs", Unary::abs, x); }
Tensor sin(const Tensor& x) { return unary("sin", Unary::sin, x); }
Tensor cos(const Tensor& x) { return unary("cos", Unary::cos, x); }
Tensor erf(const Tensor& x) { return unary("erf", Unary::erf, x); }

}  // namespace tern
