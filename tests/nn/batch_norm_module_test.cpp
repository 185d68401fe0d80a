// SPDX-License-Identifier: Apache-2.0
#include "support.h"

using namespace tern;
using namespace tern::test;
using nn::BatchNorm1d;
using nn::BatchNorm2d;
using nn::BatchNorm3d;

namespace {

Tensor values(const std::vector<float>& v) { return tensor(v, {static_cast<int64_t>(v.size())}); }

/// One channel, n values.
Tensor batch(const std::vector<float>& v) {
  return tensor(v, {static_cast<int64_t>(v.size()), 1, 1, 1});
}

int64_t count(const nn::BatchNorm& layer) { return layer.num_batches_tracked().item<int64_t>(); }

}  // namespace

TEST(BatchNormModule, WorksWithNothingButDefaults) {
  manual_seed(31);
  BatchNorm2d bn(3);
  EXPECT_TRUE(bn.is_training());
  const Tensor y = bn(randn({4, 3, 5, 5}));
  y.backward(randn(y.shape()));
  EXPECT_GT(largest(bn.weight().grad()), 0);
  optim::SGD sgd(bn.parameters(), {.lr = 0.1});
  sgd.step();
  EXPECT_NE(max_distance(bn.weight(), ones({3})), 0);
  EXPECT_EQ(count(bn), 1);
}

TEST(BatchNormModule, MindSporesPageOnTheDifferenceToPyTorch) {
  std::vector<float> numbers(12);
  for (size_t i = 0; i < 12; ++i) numbers[i] = 0.1f * static_cast<float>(i + 1);
  const Tensor x = tensor(numbers, {1, 3, 2, 2});
  const std::vector<double> channel = {-1.341104, -0.447035, 0.447035, 1.341104};
  for (auto running_var : {RunningVar::unbiased, RunningVar::biased}) {
    BatchNorm2d bn(3, {.running_var = running_var});
    const Tensor y = bn(x);
    for (size_t i = 0; i < 12; ++i) EXPECT_NEAR(at(y, i), channel[i % 4], 1e-5);
    const double var = running_var == RunningVar::unbiased ? 0.90166667 : 0.90125;
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(at(bn.running_mean(), c), 0.025 + 0.04 * static_cast<double>(c), 1e-7);
      EXPECT_NEAR(at(bn.running_var(), c), var, 1e-6);
    }
  }
}

TEST(BatchNormModule, OneBadBatchNeedNotSpoilTheRunningStatistics) {
  manual_seed(5);
  const Tensor good = randn({4, 3, 2, 2});
  for (const double bad : {double{NAN}, double{INFINITY}, 1e30}) {  // its variance is infinite
    for (const Momentum momentum : {Momentum::update(0.1), Momentum::cumulative()}) {
      BatchNorm2d kept(3, {.momentum = momentum, .skip_nonfinite = true});
      BatchNorm2d spoilt(3, {.momentum = momentum});
      BatchNorm2d undisturbed(3, {.momentum = momentum});
      const Tensor x = good.clone();
      x.mutable_data<float>()[5] = static_cast<float>(bad);
      for (const nn::BatchNorm* layer : {&kept, &spoilt})
        const_cast<nn::BatchNorm*>(layer)->forward(x);
      EXPECT_EQ(kept.running_mean().to_vector<float>(), (std::vector<float>{0, 0, 0}));
      EXPECT_EQ(kept.running_var().to_vector<float>(), (std::vector<float>{1, 1, 1}));
      EXPECT_EQ(count(kept), 0);
      EXPECT_EQ(count(spoilt), 1);
      EXPECT_FALSE(std::isfinite(at(spoilt.running_var(), 1)));
      kept(good), undisturbed(good);
      EXPECT_EQ(kept.running_mean().to_vector<float>(),
                undisturbed.running_mean().to_vector<float>());
      EXPECT_EQ(kept.running_var().to_vector<float>(),
                undisturbed.running_var().to_vector<float>());
      EXPECT_EQ(count(kept), 1);
    }
  }
  EXPECT_TRUE(contains(to_string(BatchNorm2d(3, {.skip_nonfinite = true})), "skip_nonfinite=True"));
}

// As PyTorch: infinite, for every dtype.
TEST(BatchNormModule, RunningMeanOfAnInfiniteChannelIsInfinite) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const double infinity : {double{INFINITY}, -double{INFINITY}}) {
      BatchNorm2d layer(2);
      layer.to(dtype);
      Tensor x = ones({2, 2, 2, 2}, DType::f64);
      x.mutable_data<double>()[5] = infinity;
      layer(x.to(dtype));
      EXPECT_EQ(at(layer.running_mean(), 1), infinity) << dtype;
      EXPECT_NEAR(at(layer.running_mean(), 0), 0.1, 1e-7) << dtype;
      EXPECT_TRUE(std::isnan(at(layer.running_var(), 1))) << dtype;
    }
  }
}

TEST(BatchNormModule, FreshLayerInEvaluationDividesByTheRootOfOnePlusEps) {
  BatchNorm2d bn(3);
  bn.eval();
  EXPECT_LT(max_distance(bn(ones({1, 3, 2, 2})), full({1, 3, 2, 2}, 0.999995)), 1e-6);
}

TEST(BatchNormModule, MintDocumentationExample) {
  BatchNorm2d bn(2);
  const Tensor y = bn(tensor(std::vector<float>{0.3f, 0.4f, 0.5f, 0.3f}, {2, 2, 1, 1}));
  const double want[] = {-0.9995004, 0.998006, 0.9995004, -0.998006};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(at(y, i), want[i], 2e-6);
}

TEST(BatchNormModule, CumulativeAverageIsThePlainAverageOverBatches) {
  BatchNorm2d bn(1, {.momentum = Momentum::cumulative()});
  const std::vector<float> batches[] = {{1, 3}, {2, 6}, {0, 4}};
  const double means[] = {2, 3, 8.0 / 3}, vars[] = {2, 5, 6};
  for (size_t i = 0; i < 3; ++i) {
    bn(batch(batches[i]));
    EXPECT_NEAR(at(bn.running_mean(), 0), means[i], 1e-6);
    EXPECT_NEAR(at(bn.running_var(), 0), vars[i], 2e-6);
    EXPECT_EQ(count(bn), static_cast<int64_t>(i) + 1);
  }
}

TEST(BatchNormModule, MomentumZeroFreezesAndOneReplaces) {
  BatchNorm2d still(1, {.momentum = Momentum::update(0)});
  still(batch({1, 3}));
  EXPECT_EQ(at(still.running_mean(), 0), 0);
  EXPECT_EQ(at(still.running_var(), 0), 1);
  EXPECT_EQ(count(still), 1);
  BatchNorm2d last(1, {.momentum = Momentum::update(1), .moving_mean_init = std::nan("")});
  last(batch({1, 3}));
  EXPECT_EQ(at(last.running_mean(), 0), 2);
  EXPECT_EQ(at(last.running_var(), 0), 2);
}

TEST(BatchNormModule, KeepAndUpdateAreTwoNamesOfOneMomentum) {
  manual_seed(32);
  BatchNorm2d keep(4, {.momentum = Momentum::keep(0.9)});
  BatchNorm2d update(4, {.momentum = Momentum::update(0.1)});
  for (int i = 0; i < 20; ++i) {
    const Tensor x = randn({3, 4, 2, 2});
    keep(x), update(x);
  }
  EXPECT_LT(max_distance(keep.running_mean(), update.running_mean()), 1e-7);
  EXPECT_LT(max_distance(keep.running_var(), update.running_var()), 1e-6);
}

TEST(BatchNormModule, InitializersAreNamesNumbersTensorsAndObjects) {
  manual_seed(33);
  const BatchNorm2d a(3, {.gamma_init = "Zeros",
                          .beta_init = 0.5,
                          .moving_mean_init = values({1, 2, 3}),
                          .moving_var_init = nn::init::Constant{2}});
  EXPECT_EQ(max_distance(a.weight(), zeros({3})), 0);
  EXPECT_EQ(max_distance(a.bias(), full({3}, 0.5)), 0);
  EXPECT_EQ(max_distance(a.running_mean(), values({1, 2, 3})), 0);
  EXPECT_EQ(max_distance(a.running_var(), full({3}, 2)), 0);
  const BatchNorm2d b(300, {.gamma_init = "Normal", .moving_mean_init = "uniform"});
  EXPECT_GT(largest(b.weight()), 0.01);
  EXPECT_LT(largest(b.weight()), 0.06);
  EXPECT_LT(largest(b.running_mean()), 0.07);
  EXPECT_THROW(BatchNorm2d(3, {.gamma_init = values({1, 2})}), Error);
  EXPECT_THROW(BatchNorm2d(3, {.gamma_init = "xavier_uniform"}), Error);
  EXPECT_THROW(BatchNorm2d(3, {.gamma_init = "nope"}), Error);
}

TEST(BatchNormModule, WithoutAffineInitialValuesAreAppliedButNotLearned) {
  const Tensor x = batch({1, 3});
  BatchNorm2d none(1, {.affine = false});
  EXPECT_FALSE(none.weight().defined());
  EXPECT_TRUE(none.parameters().empty());
  BatchNorm2d fixed(1, {.affine = false, .gamma_init = 2, .beta_init = 7});
  EXPECT_TRUE(fixed.parameters().empty());
  EXPECT_LT(max_distance(fixed(x), none(x) * 2.0 + 7.0), 1e-6);
  const auto names = fixed.state_dict().names();
  EXPECT_EQ(names[0], "weight");
  EXPECT_EQ(names[1], "bias");
}

TEST(BatchNormModule, AffineOfOneAndZeroEqualsNone) {
  manual_seed(34);
  BatchNorm2d with(5), without(5, {.affine = false});
  const Tensor x = leaf(randn({4, 5, 3, 3})), x2 = leaf(x), dy = randn(x.shape());
  const Tensor y = with(x), y2 = without(x2);
  y.backward(dy), y2.backward(dy);
  EXPECT_EQ(max_distance(y, y2), 0);
  EXPECT_EQ(max_distance(x.grad(), x2.grad()), 0);
}

TEST(BatchNormModule, UntrackedTrainingPassEqualsItsEvaluationPass) {
  manual_seed(35);
  BatchNorm2d bn(5, {.track_running_stats = false});
  const Tensor x = randn({4, 5, 3, 3});
  const Tensor y = bn(x);
  bn.eval();
  EXPECT_TRUE(same_bits(bn(x), y));
}

TEST(BatchNormModule, TrainEvalTrainContinuesTheStatistics) {
  manual_seed(36);
  BatchNorm2d bn(3), straight(3);
  const Tensor a = randn({4, 3, 2, 2}), b = randn({4, 3, 2, 2}) + 3.0;
  bn(a), straight(a);
  bn.eval();
  const Tensor before = bn.running_mean().clone();
  const uint64_t version = bn.running_mean().version();
  const Tensor y = bn(b);
  EXPECT_TRUE(same_bits(bn(b), y));
  EXPECT_EQ(bn.running_mean().version(), version);
  EXPECT_TRUE(same_bits(bn.running_mean(), before));
  EXPECT_EQ(count(bn), 1);
  bn.train();
  bn(b), straight(b);
  EXPECT_TRUE(same_bits(bn.running_mean(), straight.running_mean()));
  EXPECT_TRUE(same_bits(bn.running_var(), straight.running_var()));
}

TEST(BatchNormModule, RunningStatisticsConvergeToTheDatas) {
  manual_seed(37);
  BatchNorm2d bn(1), biased(1, {.running_var = RunningVar::biased});
  double mean = 0, var = 0, low = 0;
  for (int i = 0; i < 2000; ++i) {
    const Tensor x = normal({2, 1, 1, 1}, DType::f32, 3, 2);
    bn(x), biased(x);
    if (i < 200) continue;
    mean += at(bn.running_mean(), 0) / 1800;
    var += at(bn.running_var(), 0) / 1800;
    low += at(biased.running_var(), 0) / 1800;
  }
  EXPECT_NEAR(mean, 3, 0.15);
  EXPECT_NEAR(var, 4, 0.5);
  EXPECT_NEAR(low, 2, 0.25);  // n = 2: half of it
}

TEST(BatchNormModule, ResetPutsInitialValuesBack) {
  BatchNorm2d bn(1, {.moving_mean_init = 5});
  bn(batch({1, 3}));
  bn.reset_running_stats();
  EXPECT_EQ(at(bn.running_mean(), 0), 5);
  EXPECT_EQ(at(bn.running_var(), 0), 1);
  EXPECT_EQ(count(bn), 0);
  {
    const NoGrad no_grad;
    bn.weight().fill_(3);
  }
  bn.reset_parameters();
  EXPECT_EQ(at(bn.weight(), 0), 1);
}

TEST(BatchNormModule, AllRanksShareTheCode) {
  manual_seed(38);
  BatchNorm1d one(3), lines(3);
  BatchNorm2d two(3);
  BatchNorm3d three(3);
  const Tensor x = randn({4, 3, 2, 6});
  const Tensor want = two(x);
  EXPECT_TRUE(same_bits(reshape(lines(reshape(x, {4, 3, 12})), {4, 3, 2, 6}), want));
  EXPECT_TRUE(same_bits(reshape(three(reshape(x, {4, 3, 2, 2, 3})), {4, 3, 2, 6}), want));
  EXPECT_TRUE(same_bits(lines.running_var(), two.running_var()));
  EXPECT_EQ(one(randn({4, 3})).shape(), Shape({4, 3}));
  EXPECT_EQ(nn::to_string(one).substr(0, 12), "BatchNorm1d(");
  BatchNorm1d last(3, {.data_format = DataFormat::NHWC});
  const Tensor moved = transpose(reshape(x, {4, 3, 12}), 1, 2);
  EXPECT_LT(max_distance(transpose(last(moved), 1, 2), reshape(want, {4, 3, 12})), 1e-6);
}

TEST(BatchNormModule, WrongRanksAndChannelsAreRefusedWithAndWithoutState) {
  for (bool affine : {true, false}) {
    for (bool track : {true, false}) {
      BatchNorm2d bn(3, {.affine = affine, .track_running_stats = track});
      BatchNorm2d last(
          3, {.affine = affine, .data_format = DataFormat::NHWC, .track_running_stats = track});
      for (const Shape& shape : {Shape{4, 3}, Shape{4, 3, 2}, Shape{4, 3, 2, 2, 2}}) {
        expect_mentions(message_of([&] { bn(zeros(shape)); }), {"BatchNorm2d", "4 axes"});
      }
      expect_mentions(message_of([&] { bn(zeros({4, 2, 2, 2})); }), {"2 channels", "axis 1", "3"});
      expect_mentions(message_of([&] {
                        last(zeros({4, 3, 5, 5}));
                      }),
                      {"5 channels", "axis 3", "NHWC"});
      expect_mentions(message_of([&] { bn({}); }), {"undefined"});
      if (track) {
        EXPECT_EQ(count(bn), 0);
        EXPECT_EQ(max_distance(bn.running_mean(), zeros({3})), 0);
      }
    }
  }
  expect_mentions(message_of([] { BatchNorm1d(3)(zeros({4, 3, 2, 2})); }), {"2 or 3 axes"});
}

TEST(BatchNormModule, OptionsAreCheckedWhenItIsMade) {
  expect_mentions(message_of([] { BatchNorm2d(0); }), {"num_features is 0"});
  expect_mentions(message_of([] { BatchNorm2d(-1); }), {"num_features is -1"});
  for (double eps : {-1e-5, std::nan(""), 1.0 / 0.0}) {
    expect_mentions(message_of([&] { BatchNorm2d(3, {.eps = eps}); }), {"eps"});
  }
  expect_mentions(message_of([] {
                    BatchNorm2d(3, {.use_batch_statistics = false, .track_running_stats = false});
                  }),
                  {"use_batch_statistics = false", "track_running_stats = false"});
}

TEST(BatchNormModule, LoadsMindSporesThreeSpellings) {
  const StateDict inside = {{"bn.gamma", values({1, 2})},
                            {"bn.beta", values({3, 4})},
                            {"bn.moving_mean", values({5, 6})},
                            {"bn.moving_variance", values({7, 8})}};
  const StateDict alone = {{"gamma", values({1, 2})},
                           {"beta", values({3, 4})},
                           {"mean", values({5, 6})},
                           {"variance", values({7, 8})}};
  nn::Sequential net;
  net.push_back("bn", BatchNorm2d(2));
  BatchNorm2d bn(2);
  net.load_state_dict(inside);
  bn.load_state_dict(alone);
  for (const BatchNorm2d* layer : {&net.as<BatchNorm2d>(0), &bn}) {
    EXPECT_EQ(max_distance(layer->weight(), values({1, 2})), 0);
    EXPECT_EQ(max_distance(layer->bias(), values({3, 4})), 0);
    EXPECT_EQ(max_distance(layer->running_mean(), values({5, 6})), 0);
    EXPECT_EQ(max_distance(layer->running_var(), values({7, 8})), 0);
    EXPECT_EQ(count(*layer), 0);
  }
}

TEST(BatchNormModule, StrictLoadingReportsWhatDoesNotFit) {
  BatchNorm2d bn(2);
  StateDict missing = BatchNorm2d(2).state_dict();
  missing.erase("running_var");
  expect_mentions(message_of([&] { bn.load_state_dict(missing); }), {"missing", "running_var"});
  expect_mentions(message_of([&] { bn.load_state_dict(BatchNorm2d(3).state_dict()); }),
                  {"f32[3]", "f32[2]"});
  BatchNorm2d untracked(2, {.track_running_stats = false});
  expect_mentions(message_of([&] { untracked.load_state_dict(bn.state_dict()); }),
                  {"unexpected", "running_mean"});
  EXPECT_TRUE(BatchNorm2d(2, {.affine = false, .track_running_stats = false}).state_dict().empty());
}

TEST(BatchNormModule, SavesAndLoadsThroughAFile) {
  manual_seed(39);
  BatchNorm2d bn(4), copy(4);
  bn(randn({8, 4, 3, 3}) * 2.0 + 1.0);
  const std::string path = ::testing::TempDir() + "batch_norm_state.safetensors";
  io::save_safetensors(bn.state_dict(), path);
  copy.load_state_dict(io::load_safetensors(path));
  bn.eval(), copy.eval();
  const Tensor x = randn({2, 4, 3, 3});
  EXPECT_TRUE(same_bits(copy(x), bn(x)));
  EXPECT_EQ(copy.num_batches_tracked().item<int64_t>(), 1);
}

TEST(BatchNormModule, ClonesAreIndependent) {
  manual_seed(40);
  BatchNorm2d bn(2);
  bn(randn({4, 2, 2, 2}));
  BatchNorm2d copy = bn.clone();
  copy.set_momentum(Momentum::update(1));
  copy.freeze();
  bn(randn({4, 2, 2, 2}) + 5.0);
  EXPECT_NE(max_distance(copy.running_mean(), bn.running_mean()), 0);
  EXPECT_FALSE(bn.is_frozen());
  EXPECT_NE(bn.momentum().weight_of_new(1), 1);
}

TEST(BatchNormModule, SequentialFusesReluUnderTheSameNames) {
  manual_seed(41);
  nn::Sequential net(BatchNorm2d(3), nn::ReLU());
  EXPECT_EQ(net.state_dict().names()[0], "0.weight");
  const Tensor x = randn({4, 3, 4, 4});
  const Tensor y = net(x);
  BatchNorm2d bn(3);
  EXPECT_TRUE(same_bits(y, relu(bn(x))));
  // One node more than the leaf: the pair ran as one operation.
  const Tensor again = net(leaf(x));
  EXPECT_STREQ(again.node()->name(), "batch_norm_relu");
}

TEST(BatchNormModule, PrintsWhatIsNotDefault) {
  EXPECT_EQ(nn::to_string(BatchNorm2d(4, {.eps = 0.5, .affine = false})),
            "BatchNorm2d(4, eps=0.5, momentum=0.1, affine=False, track_running_stats=True)");
  BatchNorm2d bn(4, {.momentum = Momentum::cumulative(), .data_format = DataFormat::NHWC});
  bn.freeze();
  EXPECT_EQ(nn::to_string(bn),
            "BatchNorm2d(4, eps=1e-05, momentum=None, affine=True, track_running_stats=True, "
            "data_format=NHWC, frozen=True)");
}

TEST(BatchNormModule, Float64LayerAndDtypeMismatch) {
  BatchNorm2d bn(2);
  expect_mentions(message_of([&] { bn(zeros({2, 2, 2, 2}, DType::f64)); }), {"f64", "f32", "to("});
  bn.to(DType::f64);
  EXPECT_EQ(bn(randn({2, 2, 2, 2}, DType::f64)).dtype(), DType::f64);
  EXPECT_EQ(bn.num_batches_tracked().dtype(), DType::i64);
}

TEST(BatchNormModule, SteadyLoopAsksForNoMemoryAndNoNewPrimitives) {
  manual_seed(42);
  BatchNorm2d bn(8);
  const Tensor a = leaf(randn({4, 8, 9, 9})), b = leaf(randn({2, 8, 5, 7}));
  const auto step = [&] {
    for (const Tensor& x : {a, b}) {
      bn.forward_relu(x).backward(ones(x.shape()));
      x.set_grad({});
    }
    bn.zero_grad();
  };
  for (int i = 0; i < 3; ++i) step();
  const Counters before = counters();
  for (int i = 0; i < 1000; ++i) step();
  EXPECT_EQ(counters().system_allocations, before.system_allocations);
  EXPECT_EQ(counters().bytes_in_use, before.bytes_in_use);
  EXPECT_EQ(counters().primitive_misses, before.primitive_misses);
}

TEST(BatchNormFold, ConvolutionAndBatchNormBecomeOneLayer) {
  manual_seed(43);
  for (bool bias : {true, false}) {
    for (int64_t groups : {1, 2}) {
      for (bool affine : {true, false}) {
        nn::Sequential net(
            nn::Conv2d(4, 6, 3, {.padding = 1, .groups = groups, .bias = bias}),
            BatchNorm2d(6, {.affine = affine, .gamma_init = "normal", .beta_init = 0.3}),
            nn::ReLU());
        for (int i = 0; i < 3; ++i) net(randn({4, 4, 5, 5}) * 2.0 + 1.0);
        EXPECT_THROW((void)nn::fold_batch_norm(net), Error);  // in training mode
        net.eval();
        const nn::Sequential folded = nn::fold_batch_norm(net);
        const Tensor x = randn({2, 4, 5, 5});
        nn::Sequential f = folded;
        EXPECT_LT(max_distance(f(x), net(x)), 2e-6);
        EXPECT_TRUE(f.as<nn::Conv2d>(0).bias().defined());
        EXPECT_EQ(f[1].type_name(), "Identity");
        EXPECT_EQ(net[1].type_name(), "BatchNorm2d");  // the original stays
        EXPECT_EQ(f.is_training(), false);
      }
    }
  }
}

TEST(BatchNormFold, LinearLayersAndNestedSequentials) {
  manual_seed(44);
  nn::Sequential inner(nn::Linear(6, 5, {.bias = false}), BatchNorm1d(5), nn::Tanh());
  nn::Sequential net(nn::Linear(4, 6), BatchNorm1d(6), nn::ReLU());
  net.push_back("inner", inner);
  for (int i = 0; i < 3; ++i) net(randn({9, 4}) * 2.0 + 1.0);
  net.to(DType::f64);
  net.eval();
  const Tensor x = randn({7, 4}, DType::f64), want = net(x);
  EXPECT_EQ(nn::fold_batch_norm_(net), 2);
  EXPECT_LT(max_distance(net(x), want), 1e-14);
  EXPECT_EQ(nn::fold_batch_norm_(net), 0);
}

TEST(BatchNormFold, RefusesWhatCannotBeFolded) {
  nn::Conv2d conv(2, 3, 1);
  BatchNorm2d bn(3), other(4), free(3, {.track_running_stats = false});
  BatchNorm2d last(3, {.data_format = DataFormat::NHWC});
  expect_mentions(message_of([&] { (void)nn::fold_batch_norm(conv, bn); }), {"training", "eval()"});
  for (BatchNorm2d* layer : {&bn, &other, &free, &last}) layer->eval();
  expect_mentions(message_of([&] { (void)nn::fold_batch_norm(conv, other); }), {"3", "4"});
  expect_mentions(message_of([&] { (void)nn::fold_batch_norm(conv, free); }), {"each batch"});
  expect_mentions(message_of([&] { (void)nn::fold_batch_norm(conv, last); }), {"NHWC"});
}

TEST(BatchNormReestimate, AveragesOverTheDataAndLeavesTheRestAlone) {
  manual_seed(45);
  nn::Sequential net(nn::Conv2d(2, 3, 1), BatchNorm2d(3), nn::Dropout(0.5));
  net(randn({4, 2, 3, 3}) + 100.0);  // statistics far off
  std::vector<std::pair<Tensor, Tensor>> loader;
  for (int i = 0; i < 4; ++i) loader.emplace_back(randn({8, 2, 3, 3}), Tensor());
  std::vector<Tensor> activations;
  for (const auto& [x, y] : loader) activations.push_back(net[0](x).detach());
  auto& bn = net.as<BatchNorm2d>(1);
  nn::reestimate_batch_norm(net, loader);

  const std::vector<int64_t> axes = {0, 2, 3};
  Tensor mean_of_means = zeros({3}), mean_of_vars = zeros({3});
  for (const Tensor& a : activations) {
    const Tensor d = a - mean(a, axes, true);
    mean_of_means = mean_of_means + mean(a, axes) / 4.0;
    mean_of_vars = mean_of_vars + sum(d * d, axes) / (71.0 * 4.0);
  }
  EXPECT_LT(max_distance(bn.running_mean(), mean_of_means), 1e-6);
  EXPECT_LT(max_distance(bn.running_var(), mean_of_vars), 1e-6);
  EXPECT_TRUE(net.is_training());
  EXPECT_TRUE(bn.is_training());
  EXPECT_FALSE(bn.momentum().is_cumulative());

  const Tensor kept = bn.running_mean().clone();
  const std::vector<std::pair<Tensor, Tensor>> empty;
  expect_mentions(message_of([&] { nn::reestimate_batch_norm(net, empty); }), {"1", "empty"});
  EXPECT_TRUE(same_bits(bn.running_mean(), kept));
}
