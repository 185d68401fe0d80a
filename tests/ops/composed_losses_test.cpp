// SPDX-License-Identifier: Apache-2.0
// Losses against their definitions, one number at a time, and at their edges.
#include <algorithm>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Numbers = std::vector<double>;
using Of = std::function<Tensor(const Tensor&, const Tensor&, Reduction)>;

Tensor vector(const Numbers& values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}
Tensor labels(const std::vector<int64_t>& values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}

struct Case {
  const char* name;
  Of f;
  std::function<double(double x, double target)> exact;
  bool probabilities = false;  // x and target are from 0 to 1
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"l1_loss", l1_loss, [](double x, double t) { return std::fabs(x - t); }},
      {"smooth_l1_loss",
       [](const Tensor& x, const Tensor& t, Reduction r) { return smooth_l1_loss(x, t, r, 0.7); },
       [](double x, double t) {
         const double d = std::fabs(x - t);
         return d < 0.7 ? d * d / 1.4 : d - 0.35;
       }},
      {"huber_loss",
       [](const Tensor& x, const Tensor& t, Reduction r) { return huber_loss(x, t, r, 0.7); },
       [](double x, double t) {
         const double d = std::fabs(x - t);
         return d <= 0.7 ? d * d / 2 : 0.7 * (d - 0.35);
       }},
      {"kl_div", [](const Tensor& x, const Tensor& t, Reduction r) { return kl_div(x, t, r); },
       [](double x, double t) { return t * (std::log(t) - x); }, true},
      {"kl_div, log_target",
       [](const Tensor& x, const Tensor& t, Reduction r) { return kl_div(x, t, r, true); },
       [](double x, double t) { return std::exp(t) * (t - x); }},
      {"binary_cross_entropy",
       [](const Tensor& x, const Tensor& t, Reduction r) {
         return binary_cross_entropy(x, t, {.reduction = r});
       },
       [](double x, double t) { return -t * std::log(x) - (1 - t) * std::log(1 - x); }, true},
      {"binary_cross_entropy_with_logits",
       [](const Tensor& x, const Tensor& t, Reduction r) {
         return binary_cross_entropy_with_logits(x, t, {.reduction = r});
       },
       [](double x, double t) {
         return t * std::log1p(std::exp(-x)) + (1 - t) * std::log1p(std::exp(x));
       }},
  };
  return all;
}

Inputs inputs_of(const Case& c, const Shape& shape) {
  const Tensor x = values(shape, 1, c.probabilities), t = values(shape, 2, c.probabilities);
  if (!c.probabilities) return {x.set_requires_grad(), t.set_requires_grad()};
  return {(x * 0.5).detach().set_requires_grad(), (t * 0.5).detach().set_requires_grad()};
}

TEST(Losses, AreTheirDefinitions) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c, {4, 5});
    const auto x = in[0].to_vector<double>(), t = in[1].to_vector<double>();
    Numbers each(20);
    double total = 0;
    for (size_t i = 0; i < 20; ++i) total += each[i] = c.exact(x[i], t[i]);
    expect_close(c.f(in[0], in[1], Reduction::none), tensor(each, {4, 5}), 1e-14);
    EXPECT_NEAR(c.f(in[0], in[1], Reduction::sum).item<double>(), total, 1e-13);
    EXPECT_NEAR(c.f(in[0], in[1], Reduction::mean).item<double>(), total / 20, 1e-14);
    EXPECT_EQ(c.f(zeros({0, 3}), zeros({0, 3}), Reduction::none).shape(), (Shape{0, 3}));
    EXPECT_TRUE(std::isnan(c.f(zeros({0}), zeros({0}), Reduction::mean).item<float>()));
    expect_error([&] { c.f(in[0], in[1].detach().to(DType::f32), Reduction::sum); },
                 {"f64[4,5]", "f32[4,5]", "same shape and dtype"});
    expect_error([&] { c.f(zeros({3}), zeros({1}), Reduction::sum); }, {"f32[3]", "f32[1]"});
  }
}

TEST(Losses, GradientsOfBothArguments) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
      expect_gradients([&](const Inputs& in) { return c.f(in[0], in[1], reduction); },
                       inputs_of(c, {3, 4}));
    }
    expect_f32_follows_f64([&](const Inputs& in) { return c.f(in[0], in[1], Reduction::none); },
                           inputs_of(c, {2, 3, 5, 7}), 1e-5);
    expect_f32_follows_f64([&](const Inputs& in) { return c.f(in[0], in[1], Reduction::mean); },
                           inputs_of(c, {2, 3, 5, 7}), 1e-5);
  }
}

TEST(Losses, KinksOfTheAbsoluteValue) {
  const Tensor x = vector({0, 1, -3}).set_requires_grad(), t = vector({0, 0, 0});
  EXPECT_EQ(grad(l1_loss(x, t, Reduction::sum), {x})[0].to_vector<double>(), (Numbers{0, 1, -1}));
  EXPECT_EQ(grad(smooth_l1_loss(x, t, Reduction::sum), {x})[0].to_vector<double>(),
            (Numbers{0, 1, -1}));
  EXPECT_EQ(grad(huber_loss(x, t, Reduction::sum, 2), {x})[0].to_vector<double>(),
            (Numbers{0, 1, -2}));
  const Tensor dx = grad(huber_loss(x, t, Reduction::sum), {x}, {.create_graph = true})[0];
  EXPECT_EQ(grad(sum(dx), {x})[0].to_vector<double>(), (Numbers{1, 1, 0})) << "also at 0";
  EXPECT_EQ(smooth_l1_loss(x, t, Reduction::none, 0).to_vector<double>(), (Numbers{0, 1, 3}));
  expect_error([&] { smooth_l1_loss(x, t, Reduction::sum, -1); },
               {"[smooth_l1_loss]", "beta is -1"});
  expect_error([&] { huber_loss(x, t, Reduction::sum, 0); }, {"[huber_loss]", "delta is 0"});
}

// PyTorch's: logarithms stop at -100, and the gradient's divisor at 1e-12.
TEST(Losses, BinaryCrossEntropyAtItsEnds) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor p = vector({0, 0, 1, 1}).to(dtype).set_requires_grad();
    const Tensor t = vector({0, 1, 0, 1}).to(dtype);
    const Tensor loss = binary_cross_entropy(p, t, {.reduction = Reduction::none});
    EXPECT_EQ(loss.to(DType::f64).to_vector<double>(), (Numbers{0, 100, 100, 0}));
    expect_close(grad(sum(loss), {p})[0], vector({0, -1e12, 1e12, 0}), 1e-6);
    const Tensor weighted =
        binary_cross_entropy(p, t, {.weight = full({1}, 2, dtype), .reduction = Reduction::sum});
    EXPECT_EQ(weighted.item<double>(), 400);
  }
  expect_error([] { binary_cross_entropy(full({2}, 1.5), zeros({2})); },
               {"[binary_cross_entropy]", "1.5", "0 to 1", "with_logits"});
  expect_error([] { binary_cross_entropy(full({2}, NAN), zeros({2})); }, {"nan"});
}

TEST(Losses, LogitsMayBeLarge) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = vector({-1000, -1000, 1000, 1000, -100}).to(dtype).set_requires_grad();
    const Tensor t = vector({0, 1, 0, 1, 1}).to(dtype);
    const Tensor loss = binary_cross_entropy_with_logits(x, t, {.reduction = Reduction::none});
    EXPECT_EQ(loss.to(DType::f64).to_vector<double>(), (Numbers{0, 1000, 1000, 0, 100}));
    EXPECT_EQ(grad(sum(loss), {x})[0].to(DType::f64).to_vector<double>(),
              (Numbers{0, -1, 1, 0, -1}));
  }
  // By the definition with factors.
  const Tensor x = values({4, 3}, 1), t = values({4, 3}, 2, true) * 0.5;
  const Tensor positive = values({3}, 3, true), weight = values({4, 1}, 4, true);
  const Tensor s = sigmoid(x);
  const Tensor expected = neg(positive * t * log(s) + (1.0 - t) * log(1.0 - s)) * weight;
  expect_close(binary_cross_entropy_with_logits(
                   x, t, {.weight = weight, .pos_weight = positive, .reduction = Reduction::none}),
               expected, 1e-14);
  expect_gradients(
      [=](const Inputs& in) {
        return binary_cross_entropy_with_logits(in[0], t,
                                                {.weight = weight, .pos_weight = positive});
      },
      {leaf({4, 3}, 1)});
}

TEST(Losses, KlDivOfNothing) {
  const Tensor x = vector({-INFINITY, -1}).set_requires_grad(), t = vector({0, 1});
  const Tensor loss = kl_div(x, t, Reduction::sum);
  EXPECT_EQ(loss.item<double>(), 1);
  EXPECT_EQ(grad(loss, {x})[0].to_vector<double>(), (Numbers{0, -1}));
}

TEST(NllLoss, IsCrossEntropyAfterLogSoftmax) {
  const Tensor classes = labels({2, 0, -100, 4, 1});
  const Tensor x = values({5, 7}, 1);
  for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
    expect_close(nll_loss(log_softmax(x, 1), classes, {.reduction = reduction}),
                 cross_entropy(x, classes, {.reduction = reduction}), 1e-14);
    const Tensor all = labels({2, 0, 3, 4, 1});
    expect_close(nll_loss(log_softmax(x, 1), all, {.ignore_index = 4, .reduction = reduction}),
                 cross_entropy(x, all, {.ignore_index = 4, .reduction = reduction}), 1e-14);
  }
}

TEST(NllLoss, ShapesWeightsAndWhatIsNotRead) {
  const Tensor x = tensor(Numbers{-1, -2, NAN, NAN, -INFINITY, -3}, {3, 2}).set_requires_grad();
  const Tensor classes = labels({0, -100, 1});
  const Tensor loss = nll_loss(x, classes, {.weight = vector({2, 5})});
  EXPECT_NEAR(loss.item<double>(), (2 * 1 + 5 * 3) / 7.0, 1e-15);
  expect_close(grad(loss, {x})[0], tensor(Numbers{-2 / 7.0, 0, 0, 0, 0, -5 / 7.0}, {3, 2}), 1e-15);
  EXPECT_EQ(nll_loss(x, classes, {.weight = vector({2, 5}), .reduction = Reduction::none})
                .to_vector<double>(),
            (Numbers{2, 0, 15}));
  EXPECT_TRUE(std::isnan(nll_loss(x, labels({-100, -100, -100})).item<double>()));
  // Images, one row, and none.
  const Tensor image = values({2, 3, 4, 5}, 1), of_pixels = argmax(values({2, 3, 4, 5}, 2), 1);
  const Tensor rows = reshape(permute(image, {0, 2, 3, 1}), {-1, 3}), weight = values({3}, 3, true);
  for (const Tensor& w : {Tensor(), weight}) {
    expect_close(nll_loss(image, of_pixels, {.weight = w}),
                 nll_loss(rows, flatten(of_pixels), {.weight = w}), 1e-14);
    expect_gradients([=](const Inputs& in) { return nll_loss(in[0], of_pixels, {.weight = w}); },
                     {leaf({2, 3, 4, 5}, 1)});
  }
  EXPECT_EQ(nll_loss(image, of_pixels, {.reduction = Reduction::none}).shape(), (Shape{2, 4, 5}));
  EXPECT_EQ(nll_loss(vector({-1, -2}), full({}, 1, DType::i64)).item<double>(), 2);
  EXPECT_EQ(
      nll_loss(zeros({0, 3}), zeros({0}, DType::i64), {.reduction = Reduction::sum}).item<float>(),
      0);
  expect_error([&] { nll_loss(x, labels({0, 2, 1})); }, {"[nll_loss]", "row 1 is 2", "0 to 1"});
  expect_error([&] { nll_loss(x, labels({0, 1})); }, {"[nll_loss]", "f64[3,2]", "i64[2]"});
  expect_error([&] { nll_loss(x, vector({0, 1, 1})); }, {"[nll_loss]", "want i64"});
  expect_error([&] { nll_loss(x, classes, {.weight = ones({2})}); },
               {"[nll_loss]", "weight is f32[2]", "[2], f64"});
}

TEST(CrossEntropy, ClassWeights) {
  const Tensor x = values({5, 3}, 1), weight = vector({0.5, 2, 3});
  const std::vector<int64_t> classes{2, 0, -100, 1, 1};
  const auto log_p = log_softmax(x, 1).to_vector<double>();
  const Numbers w{0.5, 2, 3};
  for (const double smoothing : {0.0, 0.3}) {
    Numbers each;
    double total = 0, factors = 0;
    for (size_t i = 0; i < 5; ++i) {
      double loss = 0;
      for (size_t k = 0; k < 3; ++k) {
        const double part =
            (static_cast<int64_t>(k) == classes[i] ? 1 - smoothing : 0) + smoothing / 3;
        if (classes[i] != -100) loss -= part * w[k] * log_p[3 * i + k];
      }
      each.push_back(loss);
      total += loss;
      if (classes[i] != -100) factors += w[static_cast<size_t>(classes[i])];
    }
    const auto f = [&](const Tensor& logits, Reduction reduction) {
      return cross_entropy(
          logits, labels(classes),
          {.label_smoothing = smoothing, .reduction = reduction, .weight = weight});
    };
    expect_close(f(x, Reduction::none), vector(each), 1e-14);
    EXPECT_NEAR(f(x, Reduction::sum).item<double>(), total, 1e-13);
    EXPECT_NEAR(f(x, Reduction::mean).item<double>(), total / factors, 1e-14);
    expect_gradients([&](const Inputs& in) { return f(in[0], Reduction::mean); },
                     {leaf({5, 3}, 1)});
  }
  // Equal factors change nothing but the sum.
  expect_close(cross_entropy(x, labels(classes), {.weight = full({3}, 4, DType::f64)}),
               cross_entropy(x, labels(classes)), 1e-14);
  expect_error([&] { cross_entropy(x, labels(classes), {.weight = ones({2}, DType::f64)}); },
               {"[cross_entropy]", "weight is f64[2]", "[3]"});
}

TEST(CrossEntropy, Probabilities) {
  const Tensor x = values({4, 3}, 1), classes = labels({2, 0, 1, 1}), weight = vector({0.5, 2, 3});
  const Tensor one_hot = eq(unsqueeze(classes, 1), arange(3)).to(DType::f64);
  for (const double smoothing : {0.0, 0.3}) {
    const CrossEntropyOptions options{.label_smoothing = smoothing};
    expect_close(cross_entropy(x, one_hot, options), cross_entropy(x, classes, options), 1e-14);
    const CrossEntropyOptions each{
        .label_smoothing = smoothing, .reduction = Reduction::none, .weight = weight};
    expect_close(cross_entropy(x, one_hot, each), cross_entropy(x, classes, each), 1e-14);
  }
  // The mean is over rows, whatever the weights are.
  expect_close(cross_entropy(x, one_hot, {.weight = weight}),
               mean(cross_entropy(x, classes, {.reduction = Reduction::none, .weight = weight})),
               1e-14);
  expect_gradients(
      [=](const Inputs& in) {
        return cross_entropy(in[0], in[1], {.label_smoothing = 0.1, .weight = weight});
      },
      {leaf({4, 3}, 1), leaf({4, 3}, 2, true)});
  expect_gradients([](const Inputs& in) { return cross_entropy(in[0], in[1]); },
                   {leaf({2, 3, 2, 2}, 1), leaf({2, 3, 2, 2}, 2, true)});
  // A move that is not allowed: probability 0, logit -inf.
  const Tensor masked = tensor(Numbers{-INFINITY, 0, 0}, {1, 3}).set_requires_grad();
  const Tensor loss = cross_entropy(masked, tensor(Numbers{0, 0.5, 0.5}, {1, 3}));
  EXPECT_NEAR(loss.item<double>(), std::log(2.0), 1e-15);
  EXPECT_EQ(grad(loss, {masked})[0].to_vector<double>(), (Numbers{0, 0, 0}));
  // Elsewhere a probability of 0 has its derivative.
  const Tensor none = zeros({4, 3}, DType::f64).set_requires_grad();
  expect_close(grad(cross_entropy(x, none, {.reduction = Reduction::sum}), {none})[0],
               neg(log_softmax(x, 1)), 1e-15);
  expect_error(
      [&] {
        cross_entropy(x, zeros({4, 2}, DType::f64));
      },
      {"[cross_entropy]", "f64[4,3]", "f64[4,2]"});
  expect_error([&] { cross_entropy(x, one_hot, {.ignore_index = 1}); },
               {"[cross_entropy]", "ignore_index is 1", "probabilities"});
}

TEST(Losses, Margins) {
  const Tensor a = vector({1, 2, 3}), b = vector({2, 2, 1}), y = vector({1, -1, -1});
  EXPECT_EQ(margin_ranking_loss(a, b, y, 0.5, Reduction::none).to_vector<double>(),
            (Numbers{1.5, 0.5, 2.5}));
  EXPECT_EQ(margin_ranking_loss(a, b, y).item<double>(), 1);
  expect_gradients([=](const Inputs& in) { return margin_ranking_loss(in[0], in[1], y, 0.3); },
                   {leaf({3}, 1), leaf({3}, 2)});

  const Tensor anchor = tensor(Numbers{0, 0, 1, 1}, {2, 2});
  const Tensor near = tensor(Numbers{3, 4, 1, 1}, {2, 2}),
               far = tensor(Numbers{0, 5.5, 9, 1}, {2, 2});
  const auto triplet = [&](const TripletMarginLossOptions& options) {
    return triplet_margin_loss(anchor, near, far, options).to_vector<double>();
  };
  // Distances 5 and 5.5, 0 and 8; from near to far sqrt(11.25), 8.
  EXPECT_NEAR(triplet({.reduction = Reduction::none})[0], 0.5, 1e-5);
  EXPECT_EQ(triplet({.reduction = Reduction::none})[1], 0);
  EXPECT_NEAR(triplet({.reduction = Reduction::sum})[0], 0.5, 1e-5);
  EXPECT_NEAR(triplet({.swap = true, .reduction = Reduction::none})[0], 6 - std::sqrt(11.25), 1e-5);
  EXPECT_NEAR(triplet({.p = 1, .reduction = Reduction::none})[0], 1 + 7 - 5.5, 1e-5);
  for (const double p : {1.0, 2.0, 3.0}) {
    expect_gradients(
        [=](const Inputs& in) {
          return triplet_margin_loss(in[0], in[1], in[2], {.margin = 3, .p = p, .swap = true});
        },
        {leaf({3, 4}, 1), leaf({3, 4}, 2), leaf({3, 4}, 3)});
  }
  const Tensor same = ones({1, 2}, DType::f64).set_requires_grad();
  triplet_margin_loss(same, same.detach(), zeros({1, 2}, DType::f64), {.margin = 3}).backward();
  EXPECT_TRUE(std::isfinite(same.grad().to_vector<double>()[0])) << "a distance of 0";
  expect_error([&] { triplet_margin_loss(anchor, near, zeros({2})); },
               {"[triplet_margin_loss]", "f64[2,2]", "f32[2]"});
  expect_error([&] { triplet({.p = 0}); }, {"[triplet_margin_loss]", "p is 0"});

  const Tensor u = tensor(Numbers{1, 0, 1, 1, 0, 0}, {3, 2});
  const Tensor v = tensor(Numbers{0, 2, 1, 1, 1, 1}, {3, 2});
  expect_close(cosine_embedding_loss(u, v, labels({1, 1, -1}), 0, Reduction::none),
               vector({1, 0, 0}), 1e-12);
  expect_close(cosine_embedding_loss(u, v, labels({-1, -1, 1}), 0.25, Reduction::none),
               vector({0, 0.75, 1}), 1e-12);
  EXPECT_NEAR(cosine_embedding_loss(vector({1, 1}), vector({1, 1}), full({}, -1, DType::i64))
                  .item<double>(),
              1, 1e-12);
  const Tensor sides = labels({1, -1, 1});
  expect_gradients(
      [=](const Inputs& in) { return cosine_embedding_loss(in[0], in[1], sides, -0.9); },
      {leaf({3, 4}, 1), leaf({3, 4}, 2)});
  expect_error([&] { cosine_embedding_loss(u, v, labels({1})); },
               {"[cosine_embedding_loss]", "f64[3,2]", "i64[1]"});
  expect_error([&] { cosine_embedding_loss(u, v, full({}, 1, DType::i64)); },
               {"[cosine_embedding_loss]", "f64[3,2]", "i64[]"});
}

}  // namespace
}  // namespace tern
