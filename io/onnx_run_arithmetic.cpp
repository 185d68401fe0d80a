// SPDX-License-Identifier: Apache-2.0
// ONNX's elementwise operators.
#include <cmath>
#include <limits>
#include <numbers>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../ops/activations.h"
#include "../ops/arithmetic.h"
#include "../ops/logical.h"
#include "../ops/math.h"
#include "../ops/movement.h"
#include "../ops/reduce.h"
#include "internal/onnx_run.h"

namespace tern::io {

namespace {

// b as it was broadcast before opset 7: from `axis` on.
Tensor second(const OnnxCallIn& in) {
  const Tensor &a = in.x(0), &b = in.x(1);
  const int64_t axis = in.integer("axis", -1);
  if (in.opset() >= 7 || in.integer("broadcast", 0) == 0 || axis < 0) return b;
  std::vector<int64_t> sizes(b.shape().begin(), b.shape().end());
  while (static_cast<int64_t>(sizes.size()) + axis < a.dim()) sizes.push_back(1);
  return reshape(b, sizes);
}

Tensor whole_quotient(const Tensor& a, const Tensor& b) {  // towards 0
  return trunc(a.to(DType::f64) / b.to(DType::f64)).to(a.dtype());
}
Tensor quotient(const Tensor& a, const Tensor& b) {
  return is_floating(a.dtype()) ? div(a, b) : whole_quotient(a, b);
}
Tensor power(const Tensor& a, const Tensor& b) {
  if (is_floating(a.dtype())) {
    if (b.numel() == 1 && b.dim() == 0 && !b.requires_grad() &&
        b.to(DType::f64).item<double>() == 2)
      return pow(a, 2.0);
    return pow(a, b.to(a.dtype()));
  }
  return round(pow(a.to(DType::f64), b.to(DType::f64))).to(a.dtype());
}

template <Tensor (*F)(const Tensor&, const Tensor&)>
OnnxResults binary(const OnnxCallIn& in) {
  return {F(in.x(0), second(in))};
}
// Of one tensor or more.
template <Tensor (*F)(const Tensor&, const Tensor&)>
OnnxResults several(const OnnxCallIn& in) {
  Tensor y = in.x(0);
  for (size_t i = 1; i < in.inputs(); ++i) y = F(y, in.x(i));
  return {y};
}
OnnxResults mean_of(const OnnxCallIn& in) {
  return {several<add>(in)[0] / static_cast<double>(in.inputs())};
}
OnnxResults mod(const OnnxCallIn& in) {
  const Tensor &a = in.x(0), &b = in.x(1);
  if (in.integer("fmod", 0) == 0) return {remainder(a, b)};
  if (!is_floating(a.dtype())) return {a - whole_quotient(a, b) * b};
  const Tensor rest = remainder(abs(a), abs(b));  // with a's sign
  return {where(lt(a, 0.0), neg(rest), rest)};
}

// Comparisons.
template <Tensor (*F)(const Tensor&, const Tensor&)>
OnnxResults compare(const OnnxCallIn& in) {
  return {F(in.x(0), second(in))};
}
OnnxResults logical_not_of(const OnnxCallIn& in) { return {logical_not(in.x())}; }
OnnxResults choose(const OnnxCallIn& in) { return {where(in.x(0), in.x(1), in.x(2))}; }

// ---- Of one tensor

template <Tensor (*F)(const Tensor&)>
OnnxResults unary(const OnnxCallIn& in) {
  return {F(in.x())};
}
Tensor same(const Tensor& x) { return x; }
Tensor tan(const Tensor& x) { return sin(x) / cos(x); }
Tensor asin(const Tensor& x) { return atan(x * rsqrt((1.0 - x) * (1.0 + x))); }
Tensor acos(const Tensor& x) { return std::numbers::pi / 2 - asin(x); }
Tensor sinh(const Tensor& x) { return (expm1(x) - expm1(neg(x))) * 0.5; }
Tensor cosh(const Tensor& x) { return (exp(x) + exp(neg(x))) * 0.5; }
Tensor asinh(const Tensor& x) {
  const Tensor size = abs(x), square_of = square(size);
  return sign(x) * log1p(size + square_of / (1.0 + sqrt(square_of + 1.0)));
}
Tensor acosh(const Tensor& x) { return log(x + sqrt((x - 1.0) * (x + 1.0))); }
Tensor atanh(const Tensor& x) { return (log1p(x) - log1p(neg(x))) * 0.5; }
Tensor softplus_of(const Tensor& x) { return softplus(x); }

OnnxResults leaky(const OnnxCallIn& in) { return {leaky_relu(in.x(), in.number("alpha", 0.01))}; }
OnnxResults elu_of(const OnnxCallIn& in) { return {elu(in.x(), in.number("alpha", 1))}; }
OnnxResults celu(const OnnxCallIn& in) {
  const double alpha = in.number("alpha", 1);
  const Tensor& x = in.x();
  return {relu(x) + clamp_max(expm1(x / alpha) * alpha, 0)};
}
OnnxResults selu(const OnnxCallIn& in) {
  const double gamma = in.number("gamma", 1.05070102214813232421875);
  return {elu(in.x(), in.number("alpha", 1.67326319217681884765625)) * gamma};
}
OnnxResults hard_sigmoid(const OnnxCallIn& in) {
  const double alpha = in.number("alpha", 0.2), beta = in.number("beta", 0.5);
  constexpr double kSixth = 1.0 / 6, kClose = 1e-7;
  if (std::abs(alpha - kSixth) < kClose && beta == 0.5) return {hardsigmoid(in.x())};
  return {clamp(in.x() * alpha + beta, 0, 1)};
}
OnnxResults thresholded_relu(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  return {where(gt(x, in.number("alpha", 1)), x, {})};
}
OnnxResults shrink(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const double bias = in.number("bias", 0), lambd = in.number("lambd", 0.5);
  return {where(lt(x, -lambd), x + bias, where(gt(x, lambd), x - bias, {}))};
}
OnnxResults prelu_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Tensor slope = in.x(1);
  if (in.opset() < 7 && slope.dim() == 1 && slope.numel() > 1) {
    std::vector<int64_t> sizes(static_cast<size_t>(x.dim()) - 1, 1);
    sizes[0] = slope.numel();
    slope = reshape(slope, sizes);
  }
  return {where(gt(x, 0.0), x, x * slope)};
}
OnnxResults gelu_of(const OnnxCallIn& in) {
  const bool by_tanh = in.text("approximate", "none") == "tanh";
  const auto approximate = by_tanh ? GeluApproximation::tanh : GeluApproximation::none;
  return {gelu(in.x(), {.approximate = approximate})};
}
OnnxResults clip(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (is_floating(x.dtype())) {
    const double lo = in.has(size_t{1}) ? in.number(size_t{1}) : in.number("min", -kInfinity);
    const double hi = in.has(size_t{2}) ? in.number(size_t{2}) : in.number("max", kInfinity);
    return {clamp(x, std::min(lo, hi), hi)};
  }
  Tensor y = x;
  if (in.has(size_t{1})) y = maximum(y, in.x(1));
  if (in.has(size_t{2})) y = minimum(y, in.x(2));
  return {y};
}
OnnxResults is_inf(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool above = in.integer("detect_positive", 1) != 0;
  const bool below = in.integer("detect_negative", 1) != 0;
  if (above && below) return {isinf(x)};
  if (!above && !below) return {ne(x, x) & eq(x, x)};
  return {eq(x, above ? kInfinity : -kInfinity)};
}

// ---- Types

OnnxResults cast(const OnnxCallIn& in) {
  const auto type = static_cast<OnnxType>(in.integer("to", 0));
  const Tensor& x = in.x();
  if (type == OnnxType::f16 || type == OnnxType::bf16) {
    in.refuse("converts to " + to_string(type) + ", which Tern does not compute with");
  }
  return {x.to(dtype_of(in.op(), type))};
}
OnnxResults cast_like(const OnnxCallIn& in) { return {in.x().to(in.x(1).dtype())}; }

}  // namespace

const OnnxKernels& arithmetic_kernels() {
  static const OnnxKernels table = {{"Add", binary<add>},
                                    {"Sub", binary<sub>},
                                    {"Mul", binary<mul>},
                                    {"Div", binary<quotient>},
                                    {"Pow", binary<power>},
                                    {"Mod", mod},
                                    {"Sum", several<add>},
                                    {"Mean", mean_of},
                                    {"Max", several<maximum>},
                                    {"Min", several<minimum>},
                                    {"And", binary<logical_and>},
                                    {"Or", binary<logical_or>},
                                    {"Xor", binary<logical_xor>},
                                    {"Not", logical_not_of},
                                    {"Equal", compare<eq>},
                                    {"Less", compare<lt>},
                                    {"LessOrEqual", compare<le>},
                                    {"Greater", compare<gt>},
                                    {"GreaterOrEqual", compare<ge>},
                                    {"Where", choose},
                                    {"Identity", unary<same>},
                                    {"Abs", unary<abs>},
                                    {"Neg", unary<neg>},
                                    {"Exp", unary<exp>},
                                    {"Log", unary<log>},
                                    {"Sqrt", unary<sqrt>},
                                    {"Reciprocal", unary<reciprocal>},
                                    {"Floor", unary<floor>},
                                    {"Ceil", unary<ceil>},
                                    {"Round", unary<round>},
                                    {"Sign", unary<sign>},
                                    {"Relu", unary<relu>},
                                    {"Sigmoid", unary<sigmoid>},
                                    {"Tanh", unary<tanh>},
                                    {"Erf", unary<erf>},
                                    {"Sin", unary<sin>},
                                    {"Cos", unary<cos>},
                                    {"Tan", unary<tan>},
                                    {"Asin", unary<asin>},
                                    {"Acos", unary<acos>},
                                    {"Atan", unary<atan>},
                                    {"Sinh", unary<sinh>},
                                    {"Cosh", unary<cosh>},
                                    {"Asinh", unary<asinh>},
                                    {"Acosh", unary<acosh>},
                                    {"Atanh", unary<atanh>},
                                    {"Softplus", unary<softplus_of>},
                                    {"Softsign", unary<softsign>},
                                    {"HardSwish", unary<hardswish>},
                                    {"Mish", unary<mish>},
                                    {"IsNaN", unary<isnan>},
                                    {"IsInf", is_inf},
                                    {"LeakyRelu", leaky},
                                    {"Elu", elu_of},
                                    {"Celu", celu},
                                    {"Selu", selu},
                                    {"HardSigmoid", hard_sigmoid},
                                    {"ThresholdedRelu", thresholded_relu},
                                    {"Shrink", shrink},
                                    {"PRelu", prelu_of},
                                    {"Gelu", gelu_of},
                                    {"Clip", clip},
                                    {"Cast", cast},
                                    {"CastLike", cast_like}};
  return table;
}

}  // namespace tern::io
