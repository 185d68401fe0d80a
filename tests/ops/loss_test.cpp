// SPDX-License-Identifier: Apache-2.0
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

Tensor classes_of(const std::vector<int64_t>& values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}

/// The definition, one number at a time.
std::vector<double> by_hand(const Tensor& logits, const std::vector<int64_t>& classes,
                            double smoothing) {
  const auto x = logits.to_vector<double>();
  const auto count = static_cast<size_t>(logits.size(1));
  std::vector<double> losses;
  for (size_t i = 0; i < classes.size(); ++i) {
    double total = 0;
    for (size_t k = 0; k < count; ++k) total += std::exp(x[i * count + k]);
    double loss = 0;
    for (size_t k = 0; k < count; ++k) {
      const double target = (static_cast<int64_t>(k) == classes[i] ? 1 - smoothing : 0) +
                            smoothing / static_cast<double>(count);
      loss -= target * (x[i * count + k] - std::log(total));
    }
    losses.push_back(classes[i] == -100 ? 0 : loss);
  }
  return losses;
}

TEST(CrossEntropy, IsTheDefinition) {
  const std::vector<int64_t> classes{2, 0, -100, 4, 1};
  const Tensor x = values({5, 7}, 1);
  for (const double smoothing : {0.0, 0.3, 1.0}) {
    const auto expected = by_hand(x, classes, smoothing);
    const auto each = cross_entropy(x, classes_of(classes),
                                    {.label_smoothing = smoothing, .reduction = Reduction::none});
    expect_close(each, tensor(expected, {5}), 1e-14);
    double total = 0;
    for (const double loss : expected) total += loss;
    const auto sum = cross_entropy(x, classes_of(classes),
                                   {.label_smoothing = smoothing, .reduction = Reduction::sum});
    EXPECT_NEAR(sum.item<double>(), total, 1e-13);
    const auto mean = cross_entropy(x, classes_of(classes), {.label_smoothing = smoothing});
    EXPECT_NEAR(mean.item<double>(), total / 4, 1e-13);  // four rows count
  }
}

TEST(CrossEntropy, Gradients) {
  for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
    for (const double smoothing : {0.0, 0.2}) {
      expect_gradients(
          [=](const Inputs& x) {
            return cross_entropy(
                x[0], classes_of({2, 1, 0, 3}),
                {.ignore_index = 1, .label_smoothing = smoothing, .reduction = reduction});
          },
          {leaf({4, 5}, 2)});
    }
  }
}

TEST(CrossEntropy, F32FollowsF64) {
  for (const Shape& shape : {Shape{64, 10}, Shape{3, 1}, Shape{17, 1000}}) {
    std::vector<int64_t> classes;
    for (int64_t i = 0; i < shape[0]; ++i) classes.push_back(i * 7 % shape[1]);
    expect_f32_follows_f64(
        [=](const Inputs& x) {
          return cross_entropy(x[0] * 5.0, classes_of(classes), {.label_smoothing = 0.1});
        },
        {leaf(shape, 3)}, 4e-6);
  }
}

TEST(CrossEntropy, ImagesAndSingleRows) {
  const Tensor logits = values({2, 3, 4, 5}, 4);
  const Tensor classes = argmax(values({2, 3, 4, 5}, 5), 1);
  const Tensor rows = reshape(permute(logits, {0, 2, 3, 1}), {-1, 3});
  expect_close(cross_entropy(logits, classes), cross_entropy(rows, flatten(classes)), 1e-15);
  EXPECT_EQ(cross_entropy(logits, classes, {.reduction = Reduction::none}).shape(),
            (Shape{2, 4, 5}));
  expect_gradients([=](const Inputs& x) { return cross_entropy(x[0], classes); },
                   {leaf({2, 3, 4, 5}, 4)});
  expect_f32_follows_f64(
      [=](const Inputs& x) {
        return cross_entropy(x[0], contiguous(classes), {.reduction = Reduction::none});
      },
      {leaf({2, 3, 4, 5}, 4)});
  const Tensor one = tensor(std::vector<double>{0, 0}, {2});
  const Tensor y = cross_entropy(one, full({}, 1, DType::i64), {.reduction = Reduction::none});
  EXPECT_EQ(y.shape(), Shape{});
  EXPECT_NEAR(y.item<double>(), std::log(2.0), 1e-15);
}

TEST(CrossEntropy, EverythingIgnored) {
  const Tensor x = leaf({2, 3}, 6);
  const Tensor loss = cross_entropy(x, classes_of({-100, -100}));
  EXPECT_TRUE(std::isnan(loss.item<double>()));  // as PyTorch
  loss.backward();
  expect_close(x.grad(), zeros({2, 3}, DType::f64), 0);
}

// An ignored row is never read, also where the backward pass is recorded.
TEST(CrossEntropy, IgnoredRowsMayHoldAnything) {
  for (const bool create_graph : {false, true}) {
    const Tensor x = tensor(std::vector<double>{NAN, NAN, 0, 0}, {2, 2}).set_requires_grad();
    const Tensor loss = cross_entropy(x, classes_of({-100, 1}));
    const Tensor dx = grad(loss, {x}, {.create_graph = create_graph})[0];
    EXPECT_EQ(dx.to_vector<double>(), (std::vector<double>{0, 0, 0.5, -0.5}));
    if (create_graph) {
      const Tensor second = grad(sum(dx * dx), {x})[0];
      EXPECT_EQ(second.to_vector<double>()[0], 0);
      EXPECT_TRUE(std::isfinite(second.to_vector<double>()[2]));
    }
  }
}

TEST(CrossEntropy, MaskedClasses) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = tensor(std::vector<double>{-INFINITY, 1, 2}, {1, 3}).to(dtype);
    for (const double smoothing : {0.1, 1.0}) {
      EXPECT_EQ(cross_entropy(x, classes_of({0}), {.label_smoothing = smoothing}).item<double>(),
                INFINITY);
      EXPECT_EQ(cross_entropy(x, classes_of({1}), {.label_smoothing = smoothing}).item<double>(),
                INFINITY);
    }
    const Tensor of_leaf = x.detach().set_requires_grad();
    const Tensor dx =
        grad(cross_entropy(of_leaf, classes_of({1})), {of_leaf}, {.create_graph = true})[0];
    EXPECT_EQ(dx.to(DType::f64).to_vector<double>()[0], 0);
    EXPECT_NEAR(dx.to(DType::f64).to_vector<double>()[2], 1 / (1 + std::exp(-1.0)), 1e-6);
  }
}

// Short rows of which a thread may begin with any.
TEST(CrossEntropy, TheSameBitsForEveryNumberOfThreads) {
  for (const Shape& shape : {Shape{4001, 2}, Shape{4001, 3}, Shape{4001, 5}, Shape{4001, 10},
                             Shape{4001, 17}, Shape{4001, 100}, Shape{16, 5, 16, 16}}) {
    const Tensor x = values(shape, 1).to(DType::f32);
    const Tensor classes = argmax(values(shape, 2), 1);
    expect_thread_invariant(
        [&] { return cross_entropy(x * 3.0, classes, {.reduction = Reduction::none}); });
    expect_thread_invariant([&] {
      const Tensor leaf = x.clone().set_requires_grad();
      cross_entropy(leaf, classes, {.label_smoothing = 0.1}).backward();
      return leaf.grad();
    });
  }
}

TEST(CrossEntropy, HugeLogits) {
  const Tensor x = tensor(std::vector<float>{1e30f, 0, -1e30f}, {1, 3}).set_requires_grad();
  const Tensor loss = cross_entropy(x, classes_of({0}));
  EXPECT_EQ(loss.item<float>(), 0);
  loss.backward();
  expect_close(x.grad(), zeros({1, 3}), 0);
  EXPECT_EQ(cross_entropy(x, classes_of({1})).item<float>(), 1e30f);
}

TEST(CrossEntropy, SaysWhichClassIsWrong) {
  const Tensor x = zeros({3, 10});
  expect_error(
      [&] {
        cross_entropy(x, classes_of({1, 10, 2}));
      },
      {"[cross_entropy]", "row 1", "10", "0 to 9", "f32[3,10]"});
  expect_error([&] { cross_entropy(x, classes_of({1, 2, -1})); }, {"row 2", "-1"});
  expect_error([&] { cross_entropy(x, classes_of({1, 2})); }, {"f32[3,10]", "i64[2]", "[N,C]"});
  expect_error([&] { cross_entropy(x, zeros({3})); }, {"f32[3]", "i64"});
  expect_error(
      [&] {
        cross_entropy(x, zeros({3, 1}, DType::i64));
      },
      {"i64[3,1]", "want [3]", "reshape(classes, {-1})"});
  expect_error(
      [&] {
        cross_entropy(x, classes_of({1, 2, 3}), {.label_smoothing = 1.5});
      },
      {"label_smoothing is 1.5"});
  expect_error(
      [&] {
        cross_entropy(x, classes_of({1, 2, 3}), {.label_smoothing = NAN});
      },
      {"label_smoothing"});
}

// What the message about class probabilities recommends.
TEST(CrossEntropy, OfProbabilitiesByHand) {
  const Tensor x = leaf({4, 3}, 1), classes = classes_of({0, 2, 1, 2});
  const Tensor p = eq(unsqueeze(classes, 1), arange(3)).to(DType::f64);
  expect_close(mean(sum(-p * log_softmax(x, 1), {1})), cross_entropy(x, classes), 1e-14);
}

TEST(CrossEntropy, ThreadsDoNotChangeIt) {
  const Tensor x = randn({500, 300});
  const Tensor classes = argmax(randn({500, 300}), 1);
  expect_thread_invariant([&] { return cross_entropy(x, classes); });
}

TEST(CrossEntropy, CheckerRejectsAWrongBackward) {
  // Divided by all rows instead of by those that count.
  expect_rejected(
      [](const Inputs& x) {
        const Tensor classes = classes_of({0, -100});
        const Tensor y = cross_entropy(x[0], classes);
        return with_backward(y, x, [=](const Tensor& dy) -> Gradients {
          const Tensor copy = x[0].detach().set_requires_grad();
          return {grad(cross_entropy(copy, classes), {copy})[0] * dy * 0.5};
        });
      },
      {leaf({2, 3}, 7)});
}

TEST(MseLoss, IsTheDefinitionAndHasGradients) {
  const Inputs inputs{leaf({3, 5}, 1), leaf({3, 5}, 2)};
  const Tensor d = inputs[0].detach() - inputs[1].detach();
  expect_close(mse_loss(inputs[0], inputs[1]), mean(d * d), 1e-15);
  expect_close(mse_loss(inputs[0], inputs[1], Reduction::sum), sum(d * d), 1e-15);
  expect_close(mse_loss(inputs[0], inputs[1], Reduction::none), d * d, 0);
  for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum})
    expect_gradients([=](const Inputs& x) { return mse_loss(x[0], x[1], reduction); }, inputs);
}

TEST(MseLoss, F32FollowsF64InBothOrders) {
  for (const Reduction reduction : {Reduction::none, Reduction::mean})
    expect_f32_follows_f64([=](const Inputs& x) { return mse_loss(x[0], x[1], reduction); },
                           {leaf({3, 7, 5, 17}, 1), leaf({3, 7, 5, 17}, 2)});
  // Operands that lie differently.
  expect_f32_follows_f64(
      [](const Inputs& x) {
        return mse_loss(x[0], to_memory_format(x[1], MemoryFormat::channels_last));
      },
      {leaf({3, 7, 5, 17}, 1), leaf({3, 7, 5, 17}, 2)});
}

TEST(MseLoss, ThreadsAndErrors) {
  const Tensor x = randn({300000}), t = randn({300000});
  expect_thread_invariant([&] { return mse_loss(x, t); });
  EXPECT_TRUE(std::isnan(mse_loss(zeros({0}), zeros({0})).item<float>()));
  expect_error([] { mse_loss(zeros({3}), zeros({3, 1})); }, {"[mse_loss]", "f32[3]", "f32[3,1]"});
}

}  // namespace
}  // namespace tern
