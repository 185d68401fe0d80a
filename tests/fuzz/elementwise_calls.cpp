// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

namespace tern::fuzz {

namespace {

void add_arithmetic(Calls& calls) {
  calls.add("add", [](Draw& d) { return add(d.tensor(), d.like()); });
  calls.add("add", [](Draw& d) { return add(d.tensor(), d.real()); });
  calls.add("sub", [](Draw& d) { return sub(d.tensor(), d.like()); });
  calls.add("mul", [](Draw& d) { return mul(d.tensor(), d.like()); });
  calls.add("mul", [](Draw& d) { return mul(d.tensor(), d.real()); });
  calls.add("div", [](Draw& d) { return div(d.tensor(), d.like()); });
  calls.add("neg", [](Draw& d) { return neg(d.tensor()); });
  calls.add("operator+", [](Draw& d) { return d.tensor() + d.like(); });
  calls.add("operator+", [](Draw& d) { return d.tensor() + d.real(); });
  calls.add("operator+", [](Draw& d) { return d.real() + d.tensor(); });
  calls.add("operator-", [](Draw& d) { return d.tensor() - d.like(); });
  calls.add("operator-", [](Draw& d) { return d.tensor() - d.real(); });
  calls.add("operator-", [](Draw& d) { return d.real() - d.tensor(); });
  calls.add("operator-", [](Draw& d) { return -d.tensor(); });
  calls.add("operator*", [](Draw& d) { return d.tensor() * d.like(); });
  calls.add("operator*", [](Draw& d) { return d.tensor() * d.real(); });
  calls.add("operator*", [](Draw& d) { return d.real() * d.tensor(); });
  calls.add("operator/", [](Draw& d) { return d.tensor() / d.like(); });
  calls.add("operator/", [](Draw& d) { return d.tensor() / d.real(); });
  calls.add("operator/", [](Draw& d) { return d.real() / d.tensor(); });
  calls.add("pow", [](Draw& d) { return pow(d.tensor(), d.like()); });
  calls.add("pow", [](Draw& d) { return pow(d.tensor(), d.real(-3, 3)); });
  calls.add("pow", [](Draw& d) { return pow(d.real(), d.tensor()); });
  calls.add("minimum", [](Draw& d) { return minimum(d.tensor(), d.like()); });
  calls.add("maximum", [](Draw& d) { return maximum(d.tensor(), d.like()); });
  calls.add("min", [](Draw& d) { return min(d.tensor(), d.like()); });
  calls.add("max", [](Draw& d) { return max(d.tensor(), d.like()); });
  calls.add("remainder", [](Draw& d) { return remainder(d.tensor(), d.like()); });
  calls.add("remainder", [](Draw& d) { return remainder(d.tensor(), d.real()); });
  calls.add("lerp", [](Draw& d) { return lerp(d.tensor(), d.like(), d.real()); });
  calls.add("lerp", [](Draw& d) { return lerp(d.tensor(), d.like(), d.like()); });
  calls.add("addcmul", [](Draw& d) { return addcmul(d.tensor(), d.like(), d.like(), d.real()); });
  calls.add("addcdiv", [](Draw& d) { return addcdiv(d.tensor(), d.like(), d.like(), d.real()); });
  calls.add("add_relu", [](Draw& d) { return add_relu(d.tensor(), d.like()); });
}

void add_logic(Calls& calls) {
  calls.add("logical_and", [](Draw& d) { return logical_and(d.tensor(), d.like()); });
  calls.add("logical_or", [](Draw& d) { return logical_or(d.tensor(), d.like()); });
  calls.add("logical_xor", [](Draw& d) { return logical_xor(d.tensor(), d.like()); });
  calls.add("logical_not", [](Draw& d) { return logical_not(d.tensor()); });
  calls.add("operator&", [](Draw& d) { return d.mask({2, 3}) & d.mask({3}); });
  calls.add("operator|", [](Draw& d) { return d.mask({2, 3}) | d.mask({3}); });
  calls.add("operator^", [](Draw& d) { return d.mask({2, 3}) ^ d.mask({3}); });
  calls.add("operator!", [](Draw& d) { return !d.mask({2, 3}); });
  calls.add("operator~", [](Draw& d) { return ~d.mask({2, 3}); });
  calls.add("eq", [](Draw& d) { return eq(d.tensor(), d.like()); });
  calls.add("eq", [](Draw& d) { return eq(d.tensor(), d.real()); });
  calls.add("ne", [](Draw& d) { return ne(d.tensor(), d.like()); });
  calls.add("ne", [](Draw& d) { return ne(d.tensor(), d.real()); });
  calls.add("lt", [](Draw& d) { return lt(d.tensor(), d.like()); });
  calls.add("lt", [](Draw& d) { return lt(d.tensor(), d.real()); });
  calls.add("le", [](Draw& d) { return le(d.tensor(), d.like()); });
  calls.add("le", [](Draw& d) { return le(d.tensor(), d.real()); });
  calls.add("gt", [](Draw& d) { return gt(d.tensor(), d.like()); });
  calls.add("gt", [](Draw& d) { return gt(d.tensor(), d.real()); });
  calls.add("ge", [](Draw& d) { return ge(d.tensor(), d.like()); });
  calls.add("ge", [](Draw& d) { return ge(d.tensor(), d.real()); });
  calls.add("where", [](Draw& d) {
    const Tensor mask = d.mask(d.sizes(2));
    return where(mask, d.like(), d.like());
  });
  calls.add("where", [](Draw& d) { return where(d.mask({2, 3}), d.like(), d.real()); });
  calls.add("where", [](Draw& d) { return where(d.mask({2, 3}), d.real(), d.like()); });
  calls.add("masked_fill", [](Draw& d) {
    const Tensor mask = d.mask(d.sizes(3));
    return masked_fill(d.like(), mask, d.real());
  });
}

void add_in_place(Calls& calls) {
  calls.add("add_", [](Draw& d) { return add_(d.tensor(), d.like(), d.real()); });
  calls.add("add_", [](Draw& d) { return add_(d.tensor(), d.real()); });
  calls.add("sub_", [](Draw& d) { return sub_(d.tensor(), d.like(), d.real()); });
  calls.add("sub_", [](Draw& d) { return sub_(d.tensor(), d.real()); });
  calls.add("mul_", [](Draw& d) { return mul_(d.tensor(), d.like()); });
  calls.add("mul_", [](Draw& d) { return mul_(d.tensor(), d.real()); });
  calls.add("div_", [](Draw& d) { return div_(d.tensor(), d.like()); });
  calls.add("div_", [](Draw& d) { return div_(d.tensor(), d.real()); });
  calls.add("lerp_", [](Draw& d) { return lerp_(d.tensor(), d.like(), d.real()); });
  calls.add("clamp_", [](Draw& d) { return clamp_(d.tensor(), d.real(), d.real()); });
  calls.add("compound assignment", [](Draw& d) {
    Tensor x = d.tensor();
    const Tensor before = x, y = d.like();
    x += y;
    x *= d.real();
    x -= d.real();
    x /= y;
    return std::vector{x, before};
  });
  calls.add("copy_", [](Draw& d) {
    const Tensor x = d.tensor();
    x.copy_(d.like());
    return x;
  });
  calls.add("fill_", [](Draw& d) {
    const Tensor x = d.tensor();
    x.fill_(d.real());
    return x;
  });
  calls.add("zero_", [](Draw& d) {
    const Tensor x = d.tensor();
    x.zero_();
    return x;
  });
}

void add_functions(Calls& calls) {
  calls.add("exp", [](Draw& d) { return exp(d.floating().tensor()); });
  calls.add("log", [](Draw& d) { return log(d.floating().tensor()); });
  calls.add("log1p", [](Draw& d) { return log1p(d.floating().tensor()); });
  calls.add("log2", [](Draw& d) { return log2(d.floating().tensor()); });
  calls.add("log10", [](Draw& d) { return log10(d.floating().tensor()); });
  calls.add("expm1", [](Draw& d) { return expm1(d.floating().tensor()); });
  calls.add("rsqrt", [](Draw& d) { return rsqrt(d.floating().tensor()); });
  calls.add("reciprocal", [](Draw& d) { return reciprocal(d.floating().tensor()); });
  calls.add("atan", [](Draw& d) { return atan(d.floating().tensor()); });
  calls.add("floor", [](Draw& d) { return floor(d.tensor()); });
  calls.add("ceil", [](Draw& d) { return ceil(d.tensor()); });
  calls.add("round", [](Draw& d) { return round(d.tensor()); });
  calls.add("trunc", [](Draw& d) { return trunc(d.tensor()); });
  calls.add("sign", [](Draw& d) { return sign(d.tensor()); });
  calls.add("isnan", [](Draw& d) { return isnan(d.tensor()); });
  calls.add("isinf", [](Draw& d) { return isinf(d.tensor()); });
  calls.add("isfinite", [](Draw& d) { return isfinite(d.tensor()); });
  calls.add("nan_to_num", [](Draw& d) {
    return nan_to_num(d.tensor(), d.real(), d.maybe_real(-9, 9), d.maybe_real(-9, 9));
  });
  calls.add("square", [](Draw& d) { return square(d.tensor()); });
  calls.add("clamp", [](Draw& d) { return clamp(d.tensor(), d.real(-2, 0), d.real(0, 2)); });
  calls.add("clamp", [](Draw& d) { return clamp(d.tensor(), d.like(), d.like()); });
  calls.add("clamp_min", [](Draw& d) { return clamp_min(d.tensor(), d.real()); });
  calls.add("clamp_max", [](Draw& d) { return clamp_max(d.tensor(), d.real()); });
  calls.add("sqrt", [](Draw& d) { return sqrt(d.floating().tensor()); });
  calls.add("abs", [](Draw& d) { return abs(d.tensor()); });
  calls.add("sin", [](Draw& d) { return sin(d.floating().tensor()); });
  calls.add("cos", [](Draw& d) { return cos(d.floating().tensor()); });
  calls.add("erf", [](Draw& d) { return erf(d.floating().tensor()); });
  calls.add("dropout", [](Draw& d) { return dropout(d.tensor(), d.real(0, 1), d.flag()); });
  calls.add("dropout2d", [](Draw& d) {
    return dropout2d(d.floating().tensor(d.sizes(4)), d.real(0, 1), d.flag());
  });
}

void add_activations(Calls& calls) {
  calls.add("relu", [](Draw& d) { return relu(d.tensor()); });
  calls.add("leaky_relu", [](Draw& d) { return leaky_relu(d.floating().tensor(), d.real()); });
  calls.add("sigmoid", [](Draw& d) { return sigmoid(d.floating().tensor()); });
  calls.add("tanh", [](Draw& d) { return tanh(d.floating().tensor()); });
  calls.add("gelu", [](Draw& d) { return gelu(d.floating().tensor()); });
  calls.add("gelu", [](Draw& d) {
    const auto approximate = d.one_of({GeluApproximation::none, GeluApproximation::tanh});
    return gelu(d.floating().tensor(), {.approximate = approximate});
  });
  calls.add("silu", [](Draw& d) { return silu(d.floating().tensor()); });
  calls.add("elu", [](Draw& d) { return elu(d.floating().tensor(), d.real()); });
  calls.add("softplus",
            [](Draw& d) { return softplus(d.floating().tensor(), d.real(), d.real()); });
  calls.add("hardtanh",
            [](Draw& d) { return hardtanh(d.floating().tensor(), d.real(-2, 0), d.real(0, 2)); });
  calls.add("relu6", [](Draw& d) { return relu6(d.floating().tensor()); });
  calls.add("hardsigmoid", [](Draw& d) { return hardsigmoid(d.floating().tensor()); });
  calls.add("hardswish", [](Draw& d) { return hardswish(d.floating().tensor()); });
  calls.add("mish", [](Draw& d) { return mish(d.floating().tensor()); });
  calls.add("logsigmoid", [](Draw& d) { return logsigmoid(d.floating().tensor()); });
  calls.add("softsign", [](Draw& d) { return softsign(d.floating().tensor()); });
  calls.add("prelu", [](Draw& d) {
    const int64_t channels = d.length();
    const Tensor x = d.floating().tensor({d.length(), channels, d.length()});
    return prelu(x, d.tensor({d.flag() ? channels : 1}));
  });
  calls.add("glu", [](Draw& d) {
    const Tensor x = d.floating().tensor({d.length(), 2 * d.length()});
    return glu(x, d.integer(-2, 1));
  });
  calls.add("softmax", [](Draw& d) { return softmax(d.floating().tensor(), d.axis()); });
  calls.add("log_softmax", [](Draw& d) { return log_softmax(d.floating().tensor(), d.axis()); });
}

}  // namespace

void add_elementwise(Calls& calls) {
  add_arithmetic(calls);
  add_logic(calls);
  add_in_place(calls);
  add_functions(calls);
  add_activations(calls);
}

}  // namespace tern::fuzz
