// SPDX-License-Identifier: Apache-2.0
// Properties of whole nets: no reorder between layers, no memory from the system in steady state,
// no slow implementation, no dependence on the process's history.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <optional>
#include <string>
#include <vector>

#include "support.h"
#include "train_cnn/model.h"

using namespace tern;

namespace {

// A residual block, as resnets have it.
class Block : public nn::Module {
  nn::Conv2d conv1, conv2, shortcut;
  nn::BatchNorm2d bn1, bn2, bn3;

 public:
  Block(int64_t in, int64_t out, int64_t stride)
      : conv1(in, out, 3, {.stride = stride, .padding = 1, .bias = false}),
        conv2(out, out, 3, {.padding = 1, .bias = false}),
        shortcut(in, out, 1, {.stride = stride, .bias = false}),
        bn1(out),
        bn2(out),
        bn3(out) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("bn2", bn2);
    register_module("shortcut", shortcut);
    register_module("bn3", bn3);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor h = bn2(conv2(bn1.forward_relu(conv1(x))));
    return add_relu(h, bn3(shortcut(x)));
  }
};

nn::Sequential small_resnet() {
  return nn::Sequential(nn::Conv2d(3, 16, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(16),
                        nn::ReLU(), Block(16, 24, 1), Block(24, 40, 2), nn::AdaptiveAvgPool2d(1),
                        nn::Flatten(), nn::Linear(40, 10));
}

void step(nn::Module& net, optim::Optimizer& optimizer, const Tensor& x, const Tensor& y) {
  const Tensor loss = cross_entropy(net(x), y);
  optimizer.zero_grad();
  loss.backward();
  optimizer.step();
}

TEST(Nets, NoReorderBetweenLayers) {
  manual_seed(0);
  nn::Sequential chain(nn::Conv2d(3, 17, 3, {.padding = 1}), nn::BatchNorm2d(17), nn::ReLU(),
                       nn::MaxPool2d(2), nn::Conv2d(17, 32, 3, {.padding = 1}), nn::BatchNorm2d(32),
                       nn::ReLU(), nn::AvgPool2d(2), nn::Conv2d(32, 8, 1));
  const Tensor x = to_memory_format(randn({4, 3, 16, 16}), MemoryFormat::channels_last);
  const Tensor dy = to_memory_format(randn({4, 8, 4, 4}), MemoryFormat::channels_last);
  reset_counters();
  const Tensor y = chain(x);
  EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
  y.backward(dy);
  EXPECT_EQ(counters().reorders, 0);
  // The count can move: the same with one input in the other order.
  chain(contiguous(x));
  EXPECT_EQ(counters().reorders, 2);  // contiguous(x) itself, and the first convolution
}

// On one thread: on a busy machine operations use fewer threads at times, and primitives are made
// for a number of threads.
TEST(Nets, AResidualNetReordersNothingInASteadyStep) {
  const test::ThreadCount one(1);
  manual_seed(0);
  nn::Sequential net = small_resnet();
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const Tensor x = to_memory_format(randn({8, 3, 16, 16}), MemoryFormat::channels_last);
  const Tensor y = arange(8);
  for (int i = 0; i < 3; ++i) step(net, sgd, x, y);
  reset_counters();
  for (int i = 0; i < 5; ++i) step(net, sgd, x, y);
  const Counters after = counters();
  EXPECT_EQ(after.reorders, 0);
  EXPECT_EQ(after.system_allocations, 0);
  EXPECT_EQ(after.primitive_misses, 0);
  EXPECT_GT(after.allocations, 0);
}

TEST(Nets, TheExampleReordersOnlyForItsFlatten) {
  const test::ThreadCount one(1);
  manual_seed(0);
  train_cnn::Cnn net;
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const Tensor x = randn({16, 1, 28, 28});
  const Tensor y = full({16}, 3, DType::i64);
  for (int i = 0; i < 3; ++i) step(net, sgd, x, y);
  reset_counters();
  for (int i = 0; i < 5; ++i) step(net, sgd, x, y);
  // flatten turns channels-last images into rows, and its gradient back: that is its work.
  EXPECT_EQ(counters().reorders, 2 * 5);
  EXPECT_EQ(counters().system_allocations, 0);
}

TEST(Nets, NothingRunsOnAReferenceImplementation) {
  manual_seed(0);
  train_cnn::Cnn cnn;
  optim::SGD cnn_sgd(cnn.parameters(), {.lr = 0.1});
  step(cnn, cnn_sgd, randn({16, 1, 28, 28}), zeros({16}, DType::i64));
  nn::Sequential resnet = small_resnet();
  optim::SGD resnet_sgd(resnet.parameters(), {.lr = 0.1});
  step(resnet, resnet_sgd, randn({8, 3, 16, 16}), zeros({8}, DType::i64));
  {
    const NoGrad no_grad;
    const nn::EvalMode eval(resnet);
    resnet(randn({8, 3, 16, 16}));
  }
  const auto implementations = primitive_implementations();
  EXPECT_FALSE(implementations.empty());
  for (const std::string& name : implementations) {
    EXPECT_EQ(name.find(": ref"), std::string::npos) << name;
  }
}

TEST(Nets, ManyBatchSizesKeepMemoryFlat) {
  manual_seed(0);
  nn::Sequential net = small_resnet();
  optim::SGD sgd(net.parameters(), {.lr = 0.01});
  const auto round = [&] {
    for (int64_t n = 2; n < 52; ++n) step(net, sgd, randn({n, 3, 8, 8}), zeros({n}, DType::i64));
  };
  round();
  const int64_t after_one = counters().bytes_in_use + counters().bytes_cached;
  for (int i = 0; i < 3; ++i) round();
  EXPECT_EQ(counters().bytes_in_use + counters().bytes_cached, after_one);
}

TEST(Nets, TrainingIsTheSameForASeed) {
  const auto train = [] {
    manual_seed(7);
    nn::Sequential net = small_resnet();
    optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
    const Tensor x = randn({8, 3, 16, 16});
    for (int i = 0; i < 5; ++i) step(net, sgd, x, arange(8));
    return net.state_dict();
  };
  const StateDict a = train(), b = train();
  for (const auto& [name, tensor] : a) {
    if (tensor.dtype() != DType::f32) continue;
    EXPECT_EQ(tensor.to_vector<float>(), b.at(name).to_vector<float>()) << name;
  }
}

TEST(Nets, FastAndReferenceKernelsTrainAlike) {
  const auto losses = [](bool reference) {
    manual_seed(3);
    nn::Sequential net = small_resnet();
    optim::SGD sgd(net.parameters(), {.lr = 0.05});
    const Tensor x = randn({6, 3, 9, 9});
    std::vector<double> values;
    for (int i = 0; i < 4; ++i) {
      std::optional<ReferenceKernels> scope;
      if (reference) scope.emplace();
      const Tensor loss = cross_entropy(net(x), arange(6));
      values.push_back(loss.item<double>());
      sgd.zero_grad();
      loss.backward();
      sgd.step();
    }
    return values;
  };
  const auto fast = losses(false), exact = losses(true);
  for (size_t i = 0; i < fast.size(); ++i) EXPECT_NEAR(fast[i], exact[i], 2e-4 * exact[i]) << i;
  EXPECT_LT(exact.back(), exact.front());
}

TEST(Nets, Float64RunsTheSameModules) {
  manual_seed(0);
  nn::Sequential net = small_resnet();
  const Tensor x = randn({6, 3, 9, 9});
  const Tensor single = net(x);
  nn::Sequential wide = net.clone();
  wide.to(DType::f64);
  const Tensor twice = wide(x.to(DType::f64));
  const auto a = single.to(DType::f64).to_vector<double>(), b = twice.to_vector<double>();
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
}

}  // namespace
