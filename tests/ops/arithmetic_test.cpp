// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

std::vector<double> in_double(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

struct Case {
  const char* name;
  Tensor (*f)(const Tensor&, const Tensor&);
  double (*exact)(double, double);
  bool positive = false;  // a > 0
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"add", add, [](double a, double b) { return a + b; }},
      {"sub", sub, [](double a, double b) { return a - b; }},
      {"mul", mul, [](double a, double b) { return a * b; }},
      {"div", div, [](double a, double b) { return a / b; }},
      {"pow", pow, [](double a, double b) { return std::pow(a, b); }, true},
      {"minimum", minimum, [](double a, double b) { return std::min(a, b); }},
      {"maximum", maximum, [](double a, double b) { return std::max(a, b); }},
      {"remainder", remainder, [](double a, double b) { return a - b * std::floor(a / b); }},
  };
  return all;
}

/// The element of x that broadcasting puts at the row-major place `i` of `shape`.
double element(const Tensor& x, const Shape& shape, int64_t i) {
  int64_t place = 0, stride = 1;
  for (int d = shape.size() - 1, k = x.shape().size() - 1; k >= 0; --d, --k) {
    if (x.shape()[k] > 1) place += i % shape[d] * stride;
    i /= shape[d];
    stride *= x.shape()[k];
  }
  return contiguous(x).data<double>()[static_cast<size_t>(place)];
}

const std::vector<std::pair<Shape, Shape>>& shape_pairs() {
  static const std::vector<std::pair<Shape, Shape>> pairs{
      {{7}, {7}},
      {{}, {3}},
      {{33}, {}},
      {{17, 3}, {3}},
      {{17, 3}, {17, 1}},
      {{17, 1}, {1, 33}},
      {{2, 3, 7, 5}, {2, 3, 7, 5}},
      {{2, 3, 7, 5}, {3, 1, 1}},
      {{3, 1, 1}, {2, 3, 7, 5}},
      {{2, 3, 7, 5}, {1, 3, 1, 5}},
      {{2, 3, 7, 5}, {2, 3, 1, 1}},
      {{2, 1, 7, 5}, {1, 3, 1, 5}},
      {{2, 3, 7, 5}, {1}},
      {{1, 2, 1, 3, 1}, {4, 1, 5, 1, 2}},
  };
  return pairs;
}

TEST(Arithmetic, BroadcastsAsLoopsByHandDo) {
  const MemoryFormat orders[] = {MemoryFormat::row_major, MemoryFormat::channels_last};
  for (const Case& c : cases()) {
    for (const auto& [sa, sb] : shape_pairs()) {
      const Tensor a = values(sa, 1, c.positive), b = values(sb, 2);
      for (const MemoryFormat oa : orders) {
        for (const MemoryFormat ob : orders) {
          const Tensor x = a.dim() == 4 ? to_memory_format(a, oa) : a;
          const Tensor y = b.dim() == 4 ? to_memory_format(b, ob) : b;
          const Tensor z = c.f(x, y);
          std::vector<double> expected(static_cast<size_t>(z.numel()));
          for (size_t i = 0; i < expected.size(); ++i) {
            const auto at = static_cast<int64_t>(i);
            expected[i] = c.exact(element(a, z.shape(), at), element(b, z.shape(), at));
          }
          SCOPED_TRACE(std::string(c.name) + " " + to_string(sa) + " " + to_string(sb));
          expect_close(z, tensor(expected, z.shape()), 1e-15);
          EXPECT_TRUE(x.shape() != z.shape() || z.memory_format() == x.memory_format());
          expect_close(c.f(x.to(DType::f32), y.to(DType::f32)), z, 1e-6);
        }
      }
    }
  }
}

TEST(Arithmetic, Gradients) {
  for (const Case& c : cases()) {
    for (const auto& [sa, sb] : {std::pair<Shape, Shape>{{3, 4}, {3, 4}},
                                 {{2, 1, 3}, {4, 1}},
                                 {{}, {3}},
                                 {{2, 3, 2, 2}, {3, 1, 1}}}) {
      SCOPED_TRACE(c.name);
      expect_gradients([&](const Inputs& x) { return c.f(x[0], x[1]); },
                       {leaf(sa, 1, c.positive), leaf(sb, 2)});
      // One of them constant.
      expect_gradients([&](const Inputs& x) { return c.f(x[0], x[1]); },
                       {leaf(sa, 1, c.positive), values(sb, 2)});
      expect_gradients([&](const Inputs& x) { return c.f(x[0], x[1]); },
                       {values(sa, 1, c.positive), leaf(sb, 2)});
    }
    // Both operands the same tensor.
    expect_gradients([&](const Inputs& x) { return c.f(x[0], x[0]); }, {leaf({5}, 3, true)});
    for (const auto& [sa, sb] : shape_pairs())
      expect_f32_follows_f64([&](const Inputs& x) { return c.f(x[0], x[1]); },
                             {leaf(sa, 1, c.positive), leaf(sb, 2)}, 1e-5);
  }
}

TEST(Arithmetic, WithNumbers) {
  const std::pair<Function, double (*)(double)> functions[] = {
      {[](const Inputs& x) { return x[0] + 2.5; }, [](double x) { return x + 2.5; }},
      {[](const Inputs& x) { return x[0] - 2.5; }, [](double x) { return x - 2.5; }},
      {[](const Inputs& x) { return x[0] * 2.5; }, [](double x) { return x * 2.5; }},
      {[](const Inputs& x) { return x[0] / 2.5; }, [](double x) { return x / 2.5; }},
      {[](const Inputs& x) { return 2.5 + x[0]; }, [](double x) { return 2.5 + x; }},
      {[](const Inputs& x) { return 2.5 - x[0]; }, [](double x) { return 2.5 - x; }},
      {[](const Inputs& x) { return 2.5 * x[0]; }, [](double x) { return 2.5 * x; }},
      {[](const Inputs& x) { return 2.5 / x[0]; }, [](double x) { return 2.5 / x; }},
      {[](const Inputs& x) { return -x[0]; }, [](double x) { return -x; }},
      {[](const Inputs& x) { return pow(x[0], 2.0); }, [](double x) { return x * x; }},
      {[](const Inputs& x) { return pow(x[0], 3.0); }, [](double x) { return x * x * x; }},
      {[](const Inputs& x) { return pow(x[0], 0.0); }, [](double) { return 1.0; }},
      {[](const Inputs& x) { return pow(x[0], -1.0); }, [](double x) { return 1 / x; }},
      {[](const Inputs& x) { return pow(2.5, x[0]); }, [](double x) { return std::pow(2.5, x); }},
      {[](const Inputs& x) { return remainder(x[0], -0.5); },
       [](double x) { return x + 0.5 * std::floor(x / -0.5); }},
  };
  for (const auto& [f, exact] : functions) {
    const Tensor x = values({3, 5}, 1);
    auto expected = x.to_vector<double>();
    for (double& v : expected) v = exact(v);
    expect_close(f({x}), tensor(expected, {3, 5}), 1e-15);
    expect_gradients(f, {leaf({3, 5}, 1)});
    expect_f32_follows_f64(f, {leaf({2, 3, 5, 7}, 1)}, 1e-5);
  }
}

TEST(Arithmetic, IntegersWrapAndDoNotDivide) {
  const Tensor a = tensor(std::vector<uint8_t>{250, 3}, {2});
  const Tensor b = tensor(std::vector<uint8_t>{10, 5}, {2});
  EXPECT_EQ((a + b).to_vector<uint8_t>(), (std::vector<uint8_t>{4, 8}));
  EXPECT_EQ((a - b).to_vector<uint8_t>(), (std::vector<uint8_t>{240, 254}));
  EXPECT_EQ((a * 2.0).to_vector<uint8_t>(), (std::vector<uint8_t>{244, 6}));
  const Tensor large = full({1}, 0x1p62, DType::i64);
  EXPECT_EQ((large + large).item<int64_t>(), INT64_MIN);
  EXPECT_EQ((arange(3) - 5.0).to_vector<int64_t>(), (std::vector<int64_t>{-5, -4, -3}));
  EXPECT_EQ((1.0 - arange(3)).to_vector<int64_t>(), (std::vector<int64_t>{1, 0, -1}));
  expect_error([] { arange(3) / arange(3); }, {"[div]", "i64[3]", ".to(DType::f32)"});
  expect_error([] { arange(3) / 2.0; }, {"[div]", ".to(DType::f32)"});
  expect_error([] { arange(3) * 0.5; }, {"[mul]", "0.5", ".to(DType::f32)"});
  expect_error([] { pow(arange(3), 2.0); }, {"[pow]"});
}

TEST(Arithmetic, Errors) {
  expect_error([] { zeros({2, 3}) + zeros({2, 4}); }, {"[add]", "[2,3]", "[2,4]"});
  expect_error([] { zeros({2}) * zeros({2}, DType::f64); }, {"[mul]", "f32[2]", "f64[2]", ".to("});
  expect_error([] { zeros({2}) - Tensor(); }, {"undefined"});
  expect_error([] { Tensor() * 2.0; }, {"undefined"});
  expect_error([] { add_relu(zeros({2, 3}), zeros({3})); }, {"[add_relu]", "f32[2,3]", "f32[3]"});
}

TEST(Arithmetic, SpecialValues) {
  const double inf = INFINITY;
  const auto of = [](const Tensor& x) { return x.item<double>(); };
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto t = [&](double v) { return full({}, v, dtype); };
    EXPECT_EQ(of(t(1) / t(0)), inf);
    EXPECT_TRUE(std::isnan(of(t(0) / t(0))));
    EXPECT_TRUE(std::isnan(of(t(inf) - t(inf))));
    EXPECT_TRUE(std::isnan(of(add_relu(t(NAN), t(1)))));
    EXPECT_EQ(of(add_relu(t(-inf), t(1))), 0);
    EXPECT_EQ(of(pow(t(0), t(0))), 1);
  }
  EXPECT_EQ((zeros({0, 3}) + zeros({3})).shape(), (Shape{0, 3}));
  EXPECT_EQ((zeros({0, 1}) * zeros({1, 4})).shape(), (Shape{0, 4}));
  const Tensor x = zeros({0, 3}).set_requires_grad();
  const Tensor row = zeros({3}).set_requires_grad();
  (x * row).backward(zeros({0, 3}));
  EXPECT_EQ(row.grad().to_vector<float>(), (std::vector<float>{0, 0, 0}));
}

TEST(Pow, GradientsWhereTheFormulaIsNotFinite) {
  const Tensor a = tensor(std::vector<double>{0, 0, 2}, {3}).set_requires_grad();
  const Tensor b = tensor(std::vector<double>{0, 2, 0}, {3}).set_requires_grad();
  sum(pow(a, b)).backward();
  EXPECT_EQ(a.grad().to_vector<double>(), (std::vector<double>{0, 0, 0}));
  expect_close(b.grad(), tensor(std::vector<double>{0, 0, std::log(2.0)}, {3}), 1e-15);
}

// Where a is 0 the logarithm is not finite, but all second derivatives are.
TEST(Pow, SecondDerivativesAtZero) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor a = zeros({1}, dtype).set_requires_grad();
    const Tensor b = full({1}, 2.0, dtype).set_requires_grad();
    const std::vector<Tensor> first = grad(sum(pow(a, b)), {a, b}, {.create_graph = true});
    const double expected[2][2] = {{2, 0}, {0, 0}};
    for (size_t i = 0; i < 2; ++i) {
      const std::vector<Tensor> second = grad(sum(first[i]), {a, b}, {.create_graph = true});
      for (size_t k = 0; k < 2; ++k) {
        EXPECT_EQ(second[k].item<double>(), expected[i][k]) << i << k << ' ' << dtype;
      }
    }
    // d3/da3 a^3 = 6, and no NaN on the way to it.
    Tensor y = pow(a, full({1}, 3.0, dtype).set_requires_grad());
    for (int order = 0; order < 3; ++order) y = grad(sum(y), {a}, {.create_graph = true})[0];
    EXPECT_EQ(y.item<double>(), 6) << dtype;
  }
}

// Where nothing flows back, nothing does: not 0 times infinity.
TEST(Arithmetic, NoGradientPassesPolesAsNone) {
  using Numbers = std::vector<double>;
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const bool create_graph : {false, true}) {
      for (const bool reference : {false, true}) {
        std::optional<ReferenceKernels> scope;
        if (reference) scope.emplace();
        const auto gradients = [&](const auto& f, const Numbers& left, const Numbers& right) {
          const auto leaf_of = [&](const Numbers& numbers) {
            return tensor(numbers, {4}).to(dtype).set_requires_grad();
          };
          const Tensor a = leaf_of(left), b = leaf_of(right);
          const Tensor rear = slice(f(a, b), 0, 2, 4);
          Numbers both;
          for (const Tensor& g : grad(sum(rear), {a, b}, {.create_graph = create_graph})) {
            for (const double v : g.to(DType::f64).to_vector<double>()) both.push_back(v);
          }
          return both;
        };
        const auto divide = [](const Tensor& a, const Tensor& b) { return a / b; };
        const auto power = [](const Tensor& a, const Tensor& b) { return pow(a, b); };
        EXPECT_EQ(gradients(divide, {1, 0, 1, 6}, {0, 0, 4, 2}),
                  (Numbers{0, 0, 0.25, 0.5, 0, 0, -0.0625, -1.5}));
        EXPECT_EQ(gradients(divide, {NAN, INFINITY, 1, 6}, {NAN, 1, 4, 2}),
                  (Numbers{0, 0, 0.25, 0.5, 0, 0, -0.0625, -1.5}));
        EXPECT_EQ(gradients(power, {0, -1, 1, 1}, {-1, 0.5, 2, 3}),
                  (Numbers{0, 0, 2, 3, 0, 0, 0, 0}));
        EXPECT_EQ(gradients(power, {NAN, 0, 1, 1}, {1, 0.5, 2, 3}),
                  (Numbers{0, 0, 2, 3, 0, 0, 0, 0}));
      }
    }
  }
}

// The derivative by dy is the factor, also where dy is 0.
TEST(Arithmetic, SecondDerivativesWhereTheGradientIsZero) {
  for (const Case& c : cases()) {
    const Tensor a = leaf({4}, 1, true), b = leaf({4}, 2, true);
    const Tensor dy = zeros({4}, DType::f64).set_requires_grad();
    const auto parts = grad(c.f(a, b), {a, b}, {.create_graph = true, .grad_output = dy});
    const auto factors = grad(sum(c.f(a, b)), {a, b});
    for (size_t i = 0; i < 2; ++i) {
      expect_close(grad(sum(parts[i]), {dy}, {.retain_graph = true})[0], factors[i], 1e-14, c.name);
    }
  }
}

TEST(Pow, OfANumber) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = tensor(std::vector<double>{3, 0, -1}, {3}).to(dtype);
    EXPECT_EQ(pow(2, x).to(DType::f64).to_vector<double>(), (std::vector<double>{8, 1, 0.5}));
    EXPECT_EQ(pow(0, x).to(DType::f64).to_vector<double>(), (std::vector<double>{0, 1, INFINITY}));
    x.set_requires_grad();
    sum(pow(0, x)).backward();
    EXPECT_EQ(x.grad().to(DType::f64).to_vector<double>(), (std::vector<double>{0, 0, 0}));
  }
}

TEST(Extreme, NanPassesAndTiesShareTheGradient) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const bool reference : {false, true}) {
      std::optional<ReferenceKernels> scope;
      if (reference) scope.emplace();
      for (const int64_t count : {1, 40}) {
        const auto of = [&](Tensor (*f)(const Tensor&, const Tensor&), double a, double b) {
          return f(full({count}, a, dtype), full({count}, b, dtype))
              .to(DType::f64)
              .to_vector<double>()
              .back();
        };
        for (const auto f : {minimum, maximum}) {
          EXPECT_TRUE(std::isnan(of(f, NAN, 1)));
          EXPECT_TRUE(std::isnan(of(f, 1, NAN)));
          EXPECT_TRUE(std::isnan(of(f, INFINITY, NAN)));
        }
        EXPECT_EQ(of(minimum, -INFINITY, 1), -INFINITY);
        EXPECT_EQ(of(maximum, -INFINITY, 1), 1);
      }
    }
  }
  for (const auto f : {minimum, maximum}) {
    const Tensor a = tensor(std::vector<double>{1, 2, 3}, {3}).set_requires_grad();
    const Tensor b = full({1}, 2, DType::f64).set_requires_grad();
    f(a, b).backward(tensor(std::vector<double>{1, 10, 100}, {3}));
    const bool least = f == minimum;
    EXPECT_EQ(a.grad().to_vector<double>(),
              least ? (std::vector<double>{1, 5, 0}) : (std::vector<double>{0, 5, 100}));
    EXPECT_EQ(b.grad().item<double>(), least ? 105 : 6);
  }
  const Tensor i = arange(-2, 3), two = full({}, -1, DType::i64);
  EXPECT_EQ(min(i, two).to_vector<int64_t>(), (std::vector<int64_t>{-2, -1, -1, -1, -1}));
  EXPECT_EQ(max(i, two).to_vector<int64_t>(), (std::vector<int64_t>{-1, -1, 0, 1, 2}));
  EXPECT_EQ(max(i, {}).item<int64_t>(), 2);  // axes
  EXPECT_EQ(maximum(gt(i, 0), lt(i, 0)).dtype(), DType::u8);
  EXPECT_EQ(minimum(zeros({0, 3}), zeros({3})).shape(), (Shape{0, 3}));
  expect_error([&] { minimum(i, zeros({5})); }, {"[minimum]", "i64[5]", "f32[5]"});
}

TEST(Remainder, HasTheSignOfTheDivisor) {
  const std::vector<double> a{5, -5, 5, -5, 6, -6, 0.5, 5}, b{3, 3, -3, -3, 3, 3, 3, INFINITY};
  const std::vector<double> expected{2, 1, -1, -2, 0, 0, 0.5, 5};
  for (const bool reference : {false, true}) {
    std::optional<ReferenceKernels> scope;
    if (reference) scope.emplace();
    for (const DType dtype : {DType::f32, DType::f64}) {
      const auto y = remainder(tensor(a, {8}).to(dtype), tensor(b, {8}).to(dtype));
      EXPECT_EQ(y.to(DType::f64).to_vector<double>(), expected);
    }
    const Tensor i = tensor(std::vector<int64_t>{5, -5, 6, INT64_MIN}, {4});
    EXPECT_EQ(remainder(i, 3).to_vector<int64_t>(), (std::vector<int64_t>{2, 1, 0, 1}));
    EXPECT_EQ(remainder(i, -3).to_vector<int64_t>(), (std::vector<int64_t>{-1, -2, 0, -2}));
    EXPECT_EQ(remainder(i, -1).to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 0, 0}));
    EXPECT_EQ(remainder(full({1}, 255, DType::u8), 16).item<int>(), 15);
    EXPECT_EQ(remainder(full({1}, 7, DType::u8), 255).item<int>(), 7);
  }
  expect_error([] { remainder(arange(3), arange(3)); }, {"[remainder]", "b is i64[3]", "holds 0"});
  expect_error([] { remainder(arange(3), 0.5); }, {"[remainder]", "0.5"});
}

TEST(Combinations, Lerp) {
  const Tensor a = values({2, 3}, 1), b = values({3}, 2), w = values({2, 1}, 3);
  expect_close(lerp(a, b, 0.3), a + (b - a) * 0.3, 1e-15);
  expect_close(lerp(a, b, 0.7), a + (b - a) * 0.7, 1e-15);
  expect_close(lerp(a, b, w), a + (b - a) * w, 1e-15);
  const Tensor all = b + zeros_like(a);
  EXPECT_EQ(lerp(a, b, 1).to_vector<double>(), all.to_vector<double>());
  EXPECT_EQ(lerp(a, b, full({}, 1, DType::f64)).to_vector<double>(), all.to_vector<double>());
  EXPECT_EQ(lerp(a, b, 0).to_vector<double>(), a.to_vector<double>());
  for (const double weight : {0.3, 0.7}) {
    expect_gradients([=](const Inputs& x) { return lerp(x[0], x[1], weight); },
                     {leaf({2, 3}, 1), leaf({3}, 2)});
  }
  expect_gradients([](const Inputs& x) { return lerp(x[0], x[1], x[2]); },
                   {leaf({2, 3}, 1), leaf({3}, 2), leaf({2, 1}, 3)});
}

TEST(Combinations, AddcmulAndAddcdiv) {
  const Inputs inputs{leaf({2, 3}, 1), leaf({3}, 2), leaf({2, 1}, 3)};
  const Tensor x = inputs[0].detach(), a = inputs[1].detach(), b = inputs[2].detach();
  expect_close(addcmul(x, a, b), x + a * b, 0);
  expect_close(addcmul(x, a, b, 0.5), x + a * b * 0.5, 1e-15);
  expect_close(addcdiv(x, a, b), x + a / b, 0);
  expect_close(addcdiv(x, a, b, -2), x - a / b * 2.0, 1e-15);
  expect_gradients([](const Inputs& in) { return addcmul(in[0], in[1], in[2], 0.5); }, inputs);
  expect_gradients([](const Inputs& in) { return addcdiv(in[0], in[1], in[2], 0.5); }, inputs);
}

TEST(AddRelu, IsReluOfTheSum) {
  const Inputs inputs{leaf({2, 3, 7, 5}, 1), leaf({2, 3, 7, 5}, 2)};
  const Function fused = [](const Inputs& x) { return add_relu(x[0], x[1]); };
  const Function apart = [](const Inputs& x) { return relu(x[0] + x[1]); };
  expect_gradients(fused, {leaf({3, 4}, 1), leaf({3, 4}, 2)});
  expect_f32_follows_f64(fused, inputs);
  for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Results a = run(fused, inputs, DType::f32, order, MemoryFormat::row_major);
    const Results b = run(apart, inputs, DType::f32, order, MemoryFormat::row_major);
    expect_close(a.y, b.y, 0);
    expect_close(a.gradients[0], b.gradients[0], 0);
    expect_close(a.gradients[1], b.gradients[1], 0);
  }
  // Exact zeros get no gradient.
  const Tensor x = ones({3}).set_requires_grad();
  add_relu(x, full({3}, -1)).backward(ones({3}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0, 0, 0}));
}

TEST(AddRelu, TakesTheMemoryOfATemporaryOnly) {
  const Tensor x = randn({1000}).set_requires_grad(), b = randn({1000});
  const Tensor half = x * 0.5;
  const auto before = half.to_vector<float>();
  EXPECT_NE(add_relu(half, b).raw_data(), half.raw_data()) << "a tensor with a name";
  EXPECT_NE(add_relu(half.detach(), b).raw_data(), half.raw_data()) << "memory with two tensors";
  EXPECT_EQ(half.to_vector<float>(), before);
  Tensor moved = x * 0.5;
  const void* memory = moved.raw_data();
  EXPECT_EQ(add_relu(std::move(moved), b).raw_data(), memory);

  // exp saves its result for backward, so it is not temporary.
  add_relu(exp(x), b).backward(ones({1000}));
  const Tensor apart = x.detach().set_requires_grad();
  relu(exp(apart) + b).backward(ones({1000}));
  expect_close(x.grad(), apart.grad(), 0);
}

TEST(Compare, EveryOperatorAndDtype) {
  using Compare = Tensor (*)(const Tensor&, const Tensor&);
  const std::pair<Compare, std::vector<uint8_t>> operators[] = {{eq, {0, 1, 0}}, {ne, {1, 0, 1}},
                                                                {lt, {1, 0, 0}}, {le, {1, 1, 0}},
                                                                {gt, {0, 0, 1}}, {ge, {0, 1, 1}}};
  for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::u8}) {
    const Tensor a = arange(1, 4, 1, dtype), b = full({3}, 2, dtype);
    for (const auto& [f, expected] : operators) {
      EXPECT_EQ(f(a, b).to_vector<uint8_t>(), expected);
      EXPECT_EQ(f(a, b).dtype(), DType::boolean);
      EXPECT_EQ(f(a, full({}, 2, dtype)).to_vector<uint8_t>(), expected);
    }
    EXPECT_EQ(gt(a, 2).to_vector<uint8_t>(), (std::vector<uint8_t>{0, 0, 1}));
    EXPECT_EQ(le(a, 2).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 1, 0}));
  }
  const Tensor nan = full({1}, NAN);
  EXPECT_EQ(eq(nan, nan).item<int>(), 0);
  EXPECT_EQ(ne(nan, nan).item<int>(), 1);
  expect_error([] { eq(arange(3), zeros({3})); }, {"[eq]", "i64[3]", "f32[3]"});
}

// Numbers are compared as numbers, whatever an element can hold.
TEST(Compare, IntegersWithEveryNumber) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> numbers{
      -inf, -0x1p63, -0x1.0000000000001p63, -300, -1, -0.5, 0, 0.5, 1, 254, 255, 255.5,
      256,  0x1p63,  0x1p63 - 1024,         inf,  NAN};
  for (const DType dtype : {DType::u8, DType::i64, DType::boolean}) {
    const std::vector<double> elements =
        dtype == DType::u8        ? std::vector<double>{0, 1, 254, 255}
        : dtype == DType::boolean ? std::vector<double>{0, 1}
                                  : std::vector<double>{-0x1p63, -1, 0, 1, 256, 0x1p63 - 1024};
    for (const double element : elements) {
      const Tensor x = full({}, element, dtype);
      for (const double b : numbers) {
        EXPECT_EQ(eq(x, b).item<bool>(), element == b) << element << " " << b;
        EXPECT_EQ(ne(x, b).item<bool>(), element != b) << element << " " << b;
        EXPECT_EQ(lt(x, b).item<bool>(), element < b) << element << " " << b;
        EXPECT_EQ(le(x, b).item<bool>(), element <= b) << element << " " << b;
        EXPECT_EQ(gt(x, b).item<bool>(), element > b) << element << " " << b;
        EXPECT_EQ(ge(x, b).item<bool>(), element >= b) << element << " " << b;
      }
    }
  }
  // Exactly, where a double is too coarse.
  const Tensor large = tensor(std::vector<int64_t>{(int64_t{1} << 53) + 1, INT64_MAX}, {2});
  EXPECT_EQ(gt(large, 0x1p53).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 1}));
  EXPECT_EQ(lt(large, 0x1p63).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 1}));
}

// A bool tensor counts as u8, and so does the result.
TEST(Arithmetic, OfBool) {
  const Tensor x = tensor(std::vector<float>{1, -1, 3}, {3});
  const Tensor positive = gt(x, 0.0), small = lt(x, 2.0);
  EXPECT_EQ((positive * small).dtype(), DType::u8);
  EXPECT_EQ((positive * small).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 0}));
  EXPECT_EQ((positive + small).to_vector<uint8_t>(), (std::vector<uint8_t>{2, 1, 1}));
  EXPECT_EQ((small - positive).to_vector<uint8_t>(), (std::vector<uint8_t>{0, 1, 255}));
  EXPECT_EQ((1.0 - positive).to_vector<uint8_t>(), (std::vector<uint8_t>{0, 1, 0}));
  EXPECT_EQ((positive * 3.0).to_vector<uint8_t>(), (std::vector<uint8_t>{3, 0, 3}));
  EXPECT_EQ((positive + full({3}, 4, DType::u8)).to_vector<uint8_t>(),
            (std::vector<uint8_t>{5, 4, 5}));
  EXPECT_EQ(positive.to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(sum(positive).item<int64_t>(), 2);
  EXPECT_EQ(sum(positive).dtype(), DType::i64);
  EXPECT_EQ(max(positive).dtype(), DType::boolean);
  EXPECT_EQ(max(positive).item<int>(), 1);
  EXPECT_EQ(argmax(small, 0).item<int>(), 0);
  EXPECT_EQ(cat({positive, small}).dtype(), DType::boolean);
  EXPECT_EQ(where(positive, small, positive).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 0}));
  EXPECT_EQ(eq(positive, small).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 0}));
  expect_error([&] { positive* x; }, {"[mul]", "bool[3]", "f32[3]"});
  expect_error([&] { mean(positive); }, {"[mean]", "bool[3]"});
}

// The nest that strides walk has one loop for all kernels: here is another.
TEST(Arithmetic, EveryBroadcastAgainstPlainIndices) {
  const Shape shapes[] = {{2, 3, 4, 5}, {1, 3, 1, 5}, {4, 1}, {2, 1, 4, 1}, {5}, {1}, {}};
  for (const Shape& sa : shapes) {
    for (const Shape& sb : shapes) {
      for (const bool last : {false, true}) {
        for (const bool reference : {false, true}) {
          Tensor a = values(sa, 1), b = values(sb, 2);
          const auto va = a.to_vector<double>(), vb = b.to_vector<double>();
          if (last && a.dim() == 4) a = to_memory_format(a, MemoryFormat::channels_last);
          if (last && b.dim() == 4) b = to_memory_format(b, MemoryFormat::channels_last);
          std::optional<ReferenceKernels> scope;
          if (reference) scope.emplace();
          const Tensor y = a - b;
          const auto found = y.to_vector<double>();
          const auto compared = lt(a, b).to_vector<uint8_t>();
          for (int64_t i = 0; i < y.numel(); ++i) {
            const auto place = [&](const Shape& shape) {
              int64_t rest = i, at = 0, step = 1;
              for (int d = y.shape().size() - 1, k = shape.size() - 1; d >= 0; --d, --k) {
                const int64_t index = rest % y.shape()[d];
                rest /= y.shape()[d];
                if (k < 0) continue;
                if (shape[k] > 1) at += index * step;
                step *= shape[k];
              }
              return static_cast<size_t>(at);
            };
            const double u = va[place(sa)], v = vb[place(sb)];
            ASSERT_EQ(found[static_cast<size_t>(i)], u - v) << sa.size() << " " << sb.size();
            ASSERT_EQ(compared[static_cast<size_t>(i)], u < v);
          }
        }
      }
    }
  }
}

TEST(Arithmetic, FastAndReferenceAgreeOnIntegers) {
  const Tensor a = arange(-7, 8), b = full({15}, 3, DType::i64);
  const auto results = [&] {
    return cat({a + b, a - b, a * b, lt(a, b).to(DType::i64), ge(a, b).to(DType::i64),
                minimum(a, b), maximum(a, b), remainder(a, b), remainder(a, -b),
                (a * a).to(DType::u8).to(DType::i64) + full({15}, 0x1p62, DType::i64)})
        .to_vector<int64_t>();
  };
  const auto fast = results();
  const ReferenceKernels reference;
  EXPECT_EQ(results(), fast);
}

TEST(Where, ChoosesAndPassesGradients) {
  const Tensor condition = gt(values({2, 3, 7, 5}, 1), 0.0);
  const Function f = [=](const Inputs& x) { return where(condition, x[0] * x[0], x[1]); };
  expect_f32_follows_f64(f, {leaf({2, 3, 7, 5}, 2), leaf({3, 1, 1}, 3)});
  const Tensor small = gt(values({4, 1}, 1), 0.0);
  expect_gradients([=](const Inputs& x) { return where(small, x[0] * x[0], x[1]); },
                   {leaf({3}, 2), leaf({4, 3}, 3)});
  // What is not chosen does not matter, NaN included.
  const Tensor x = tensor(std::vector<float>{1, NAN}, {2}).set_requires_grad();
  const Tensor y = where(tensor(std::vector<uint8_t>{1, 0}, {2}), x, {});
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1, 0}));
  y.backward(full({2}, 3));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{3, 0}));
  expect_error([&] { where(x.detach(), x, x); }, {"[where]", "bool", "u8"});
  expect_error([&] { where(small, {}, {}); }, {"[where]"});
}

TEST(Where, TakesNumbers) {
  const Tensor x = tensor(std::vector<double>{1, -2, 3}, {3}), c = gt(x, 0.0);
  EXPECT_EQ(in_double(where(c, x, 0.0)), (std::vector<double>{1, 0, 3}));
  EXPECT_EQ(in_double(where(c, 0.0, x)), (std::vector<double>{0, -2, 0}));
  EXPECT_EQ(in_double(where(c, x, 7)), (std::vector<double>{1, 7, 3}));
  EXPECT_TRUE(std::signbit(in_double(where(c, x, -0.0))[1]));
  EXPECT_EQ(in_double(where(unsqueeze(c, 1), 9.0, x)),
            (std::vector<double>{9, 9, 9, 1, -2, 3, 9, 9, 9}));
  EXPECT_EQ(where(c, x.to(DType::i64), 4).dtype(), DType::i64);
  const Tensor one = full({}, 5.0, DType::f64).set_requires_grad();
  sum(where(c, one, x)).backward();
  EXPECT_EQ(one.grad().item<double>(), 2);
  expect_error([&] { where(c, x.to(DType::i64), 0.5); }, {"[where]", "0.5", "i64"});
  expect_gradients([&](const Inputs& in) { return where(c, in[0], 2.0); }, {leaf({3}, 1)});
  expect_gradients([&](const Inputs& in) { return where(c, -1.0, in[0]); }, {leaf({2, 3}, 1)});
}

TEST(MaskedFill, StretchesTheMask) {
  const Tensor x = reshape(arange(6).to(DType::f64), {2, 3}),
               m = tensor(std::vector<bool>{true, false, true}, {3});
  EXPECT_EQ(in_double(masked_fill(x, m, -INFINITY)),
            (std::vector<double>{-INFINITY, 1, -INFINITY, -INFINITY, 4, -INFINITY}));
  EXPECT_EQ(in_double(masked_fill(x.to(DType::u8), m.to(DType::u8), 9)),
            (std::vector<double>{9, 1, 9, 9, 4, 9}));
  expect_error([&] { masked_fill(select(x, 0, 0), gt(x, 0.0), 1); }, {"[masked_fill]", "f64[3]"});
  expect_gradients([&](const Inputs& in) { return masked_fill(in[0], m, 2.0); }, {leaf({2, 3}, 1)});
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor image = to_memory_format(reshape(arange(24).to(DType::f64), {2, 3, 2, 2}), format);
    const Tensor y = masked_fill(image, gt(image, 4.0), 0.5);
    EXPECT_EQ(y.memory_format(), format);
    EXPECT_EQ(in_double(y), in_double(where(gt(image, 4.0), 0.5, image)));
  }
}

TEST(Arithmetic, CountsOfMemoryAndReorders) {
  const Tensor a =
      to_memory_format(randn({2, 8, 4, 4}), MemoryFormat::channels_last).set_requires_grad();
  const Tensor b = to_memory_format(randn({2, 8, 4, 4}), MemoryFormat::channels_last);
  const Tensor channel = randn({8, 1, 1});
  reset_counters();
  Tensor y = add_relu(a * b, b) * channel + channel;
  EXPECT_EQ(counters().reorders, 0);
  EXPECT_EQ(counters().allocations, 3);  // add_relu has the product's
  y.backward(to_memory_format(randn({2, 8, 4, 4}), MemoryFormat::channels_last));
  const int64_t of_the_cotangent = 1;
  EXPECT_EQ(counters().reorders, of_the_cotangent);
  reset_counters();
  y = a + contiguous(b);  // one for contiguous, one back
  EXPECT_EQ(counters().reorders, 2);
  EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
}

TEST(Arithmetic, ComputesOnlyTheGradientsThatAreNeeded) {
  const Tensor a = randn({1000}).set_requires_grad(), b = randn({1000});
  const Tensor y = a * b;
  const Tensor dy = randn({1000});
  reset_counters();
  y.backward(dy);
  EXPECT_EQ(counters().allocations, 1);
}

TEST(Arithmetic, CheckerRejectsAWrongBackward) {
  expect_rejected(
      [](const Inputs& x) {
        return with_backward(x[0] / x[1], x, [=](const Tensor& dy) -> Gradients {
          return {dy / x[1], -(dy * x[0]) / x[1]};  // b instead of b^2
        });
      },
      {leaf({3}, 1), leaf({3}, 2)});
}

}  // namespace
}  // namespace tern
