// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <numbers>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// tern::log is also the logger.
Tensor natural_log(const Tensor& x) { return log(x); }

struct Case {
  const char* name;
  std::function<Tensor(const Tensor&)> f;
  double (*exact)(double);
  bool positive = false;  // defined for positive numbers only
  double tolerance = 2e-6;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"relu", [](const Tensor& x) { return relu(x); }, [](double x) { return x > 0 ? x : 0; }},
      {"leaky_relu", [](const Tensor& x) { return leaky_relu(x); },
       [](double x) { return x > 0 ? x : 0.01 * x; }},
      {"leaky_relu, negative slope", [](const Tensor& x) { return leaky_relu(x, -0.5); },
       [](double x) { return x > 0 ? x : -0.5 * x; }},
      {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"tanh", tern::tanh, [](double x) { return std::tanh(x); }},
      {"gelu", [](const Tensor& x) { return gelu(x); },
       [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
      {"silu", silu, [](double x) { return x / (1 + std::exp(-x)); }},
      {"elu", [](const Tensor& x) { return elu(x, 0.5); },
       [](double x) { return x > 0 ? x : 0.5 * std::expm1(x); }},
      {"softplus", [](const Tensor& x) { return softplus(x, 2); },
       [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-2 * std::fabs(x))) / 2; }},
      {"clamp", [](const Tensor& x) { return clamp(x, -0.7, 1.1); },
       [](double x) { return std::clamp(x, -0.7, 1.1); }},
      {"gelu, tanh",
       [](const Tensor& x) { return gelu(x, {.approximate = GeluApproximation::tanh}); },
       [](double x) {
         const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
         return 0.5 * x * (1 + std::tanh(u));
       }},
      {"hardtanh", [](const Tensor& x) { return hardtanh(x, -0.7, 1.1); },
       [](double x) { return std::clamp(x, -0.7, 1.1); }},
      {"relu6", relu6, [](double x) { return std::clamp(x, 0.0, 6.0); }},
      {"hardsigmoid", hardsigmoid, [](double x) { return std::clamp(x + 3, 0.0, 6.0) / 6; }},
      {"hardswish", hardswish, [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }},
      {"mish", mish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
      {"logsigmoid", logsigmoid, [](double x) { return -std::log1p(std::exp(-x)); }},
      {"softsign", softsign, [](double x) { return x / (1 + std::fabs(x)); }},
      {"square", square, [](double x) { return x * x; }},
      {"exp", tern::exp, [](double x) { return std::exp(x); }},
      {"log", natural_log, [](double x) { return std::log(x); }, true},
      {"log1p", tern::log1p, [](double x) { return std::log1p(x); }, true},
      {"log2", tern::log2, [](double x) { return std::log2(x); }, true},
      {"log10", tern::log10, [](double x) { return std::log10(x); }, true},
      {"expm1", tern::expm1, [](double x) { return std::expm1(x); }},
      {"rsqrt", rsqrt, [](double x) { return 1 / std::sqrt(x); }, true},
      {"reciprocal", reciprocal, [](double x) { return 1 / x; }},
      {"atan", tern::atan, [](double x) { return std::atan(x); }},
      {"sqrt", tern::sqrt, [](double x) { return std::sqrt(x); }, true},
      {"abs", tern::abs, [](double x) { return std::fabs(x); }},
      {"sin", tern::sin, [](double x) { return std::sin(x); }},
      {"cos", tern::cos, [](double x) { return std::cos(x); }},
      {"erf", tern::erf, [](double x) { return std::erf(x); }},
  };
  return all;
}

Function on_first(const Case& c) {
  return [&c](const Inputs& x) { return c.f(x[0]); };
}

TEST(Activations, AreWhatTheySay) {
  for (const Case& c : cases()) {
    const Tensor x = values({101}, 1, c.positive);
    auto expected = x.to_vector<double>();
    for (double& v : expected) v = c.exact(v);
    SCOPED_TRACE(c.name);
    expect_close(c.f(x), tensor(expected, {101}), 1e-15);
    EXPECT_EQ(c.f(zeros({0, 3})).shape(), (Shape{0, 3}));
    EXPECT_EQ(c.f(ones({})).shape(), Shape{});
  }
}

TEST(Activations, Gradients) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    expect_gradients(on_first(c), {leaf({3, 5}, 2, c.positive)});
  }
}

TEST(Activations, ThirdDerivatives) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Function derivative = [&c](const Inputs& x) {
      const Tensor in = x[0].requires_grad() ? x[0] : x[0].detach().set_requires_grad();
      return grad(sum(c.f(in) * in), {in}, {.create_graph = true})[0];
    };
    EXPECT_NO_THROW(gradgradcheck(derivative, {leaf({5}, 3, c.positive)}));
  }
}

TEST(Activations, F32FollowsF64InBothOrders) {
  // Small ones take plain loops, the last one oneDNN where it is used.
  for (const Shape& shape : {Shape{1}, Shape{3, 17}, Shape{2, 3, 7, 5}, Shape{3, 17, 33, 7}}) {
    for (const Case& c : cases()) {
      SCOPED_TRACE(c.name);
      expect_f32_follows_f64(on_first(c), {leaf(shape, 4, c.positive)}, c.tolerance);
    }
  }
}

TEST(Activations, WholeRangeOfF32) {
  // Relative errors of the loops for short tensors and of oneDNN, over magnitudes 1e-6 to 80.
  for (const int64_t count : {1001, 100001}) {
    const Tensor x = empty({count});
    for (int64_t i = 0; i < count; ++i) {
      const double t = static_cast<double>(i) / static_cast<double>(count - 1);
      x.raw<float>()[i] = static_cast<float>((i % 2 ? -1 : 1) * 1e-6 * std::pow(8e7, t));
    }
    for (const Case& c : cases()) {
      if (c.positive || std::string(c.name).starts_with("gelu")) continue;  // gelu: see below
      const auto y = c.f(x).to_vector<float>();
      for (int64_t i = 0; i < count; ++i) {
        const double exact = c.exact(static_cast<double>(x.raw<float>()[i]));
        const double allowed = 1e-6 * std::fabs(exact) + 1e-37;
        ASSERT_NEAR(static_cast<double>(y[static_cast<size_t>(i)]), exact, allowed)
            << c.name << "(" << x.raw<float>()[i] << ") of " << count;
      }
    }
    // Far below 0, 1 + erf and 1 + tanh cancel.
    const auto y = gelu(x).to_vector<float>();
    const auto by_tanh = gelu(x, {.approximate = GeluApproximation::tanh}).to_vector<float>();
    for (int64_t i = 0; i < count; ++i) {
      const double v = static_cast<double>(x.raw<float>()[i]);
      ASSERT_NEAR(static_cast<double>(y[static_cast<size_t>(i)]),
                  0.5 * v * std::erfc(-v / std::sqrt(2.0)), 1e-6 * std::fabs(v));
      ASSERT_NEAR(static_cast<double>(by_tanh[static_cast<size_t>(i)]),
                  v / (1 + std::exp(-std::sqrt(8 / std::numbers::pi) * (v + 0.044715 * v * v * v))),
                  1e-6 * std::fabs(v));
    }
  }
}

TEST(Activations, SpecialValues) {
  for (const int64_t count : {4, 8192}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const auto of = [&](const std::function<Tensor(const Tensor&)>& f, double x) {
        return f(full({count}, x, dtype)).to(DType::f64).to_vector<double>().back();
      };
      for (const Case& c : cases()) EXPECT_TRUE(std::isnan(of(c.f, NAN))) << c.name;
      EXPECT_EQ(of([](const Tensor& x) { return relu(x); }, -kInfinity), 0);
      EXPECT_EQ(of([](const Tensor& x) { return relu(x); }, kInfinity), kInfinity);
      EXPECT_EQ(of(tern::exp, -kInfinity), 0);
      EXPECT_EQ(of(tern::exp, kInfinity), kInfinity);
      EXPECT_EQ(of(sigmoid, -kInfinity), 0);
      EXPECT_EQ(of(sigmoid, kInfinity), 1);
      EXPECT_EQ(of(tern::tanh, -kInfinity), -1);
      EXPECT_EQ(of(tern::tanh, kInfinity), 1);
      EXPECT_EQ(of(natural_log, 0), -kInfinity);
      EXPECT_TRUE(std::isnan(of(natural_log, -1)));
      EXPECT_TRUE(std::isnan(of(tern::sqrt, -1)));
      EXPECT_EQ(of(tern::sqrt, 0), 0);
    }
  }
}

TEST(Activations, DerivativeAtTheKinkIsZero) {
  for (const bool create_graph : {false, true}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor x = zeros({3}, dtype).set_requires_grad();
      const Tensor dy = ones({3}, dtype);
      const GradOptions options{.create_graph = create_graph, .grad_output = dy};
      EXPECT_EQ(grad(relu(x), {x}, options)[0].to(DType::f64).to_vector<double>()[0], 0);
      EXPECT_EQ(grad(tern::abs(x), {x}, options)[0].to(DType::f64).to_vector<double>()[0], 0);
      EXPECT_NEAR(grad(leaky_relu(x), {x}, options)[0].to(DType::f64).to_vector<double>()[0], 0.01,
                  1e-8);
    }
  }
}

TEST(Activations, IntegersAndErrors) {
  const Tensor x = tensor(std::vector<int64_t>{-3, 0, 4}, {3});
  EXPECT_EQ(relu(x).to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 4}));
  EXPECT_EQ(tern::abs(x).to_vector<int64_t>(), (std::vector<int64_t>{3, 0, 4}));
  expect_error([&] { tern::exp(x); }, {"[exp]", "i64[3]", ".to(DType::f32)"});
  expect_error([&] { sigmoid(x); }, {"[sigmoid]", "i64[3]"});
  expect_error([] { relu(Tensor()); }, {"undefined"});
}

TEST(Activations, SavedResultMustNotChange) {
  const Tensor x = randn({5}).set_requires_grad();
  const Tensor y = sigmoid(x);
  {
    const NoGrad no_grad;
    y.fill_(0.5);
  }
  expect_error([&] { y.backward(ones({5})); }, {"[sigmoid]", "in place"});
}

TEST(Activations, AllocateOneTensorEach) {
  const Tensor x = randn({1000}).set_requires_grad();
  const Tensor dy = randn({1000});
  for (const Case& c : cases()) {
    if (c.positive) continue;
    reset_counters();
    const Tensor y = c.f(x);
    EXPECT_EQ(counters().allocations, 1) << c.name;
  }
}

TEST(Activations, CheckerRejectsAWrongBackward) {
  // The derivative at x instead of at y.
  expect_rejected(
      [](const Inputs& x) {
        const Tensor y = tern::tanh(x[0]);
        return with_backward(
            y, x, [=](const Tensor& dy) -> Gradients { return {dy * (1.0 - x[0] * x[0])}; });
      },
      {leaf({5}, 6)});
}

}  // namespace
}  // namespace tern
