// SPDX-License-Identifier: Apache-2.0
// One test for each batch norm pitfall that users of other frameworks keep reporting.
#include "support.h"

using namespace tern;
using namespace tern::test;
using nn::BatchNorm2d;

namespace {

Tensor batch(const std::vector<float>& v) {
  return tensor(v, {static_cast<int64_t>(v.size()), 1, 1, 1});
}
int64_t count(const BatchNorm2d& layer) { return layer.num_batches_tracked().item<int64_t>(); }

}  // namespace

TEST(BatchNormTrap, T01_NormalizesWithBiasedVarianceAndStoresUnbiased) {
  BatchNorm2d bn(1, {.eps = 0, .momentum = Momentum::update(1)});
  const Tensor y = bn(batch({1, 3}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{-1, 1}));  // variance 1
  EXPECT_EQ(at(bn.running_var(), 0), 2);
}

TEST(BatchNormTrap, T02_RunningVarianceOfTwoValuesIsCorrectedInEveryKernelAndOrder) {
  for (DType dtype : {DType::f32, DType::f64}) {
    for (int64_t channels : {1, 16}) {
      const Tensor x =
          cat({full({1, channels, 1, 1}, 1, dtype), full({1, channels, 1, 1}, 3, dtype)});
      for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
        const Tensor mean = zeros({channels}, dtype), var = zeros({channels}, dtype);
        batch_norm(to_memory_format(x, order), mean, var, {}, {},
                   {.training = true, .momentum = Momentum::update(1)});
        EXPECT_EQ(max_distance(var, full({channels}, 2)), 0);
      }
    }
  }
}

TEST(BatchNormTrap, T03_OnnxRuleIsBiasedVarianceAndMomentumAsShareKept) {
  BatchNorm2d bn(1, {.momentum = Momentum::keep(0.9), .running_var = RunningVar::biased});
  bn(batch({1, 3}));
  EXPECT_NEAR(at(bn.running_mean(), 0), 0 * 0.9 + 2 * 0.1, 1e-7);
  EXPECT_NEAR(at(bn.running_var(), 0), 1 * 0.9 + 1 * 0.1, 1e-7);
}

TEST(BatchNormTrap, T04_MomentumSaysWhatItMeans) {
  BatchNorm2d torch(1, {.momentum = Momentum::update(0.25)});
  BatchNorm2d keras(1, {.momentum = Momentum::keep(0.25)});
  torch(batch({1, 3})), keras(batch({1, 3}));
  EXPECT_NEAR(at(torch.running_mean(), 0), 0.5, 1e-7);
  EXPECT_NEAR(at(keras.running_mean(), 0), 1.5, 1e-7);
}

TEST(BatchNormTrap, T05_CumulativeMomentumIsAnAverageAndNotZero) {
  BatchNorm2d bn(1, {.momentum = Momentum::cumulative()});
  bn(batch({1, 3})), bn(batch({5, 7}));
  EXPECT_NEAR(at(bn.running_mean(), 0), 4, 1e-6);
  EXPECT_EQ(bn.num_batches_tracked().dtype(), DType::i64);
}

TEST(BatchNormTrap, T06_LastBatchOfOneSaysDropLastAndNamesTheLayer) {
  nn::Sequential net;
  net.push_back("bn", BatchNorm2d(10));
  expect_mentions(message_of([&] {
                    net(ones({1, 10, 1, 1}));
                  }),
                  {"f32[1,10,1,1]", "last", "drop_last", "bn"});
  auto& bn = net.as<BatchNorm2d>(0);
  EXPECT_EQ(count(bn), 0);
  EXPECT_EQ(max_distance(bn.running_var(), ones({10})), 0);
  net(ones({1, 10, 1, 2}));  // one sample, two values: fine
  BatchNorm2d free(10, {.track_running_stats = false});
  BatchNorm2d forced(10, {.use_batch_statistics = true});
  BatchNorm2d running(10, {.use_batch_statistics = false});
  free.eval(), forced.eval(), net.eval();
  EXPECT_THROW(free(ones({1, 10, 1, 1})), Error);
  EXPECT_THROW(forced(ones({1, 10, 1, 1})), Error);
  EXPECT_NO_THROW(running(ones({1, 10, 1, 1})));
  EXPECT_NO_THROW(net(ones({1, 10, 1, 1})));
}

TEST(BatchNormTrap, T07_EmptyBatchLeavesTheStatisticsAlone) {
  for (const Shape& shape : {Shape{0, 3, 2, 2}, Shape{2, 3, 0, 2}}) {
    for (bool training : {true, false}) {
      for (DType dtype : {DType::f32, DType::f64}) {
        BatchNorm2d bn(3);
        bn.to(dtype);
        bn.train(training);
        const Tensor x = leaf(zeros(shape, dtype));
        const Tensor y = bn.forward_relu(x);
        y.backward(zeros(shape, dtype));
        EXPECT_EQ(y.shape(), shape);
        EXPECT_EQ(x.grad().shape(), shape);
        EXPECT_EQ(max_distance(bn.weight().grad(), zeros({3})), 0);
        EXPECT_EQ(max_distance(bn.bias().grad(), zeros({3})), 0);
        EXPECT_EQ(max_distance(bn.running_mean(), zeros({3})), 0);
        EXPECT_EQ(max_distance(bn.running_var(), ones({3})), 0);
        EXPECT_EQ(count(bn), 0);
      }
    }
  }
}

TEST(BatchNormTrap, T08_EvaluationHasABackwardOfItsOwn) {
  BatchNorm2d bn(1, {.eps = 0, .moving_mean_init = 1, .moving_var_init = 4});
  bn.eval();
  const Tensor x = leaf(batch({1, 3, 9}));
  bn(x).backward(batch({1, 2, -5}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0.5f, 1, -2.5f}));
  EXPECT_EQ(at(bn.weight().grad(), 0), 0 * 1 + 1 * 2 - 4 * 5);
  EXPECT_EQ(at(bn.bias().grad(), 0), -2);
}

TEST(BatchNormTrap, T09_FrozenStaysFrozenWhenTheParentTrains) {
  manual_seed(51);
  nn::Sequential net(nn::Conv2d(2, 3, 1), BatchNorm2d(3));
  auto& bn = net.as<BatchNorm2d>(1);
  net(randn({4, 2, 2, 2}));
  bn.freeze();
  const Tensor kept = bn.running_mean().clone();
  net.train();
  EXPECT_TRUE(net.is_training());
  EXPECT_FALSE(bn.is_training());
  const Tensor y = net(randn({4, 2, 2, 2}));
  y.backward(randn(y.shape()));
  EXPECT_TRUE(same_bits(bn.running_mean(), kept));
  EXPECT_GT(largest(bn.weight().grad()), 0);  // these go on learning
  bn.freeze(false);
  net.train();
  net(randn({4, 2, 2, 2}));
  EXPECT_FALSE(same_bits(bn.running_mean(), kept));
  // requires_grad = false alone does not keep statistics.
  const Tensor before = bn.running_mean().clone();
  bn.requires_grad_(false);
  net(randn({4, 2, 2, 2}));
  EXPECT_FALSE(same_bits(bn.running_mean(), before));
  BatchNorm2d free(3, {.track_running_stats = false});
  expect_mentions(message_of([&] { free.freeze(); }), {"no running statistics"});
  BatchNorm2d forced(3, {.use_batch_statistics = true});
  forced.freeze();
  forced(randn({4, 3, 2, 2}));
  EXPECT_EQ(count(forced), 0);
}

TEST(BatchNormTrap, T10_WhatCanBeChangedLaterIsHonoured) {
  BatchNorm2d bn(1);
  static_assert(std::is_const_v<std::remove_reference_t<decltype(bn.options())>>);
  BatchNorm2d handle = bn;
  bn.set_momentum(Momentum::update(1));
  handle(batch({1, 3}));  // every handle sees it
  EXPECT_EQ(at(bn.running_mean(), 0), 2);
}

TEST(BatchNormTrap, T11_RunningStatisticsAreInTheStateDict) {
  nn::Sequential net(BatchNorm2d(2));
  EXPECT_EQ(net.state_dict().names(),
            (std::vector<std::string>{"0.weight", "0.bias", "0.running_mean", "0.running_var",
                                      "0.num_batches_tracked"}));
  EXPECT_EQ(net.parameters().size(), 2u);
}

TEST(BatchNormTrap, T12_FilesWithoutTheCounterLoad) {
  BatchNorm2d bn(2);
  bn(randn({4, 2, 2, 2}));
  StateDict old = bn.state_dict().clone();
  old.erase("num_batches_tracked");
  BatchNorm2d fresh(2);
  EXPECT_TRUE(fresh.load_state_dict(old).ok());
  EXPECT_EQ(count(fresh), 0);
  EXPECT_TRUE(same_bits(fresh.running_var(), bn.running_var()));
}

TEST(BatchNormTrap, T13_TwoForwardsBeforeTwoBackwards) {
  manual_seed(52);
  for (bool training : {true, false}) {
    for (bool fused : {true, false}) {
      BatchNorm2d bn(3, {.gamma_init = "normal", .beta_init = "normal"});
      bn.train(training);
      const auto run = [&](const Tensor& x) { return fused ? bn.forward_relu(x) : bn(x); };
      const Tensor a = leaf(randn({4, 3, 3, 3})), b = leaf(randn({4, 3, 3, 3}) * 3.0 + 2.0);
      const Tensor dy = randn(a.shape());
      const Tensor ya = run(a), yb = run(b);
      yb.backward(dy);
      ya.backward(dy);
      const Tensor together = bn.weight().grad().clone();
      bn.zero_grad();
      for (const Tensor& x : {a, b}) {
        const Tensor alone = leaf(x);
        // Evaluation must not see what happened since.
        run(alone).backward(dy);
        EXPECT_TRUE(same_bits(alone.grad(), x.grad()));
      }
      EXPECT_LT(max_distance(bn.weight().grad(), together), 1e-5);
    }
  }
}

TEST(BatchNormTrap, T13_EvaluationGraphUsesTheStatisticsItWasMadeWith) {
  manual_seed(53);
  for (DType dtype : {DType::f32, DType::f64}) {
    for (bool create_graph : {false, true}) {
      BatchNorm2d bn(3);
      bn.to(dtype);
      bn(normal({4, 3, 3, 3}, dtype, 1, 2));
      const Tensor x = leaf(normal({4, 3, 3, 3}, dtype)), dy = normal({4, 3, 3, 3}, dtype);
      bn.eval();
      const std::vector<Tensor> inputs = {x, bn.weight()};
      const auto want = grad(bn(x), inputs, {.grad_output = dy});
      const Tensor y = bn(x);
      bn.train();
      bn(normal({4, 3, 3, 3}, dtype, 50, 9));  // the statistics move before the backward
      const auto got = grad(y, inputs, {.create_graph = create_graph, .grad_output = dy});
      EXPECT_LE(max_distance(got[0], want[0]), create_graph ? 1e-6 : 0);
      EXPECT_LE(max_distance(got[1], want[1]), create_graph ? 1e-5 : 0);
    }
  }
}

TEST(BatchNormTrap, T13_SameModuleTwiceInOneGraph) {
  manual_seed(54);
  BatchNorm2d bn(2), first(2), second(2);
  const Tensor x = leaf(randn({4, 2, 3, 3})), x2 = leaf(x), dy = randn(x.shape());
  bn(bn(x) * 3.0).backward(dy);
  second(first(x2) * 3.0).backward(dy);
  EXPECT_TRUE(same_bits(x.grad(), x2.grad()));
  EXPECT_LT(max_distance(bn.weight().grad(), first.weight().grad() + second.weight().grad()), 1e-6);
  EXPECT_EQ(count(bn), 2);
}

TEST(BatchNormTrap, T14_GradientsAccumulate) {
  manual_seed(55);
  BatchNorm2d bn(2);
  const Tensor x = leaf(randn({4, 2, 3, 3})), dy = randn(x.shape());
  const Tensor y = bn(x);
  y.backward(dy, {.retain_graph = true});
  const Tensor once = bn.weight().grad().clone(), dx = x.grad().clone();
  y.backward(dy);
  EXPECT_EQ(max_distance(bn.weight().grad(), once * 2.0), 0);
  EXPECT_EQ(max_distance(x.grad(), dx * 2.0), 0);
}

TEST(BatchNormTrap, T15_EveryCombinationOfWeightAndBias) {
  manual_seed(56);
  const Tensor x0 = normal({5, 4, 3, 2}, DType::f64), dy = normal({5, 4, 3, 2}, DType::f64);
  const Tensor w = normal({4}, DType::f64), b = normal({4}, DType::f64);
  const Tensor mean = normal({4}, DType::f64), var = rand({4}, DType::f64) + 0.5;
  for (int mask = 0; mask < 4; ++mask) {
    for (bool training : {true, false}) {
      const auto run = [&](DType dtype, MemoryFormat order) {
        const Tensor x = leaf(to_memory_format(x0.to(dtype), order));
        const Tensor weight = mask & 1 ? leaf(w.to(dtype)) : Tensor();
        const Tensor bias = mask & 2 ? leaf(b.to(dtype)) : Tensor();
        const Tensor y = batch_norm(x, mean.to(dtype).clone(), var.to(dtype).clone(), weight, bias,
                                    {.training = training});
        y.backward(dy.to(dtype));
        return std::vector<Tensor>{y, x.grad(), mask & 1 ? weight.grad() : zeros({1}),
                                   mask & 2 ? bias.grad() : zeros({1})};
      };
      const auto want = run(DType::f64, MemoryFormat::row_major);
      for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
        const auto got = run(DType::f32, order);
        for (size_t i = 0; i < 4; ++i) EXPECT_LT(max_distance(got[i], want[i]), 1e-5) << i;
      }
    }
  }
}

TEST(BatchNormTrap, T16_FirstEpochsStatisticsCanBeReestimated) {
  manual_seed(57);
  BatchNorm2d bn(1);
  const auto data = [] { return normal({64, 1, 4, 4}, DType::f32, 30, 5); };
  bn(data());
  bn.eval();
  EXPECT_GT(largest(mean(bn(data()))), 3);  // mean 0 + 0.1 * 30 is far from 30
  nn::reestimate_batch_norm(bn, [&] {
    for (int i = 0; i < 5; ++i) bn(data());
  });
  EXPECT_LT(largest(mean(bn(data()))), 0.2);
  EXPECT_FALSE(bn.is_training());
}

TEST(BatchNormTrap, T17_EvalModeIsAScope) {
  nn::Sequential net(BatchNorm2d(2));
  {
    const nn::EvalMode scope(net);
    net(randn({1, 2, 1, 1}));  // would throw in training
    EXPECT_EQ(count(net.as<BatchNorm2d>(0)), 0);
  }
  EXPECT_TRUE(net[0].is_training());
}

TEST(BatchNormTrap, T18_NewLayerIsInTrainingModeUnlikeMindSpores) {
  BatchNorm2d bn(1);
  EXPECT_LT(max_distance(bn(batch({1, 3})), batch({-1, 1})), 1e-5);
  bn.eval();
  bn.reset_running_stats();
  EXPECT_NEAR(at(bn(batch({1, 1})), 0), 0.999995, 1e-7);
}

TEST(BatchNormTrap, T19_ChannelsLastIsTheSameNumbersInBothPasses) {
  manual_seed(58);
  for (const Shape& shape : {Shape{4, 8, 10, 10}, Shape{4, 1, 9, 9}, Shape{4, 9, 1, 1}}) {
    BatchNorm2d a(shape[1]), b(shape[1]), c(shape[1], {.data_format = DataFormat::NHWC});
    const Tensor x = randn(shape), dy = randn(shape);
    const Tensor xa = leaf(x), xb = leaf(to_memory_format(x, MemoryFormat::channels_last));
    const Tensor xc = leaf(permute(x, {0, 2, 3, 1}));
    const Tensor ya = a(xa), yb = b(xb), yc = c(xc);
    ya.backward(dy), yb.backward(dy), yc.backward(permute(dy, {0, 2, 3, 1}));
    EXPECT_EQ(yb.memory_format(), xb.memory_format());
    EXPECT_LT(max_distance(ya, yb), 1e-6);
    EXPECT_LT(max_distance(xa.grad(), xb.grad()), 2e-6);
    EXPECT_LT(max_distance(a.weight().grad(), b.weight().grad()), 1e-5);
    EXPECT_TRUE(same_bits(permute(yc, {0, 3, 1, 2}), yb));
    EXPECT_TRUE(same_bits(permute(xc.grad(), {0, 3, 1, 2}), xb.grad()));
  }
}

TEST(BatchNormTrap, T20_FoldingKeepsBiasesAndSigns) {
  manual_seed(59);
  for (bool bias : {true, false}) {
    nn::Conv2d conv(2, 3, 3, {.bias = bias});
    BatchNorm2d bn(3, {.gamma_init = tensor(std::vector<float>{-2, 0, 0.5f}, {3}),
                       .beta_init = tensor(std::vector<float>{1, 2, 3}, {3}),
                       .moving_mean_init = 4,
                       .moving_var_init = 0.2});
    bn.eval();
    const Tensor x = randn({2, 2, 6, 6});
    nn::Conv2d folded = nn::fold_batch_norm(conv, bn);
    EXPECT_LT(max_distance(folded(x), bn(conv(x))), 1e-5);
  }
}

TEST(BatchNormTrap, T21_StatisticsAreKeptWiderThanTheData) {
  // 2^24 + 1 values: a float32 count or sum would stop at 2^24.
  const int64_t n = (int64_t{1} << 24) + 1;
  const Tensor mean = zeros({1}), var = zeros({1});
  batch_norm(ones({n, 1}), mean, var, {}, {}, {.training = true, .momentum = Momentum::update(1)});
  EXPECT_EQ(at(mean, 0), 1);
  EXPECT_EQ(at(var, 0), 0);
}

TEST(BatchNormTrap, T22_DoubleBackwardOfAGradientPenalty) {
  manual_seed(60);
  const Tensor w = leaf(randn({3}, DType::f64));
  const auto penalty = [](const std::vector<Tensor>& v) {
    const Tensor y = batch_norm_relu(v[0], {}, {}, v[1], {}, {.training = true, .eps = 0.1});
    const Tensor dx = grad(sum(y * y), {v[0]}, {.create_graph = true})[0];
    return sum(dx * dx);
  };
  EXPECT_TRUE(tern::gradcheck(penalty, {leaf(randn({3, 3, 2, 1}, DType::f64)), w}));
}

TEST(BatchNormTrap, T23_LargeMeansAndConstantChannels) {
  manual_seed(61);
  const Tensor x = normal({16, 3, 8, 8}, DType::f32, 1e6, 1);
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true});
  EXPECT_LT(max_distance(y, batch_norm(x.to(DType::f64), {}, {}, {}, {}, {.training = true})),
            5e-6);
  const Tensor constant =
      batch_norm(full({4, 2, 3, 3}, 12345.678), {}, {}, {}, {}, {.training = true});
  EXPECT_EQ(largest(constant), 0);
}

TEST(BatchNormTrap, NoGradForwardStillUpdatesAndStatisticsNeverRequireGrad) {
  BatchNorm2d bn(1);
  {
    const NoGrad no_grad;
    bn(batch({1, 3}));
  }
  EXPECT_EQ(count(bn), 1);
  EXPECT_NEAR(at(bn.running_mean(), 0), 0.2, 1e-7);
  bn(leaf(batch({1, 3})));
  EXPECT_FALSE(bn.running_mean().requires_grad());
  EXPECT_FALSE(bn.running_var().requires_grad());
}

TEST(BatchNormTrap, ChangingTheWeightBeforeBackwardIsAnError) {
  BatchNorm2d bn(1);
  const Tensor x = leaf(batch({1, 3}));
  const Tensor y = bn(x);
  {
    const NoGrad no_grad;
    bn.weight().fill_(5);
  }
  EXPECT_THROW(y.backward(batch({1, 2})), Error);
}
