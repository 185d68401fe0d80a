// SPDX-License-Identifier: Apache-2.0
// Elementwise functions at their edges: the values that PyTorch has there, floating-point flags,
// the sign of zero, and poles behind a gradient of 0.
#include <cfenv>
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Of = Tensor (*)(const Tensor&);

struct Edge {
  const char* name;
  Of f;
  double x, y, dx;
};

// From the formulas, in float64
const Edge kEdges[] = {
    {"square", square, -3, 9, -6},
    {"square", square, -kInfinity, kInfinity, -kInfinity},
    {"log1p", log1p, 0, 0, 1},
    {"log1p", log1p, -1, -kInfinity, kInfinity},
    {"log1p", log1p, -2, NAN, -1},
    {"log1p", log1p, kInfinity, kInfinity, 0},
    {"elu", [](const Tensor& x) { return elu(x, 2); }, 0, 0, 2},
    {"elu", [](const Tensor& x) { return elu(x, 2); }, 1000, 1000, 1},
    {"elu", [](const Tensor& x) { return elu(x, 2); }, -kInfinity, -2, 0},
    {"elu", [](const Tensor& x) { return elu(x, -1); }, kInfinity, kInfinity, 1},
    {"softplus", [](const Tensor& x) { return softplus(x); }, 0, 0.6931471805599453, 0.5},
    {"softplus", [](const Tensor& x) { return softplus(x); }, 21, 21, 1},
    {"softplus", [](const Tensor& x) { return softplus(x, 2, 3); }, 1.75, 1.75, 1},
    {"softplus", [](const Tensor& x) { return softplus(x, 2, 3); }, 1.5, 1.524293675786871,
     0.9525741268224334},
    {"softplus", [](const Tensor& x) { return softplus(x); }, 1000, 1000, 1},
    {"softplus", [](const Tensor& x) { return softplus(x); }, -1000, 0, 0},
    {"softplus", [](const Tensor& x) { return softplus(x); }, -kInfinity, 0, 0},
    {"floor", tern::floor, 2.5, 2, 0},
    {"floor", tern::floor, -0.25, -1, 0},
    {"floor", tern::floor, -3, -3, 0},
    {"floor", tern::floor, 8388607.5, 8388607, 0},
    {"floor", tern::floor, -8388607.5, -8388608, 0},
    {"floor", tern::floor, 3e30, 3e30, 0},
    {"floor", tern::floor, NAN, NAN, 0},
    {"ceil", tern::ceil, 2.25, 3, 0},
    {"ceil", tern::ceil, -2.75, -2, 0},
    {"ceil", tern::ceil, 4194303.5, 4194304, 0},
    {"ceil", tern::ceil, -kInfinity, -kInfinity, 0},
    {"round", tern::round, 0.5, 0, 0},
    {"round", tern::round, 1.5, 2, 0},
    {"round", tern::round, 2.5, 2, 0},
    {"round", tern::round, -3.5, -4, 0},
    {"round", tern::round, 0.49999997, 0, 0},
    {"round", tern::round, 4194303.5, 4194304, 0},
    {"round", tern::round, kInfinity, kInfinity, 0},
    {"trunc", tern::trunc, 2.75, 2, 0},
    {"trunc", tern::trunc, -2.75, -2, 0},
    {"trunc", tern::trunc, NAN, NAN, 0},
    {"sign", sign, -1e-40, -1, 0},
    {"sign", sign, 0, 0, 0},
    {"sign", sign, kInfinity, 1, 0},
    {"sign", sign, NAN, 0, 0},
    {"log2", tern::log2, 8, 3, 0.18033688011112042},
    {"log2", tern::log2, 0, -kInfinity, kInfinity},
    {"log10", tern::log10, 1000, 3, 0.00043429448190325182},
    {"log10", tern::log10, -1, NAN, -0.43429448190325182},
    {"expm1", tern::expm1, 0, 0, 1},
    {"expm1", tern::expm1, -kInfinity, -1, 0},
    {"rsqrt", rsqrt, 4, 0.5, -0.0625},
    {"rsqrt", rsqrt, 0, kInfinity, -kInfinity},
    {"rsqrt", rsqrt, -1, NAN, NAN},
    {"reciprocal", reciprocal, 4, 0.25, -0.0625},
    {"reciprocal", reciprocal, 0, kInfinity, -kInfinity},
    {"atan", tern::atan, 1, 0.7853981633974483, 0.5},
    {"atan", tern::atan, -kInfinity, -1.5707963267948966, 0},
    {"atan", tern::atan, 1e30, 1.5707963267948966, 0},
    {"relu6", relu6, 0, 0, 0},
    {"relu6", relu6, 6, 6, 0},
    {"relu6", relu6, 5, 5, 1},
    {"relu6", relu6, 7, 6, 0},
    {"hardtanh", [](const Tensor& x) { return hardtanh(x); }, -1, -1, 0},
    {"hardtanh", [](const Tensor& x) { return hardtanh(x); }, NAN, NAN, 1},
    {"hardsigmoid", hardsigmoid, -3, 0, 0},
    {"hardsigmoid", hardsigmoid, 3, 1, 0},
    {"hardsigmoid", hardsigmoid, 1.5, 0.75, 0.16666666666666666},
    {"hardsigmoid", hardsigmoid, kInfinity, 1, 0},
    {"hardswish", hardswish, -3, 0, 0},
    {"hardswish", hardswish, -4, 0, 0},
    {"hardswish", hardswish, 3, 3, 1},
    {"hardswish", hardswish, 4, 4, 1},
    {"hardswish", hardswish, 1.5, 1.125, 1},
    {"mish", mish, 0, 0, 0.6},
    {"mish", mish, 50, 50, 1},
    {"mish", mish, -1000, 0, 0},
    {"mish", mish, kInfinity, kInfinity, 1},
    {"logsigmoid", logsigmoid, 0, -0.6931471805599453, 0.5},
    {"logsigmoid", logsigmoid, -25, -25.000000000013888, 0.9999999999861121},
    {"logsigmoid", logsigmoid, -1000, -1000, 1},
    {"logsigmoid", logsigmoid, 1000, 0, 0},
    {"softsign", softsign, -1, -0.5, 0.25},
    {"softsign", softsign, 1e30, 1, 0},
    {"gelu", [](const Tensor& x) { return gelu(x, {GeluApproximation::tanh}); }, 1,
     0.8411919906082768, 1.0829640838457826},
    {"gelu", [](const Tensor& x) { return gelu(x, {GeluApproximation::tanh}); }, 1e30, 1e30, 1},
    {"gelu", [](const Tensor& x) { return gelu(x, {GeluApproximation::tanh}); }, -1e30, 0, 0},
    {"nan_to_num", [](const Tensor& x) { return nan_to_num(x, 1, 2, 3); }, NAN, 1, 0},
    {"nan_to_num", [](const Tensor& x) { return nan_to_num(x, 1, 2, 3); }, kInfinity, 2, 0},
    {"nan_to_num", [](const Tensor& x) { return nan_to_num(x, 1, 2, 3); }, -kInfinity, 3, 0},
    {"nan_to_num", [](const Tensor& x) { return nan_to_num(x, 1, 2, 3); }, 0.5, 0.5, 1},
    {"clamp", [](const Tensor& x) { return clamp(x, -1, 2); }, -1, -1, 1},
    {"clamp", [](const Tensor& x) { return clamp(x, -1, 2); }, 2, 2, 1},
    {"clamp", [](const Tensor& x) { return clamp(x, -1, 2); }, 2.5, 2, 0},
    {"clamp", [](const Tensor& x) { return clamp(x, -1, 2); }, -kInfinity, -1, 0},
    {"clamp", [](const Tensor& x) { return clamp(x, -1, 2); }, NAN, NAN, 0},
    {"clamp", [](const Tensor& x) { return clamp(x, 3, 2); }, 2.5, 2, 0},
    {"clamp", [](const Tensor& x) { return clamp(x, 0, kInfinity); }, kInfinity, kInfinity, 1},
};

// 3 elements take the scalar loops' rests, 1000 whole vectors.
TEST(Unary, EdgesAreAsPyTorchHasThem) {
  for (const Edge& edge : kEdges) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      for (const bool create_graph : {false, true}) {
        for (const int64_t count : {3, 1000}) {
          const Tensor x = full({count}, edge.x, dtype).set_requires_grad();
          const Tensor y = edge.f(x);
          const Tensor dx =
              grad(y, {x}, {.create_graph = create_graph, .grad_output = ones({count}, dtype)})[0];
          const std::string what = std::string(edge.name) + " at " + std::to_string(edge.x);
          const double tolerance = dtype == DType::f32 ? 1e-6 : 1e-15;
          expect_close(y, full({count}, edge.y, DType::f64), tolerance, what);
          expect_close(dx, full({count}, edge.dx, DType::f64), tolerance, what);
        }
      }
    }
  }
}

TEST(Unary, SmallNumbersKeepTheirDigits) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = full({5}, -1e-9, dtype);
    EXPECT_NEAR(log1p(x).to(DType::f64).to_vector<double>()[0], -1e-9, 1e-16);
    EXPECT_NEAR(elu(x).to(DType::f64).to_vector<double>()[0], -1e-9, 1e-16);
    EXPECT_NEAR(tern::expm1(x).to(DType::f64).to_vector<double>()[0], -1e-9, 1e-16);
  }
}

TEST(Unary, IntegersAndErrors) {
  const Tensor x = tensor(std::vector<int64_t>{-3, 0, 4}, {3});
  EXPECT_EQ(square(x).to_vector<int64_t>(), (std::vector<int64_t>{9, 0, 16}));
  EXPECT_EQ(clamp(x, -1, 2).to_vector<int64_t>(), (std::vector<int64_t>{-1, 0, 2}));
  EXPECT_EQ(square(tensor(std::vector<uint8_t>{3, 16}, {2})).to_vector<uint8_t>(),
            (std::vector<uint8_t>{9, 0}));
  EXPECT_EQ(clamp(gt(x, 0), 0, 1).dtype(), DType::u8);
  expect_error([&] { clamp(x, 0.5, 2); }, {"[clamp]", "0.5", "whole", "i64"});
  expect_error([&] { clamp(x, 0, NAN); }, {"[clamp]", "hi is nan", "want numbers"});
  expect_error([&] { clamp(x, NAN, 0); }, {"[clamp]", "lo is nan"});
  expect_error([&] { softplus(ones({2}), 0); }, {"[softplus]", "beta is 0", "other than 0"});
  expect_error([&] { softplus(ones({2}), NAN); }, {"[softplus]", "beta is nan"});
  expect_error([&] { softplus(x); }, {"[softplus]", "i64[3]", ".to(DType::f32)"});
  expect_error([&] { elu(x); }, {"[elu]", "i64[3]", ".to(DType::f32)"});
  expect_error([&] { log1p(x); }, {"[log1p]", "i64[3]", ".to(DType::f32)"});
}

TEST(Unary, SaysWhyANumberDoesNotFit) {
  const Tensor x = arange(3);
  expect_error([&] { x + 0.5; }, "the number 0.5 is not a whole number, the tensor is i64");
  expect_error([&] { x* NAN; }, "the number nan is not a whole number");
  expect_error([&] { x + 1e19; },
               "the number 1e+19 is not between -2^53 and 2^53, where a double holds every whole "
               "number, the tensor is i64");
}

// Rounding over every binade, against the standard library.
TEST(Unary, RoundsAsTheStandardLibrary) {
  const std::pair<Of, double (*)(double)> functions[] = {{tern::floor, std::floor},
                                                         {tern::ceil, std::ceil},
                                                         {tern::round, std::nearbyint},
                                                         {tern::trunc, std::trunc}};
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = (randn({4000}, DType::f64) * tern::exp(randn({4000}, DType::f64) * 9.0));
    const Tensor rounded = cat({x, tern::round(x * 2.0) / 2.0}).to(dtype);
    const auto values = rounded.to(DType::f64).to_vector<double>();
    for (const auto& [f, exact] : functions) {
      const auto found = f(rounded).to(DType::f64).to_vector<double>();
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(found[i], exact(values[i])) << &f - &functions[0].first << " of " << values[i];
        ASSERT_EQ(std::signbit(found[i]), std::signbit(values[i])) << values[i];
      }
    }
  }
}

TEST(Unary, NotANumberAndInfinity) {
  using Flags = std::vector<bool>;
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x =
        tensor(std::vector<double>{NAN, kInfinity, -kInfinity, 0, -1e30}, {5}).to(dtype);
    EXPECT_EQ(isnan(x).to_vector<bool>(), (Flags{true, false, false, false, false}));
    EXPECT_EQ(isinf(x).to_vector<bool>(), (Flags{false, true, true, false, false}));
    EXPECT_EQ(isfinite(x).to_vector<bool>(), (Flags{false, false, false, true, true}));
    const auto y = nan_to_num(x).to(DType::f64).to_vector<double>();
    const double largest = dtype == DType::f32 ? std::numeric_limits<float>::max()
                                               : std::numeric_limits<double>::max();
    EXPECT_EQ(y,
              (std::vector<double>{0, largest, -largest, 0, x.to(DType::f64).data<double>()[4]}));
  }
  const Tensor i = arange(2);
  EXPECT_EQ(isnan(i).to_vector<bool>(), (Flags{false, false}));
  EXPECT_EQ(isinf(gt(i, 0)).to_vector<bool>(), (Flags{false, false}));
  EXPECT_EQ(isfinite(i).to_vector<bool>(), (Flags{true, true}));
  EXPECT_EQ(nan_to_num(i).to_vector<int64_t>(), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(isnan(zeros({0, 2})).shape(), (Shape{0, 2}));
  const Tensor image = to_memory_format(ones({1, 2, 2, 2}), MemoryFormat::channels_last);
  EXPECT_EQ(isfinite(image).memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(nan_to_num(image).memory_format(), MemoryFormat::channels_last);
}

TEST(Unary, IntegersAreWholeAlready) {
  const Tensor x = tensor(std::vector<int64_t>{-3, 0, 4, INT64_MIN}, {4});
  for (const Of f : {tern::floor, tern::ceil, tern::round, tern::trunc}) {
    EXPECT_EQ(f(x).to_vector<int64_t>(), x.to_vector<int64_t>());
  }
  EXPECT_EQ(sign(x).to_vector<int64_t>(), (std::vector<int64_t>{-1, 0, 1, -1}));
  EXPECT_EQ(sign(tensor(std::vector<uint8_t>{0, 200}, {2})).to_vector<uint8_t>(),
            (std::vector<uint8_t>{0, 1}));
  expect_error([&] { rsqrt(x); }, {"[rsqrt]", "i64[4]", ".to(DType::f32)"});
  expect_error([&] { hardtanh(x); }, {"[hardtanh]", "i64[4]"});
  expect_error([] { hardtanh(ones({1}), 2, 1); }, {"[hardtanh]", "min_val is 2", "max_val 1"});
}

TEST(Unary, ClampWithTensors) {
  const Tensor x = tensor(std::vector<double>{-2, -1, 0, 1, NAN, 3}, {6});
  const Tensor lo = full({1}, -1, DType::f64),
               hi = tensor(std::vector<double>{1, 1, 1, 1, 1, NAN}, {6});
  const auto check = [](const Tensor& y, const std::vector<double>& expected) {
    expect_close(y, tensor(expected, y.shape()), 0);
  };
  check(clamp(x, lo, hi), {-1, -1, 0, 1, NAN, NAN});
  check(clamp(x, lo, {}), {-1, -1, 0, 1, NAN, 3});
  check(clamp(x, {}, full({}, 0, DType::f64)), {-2, -1, 0, 0, NAN, 0});
  check(clamp_min(x, 0.5), {0.5, 0.5, 0.5, 1, NAN, 3});
  check(clamp_max(x, 0.5), {-2, -1, 0, 0.5, NAN, 0.5});
  check(clamp(ones({1}, DType::f64), full({1}, 3, DType::f64), full({1}, 2, DType::f64)), {2});
  // At a limit x has all of the gradient, beyond it the limit.
  const Tensor in = tensor(std::vector<double>{-2, -1, 0, 1, 2}, {5}).set_requires_grad();
  const Tensor low = full({}, -1, DType::f64).set_requires_grad();
  const Tensor high = ones({1}, DType::f64).set_requires_grad();
  sum(clamp(in, low, high)).backward();
  check(in.grad(), {0, 1, 1, 1, 0});
  EXPECT_EQ(low.grad().item<double>(), 1);
  EXPECT_EQ(high.grad().item<double>(), 1);
  expect_gradients([](const Inputs& v) { return clamp(v[0], v[1], v[2]); },
                   {leaf({4, 3}, 1), leaf({3}, 2), leaf({4, 1}, 3)});
  const Tensor i = arange(-2, 3);
  EXPECT_EQ(clamp_min(i, 0).to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 0, 1, 2}));
  EXPECT_EQ(clamp_max(i, 0).to_vector<int64_t>(), (std::vector<int64_t>{-2, -1, 0, 0, 0}));
  expect_error([&] { clamp_min(i, 0.5); }, {"[clamp_min]", "0.5", "whole"});
  expect_error([&] { clamp(x, Tensor(), Tensor()); }, {"[clamp]", "lo and hi are undefined"});
  expect_error([&] { clamp_max(x, NAN); }, {"[clamp]", "hi is nan"});
}

TEST(Unary, Prelu) {
  const Tensor x = values({2, 3, 2, 2}, 1), weight = values({3}, 2), one = values({1}, 3);
  const auto expected = where(gt(x, 0), x, x * reshape(weight, {1, 3, 1, 1}));
  EXPECT_EQ(prelu(x, weight).to_vector<double>(), expected.to_vector<double>());
  const auto f = [](const Inputs& in) { return prelu(in[0], in[1]); };
  for (const Tensor& w : {weight, one}) {
    w.set_requires_grad();
    expect_gradients(f, {leaf({2, 3, 2, 2}, 1), w});
    expect_f32_follows_f64(f, {leaf({2, 3, 5, 7}, 1), w}, 1e-5);
  }
  EXPECT_EQ(prelu(full({2}, -2.0), full({1}, 0.5)).to_vector<float>(),
            (std::vector<float>{-1, -1}));
  EXPECT_EQ(prelu(full({}, -2.0), full({1}, 0.5)).shape(), Shape{});
  expect_error([&] { prelu(x, ones({2}, DType::f64)); }, {"[prelu]", "f64[2]", "f64[2,3,2,2]"});
  expect_error([] { prelu(ones({3}), ones({3})); }, {"[prelu]", "axis 1"});
}

TEST(Unary, Glu) {
  const Tensor x = values({2, 6, 3}, 1);
  EXPECT_EQ(glu(x, 1).to_vector<double>(),
            (slice(x, 1, 0, 3) * sigmoid(slice(x, 1, 3, 6))).to_vector<double>());
  EXPECT_EQ(glu(ones({2, 4})).shape(), (Shape{2, 2}));
  EXPECT_EQ(glu(ones({0, 4})).shape(), (Shape{0, 2}));
  expect_gradients([](const Inputs& in) { return glu(in[0], -2); }, {leaf({2, 4, 3}, 1)});
  expect_error([&] { glu(x); }, {"[glu]", "length 3", "axis -1", "even"});
  expect_error([&] { glu(x, 3); }, {"axis"});
}

TEST(Unary, OddFunctionsKeepTheSignOfZero) {
  const Of odd[] = {tern::tanh, tern::erf, tern::sin,
                    gelu,       silu,      log1p,
                    tern::sqrt, relu,      [](const Tensor& x) { return elu(x); },
                    expm1,      atan,      floor,
                    ceil,       round,     trunc,
                    hardswish,  mish,      softsign};
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const int64_t count : {3, 1000}) {
      for (const Of f : odd) {
        for (double y : f(full({count}, -0.0, dtype)).to(DType::f64).to_vector<double>()) {
          ASSERT_TRUE(y == 0 && std::signbit(y)) << &f - odd;
        }
      }
    }
  }
}

int flags_of(const std::function<void()>& f) {
  std::feclearexcept(FE_ALL_EXCEPT);
  f();
  return std::fetestexcept(FE_OVERFLOW | FE_INVALID | FE_DIVBYZERO);
}

// Programs that trap floating-point exceptions die of the flags. One thread: flags are its own.
TEST(Unary, FiniteResultsRaiseNoFlags) {
  const int threads = num_threads();
  set_num_threads(1);
  const Of functions[] = {relu,
                          sigmoid,
                          tern::tanh,
                          gelu,
                          silu,
                          tern::abs,
                          tern::sin,
                          tern::cos,
                          tern::erf,
                          [](const Tensor& x) { return leaky_relu(x); },
                          [](const Tensor& x) { return elu(x); },
                          [](const Tensor& x) { return softplus(x); },
                          [](const Tensor& x) { return clamp(x, -1, 1); },
                          [](const Tensor& x) { return gelu(x, {GeluApproximation::tanh}); },
                          tern::floor,
                          tern::ceil,
                          tern::round,
                          tern::trunc,
                          sign,
                          tern::atan,
                          relu6,
                          hardsigmoid,
                          mish,
                          logsigmoid,
                          softsign};
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const double value : {-1e30, -1000.0, -100.0, -20.0, 0.0, 50.0, 89.0, 800.0, 1e30}) {
      for (const int64_t count : {3, 64}) {
        const Tensor x = full({count}, value, dtype).set_requires_grad();
        for (const Of& f : functions) {
          EXPECT_EQ(flags_of([&] { f(x).backward(ones({count}, dtype)); }), 0)
              << &f - functions << " at " << value << " " << to_string(dtype);
        }
      }
    }
    for (const double value : {-1000.0, -200.0}) {
      const Tensor x = full({3}, value, dtype);
      EXPECT_EQ(flags_of([&] { softmax(x, 0), log_softmax(x, 0); }), 0) << value;
      EXPECT_EQ(flags_of([&] { tern::exp(x); }), 0) << value;
    }
  }
  set_num_threads(threads);
}

// Where nothing flows back, nothing does: not 0 times infinity.
TEST(Unary, NoGradientPassesPolesAsNone) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const bool create_graph : {false, true}) {
      const GradOptions options{.create_graph = create_graph};
      const auto gradient = [&](const Of f, const std::vector<double>& at) {
        const Tensor x = tensor(at, {4}).to(dtype).set_requires_grad();
        const Tensor rear = slice(f(x), 0, 2, 4);
        return grad(sum(rear), {x}, options)[0].to(DType::f64).to_vector<double>();
      };
      using Numbers = std::vector<double>;
      EXPECT_EQ(gradient(tern::log, {0, NAN, 2, 4}), (Numbers{0, 0, 0.5, 0.25}));
      EXPECT_EQ(gradient(log1p, {-1, NAN, 1, 3}), (Numbers{0, 0, 0.5, 0.25}));
      EXPECT_EQ(gradient(tern::sqrt, {0, -1, 4, 16}), (Numbers{0, 0, 0.25, 0.125}));
      EXPECT_EQ(gradient(tern::log2, {0, NAN, INFINITY, INFINITY}), (Numbers{0, 0, 0, 0}));
      EXPECT_EQ(gradient(tern::log10, {0, NAN, INFINITY, INFINITY}), (Numbers{0, 0, 0, 0}));
      EXPECT_EQ(gradient(rsqrt, {0, -1, 1, 4}), (Numbers{0, 0, -0.5, -0.0625}));
      EXPECT_EQ(gradient([](const Tensor& x) { return pow(x, -1); }, {0, NAN, 2, 4}),
                (Numbers{0, 0, -0.25, -0.0625}));
      EXPECT_EQ(gradient([](const Tensor& x) { return 1.0 / x; }, {0, NAN, 2, 4}),
                (Numbers{0, 0, -0.25, -0.0625}));
      const Tensor x = tensor(std::vector<double>{-1, -4}, {2}).to(dtype).set_requires_grad();
      const Tensor y = sum(where(gt(x, 0), tern::sqrt(x), x));
      EXPECT_EQ(grad(y, {x}, options)[0].to(DType::f64).to_vector<double>(), (Numbers{1, 1}));
    }
  }
}

// The derivative by dy is the factor, also where dy is 0.
TEST(Unary, SecondDerivativesWhereTheGradientIsZero) {
  const Of functions[] = {tern::log, tern::sqrt, log1p, [](const Tensor& x) { return pow(x, 2.5); },
                          [](const Tensor& x) { return 1.0 / x; }};
  for (const Of& f : functions) {
    const Tensor x = leaf({4}, 1, true), dy = zeros({4}, DType::f64).set_requires_grad();
    const Tensor dx = grad(f(x), {x}, {.create_graph = true, .grad_output = dy})[0];
    const Tensor factor = grad(sum(dx), {dy})[0];
    expect_close(factor, grad(sum(f(x)), {x})[0], 1e-14);
  }
}

}  // namespace
}  // namespace tern
