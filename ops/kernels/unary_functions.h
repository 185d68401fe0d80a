// SPDX-License-Identifier: Apache-2.0
// Note [A function is written once]
// Each elementwise function of one tensor is a struct here and a name in the list at the end. From
// that follow the float32 and float64 kernels, those of integers, and the derivatives of every
// order: `gradient` is a template that is also instantiated for Tensor, where the same formula is
// made of recorded operations.
//
// Local to the including source, as functions of several instruction sets must be.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>

#include "functions.h"
#include "unary.h"

namespace tern::kernels {
namespace {

// The words that formulas are made of, for floats; those of tensors are the operations.
using std::atan;
using std::cos;
using std::erf;
using std::expm1;
using std::log;
using std::log10;
using std::log1p;
using std::log2;
using std::pow;
using std::sin;
using std::sqrt;
using std::tanh;

template <class T>
concept Float = std::is_floating_point_v<T>;
/// The type of constants beside a T.
template <class T>
using Number = std::conditional_t<Float<T>, T, double>;

template <Float T>
bool lt(T a, std::type_identity_t<T> b) {
  return a < b;
}
template <Float T>
bool le(T a, std::type_identity_t<T> b) {
  return a <= b;
}
template <Float T>
bool gt(T a, std::type_identity_t<T> b) {
  return a > b;
}
template <Float T>
bool ge(T a, std::type_identity_t<T> b) {
  return a >= b;
}
/// Both are computed, and a mask chooses: so loops can be vectorised. (A branch could not, as what
/// it leaves out might trap, and to let g++ ignore traps would let it raise flags that exp()
/// avoids.)
template <Float T>
T where(bool condition, T a, std::type_identity_t<T> b) {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  const Bits mask = -static_cast<Bits>(condition);
  return std::bit_cast<T>((std::bit_cast<Bits>(a) & mask) | (std::bit_cast<Bits>(b) & ~mask));
}
template <Float T>
T abs(T x) {
  return std::fabs(x);
}
/// Without the overflow flag of a result that is infinite.
template <Float T>
T exp(T x) {
  constexpr T kLargest = sizeof(T) == 4 ? T(88.7228317) : T(709.7827128933839);
  const T y = std::exp(where(gt(x, kLargest), kLargest, x));
  return where(gt(x, kLargest), std::numeric_limits<T>::infinity(), y);
}
template <Float T>
T sigmoid(T x) {
  return 1 / (1 + exp(-x));
}
/// x from -limit to limit.
template <Float T>
T bounded(T x, std::type_identity_t<T> limit) {
  return where(gt(x, limit), limit, where(lt(x, -limit), -limit, x));
}
/// exp(-scale * x^2), where x^2 need not be finite.
template <Float T>
T gaussian(T x, std::type_identity_t<T> scale) {
  x = bounded(x, 64);
  return std::exp(-scale * x * x);
}
/// 1 / (1 + x^2), where x^2 need not be finite: with i = 1 / (1 + |x|), i^2 / (1 - 2 i + 2 i^2).
template <Float T>
T lorentzian(T x) {
  const T inverse = 1 / (1 + std::fabs(x));
  return inverse * inverse / (1 - 2 * inverse * (1 - inverse));
}
// Rounding in two additions, which the compiler vectorises for every processor: above 2^23, and
// 2^52, floats are whole.
/// The nearest whole number, of two the even one.
template <Float T>
T round(T x) {
  constexpr T kWhole = sizeof(T) == 4 ? T(0x1p23) : T(0x1p52);
  const T shift = std::copysign(kWhole, x);
  const T y = std::copysign((x + shift) - shift, x);
  return where(lt(std::fabs(x), kWhole), y, x);
}
template <Float T>
T floor(T x) {
  const T y = round(x);
  return std::copysign(where(gt(y, x), y - 1, y), x);
}
template <Float T>
T ceil(T x) {
  const T y = round(x);
  return std::copysign(where(lt(y, x), y + 1, y), x);
}
template <Float T>
T trunc(T x) {
  return std::copysign(floor(std::fabs(x)), x);
}
/// dy * factor and dy / divisor, but 0 where dy is 0: no gradient becomes none, not NaN.
template <Float T>
T product(T dy, T factor) {
  return where(dy != 0, dy * factor, 0);
}
template <Float T>
T quotient(T dy, T divisor) {
  return where(dy != 0, dy / divisor, 0);
}

/// An int64_t or uint8_t whose arithmetic wraps around.
struct Integer {
  uint64_t bits = 0;
  Integer() = default;
  Integer(int64_t value) : bits(static_cast<uint64_t>(value)) {}
  explicit operator uint8_t() const { return static_cast<uint8_t>(bits); }
  explicit operator int64_t() const { return static_cast<int64_t>(bits); }
  static Integer of(uint64_t bits) { return {static_cast<int64_t>(bits)}; }
  friend Integer operator+(Integer a, Integer b) { return of(a.bits + b.bits); }
  friend Integer operator-(Integer a, Integer b) { return of(a.bits - b.bits); }
  friend Integer operator*(Integer a, Integer b) { return of(a.bits * b.bits); }
  friend Integer operator-(Integer a) { return of(0 - a.bits); }
  friend bool lt(Integer a, Integer b) { return int64_t{a} < int64_t{b}; }
  friend bool gt(Integer a, Integer b) { return int64_t{a} > int64_t{b}; }
  friend Integer abs(Integer a) { return lt(a, 0) ? -a : a; }
  friend Integer where(bool condition, Integer a, Integer b) { return condition ? a : b; }
  friend Integer floor(Integer a) { return a; }
  friend Integer ceil(Integer a) { return a; }
  friend Integer round(Integer a) { return a; }
  friend Integer trunc(Integer a) { return a; }
};

/// What `gradient(dy, saved)` takes beside dy. The output, where it serves as well: other nodes
/// often keep it anyway.
enum class Saves : uint8_t { nothing, input, output };

template <size_t kCount>
using Names = std::array<const char*, kCount>;

/// What a function has unless it says otherwise.
template <Saves kSaves = Saves::input>
struct Function {
  static constexpr Saves saves(Numbers) { return kSaves; }
  /// Names of the numbers that value and gradient take, as in the public declaration.
  static constexpr Names<0> parameters{};
  /// Whether value is defined for Integer.
  static constexpr bool integers = false;
  /// Of a function that takes many instructions: its vectorised loops in functions.h.
  static constexpr std::nullptr_t fast = nullptr, fast_gradient = nullptr;
};
using Linear = Function<Saves::nothing>;

/// A gradient of 0, which dy's graph goes on through.
template <class T>
T nothing(const T& dy) {
  return where(lt(dy, dy), dy, T{});
}

struct Add : Linear {
  static constexpr const char* name = "add";
  static constexpr Names<1> parameters{"b"};
  static constexpr bool integers = true;
  static auto value(auto x, auto b) { return x + b; }
  static auto gradient(const auto& dy, const auto&, auto) { return dy; }
};

struct Mul : Linear {
  static constexpr const char* name = "mul";
  static constexpr Names<1> parameters{"b"};
  static constexpr bool integers = true;
  static auto value(auto x, auto b) { return x * b; }
  static auto gradient(const auto& dy, const auto&, auto b) { return dy * b; }
};

struct Div : Linear {
  static constexpr const char* name = "div";
  static constexpr Names<1> parameters{"b"};
  static auto value(auto x, auto b) { return x / b; }
  static auto gradient(const auto& dy, const auto&, auto b) { return dy / b; }
};

/// a - x
struct SubFrom : Linear {
  static constexpr const char* name = "sub";
  static constexpr Names<1> parameters{"a"};
  static constexpr bool integers = true;
  static auto value(auto x, auto a) { return a - x; }
  static auto gradient(const auto& dy, const auto&, auto) { return -dy; }
};

/// a / x
struct Divide : Function<> {
  static constexpr const char* name = "div";
  static constexpr Names<1> parameters{"a"};
  static auto value(auto x, auto a) { return a / x; }
  static auto gradient(const auto& dy, const auto& x, auto a) { return product(dy, -a / (x * x)); }
};

struct Neg : Linear {
  static constexpr const char* name = "neg";
  static constexpr bool integers = true;
  static auto value(auto x) { return -x; }
  static auto gradient(const auto& dy, const auto&) { return -dy; }
};

struct Square : Function<> {
  static constexpr const char* name = "square";
  static constexpr bool integers = true;
  static auto value(auto x) { return x * x; }
  static auto gradient(const auto& dy, const auto& x) { return dy * (2 * x); }
};

struct Pow : Function<> {
  static constexpr const char* name = "pow";
  static constexpr Names<1> parameters{"exponent"};
  static auto value(auto x, auto exponent) { return pow(x, exponent); }
  template <class T, class N>
  static T gradient(const T& dy, const T& x, N exponent) {
    if (exponent == 0) return nothing(dy);  // whatever x^-1 is
    return product(dy, exponent * pow(x, exponent - 1));
  }
};

/// x^2 under pow's name: a product takes a fraction of the time.
struct PowTwo : Function<> {
  static constexpr const char* name = Pow::name;
  static constexpr Names<1> parameters = Pow::parameters;
  static auto value(auto x, auto) { return Square::value(x); }
  static auto gradient(const auto& dy, const auto& x, auto) { return Square::gradient(dy, x); }
};

/// a^x
struct PowOf : Function<Saves::output> {
  static constexpr const char* name = Pow::name;
  static constexpr Names<1> parameters{"a"};
  static auto value(auto x, auto a) { return pow(a, x); }
  template <class T, class N>
  static T gradient(const T& dy, const T& y, N a) {
    if (a == 0) return nothing(dy);  // a constant, but for the step at 0
    return product(dy, y * std::log(a));
  }
};

struct Abs : Function<> {
  static constexpr const char* name = "abs";
  static constexpr bool integers = true;
  static auto value(auto x) { return abs(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    return where(gt(x, 0), dy, where(lt(x, 0), -dy, T{}));
  }
};

/// Constant between its steps: no derivative but 0.
struct Step : Linear {
  static constexpr bool integers = true;
  static auto gradient(const auto& dy, const auto&) { return nothing(dy); }
};

struct Floor : Step {
  static constexpr const char* name = "floor";
  static auto value(auto x) { return floor(x); }
};

struct Ceil : Step {
  static constexpr const char* name = "ceil";
  static auto value(auto x) { return ceil(x); }
};

struct Round : Step {
  static constexpr const char* name = "round";
  static auto value(auto x) { return round(x); }
};

struct Trunc : Step {
  static constexpr const char* name = "trunc";
  static auto value(auto x) { return trunc(x); }
};

struct Sign : Step {
  static constexpr const char* name = "sign";
  template <class T>
  static T value(T x) {
    return where(gt(x, 0), T{1}, where(lt(x, 0), T{-1}, T{}));
  }
};

struct Exp : Function<Saves::output> {
  static constexpr const char* name = "exp";
  static constexpr auto fast = &Functions::exp_of;
  static auto value(auto x) { return std::exp(x); }
  static auto gradient(const auto& dy, const auto& y) { return dy * y; }
};

struct Log : Function<> {
  static constexpr const char* name = "log";
  static constexpr auto fast = &Functions::log;
  static auto value(auto x) { return log(x); }
  static auto gradient(const auto& dy, const auto& x) { return quotient(dy, x); }
};

struct Log1p : Function<> {
  static constexpr const char* name = "log1p";
  static auto value(auto x) { return log1p(x); }
  static auto gradient(const auto& dy, const auto& x) { return quotient(dy, 1 + x); }
};

struct Log2 : Function<> {
  static constexpr const char* name = "log2";
  static auto value(auto x) { return log2(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    return quotient(dy, x * static_cast<Number<T>>(std::numbers::ln2));
  }
};

struct Log10 : Function<> {
  static constexpr const char* name = "log10";
  static auto value(auto x) { return log10(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    return quotient(dy, x * static_cast<Number<T>>(std::numbers::ln10));
  }
};

struct Expm1 : Function<Saves::output> {
  static constexpr const char* name = "expm1";
  static auto value(auto x) { return expm1(x); }
  static auto gradient(const auto& dy, const auto& y) { return dy * (y + 1); }
};

struct Sqrt : Function<Saves::output> {
  static constexpr const char* name = "sqrt";
  static auto value(auto x) { return sqrt(x); }
  static auto gradient(const auto& dy, const auto& y) { return quotient(dy, 2 * y); }
};

struct Rsqrt : Function<Saves::output> {
  static constexpr const char* name = "rsqrt";
  static auto value(auto x) { return 1 / sqrt(x); }
  template <class T>
  static T gradient(const T& dy, const T& y) {
    return product(dy, Number<T>{-0.5} * y * y * y);
  }
};

struct Sin : Function<> {
  static constexpr const char* name = "sin";
  static auto value(auto x) { return sin(x); }
  static auto gradient(const auto& dy, const auto& x) { return dy * cos(x); }
};

struct Cos : Function<> {
  static constexpr const char* name = "cos";
  static auto value(auto x) { return cos(x); }
  static auto gradient(const auto& dy, const auto& x) { return -dy * sin(x); }
};

struct Atan : Function<> {
  static constexpr const char* name = "atan";
  static auto value(auto x) { return atan(x); }
  static auto gradient(const auto& dy, const auto& x) { return dy * lorentzian(x); }
};

struct Erf : Function<> {
  static constexpr const char* name = "erf";
  static constexpr auto fast = &Functions::erf;
  static auto value(auto x) { return erf(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    constexpr auto kFactor = static_cast<Number<T>>(2 * std::numbers::inv_sqrtpi);
    return dy * (kFactor * gaussian(x, 1));
  }
};

struct Relu : Function<Saves::output> {
  static constexpr const char* name = "relu";
  static constexpr bool integers = true;
  template <class T>
  static T value(T x) {
    return where(lt(x, 0), T{}, x);  // NaN passes
  }
  template <class T>
  static T gradient(const T& dy, const T& y) {
    return where(le(y, 0), T{}, dy);
  }
};

struct LeakyRelu : Function<> {
  static constexpr const char* name = "leaky_relu";
  static constexpr Names<1> parameters{"negative_slope"};
  static constexpr Saves saves(Numbers slope) {
    return slope[0] >= 0 ? Saves::output : Saves::input;  // then the output has x's sign
  }
  static auto value(auto x, auto slope) { return where(gt(x, 0), x, x * slope); }
  static auto gradient(const auto& dy, const auto& saved, auto slope) {
    return where(gt(saved, 0), dy, dy * slope);
  }
};

struct Elu : Function<> {
  static constexpr const char* name = "elu";
  static constexpr Names<1> parameters{"alpha"};
  template <class T, class N>
  static T value(T x, N alpha) {
    return where(gt(x, 0), x, alpha * expm1(where(gt(x, 0), T{}, x)));
  }
  template <class T, class N>
  static T gradient(const T& dy, const T& x, N alpha) {
    // exp of the numbers that count: of others it may be infinite.
    return where(gt(x, 0), dy, dy * (alpha * exp(where(gt(x, 0), T{}, x))));
  }
};

struct Softplus : Function<> {
  static constexpr const char* name = "softplus";
  static constexpr Names<2> parameters{"beta", "threshold"};
  template <class T, class N>
  static T value(T x, N beta, N threshold) {
    const T scaled = x * beta;
    return where(gt(scaled, threshold), x,
                 log1p(exp(where(gt(scaled, threshold), T{}, scaled))) / beta);
  }
  template <class T, class N>
  static T gradient(const T& dy, const T& x, N beta, N threshold) {
    const T scaled = x * beta;
    return where(gt(scaled, threshold), dy, dy * sigmoid(scaled));
  }
};

struct Clamp : Function<> {
  static constexpr const char* name = "clamp";
  static constexpr Names<2> parameters{"lo", "hi"};
  static constexpr bool integers = true;
  template <class T, class N>
  static T value(T x, N lo, N hi) {
    const T y = where(lt(x, lo), lo, x);
    return where(gt(y, hi), hi, y);
  }
  template <class T, class N>
  static T gradient(const T& dy, const T& x, N lo, N hi) {
    return where(ge(x, lo), where(le(x, hi), dy, T{}), T{});
  }
};

/// Clamp's values; its derivative is 0 at the limits, too.
struct Hardtanh : Clamp {
  static constexpr const char* name = "hardtanh";
  static constexpr Names<2> parameters{"min_val", "max_val"};
  static constexpr bool integers = false;
  template <class T, class N>
  static T gradient(const T& dy, const T& x, N lo, N hi) {
    return where(le(x, lo), T{}, where(ge(x, hi), T{}, dy));
  }
};

struct Hardsigmoid : Function<> {
  static constexpr const char* name = "hardsigmoid";
  static auto value(auto x) { return Clamp::value(x + 3, decltype(x){0}, decltype(x){6}) / 6; }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    return where(le(x, -3), T{}, where(ge(x, 3), T{}, dy / 6));
  }
};

struct Hardswish : Function<> {
  static constexpr const char* name = "hardswish";
  static auto value(auto x) { return x * Hardsigmoid::value(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    const T inside = dy * (x / 3 + Number<T>{0.5});
    return where(le(x, -3), T{}, where(ge(x, 3), dy, inside));
  }
};

struct Sigmoid : Function<Saves::output> {
  static constexpr const char* name = "sigmoid";
  static constexpr auto fast = &Functions::logistic;
  static auto value(auto x) { return sigmoid(x); }
  static auto gradient(const auto& dy, const auto& y) { return dy * (y * (1 - y)); }
};

struct Tanh : Function<Saves::output> {
  static constexpr const char* name = "tanh";
  static constexpr auto fast = &Functions::tanh;
  static auto value(auto x) { return tanh(x); }
  static auto gradient(const auto& dy, const auto& y) { return dy * (1 - y * y); }
};

struct Gelu : Function<> {
  static constexpr const char* name = "gelu";
  static constexpr auto fast = &Functions::gelu;
  static constexpr auto fast_gradient = &Functions::gelu_backward;
  template <class T>
  static T distribution(const T& x) {
    return Number<T>{0.5} * (1 + erf(x * static_cast<Number<T>>(1 / std::numbers::sqrt2)));
  }
  static auto value(auto x) { return x * distribution(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    constexpr double kFactor = 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;
    const T density = static_cast<Number<T>>(kFactor) * gaussian(x, 0.5);
    return dy * (distribution(x) + x * density);
  }
};

/// gelu with the tanh form of the distribution, 0.5 * (1 + tanh(u)) = sigmoid(2 * u).
struct GeluTanh : Function<> {
  static constexpr const char* name = "gelu_tanh";
  static constexpr auto fast = &Functions::gelu_tanh;
  static constexpr auto fast_gradient = &Functions::gelu_tanh_backward;
  static constexpr double kScale = 2 * 0.7978845608028654;  // 2 * sqrt(2 / pi)
  static constexpr double kCube = 0.044715;
  static constexpr double kFar = 20;  // where the distribution is 0 or 1, and x^3 still finite
  template <class T>
  static T distribution(const T& x) {
    constexpr auto kLinear = static_cast<Number<T>>(kScale);
    constexpr auto kCubic = static_cast<Number<T>>(kScale * kCube);
    return sigmoid(x * (kLinear + kCubic * (x * x)));
  }
  template <class T>
  static T value(T x) {
    return x * distribution(bounded(x, kFar));
  }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    constexpr auto kLinear = static_cast<Number<T>>(kScale);
    constexpr auto kSquare = static_cast<Number<T>>(3 * kScale * kCube);
    const T near = bounded(x, kFar), s = distribution(near);
    return dy * (s + near * (s * (1 - s)) * (kLinear + kSquare * (near * near)));
  }
};

/// x * tanh(log(1 + e)) with e = exp(x): tanh(log(1 + e)) = n / (n + 2) with n = e * (e + 2).
struct Mish : Function<> {
  static constexpr const char* name = "mish";
  static constexpr double kFar = 40;  // where it is x
  template <class T>
  static T value(T x) {
    const T e = exp(where(gt(x, kFar), T{}, x)), n = e * (e + 2);
    return where(gt(x, kFar), x, x * (n / (n + 2)));
  }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    const T near = where(gt(x, kFar), T{}, x), e = exp(near), n = e * (e + 2);
    const T slope = e * (e + 1) / (n + 2) / (n + 2) * 4;
    return where(gt(x, kFar), dy, dy * (n / (n + 2) + near * slope));
  }
};

struct LogSigmoid : Function<> {
  static constexpr const char* name = "logsigmoid";
  template <class T>
  static T value(T x) {
    return where(lt(x, 0), x, T{}) - log1p(exp(-abs(x)));
  }
  static auto gradient(const auto& dy, const auto& x) { return dy * sigmoid(-x); }
};

struct Softsign : Function<> {
  static constexpr const char* name = "softsign";
  static auto value(auto x) { return x / (1 + abs(x)); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    const T size = 1 + abs(x);
    return dy / size / size;
  }
};

struct Silu : Function<> {
  static constexpr const char* name = "silu";
  static constexpr auto fast = &Functions::silu;
  static constexpr auto fast_gradient = &Functions::silu_backward;
  static auto value(auto x) { return x * sigmoid(x); }
  template <class T>
  static T gradient(const T& dy, const T& x) {
    const T s = sigmoid(x);
    return dy * (s * (1 + x * (1 - s)));
  }
};

template <class... F>
struct UnaryList {
  static constexpr size_t size = sizeof...(F);
  template <class G>
  static constexpr Unary place_of() {
    static_assert((std::is_same_v<F, G> || ...), "a function must be in the list");
    uint8_t place = 0;
    static_cast<void>(((std::is_same_v<F, G> || (++place, false)) || ...));
    return Unary{place};
  }
  /// use(F{}) with the function that is meant.
  template <class Use>
  static void visit(Unary function, const Use& use) {
    static_cast<void>(((function == place_of<F>() ? (use(F{}), true) : false) || ...));
  }
  /// An array of make.operator()<F>().
  template <class Make>
  static constexpr auto table(const Make& make) {
    return std::array{make.template operator()<F>()...};
  }
};

/// All of them.
using UnaryFunctions =
    UnaryList<Add, Mul, Div, SubFrom, Divide, Neg, Square, Pow, PowTwo, PowOf, Abs, Floor, Ceil,
              Round, Trunc, Sign, Exp, Log, Log1p, Log2, Log10, Expm1, Sqrt, Rsqrt, Sin, Cos, Atan,
              Erf, Relu, LeakyRelu, Elu, Softplus, Clamp, Hardtanh, Hardsigmoid, Hardswish, Sigmoid,
              Tanh, Gelu, GeluTanh, Mish, LogSigmoid, Softsign, Silu>;

/// f(x) and dy * f', f with as many of the numbers as it has.
template <class F, class T, class N>
T value_of(F, const T& x, N a, N b) {
  if constexpr (F::parameters.size() == 0) return F::value(x);
  if constexpr (F::parameters.size() == 1) return F::value(x, a);
  if constexpr (F::parameters.size() == 2) return F::value(x, a, b);
}
template <class F, class T, class N>
T gradient_of(F, const T& dy, const T& saved, N a, N b) {
  if constexpr (F::parameters.size() == 0) return F::gradient(dy, saved);
  if constexpr (F::parameters.size() == 1) return F::gradient(dy, saved, a);
  if constexpr (F::parameters.size() == 2) return F::gradient(dy, saved, a, b);
}

}  // namespace
}  // namespace tern::kernels
