// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "op_checks.h"

namespace tern {
namespace {

using namespace checks;

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
  const Order orders[] = {Order::row_major, Order::channels_last};
  for (const Case& c : cases()) {
    for (const auto& [sa, sb] : shape_pairs()) {
      const Tensor a = values(sa, 1, c.positive), b = values(sb, 2);
      for (const Order oa : orders) {
        for (const Order ob : orders) {
          const Tensor x = a.dim() == 4 ? to_order(a, oa) : a;
          const Tensor y = b.dim() == 4 ? to_order(b, ob) : b;
          const Tensor z = c.f(x, y);
          std::vector<double> expected(static_cast<size_t>(z.numel()));
          for (size_t i = 0; i < expected.size(); ++i) {
            const auto at = static_cast<int64_t>(i);
            expected[i] = c.exact(element(a, z.shape(), at), element(b, z.shape(), at));
          }
          SCOPED_TRACE(std::string(c.name) + " " + to_string(sa) + " " + to_string(sb));
          expect_close(z, tensor(expected, z.shape()), 1e-15);
          EXPECT_TRUE(x.shape() != z.shape() || z.order() == x.order());
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

TEST(AddRelu, IsReluOfTheSum) {
  const Inputs inputs{leaf({2, 3, 7, 5}, 1), leaf({2, 3, 7, 5}, 2)};
  const Function fused = [](const Inputs& x) { return add_relu(x[0], x[1]); };
  const Function apart = [](const Inputs& x) { return relu(x[0] + x[1]); };
  expect_gradients(fused, {leaf({3, 4}, 1), leaf({3, 4}, 2)});
  expect_f32_follows_f64(fused, inputs);
  for (const Order order : {Order::row_major, Order::channels_last}) {
    const Results a = run(fused, inputs, DType::f32, order, Order::row_major);
    const Results b = run(apart, inputs, DType::f32, order, Order::row_major);
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
      EXPECT_EQ(f(a, full({}, 2, dtype)).to_vector<uint8_t>(), expected);
    }
    EXPECT_EQ(gt(a, 2).to_vector<uint8_t>(), (std::vector<uint8_t>{0, 0, 1}));
    EXPECT_EQ(le(a, 2).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 1, 0}));
  }
  const Tensor nan = full({1}, NAN);
  EXPECT_EQ(eq(nan, nan).item<int>(), 0);
  EXPECT_EQ(ne(nan, nan).item<int>(), 1);
  expect_error([] { gt(arange(3), 0.5); }, {"[gt]", "0.5"});
  expect_error([] { eq(arange(3), zeros({3})); }, {"[eq]", "i64[3]", "f32[3]"});
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
  expect_error([&] { where(x.detach(), x, x); }, {"[where]", "u8"});
  expect_error([&] { where(small, {}, {}); }, {"[where]"});
}

TEST(Arithmetic, CountsOfMemoryAndReorders) {
  const Tensor a = to_order(randn({2, 8, 4, 4}), Order::channels_last).set_requires_grad();
  const Tensor b = to_order(randn({2, 8, 4, 4}), Order::channels_last);
  const Tensor channel = randn({8, 1, 1});
  reset_counters();
  Tensor y = add_relu(a * b, b) * channel + channel;
  EXPECT_EQ(counters().reorders, 0);
  EXPECT_EQ(counters().allocations, 3);  // add_relu has the product's
  y.backward(to_order(randn({2, 8, 4, 4}), Order::channels_last));
  const int64_t of_the_cotangent = 1;
  EXPECT_EQ(counters().reorders, of_the_cotangent);
  reset_counters();
  y = a + contiguous(b);  // one for contiguous, one back
  EXPECT_EQ(counters().reorders, 2);
  EXPECT_EQ(y.order(), Order::channels_last);
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
