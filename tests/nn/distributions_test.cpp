// SPDX-License-Identifier: Apache-2.0
// Categorical, Bernoulli and Normal. Numbers without a formula are PyTorch's.
#include <tern/tern.h>

#include <cmath>
#include <limits>

#include "op_checks.h"
#include "support.h"

namespace {

using namespace tern;
using namespace tern::distributions;
using tern::test::expect_close;
using tern::test::expect_error;
using Values = std::vector<double>;

Tensor row(const Values& values) { return tensor(values, {static_cast<int64_t>(values.size())}); }

const Tensor kLogits = tensor(Values{0.5, -1, 2, 0, 0.3, -0.7}, {2, 3});

TEST(Categorical, EqualsPyTorch) {
  const Tensor logits = kLogits.clone().set_requires_grad();
  const Categorical c({.logits = logits});
  const Tensor value = tensor(std::vector<int64_t>{2, 0}, {2});
  const Tensor log_prob = c.log_prob(value), entropy = c.entropy();
  expect_close(log_prob, row({-0.24131129665715711, -1.0460705350576003}), 1e-14);
  expect_close(entropy, row({0.6215846046792746, 1.0259233172043523}), 1e-14);
  (sum(log_prob * row({1, 2})) + sum(entropy)).backward();
  expect_close(logits.grad(),
               tensor(Values{0.020986938786432444, 0.06335167891847314, -0.08433861770490558,
                             1.3044469855423777, -1.0811662683512333, -0.2232807171911444},
                      {2, 3}),
               1e-14);
  const Categorical q(tensor(Values{0.2, 0.2, 0.6, 1, 1, 2}, {2, 3}));
  expect_close(q.probs(), tensor(Values{0.2, 0.2, 0.6, 0.25, 0.25, 0.5}, {2, 3}), 1e-15);
  expect_close(exp(q.logits()), q.probs(), 1e-15);
  expect_close(kl_divergence(c, q), row({0.12478675161382138, 0.2394458861525901}), 1e-14);
  EXPECT_EQ(c.mode().to_vector<int64_t>(), (std::vector<int64_t>{2, 1}));
}

TEST(Categorical, DrawsByProbability) {
  manual_seed(1);
  const Categorical c({.logits = kLogits.to(DType::f32)});
  const Tensor drawn = c.sample({4000});
  EXPECT_EQ(drawn.shape(), (Shape{4000, 2}));
  const Tensor often = mean(one_hot(drawn, 3).to(DType::f64), {0});
  EXPECT_LT(test::max_distance(often, c.probs()), 0.03);
  EXPECT_EQ(c.sample().shape(), (Shape{2}));
  EXPECT_EQ(c.log_prob(drawn).shape(), (Shape{4000, 2}));
  expect_close(mean(c.log_prob(drawn), {0}), -c.entropy(), 0.05);
  const Categorical one(tensor(Values{0.3, 0.7}, {2}));
  EXPECT_EQ(one.sample().shape(), Shape{});
  EXPECT_EQ(one.sample({2, 3}).shape(), (Shape{2, 3}));
}

TEST(Categorical, ForbiddenClassesAreNeverDrawnAndHaveFiniteGradients) {
  const double no = -std::numeric_limits<double>::infinity();
  const Tensor mask = tensor(std::vector<uint8_t>{0, 1, 0}, {3});
  const Tensor logits = kLogits.clone().set_requires_grad();
  const Categorical c({.logits = masked_fill(logits, mask, no)});
  const Tensor drawn = c.sample({200});
  EXPECT_FALSE(any(eq(drawn, 1.0)).item<bool>());
  (sum(c.log_prob(drawn)) + sum(c.entropy())).backward();
  EXPECT_TRUE(all(isfinite(logits.grad())).item<bool>());
  const double p = 1 / (1 + std::exp(1.5));
  EXPECT_NEAR(test::at(c.entropy(), 0), -p * std::log(p) - (1 - p) * std::log(1 - p), 1e-14);
  const Categorical with({.logits = kLogits});
  EXPECT_TRUE(std::isfinite(test::at(kl_divergence(c, with), 0)));
  EXPECT_EQ(test::at(kl_divergence(with, c), 0), std::numeric_limits<double>::infinity());
}

TEST(Normal, EqualsPyTorch) {
  const Normal n(row({0.5, -1}), row({2, 0.3})), m(row({0, -0.5}), row({1, 0.4}));
  expect_close(n.log_prob(row({1, -0.7})), row({-1.643335713764618, -0.21496572887873666}), 1e-14);
  expect_close(n.entropy(), row({2.112085713764618, 0.21496572887873655}), 1e-14);
  expect_close(kl_divergence(n, m), row({0.9318528194400547, 0.850182072451781}), 1e-14);
}

TEST(Normal, DrawsAndDifferentiates) {
  manual_seed(2);
  const Tensor loc = full({3}, 2.0).set_requires_grad(), scale = full({}, 0.5).set_requires_grad();
  const Normal n(loc, scale);
  EXPECT_EQ(n.stddev().shape(), (Shape{3}));
  const Tensor plain = n.sample({4000});
  EXPECT_EQ(plain.shape(), (Shape{4000, 3}));
  EXPECT_FALSE(plain.requires_grad());
  EXPECT_NEAR(mean(plain).item<double>(), 2, 0.03);
  EXPECT_NEAR(tern::std(plain).item<double>(), 0.5, 0.02);
  manual_seed(3);
  const Tensor y = n.rsample({5});
  manual_seed(3);
  EXPECT_TRUE(test::same_bits(n.sample({5}), y));
  sum(y).backward();
  expect_close(loc.grad(), full({3}, 5.0), 1e-6);
  EXPECT_NEAR(scale.grad().item<double>(), (sum(y).item<double>() - 30) / 0.5, 1e-3);
  const auto f = [](const std::vector<Tensor>& x) {
    return Normal(x[0], exp(x[1])).log_prob(x[2]) + Normal(x[0], exp(x[1])).entropy();
  };
  test::expect_gradients(f, {test::leaf({3}, 1), test::leaf({3}, 2), test::leaf({2, 3}, 3)});
  EXPECT_EQ(Normal(zeros({2}), 1.0).sample().shape(), (Shape{2}));
}

TEST(Bernoulli, EqualsPyTorch) {
  const Bernoulli b({.logits = row({0.5, -3})}), p(row({0.25, 0.9}));
  const Tensor value = row({1, 0});
  expect_close(b.log_prob(value), row({-0.4740769841801067, -0.048587351573741965}), 1e-14);
  expect_close(b.entropy(), row({0.6628473185791794, 0.1908649711064422}), 1e-14);
  expect_close(p.log_prob(value), row({-1.3862943611198906, -2.302585092994046}), 1e-14);
  expect_close(p.entropy(), row({0.5623351446188084, 0.32508297339144826}), 1e-14);
  expect_close(kl_divergence(b, p), row({0.3086762243270919, 2.0075148277402235}), 1e-14);
  manual_seed(4);
  EXPECT_LT(test::max_distance(mean(p.sample({4000}), {0}), p.probs()), 0.03);
  EXPECT_EQ(Bernoulli(row({0, 1})).sample().to_vector<double>(), (Values{0, 1}));
}

TEST(Distributions, Errors) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect_error([] { Categorical(ProbsOrLogits{}); }, "[Categorical] probs is undefined");
  expect_error([] { Categorical({.probs = kLogits, .logits = kLogits}); }, "want one of both");
  expect_error([] { const Categorical c(kLogits); }, "with negative numbers, or a row of zeros");
  expect_error([] { const Categorical c(zeros({3})); }, "or a row of zeros");
  expect_error([&] { Categorical({.logits = row({0, nan})}); }, "with NaN among its elements");
  expect_error([] { Categorical({.logits = arange(3)}); }, "logits is i64[3], want f32 or f64");
  expect_error([] { Categorical({.logits = ones({})}); }, "want at least one class");
  expect_error([] { Categorical({.logits = kLogits}).log_prob(ones({2})); },
               "value is f32[2], want classes (i64)");
  expect_error([] { Normal(zeros({2}), zeros({2})); }, "with elements that are not above 0");
  expect_error([] { Normal(zeros({2}), ones({2}, DType::f64)); }, "want both f32 or both f64");
  expect_error([] { const Bernoulli b(row({1.5})); }, "want numbers from 0 to 1");
}

}  // namespace
