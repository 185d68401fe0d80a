// SPDX-License-Identifier: Apache-2.0
// Elementwise operations and reductions as ONNX's nodes.
#include <cmath>
#include <numbers>

#include "../core/error.h"
#include "internal/onnx_emit.h"

namespace tern::io {

namespace {

// ---- Of two tensors, or a tensor and a number ---------------------------------------------------

// The inputs of an operation of a and b, both of `dtype`; numbers are attributes. An in-place
// operation calls them x and y, and multiplies y by alpha.
std::pair<std::string, std::string> operands(const OnnxCall& call, DType dtype) {
  if (call.inputs() >= 2) {
    std::string b = call.in_as(1, dtype);
    if (call.has_attribute("alpha") && call.number("alpha") != 1) {
      b = call.binary("Mul", b, call.scalar(call.number("alpha"), dtype));
    }
    return {call.in_as(0, dtype), b};
  }
  const std::string x = call.in_as(0, dtype);
  for (const char* name : {"b", "y", "exponent"}) {
    if (call.has_attribute(name)) return {x, call.scalar(call.number(name), dtype)};
  }
  return {call.scalar(call.number("a"), dtype), x};
}

template <const char* const& Op>
void arithmetic(const OnnxCall& call) {
  const auto [a, b] = operands(call, call.result_dtype());
  call.result(call.binary(Op, a, b));
}
constexpr const char* kAdd = "Add";
constexpr const char* kSub = "Sub";
constexpr const char* kMul = "Mul";
constexpr const char* kDiv = "Div";
constexpr const char* kPow = "Pow";
constexpr const char* kMin = "Min";
constexpr const char* kMax = "Max";

void add_relu(const OnnxCall& call) {
  call.result(call.node("Relu", {call.binary("Add", call.in(0), call.in(1))}));
}

// a - b floor(a / b): the sign of b, as Mod has it for integers only.
void remainder(const OnnxCall& call) {
  const DType dtype = call.result_dtype();
  const auto [a, b] = operands(call, dtype);
  if (!is_floating(dtype)) return call.result(call.binary("Mod", a, b));
  const std::string times = call.node("Floor", {call.binary("Div", a, b)});
  call.result(call.binary("Sub", a, call.binary("Mul", b, times)));
}

// The dtype in which two inputs, or one and a number, are compared: bool has no order in ONNX.
DType compared_dtype(const OnnxCall& call) {
  const auto number = [](DType dtype) { return dtype == DType::boolean ? DType::u8 : dtype; };
  const DType dtype = number(call.dtype(0));
  if (call.inputs() >= 2) return dtype;
  const double b = call.number("b");
  const bool fits = is_floating(dtype) || (b == std::trunc(b) && std::abs(b) < 0x1p53 &&
                                           (dtype != DType::u8 || (b >= 0 && b < 256)));
  return fits ? dtype : DType::f64;
}

std::string compared(const OnnxCall& call, const char* op) {
  const auto [a, b] = operands(call, compared_dtype(call));
  return call.binary(op, a, b);
}
void eq(const OnnxCall& call) { call.result(compared(call, "Equal")); }
void ne(const OnnxCall& call) { call.result(call.node("Not", {compared(call, "Equal")})); }
void lt(const OnnxCall& call) { call.result(compared(call, "Less")); }
void le(const OnnxCall& call) { call.result(compared(call, "LessOrEqual")); }
void gt(const OnnxCall& call) { call.result(compared(call, "Greater")); }
void ge(const OnnxCall& call) { call.result(compared(call, "GreaterOrEqual")); }

std::string truth(const OnnxCall& call, size_t input) { return call.in_as(input, DType::boolean); }
void logical_and(const OnnxCall& call) {
  call.result(call.binary("And", truth(call, 0), truth(call, 1)));
}
void logical_or(const OnnxCall& call) {
  call.result(call.binary("Or", truth(call, 0), truth(call, 1)));
}
void logical_xor(const OnnxCall& call) {
  call.result(call.binary("Xor", truth(call, 0), truth(call, 1)));
}
void logical_not(const OnnxCall& call) { call.result(call.node("Not", {truth(call, 0)})); }

// An absent tensor is 0; a number is an attribute.
void where(const OnnxCall& call) {
  const DType dtype = call.result_dtype();
  std::string a, b;
  if (call.has_attribute("a")) {
    a = call.scalar(call.number("a"), dtype);
    b = call.in_as(1, dtype);
  } else if (call.has_attribute("b")) {
    a = call.in_as(1, dtype);
    b = call.scalar(call.number("b"), dtype);
  } else {
    a = call.has(1) ? call.in_as(1, dtype) : call.scalar(0, dtype);
    b = call.has(2) ? call.in_as(2, dtype) : call.scalar(0, dtype);
  }
  call.result(call.node("Where", {truth(call, 0), a, b}));
}
void masked_fill(const OnnxCall& call) {
  const DType dtype = call.result_dtype();
  call.result(call.node(
      "Where", {truth(call, 1), call.scalar(call.number("value"), dtype), call.in_as(0, dtype)}));
}

// ---- Of one tensor ------------------------------------------------------------------------------

// x as a number, so that a node takes it.
std::string x_of(const OnnxCall& call) { return call.in_as(0, call.result_dtype()); }

template <const char* const& Op>
void unary(const OnnxCall& call) {
  call.result(call.node(Op, {x_of(call)}));
}
constexpr const char* kNeg = "Neg";
constexpr const char* kExp = "Exp";
constexpr const char* kLog = "Log";
constexpr const char* kSqrt = "Sqrt";
constexpr const char* kAbs = "Abs";
constexpr const char* kSin = "Sin";
constexpr const char* kCos = "Cos";
constexpr const char* kAtan = "Atan";
constexpr const char* kTanh = "Tanh";
constexpr const char* kErf = "Erf";
constexpr const char* kFloor = "Floor";
constexpr const char* kCeil = "Ceil";
constexpr const char* kRound = "Round";
constexpr const char* kSign = "Sign";
constexpr const char* kRelu = "Relu";
constexpr const char* kSigmoid = "Sigmoid";
constexpr const char* kSoftsign = "Softsign";
constexpr const char* kHardSwish = "HardSwish";

// A function of x, for formulas.
struct Formula {
  const OnnxCall& call;
  DType dtype = call.result_dtype();
  std::string x = x_of(call);

  std::string number(double value) const { return call.scalar(value, dtype); }
  std::string of(const char* op, const std::string& a) const { return call.node(op, {a}); }
  std::string of(const char* op, const std::string& a, const std::string& b) const {
    return call.binary(op, a, b);
  }
};

void log1p(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Log", f.of("Add", f.x, f.number(1))));
}
void log2(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Div", f.of("Log", f.x), f.number(std::numbers::ln2)));
}
void log10(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Div", f.of("Log", f.x), f.number(std::numbers::ln10)));
}
void expm1(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Sub", f.of("Exp", f.x), f.number(1)));
}
void rsqrt(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Reciprocal", f.of("Sqrt", f.x)));
}
void square(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Mul", f.x, f.x));
}
void trunc(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Mul", f.of("Sign", f.x), f.of("Floor", f.of("Abs", f.x))));
}
void silu(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Mul", f.x, f.of("Sigmoid", f.x)));
}
void gelu(const OnnxCall& call) {
  const Formula f{call};
  const std::string erf = f.of("Erf", f.of("Div", f.x, f.number(std::numbers::sqrt2)));
  call.result(f.of("Mul", f.of("Mul", f.x, f.of("Add", erf, f.number(1))), f.number(0.5)));
}
void gelu_tanh(const OnnxCall& call) {
  const Formula f{call};
  const std::string cube = f.of("Mul", f.x, f.of("Mul", f.x, f.x));
  const std::string inner = f.of("Add", f.x, f.of("Mul", cube, f.number(0.044715)));
  const double factor = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
  const std::string tanh = f.of("Tanh", f.of("Mul", inner, f.number(factor)));
  call.result(f.of("Mul", f.of("Mul", f.x, f.of("Add", tanh, f.number(1))), f.number(0.5)));
}
void mish(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Mul", f.x, f.of("Tanh", f.of("Softplus", f.x))));
}
void logsigmoid(const OnnxCall& call) {
  const Formula f{call};
  call.result(f.of("Neg", f.of("Softplus", f.of("Neg", f.x))));
}
void softplus(const OnnxCall& call) {
  const Formula f{call};
  const double beta = call.number("beta"), threshold = call.number("threshold");
  std::string scaled = beta == 1 ? f.x : f.of("Mul", f.x, f.number(beta));
  std::string y = f.of("Softplus", scaled);
  if (beta != 1) y = f.of("Div", y, f.number(beta));
  constexpr double kAlike = 17;  // above, log(1 + exp(x)) is x in f32
  if (threshold < kAlike) {
    y = call.node("Where", {f.of("Greater", scaled, f.number(threshold)), f.x, y});
  }
  call.result(y);
}
void leaky_relu(const OnnxCall& call) {
  call.result(
      call.node("LeakyRelu", {x_of(call)}, {attribute("alpha", call.number("negative_slope"))}));
}
void elu(const OnnxCall& call) {
  call.result(call.node("Elu", {x_of(call)}, {attribute("alpha", call.number("alpha"))}));
}
void hardsigmoid(const OnnxCall& call) {
  call.result(call.node("HardSigmoid", {x_of(call)},
                        {attribute("alpha", 1.0 / 6), attribute("beta", 0.5)}));
}
void prelu(const OnnxCall& call) {
  TracedSizes to;  // [C, 1, 1] stretches to [N, C, H, W]
  const int64_t count = call.fixed(1, 0);
  if (count != 1) to.push_back({count, count});
  for (int64_t d = 2; count != 1 && d < call.rank(0); ++d) to.push_back({1, 1});
  const std::string slope = count == 1 ? call.in(1) : call.reshape(call.in(1), call.sizes(1), to);
  call.result(call.node("PRelu", {call.in(0), slope}));
}

void clip(const OnnxCall& call, double lo, double hi) {
  const DType dtype = call.result_dtype();
  const auto limit = [&](double value) {
    return std::isinf(value) ? "" : call.scalar(value, dtype);
  };
  const std::string x = x_of(call);
  if (std::isinf(lo) && std::isinf(hi)) return call.result(x);
  call.result(call.node("Clip", {x, limit(lo), limit(hi)}));
}
void clamp(const OnnxCall& call) {
  if (call.has_attribute("lo")) return clip(call, call.number("lo"), call.number("hi"));
  std::string y = call.in(0);
  if (call.has(1)) y = call.binary("Max", y, call.in(1));
  if (call.has(2)) y = call.binary("Min", y, call.in(2));
  call.result(y);
}
void hardtanh(const OnnxCall& call) { clip(call, call.number("min_val"), call.number("max_val")); }

void softmax(const OnnxCall& call) {
  call.result(call.node("Softmax", {call.in(0)}, {attribute("axis", call.axis("axis"))}));
}
void log_softmax(const OnnxCall& call) {
  call.result(call.node("LogSoftmax", {call.in(0)}, {attribute("axis", call.axis("axis"))}));
}

// ---- Reductions ---------------------------------------------------------------------------------

OnnxAttribute keepdims(const OnnxCall& call) {
  return attribute("keepdims", int64_t{call.get<bool>("keepdim")});
}

void sum(const OnnxCall& call) {
  const std::string x = x_of(call);
  if (call.rank(0) == 0) return call.result(x);
  call.result(call.node("ReduceSum", {x, call.integers(call.axes("axes"))}, {keepdims(call)}));
}

template <const char* const& Op>
void reduce(const OnnxCall& call) {
  // ONNX has no extremes of bool and no other reductions of small integers.
  const DType dtype = call.result_dtype() == DType::boolean ? DType::u8 : call.result_dtype();
  std::string y = call.in_as(0, dtype);
  if (call.rank(0) > 0) {
    y = call.node(Op, {y}, {attribute("axes", call.axes("axes")), keepdims(call)});
  }
  call.result(call.cast(y, dtype, call.result_dtype()));
}
constexpr const char* kReduceMean = "ReduceMean";
constexpr const char* kReduceProd = "ReduceProd";
constexpr const char* kReduceMax = "ReduceMax";
constexpr const char* kReduceMin = "ReduceMin";
constexpr const char* kReduceLogSumExp = "ReduceLogSumExp";

template <const char* const& Op>
void place(const OnnxCall& call) {
  const DType dtype = call.dtype(0) == DType::boolean ? DType::u8 : call.dtype(0);
  const std::string x = call.in_as(0, dtype);
  if (call.has_attribute("axis")) {
    call.result(call.node(Op, {x}, {attribute("axis", call.axis("axis")), keepdims(call)}));
    return;
  }
  const std::string flat = call.node("Reshape", {x, call.integers({-1})});
  call.result(
      call.node(Op, {flat}, {attribute("axis", int64_t{0}), attribute("keepdims", int64_t{0})}));
}
constexpr const char* kArgMax = "ArgMax";
constexpr const char* kArgMin = "ArgMin";

void cumsum(const OnnxCall& call) {
  call.result(call.node("CumSum", {x_of(call), call.integer(call.axis("axis"))}));
}

// What sum_to keeps of the axes is 1 or as long as it was.
void sum_to(const OnnxCall& call) {
  const TracedSizes from = call.sizes(0), to = call.result_sizes();
  const size_t lead = from.size() - to.size();
  std::vector<int64_t> axes;
  for (size_t d = 0; d < from.size(); ++d) {
    if (d < lead || from[d] != to[d - lead]) axes.push_back(static_cast<int64_t>(d));
  }
  TracedSizes kept = from;
  for (const int64_t axis : axes) kept[static_cast<size_t>(axis)] = {1, 1};
  const std::string y = call.node("ReduceSum", {x_of(call), call.integers(axes)},
                                  {attribute("keepdims", int64_t{1})});
  call.result(call.reshape(y, kept, to));
}

}  // namespace

const OnnxEmits& arithmetic_emits() {
  static const OnnxEmits table = {{"add", arithmetic<kAdd>},
                                  {"add_", arithmetic<kAdd>},
                                  {"sub", arithmetic<kSub>},
                                  {"sub_", arithmetic<kSub>},
                                  {"mul", arithmetic<kMul>},
                                  {"mul_", arithmetic<kMul>},
                                  {"div", arithmetic<kDiv>},
                                  {"div_", arithmetic<kDiv>},
                                  {"pow", arithmetic<kPow>},
                                  {"minimum", arithmetic<kMin>},
                                  {"maximum", arithmetic<kMax>},
                                  {"add_relu", add_relu},
                                  {"remainder", remainder},
                                  {"eq", eq},
                                  {"ne", ne},
                                  {"lt", lt},
                                  {"le", le},
                                  {"gt", gt},
                                  {"ge", ge},
                                  {"logical_and", logical_and},
                                  {"logical_or", logical_or},
                                  {"logical_xor", logical_xor},
                                  {"logical_not", logical_not},
                                  {"where", where},
                                  {"masked_fill", masked_fill},
                                  {"neg", unary<kNeg>},
                                  {"exp", unary<kExp>},
                                  {"log", unary<kLog>},
                                  {"log1p", log1p},
                                  {"log2", log2},
                                  {"log10", log10},
                                  {"expm1", expm1},
                                  {"sqrt", unary<kSqrt>},
                                  {"rsqrt", rsqrt},
                                  {"square", square},
                                  {"abs", unary<kAbs>},
                                  {"sin", unary<kSin>},
                                  {"cos", unary<kCos>},
                                  {"atan", unary<kAtan>},
                                  {"tanh", unary<kTanh>},
                                  {"erf", unary<kErf>},
                                  {"floor", unary<kFloor>},
                                  {"ceil", unary<kCeil>},
                                  {"round", unary<kRound>},
                                  {"trunc", trunc},
                                  {"sign", unary<kSign>},
                                  {"relu", unary<kRelu>},
                                  {"leaky_relu", leaky_relu},
                                  {"sigmoid", unary<kSigmoid>},
                                  {"silu", silu},
                                  {"gelu", gelu},
                                  {"gelu_tanh", gelu_tanh},
                                  {"elu", elu},
                                  {"softplus", softplus},
                                  {"hardtanh", hardtanh},
                                  {"hardsigmoid", hardsigmoid},
                                  {"hardswish", unary<kHardSwish>},
                                  {"mish", mish},
                                  {"logsigmoid", logsigmoid},
                                  {"softsign", unary<kSoftsign>},
                                  {"prelu", prelu},
                                  {"clamp", clamp},
                                  {"clamp_", clamp},
                                  {"softmax", softmax},
                                  {"log_softmax", log_softmax},
                                  {"sum", sum},
                                  {"mean", reduce<kReduceMean>},
                                  {"prod", reduce<kReduceProd>},
                                  {"max", reduce<kReduceMax>},
                                  {"min", reduce<kReduceMin>},
                                  {"logsumexp", reduce<kReduceLogSumExp>},
                                  {"argmax", place<kArgMax>},
                                  {"argmin", place<kArgMin>},
                                  {"cumsum", cumsum},
                                  {"sum_to", sum_to}};
  return table;
}

}  // namespace tern::io
