// SPDX-License-Identifier: Apache-2.0
// Tensors made of numbers, of random numbers and of other tensors.
#include <algorithm>
#include <numeric>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Places = std::vector<int64_t>;

TEST(Create, LikeAnother) {
  const Tensor x =
      to_memory_format(randn({2, 3, 4, 5}).to(DType::f64), MemoryFormat::channels_last);
  for (const Tensor& y : {full_like(x, 3), rand_like(x), randn_like(x)}) {
    EXPECT_EQ(y.shape(), x.shape());
    EXPECT_EQ(y.dtype(), x.dtype());
    EXPECT_EQ(y.memory_format(), x.memory_format());
    EXPECT_FALSE(y.requires_grad());
  }
  EXPECT_EQ(full_like(arange(2), 7).to_vector<int64_t>(), (Places{7, 7}));
  for (const bool uniform : {false, true}) {
    manual_seed(5);
    const Tensor plain = uniform ? rand(x.shape(), x.dtype()) : randn(x.shape(), x.dtype());
    manual_seed(5);
    EXPECT_TRUE(equal(uniform ? rand_like(x) : randn_like(x), plain)) << "in either format";
  }
  expect_error([] { full_like(zeros({1}, DType::u8), 300); }, {"300"});
  expect_error([] { rand_like(arange(2)); }, {"[rand]", "i64"});
}

TEST(Create, Linspace) {
  EXPECT_EQ(linspace(0, 1, 5).to_vector<float>(), (Floats{0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(linspace(3, -1, 3, DType::f64).to_vector<double>(), (Doubles{3, 1, -1}));
  EXPECT_EQ(linspace(2, 5, 1).to_vector<float>(), (Floats{2}));
  EXPECT_EQ(linspace(2, 5, 0).numel(), 0);
  EXPECT_EQ(linspace(0, 10, 5, DType::i64).to_vector<int64_t>(), (Places{0, 2, 5, 7, 10}));
  // Both ends are met, whatever rounding does between them.
  for (const int64_t count : {2, 3, 7, 10, 49, 1000}) {
    const Doubles x = linspace(0.1, 0.7, count, DType::f64).to_vector<double>();
    EXPECT_EQ(x.front(), 0.1);
    EXPECT_EQ(x.back(), 0.7);
    EXPECT_TRUE(std::is_sorted(x.begin(), x.end()));
  }
  const Doubles wide = linspace(-1.7e308, 1.7e308, 3, DType::f64).to_vector<double>();
  EXPECT_EQ(wide, (Doubles{-1.7e308, 0, 1.7e308}));
  expect_error([] { linspace(0, INFINITY, 3); }, {"[linspace]", "inf"});
  expect_error([] { linspace(0, 1, -1); }, {"[linspace]", "-1"});
  expect_error([] { linspace(0, 300, 2, DType::u8); }, {"[linspace]", "300"});
}

TEST(Create, EyeAndDiag) {
  EXPECT_EQ(eye(2).to_vector<float>(), (Floats{1, 0, 0, 1}));
  EXPECT_EQ(eye(2, 3, DType::i64).to_vector<int64_t>(), (Places{1, 0, 0, 0, 1, 0}));
  EXPECT_EQ(eye(3, 2).to_vector<float>(), (Floats{1, 0, 0, 1, 0, 0}));
  EXPECT_EQ(eye(0).shape(), (Shape{0, 0}));
  const Tensor v = tensor(Floats{1, 2}, {2});
  EXPECT_EQ(diag(v).to_vector<float>(), (Floats{1, 0, 0, 2}));
  EXPECT_EQ(diag(v, 1).to_vector<float>(), (Floats{0, 1, 0, 0, 0, 2, 0, 0, 0}));
  EXPECT_EQ(diag(v, -1).to_vector<float>(), (Floats{0, 0, 0, 1, 0, 0, 0, 2, 0}));
  EXPECT_EQ(diag(zeros({0})).shape(), (Shape{0, 0}));
  const Tensor m = reshape(arange(6), {2, 3});
  EXPECT_EQ(diag(m).to_vector<int64_t>(), (Places{0, 4}));
  EXPECT_EQ(diag(m, 1).to_vector<int64_t>(), (Places{1, 5}));
  EXPECT_EQ(diag(m, 2).to_vector<int64_t>(), (Places{2}));
  EXPECT_EQ(diag(m, -1).to_vector<int64_t>(), (Places{3}));
  EXPECT_EQ(diag(m, 3).numel() + diag(m, -2).numel(), 0);
  for (int64_t offset = -3; offset <= 3; ++offset) {
    const Tensor w = values({4}, 7);
    expect_close(diag(diag(w, offset), offset), w, 0);
    expect_gradients([=](const Inputs& x) { return diag(x[0] * x[0], offset); }, {leaf({3}, 1)});
    expect_gradients([=](const Inputs& x) { return diag(x[0] * x[0], offset); }, {leaf({4, 5}, 1)});
  }
  expect_error([&] { diag(m, 4); }, {"[diag]", "offset is 4", "-2 to 3"});
  expect_error([] { diag(zeros({1, 1, 1})); }, {"[diag]", "f32[1,1,1]"});
}

TEST(Create, Triangles) {
  const Tensor x = reshape(arange(1, 10), {3, 3});
  EXPECT_EQ(tril(x).to_vector<int64_t>(), (Places{1, 0, 0, 4, 5, 0, 7, 8, 9}));
  EXPECT_EQ(triu(x).to_vector<int64_t>(), (Places{1, 2, 3, 0, 5, 6, 0, 0, 9}));
  EXPECT_EQ(tril(x, -1).to_vector<int64_t>(), (Places{0, 0, 0, 4, 0, 0, 7, 8, 0}));
  EXPECT_EQ(triu(x, 1).to_vector<int64_t>(), (Places{0, 2, 3, 0, 0, 6, 0, 0, 0}));
  EXPECT_EQ(sum(triu(x, INT64_MIN)).item<int64_t>(), 45);
  EXPECT_EQ(sum(tril(x, INT64_MIN)).item<int64_t>(), 0);
  EXPECT_EQ(sum(triu(x, INT64_MAX)).item<int64_t>(), 0);
  EXPECT_EQ(tril(zeros({2, 0, 3})).shape(), (Shape{2, 0, 3}));
  EXPECT_EQ(sum(triu(full({2, 2}, NAN), 2)).item<float>(), 0) << "NaN outside is gone";
  const Inputs in{leaf({2, 2, 3, 4}, 1)};
  for (int64_t offset = -2; offset <= 3; ++offset) {
    for (const bool upper : {false, true}) {
      const Function f = [=](const Inputs& v) {
        return upper ? triu(v[0] * v[0], offset) : tril(v[0] * v[0], offset);
      };
      expect_gradients(f, in);
      expect_f32_follows_f64(f, in);
    }
  }
  expect_error([] { tril(zeros({3})); }, {"[tril]", "f32[3]"});
}

TEST(Create, MeshgridAndOneHot) {
  const Tensor x = tensor(Floats{1, 2}, {2}), y = tensor(Floats{3, 4, 5}, {3});
  const std::vector<Tensor> grids = meshgrid({x, y});
  EXPECT_EQ(grids[0].to_vector<float>(), (Floats{1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(grids[1].to_vector<float>(), (Floats{3, 4, 5, 3, 4, 5}));
  EXPECT_EQ(meshgrid({x, ones({}), y})[1].shape(), (Shape{2, 1, 3}));
  EXPECT_TRUE(meshgrid({}).empty());
  expect_gradients(
      [](const Inputs& v) {
        const auto g = meshgrid(v);
        return g[0] * g[1];
      },
      {leaf({2}, 1), leaf({3}, 2)});
  expect_error([] { meshgrid({zeros({2, 2})}); }, {"[meshgrid]", "f32[2,2]"});

  const Tensor classes = tensor(Places{0, 2, 1}, {3});
  EXPECT_EQ(one_hot(classes).to_vector<int64_t>(), (Places{1, 0, 0, 0, 0, 1, 0, 1, 0}));
  EXPECT_EQ(one_hot(reshape(classes, {3, 1}), 4).shape(), (Shape{3, 1, 4}));
  EXPECT_EQ(one_hot(zeros({0}, DType::i64), 4).shape(), (Shape{0, 4}));
  expect_error([&] { one_hot(classes, 2); }, {"[one_hot]", "0 to 2", "want 0 to 1"});
  expect_error([] { one_hot(tensor(Places{-1}, {1}), 2); }, {"[one_hot]", "-1"});
  expect_error([] { one_hot(zeros({2})); }, {"[one_hot]", "f32[2]", "i64"});
  expect_error([] { one_hot(zeros({0}, DType::i64)); }, {"[one_hot]", "-1"});
}

TEST(Random, RandintAndRandperm) {
  manual_seed(1);
  const std::vector<int64_t> drawn = randint(-2, 3, {5000}).to_vector<int64_t>();
  for (int64_t value = -2; value < 3; ++value) {
    EXPECT_NEAR(static_cast<double>(std::count(drawn.begin(), drawn.end(), value)), 1000, 120);
  }
  EXPECT_EQ(*std::min_element(drawn.begin(), drawn.end()), -2);
  EXPECT_EQ(*std::max_element(drawn.begin(), drawn.end()), 2);
  EXPECT_EQ(randint(1, {4}).to_vector<int64_t>(), (Places{0, 0, 0, 0}));
  EXPECT_EQ(randint(255, 256, {2}, DType::u8).to_vector<uint8_t>(),
            (std::vector<uint8_t>{255, 255}));
  EXPECT_EQ(randint(5, {2, 3}, DType::f32).dtype(), DType::f32);
  manual_seed(9);
  const Tensor first = randint(1000, {20});
  manual_seed(9);
  EXPECT_TRUE(equal(randint(1000, {20}), first));
  manual_seed(9);
  Generator same(9);
  EXPECT_EQ(first.to_vector<int64_t>()[0], same.integer(1000));
  const Generator::State before = default_generator().state();
  expect_error([] { randint(3, 3, {2}); }, {"[randint]", "low is 3", "high 3"});
  expect_error([] { randint(INT64_MIN, INT64_MAX, {2}); }, {"[randint]", "2^63"});
  expect_error([] { randint(0, 257, {2}, DType::u8); }, {"[randint]", "256"});
  EXPECT_EQ(default_generator().state(), before);

  Places order = randperm(50).to_vector<int64_t>();
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  Places expected(50);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
  EXPECT_EQ(randperm(0).numel(), 0);
  // Each of the six orders of three.
  std::vector<int> counts(6);
  for (int i = 0; i < 6000; ++i) {
    const Places p = randperm(3).to_vector<int64_t>();
    ++counts[static_cast<size_t>(p[0] * 2 + (p[1] > p[2]))];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 120);
  expect_error([] { randperm(-1); }, {"[randperm]", "-1"});
}

TEST(Random, BernoulliAndNormal) {
  manual_seed(2);
  const Tensor p = tensor(Floats{0, 0.25f, 1}, {3});
  const Tensor drawn = bernoulli(broadcast_to(p, {4000, 3}));
  EXPECT_EQ(drawn.dtype(), DType::f32);
  const Floats shares = mean(drawn, 0).to_vector<float>();
  EXPECT_EQ(shares[0], 0);
  EXPECT_NEAR(shares[1], 0.25, 0.03);
  EXPECT_EQ(shares[2], 1);
  expect_error([] { bernoulli(full({2}, 1.5)); }, {"[bernoulli]", "0 to 1"});
  expect_error([] { bernoulli(full({2}, NAN)); }, {"[bernoulli]", "0 to 1"});

  const Tensor means = tensor(Floats{0, 10}, {2}), deviations = tensor(Floats{1, 0.5f}, {2});
  const Tensor x = normal(broadcast_to(means, {20000, 2}), deviations);
  expect_close(mean(x, 0), means, 0.02);
  expect_close(tern::std(x, 0), deviations, 0.02);
  EXPECT_EQ(normal(means, 0).to_vector<float>(), (Floats{0, 10}));
  EXPECT_EQ(normal(3, zeros({2})).to_vector<float>(), (Floats{3, 3}));
  EXPECT_EQ(normal(3, 0, {2}, DType::f64).to_vector<double>(), (Doubles{3, 3}));
  manual_seed(4);
  const Tensor noise = randn({2});
  manual_seed(4);
  expect_close(normal(means, deviations), means + deviations * noise, 0);
  expect_error([&] { normal(means, -1.0); }, {"[normal]", "-1"});
  expect_error([&] { normal(means, -deviations); }, {"[normal]", "negative"});
  expect_error([&] { normal(means, ones({2}, DType::f64)); }, {"[normal]", "f64[2]"});
}

TEST(Random, Multinomial) {
  manual_seed(3);
  const Tensor weights = tensor(Floats{1, 0, 3, 0}, {4});
  const Places drawn = multinomial(weights, 8000, true).to_vector<int64_t>();
  EXPECT_NEAR(static_cast<double>(std::count(drawn.begin(), drawn.end(), 0)), 2000, 200);
  EXPECT_EQ(std::count(drawn.begin(), drawn.end(), 1) + std::count(drawn.begin(), drawn.end(), 3),
            0);
  // Without replacement the second draw is by the weights that are left.
  int first_is_two = 0;
  for (int i = 0; i < 4000; ++i) {
    const Places two = multinomial(weights, 2).to_vector<int64_t>();
    EXPECT_EQ(two[0] + two[1], 2);
    first_is_two += two[0] == 2;
  }
  EXPECT_NEAR(first_is_two, 3000, 150);
  EXPECT_EQ(multinomial(ones({3, 5}, DType::f64), 5).shape(), (Shape{3, 5}));
  EXPECT_EQ(sort(multinomial(ones({2, 3}), 3)).first.to_vector<int64_t>(),
            (Places{0, 1, 2, 0, 1, 2}));
  expect_error([&] { multinomial(weights, 3); }, {"[multinomial]", "2 weights", "at least 3"});
  expect_error([] { multinomial(zeros({2}), 1); }, {"[multinomial]", "add up to 0"});
  expect_error([] { multinomial(tensor(Floats{1, -1}, {2}), 1); }, {"[multinomial]", "-1"});
  expect_error([] { multinomial(tensor(Floats{1, NAN}, {2}), 1); }, {"[multinomial]", "nan"});
  expect_error([] { multinomial(ones({2}), 0); }, {"[multinomial]", "count is 0"});
  expect_error([] { multinomial(ones({2, 2, 2}), 1); }, {"[multinomial]", "f32[2,2,2]"});
}

}  // namespace
}  // namespace tern
