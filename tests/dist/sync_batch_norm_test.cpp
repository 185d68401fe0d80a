// SPDX-License-Identifier: Apache-2.0
// Batch norm over the batches of all ranks, compared with one rank that has them all. Built with
// ThreadSanitizer too, which does not know libgomp's barriers, so there every thread computes
// alone.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <vector>

#include "support.h"

using namespace tern;
using dist::Communicator;
using dist::run_threads;
using test::expect_error;

namespace {

class Ranks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, ::testing::Values(1, 2, 3, 4, 7));

// Rank r has examples bounds[r] to bounds[r + 1]; some have none, one has a single one.
std::vector<int64_t> bounds(int ranks) {
  const std::vector<int64_t> sizes{3, 0, 5, 1, 2, 0, 4};
  std::vector<int64_t> result{0};
  for (int r = 0; r < ranks; ++r) result.push_back(result.back() + sizes[static_cast<size_t>(r)]);
  return result;
}

Tensor part(const Tensor& x, Communicator world) {
  const auto at = bounds(world.size());
  const auto r = static_cast<size_t>(world.rank());
  return slice(x, 0, at[r], at[r + 1]);
}

struct Case {
  Shape one_example;
  DataFormat format;
  bool channels_last;
  double mean;
  bool with_relu;
};

const std::vector<Case> kCases{{{6}, DataFormat::NCHW, false, 0, false},
                               {{6, 5}, DataFormat::NCHW, false, 3, true},
                               {{6, 4, 3}, DataFormat::NCHW, true, 1e4, false},
                               {{4, 3, 6}, DataFormat::NHWC, false, 0, true},
                               {{6, 2, 3, 2}, DataFormat::NCHW, false, -2, false}};

Tensor images(const Case& c, int64_t count, DType dtype) {
  std::vector<int64_t> sizes{count};
  for (int i = 0; i < c.one_example.rank(); ++i) sizes.push_back(c.one_example[i]);
  const Tensor x = test::normal(Shape(sizes), dtype, c.mean, 2);
  return c.channels_last ? to_memory_format(x, MemoryFormat::channels_last) : x;
}

/// A layer of the right rank of the usual kind.
template <class F>
void with_layer(const Case& c, DType dtype, const F& f) {
  const nn::BatchNormOptions options{.data_format = c.format};
  const auto run = [&](auto layer) {
    layer.weight().copy_(test::normal({6}, DType::f32, 1));
    layer.bias().copy_(test::normal({6}));
    layer.to(dtype);
    f(layer);
  };
  const NoGrad no_grad;
  manual_seed(70);
  switch (c.one_example.rank()) {
    case 1:
    case 2:
      return run(nn::BatchNorm1d(6, options));
    case 3:
      return run(nn::BatchNorm2d(6, options));
    default:
      return run(nn::BatchNorm3d(6, options));
  }
}

void check(int ranks, const Case& c, DType dtype, double tolerance) {
  const int64_t count = bounds(ranks).back();
  manual_seed(71);
  const Tensor x = images(c, count, dtype);
  const Tensor dy = test::normal(x.shape(), dtype), v = test::normal(x.shape(), dtype);
  std::vector<Tensor> whole;
  // The result, its gradients, those of gradients, and the statistics.
  with_layer(c, dtype, [&](auto layer) {
    const GradMode mode(true);
    const Tensor in = test::leaf(x);
    const auto run = [&] { return c.with_relu ? layer.forward_relu(in) : layer(in); };
    whole.push_back(run());
    const std::vector<Tensor> inputs{in, layer.weight(), layer.bias()};
    for (const Tensor& g : grad(whole[0], inputs, {.grad_output = dy})) whole.push_back(g);
    const auto recorded = grad(run(), inputs, {.create_graph = true, .grad_output = dy});
    for (const Tensor& g : grad(sum(recorded[0] * v), {in, layer.weight()})) whole.push_back(g);
    whole.push_back(layer.running_mean());
    whole.push_back(layer.running_var());
  });
  run_threads(ranks, [&](Communicator world) {
    with_layer(c, dtype, [&](auto layer) {
      dist::convert_sync_batch_norm(layer, world);
      EXPECT_TRUE(dist::has_sync_batch_norm(layer));
      const GradMode mode(true);
      const Tensor in = test::leaf(part(x, world));
      const auto run = [&] { return c.with_relu ? layer.forward_relu(in) : layer(in); };
      const Tensor y = run();
      EXPECT_LT(test::max_distance(y, part(whole[0], world)), tolerance);
      const std::vector<Tensor> inputs{in, layer.weight(), layer.bias()};
      const Tensor mine = part(dy, world);
      const auto expect = [&](std::vector<Tensor> found, size_t at) {
        // Gradients of parameters are this rank's: their sum is the whole's.
        for (size_t i = 0; i < found.size(); ++i) {
          const Tensor g = found[i].detach();
          if (i == 0) {
            EXPECT_LT(test::max_distance(g, part(whole[at], world)), tolerance) << at;
          } else {
            world.all_reduce(g, "a gradient");
            EXPECT_LT(test::relative_distance(g, whole[at + i]), tolerance) << at + i;
          }
        }
      };
      expect(grad(y, inputs, {.grad_output = mine}), 1);
      const auto recorded = grad(run(), inputs, {.create_graph = true, .grad_output = mine});
      expect(recorded, 1);
      expect(grad(sum(recorded[0] * part(v, world)), {in, layer.weight()}), 4);
      EXPECT_LT(test::relative_distance(layer.running_mean(), whole[6]), tolerance);
      EXPECT_LT(test::relative_distance(layer.running_var(), whole[7]), tolerance);
      EXPECT_EQ(layer.num_batches_tracked().template item<int64_t>(), 2);
      world.require_same("statistics",
                         to_string(layer.running_mean()) + to_string(layer.running_var()));
    });
  });
}

TEST_P(Ranks, NormalizeAsOneThatHasTheWholeBatch) {
  for (const Case& c : kCases) check(GetParam(), c, DType::f64, 1e-8);
}

TEST_P(Ranks, InFloat32AsWell) {
  check(GetParam(), {{6, 4, 3}, DataFormat::NCHW, true, 0.5, true}, DType::f32, 2e-5);
}

// The classic mistakes: a mean of means, and sums of squares, which cancel.
TEST_P(Ranks, StatisticsAreExactAtLargeMeans) {
  const int64_t count = bounds(GetParam()).back();
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 1e9 + static_cast<double>(i);
  const Tensor x = tensor(values, {count, 1});
  const double n = static_cast<double>(count);
  run_threads(GetParam(), [&](Communicator world) {
    dist::SyncBatchNorm layer(1, world, {.momentum = Momentum::update(1)});
    layer.to(DType::f64);
    layer(part(x, world));
    EXPECT_DOUBLE_EQ(layer.running_mean().item<double>(), 1e9 + (n - 1) / 2);
    EXPECT_NEAR(layer.running_var().item<double>(), n * (n + 1) / 12, 1e-9);
  });
}

TEST_P(Ranks, EvaluationAsksNobody) {
  run_threads(GetParam(), [&](Communicator world) {
    dist::SyncBatchNorm layer(2, world);
    layer.eval();
    const uint64_t before = world.bytes_sent();
    if (world.is_first()) layer(randn({3, 2}));
    EXPECT_EQ(world.bytes_sent(), before);
  });
}

TEST_P(Ranks, TrainsTheSameNetAsOneRank) {
  const int64_t count = bounds(GetParam()).back();
  manual_seed(72);
  const Tensor x = randn({count, 3, 6, 6}, DType::f64), y = randint(4, {count});
  const auto make = [] {
    manual_seed(73);
    nn::Sequential net(nn::Conv2d(3, 5, 3, {.bias = false}), nn::BatchNorm2d(5), nn::ReLU(),
                       nn::Conv2d(5, 4, 3), nn::BatchNorm2d(4), nn::ReLU(), nn::Flatten(),
                       nn::Linear(16, 4));
    net.to(DType::f64);
    return net;
  };
  nn::Sequential whole = make();
  optim::SGD sgd_of_whole(whole.parameters(), {.lr = 0.1});
  for (int step = 0; step < 3; ++step) {
    sgd_of_whole.zero_grad();
    cross_entropy(whole(x), y).backward();
    sgd_of_whole.step();
  }
  run_threads(GetParam(), [&](Communicator world) {
    nn::Sequential net = make();
    dist::convert_sync_batch_norm(net, world);
    dist::DataParallel parallel(net, world);
    optim::SGD sgd(net.parameters(), {.lr = 0.1});
    for (int step = 0; step < 3; ++step) {
      const Tensor logits = net(part(x, world));
      const int64_t mine = logits.size(0);
      const Tensor loss = mine > 0 ? cross_entropy(logits, part(y, world)) : sum(logits);
      sgd.zero_grad();
      parallel.backward(loss, mine);
      sgd.step();
    }
    const StateDict expected = whole.state_dict();
    for (const auto& [name, value] : net.state_dict()) {
      EXPECT_LT(test::max_distance(value, expected[name]), 1e-11) << name;
    }
  });
}

TEST(SyncBatchNorm, OneValuePerChannelIsAnErrorOnlyIfItIsTheOnlyOne) {
  run_threads(2, [](Communicator world) {
    dist::SyncBatchNorm(2, world)(ones({1, 2}));
    dist::SyncBatchNorm(2, world)(ones({0, 2}));
  });
  expect_error(
      [] {
        run_threads(2, [](Communicator world) {
          dist::SyncBatchNorm(2, world)(ones({world.rank(), 2}));
        });
      },
      "all ranks together have one value per channel");
  expect_error([] { dist::SyncBatchNorm(2, {})(ones({3, 2}, DType::f64)); }, "want one dtype");
  expect_error([] { dist::SyncBatchNorm(2, {})(ones({3, 4})); }, "4 channels");
}

TEST(SyncBatchNorm, KeepsNamesHandlesAndCopies) {
  nn::BatchNorm2d layer(3);
  nn::Sequential net(layer, nn::ReLU());
  const auto names = net.state_dict().names();
  dist::convert_sync_batch_norm(net, {});
  EXPECT_EQ(net.state_dict().names(), names);
  EXPECT_TRUE(layer.has_function());
  const nn::Sequential copy = net.clone();
  EXPECT_TRUE(dist::has_sync_batch_norm(copy));
  layer.set_function(nullptr);
  EXPECT_FALSE(dist::has_sync_batch_norm(net));
  EXPECT_TRUE(dist::has_sync_batch_norm(copy));
}

TEST(SyncBatchNorm, ARankWithoutALossIsAnErrorInsteadOfADeadlock) {
  expect_error(
      [] {
        run_threads(2, [](Communicator world) {
          nn::Sequential net(nn::Linear(2, 2), dist::SyncBatchNorm(2, world));
          dist::DataParallel parallel(net, world);
          const Tensor loss = sum(net(ones({2 * world.rank(), 2})));
          parallel.backward(world.is_first() ? Tensor() : loss, 2 * world.rank());
        });
      },
      "loss is undefined, and the net has SyncBatchNorm");
}

TEST(SyncBatchNorm, WithMoreShardsThanRanksIsAnError) {
  nn::Sequential net(nn::Linear(2, 2), dist::SyncBatchNorm(2, {}));
  expect_error([&] { dist::DataParallel(net, {}, {.shards = 2}); }, "the net has SyncBatchNorm");
}

TEST_P(Ranks, AllSumIsDifferentiableTwice) {
  run_threads(GetParam(), [](Communicator world) {
    const double r = world.rank() + 1, n = world.size(), s = n * (n + 1) / 2;
    const Tensor x = full({2}, r, DType::f64).set_requires_grad();
    const Tensor y = dist::all_sum(x, world);
    EXPECT_EQ(y.to_vector<double>(), std::vector<double>(2, s));
    // All ranks together have n sum(y^3), whose gradient is 3 n y^2, then n of these: 6 n^2 y.
    const Tensor first = grad(sum(y * y * y), {x}, {.create_graph = true})[0];
    EXPECT_EQ(first.to_vector<double>(), std::vector<double>(2, 3 * n * s * s));
    const Tensor second = grad(sum(first), {x})[0];
    EXPECT_EQ(second.to_vector<double>(), std::vector<double>(2, 6 * n * n * s));
  });
  expect_error([] { dist::all_sum(ones({2}, DType::i64), {}); }, "want f32 or f64");
}

}  // namespace
