// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <functional>
#include <vector>

#include "support.h"

using namespace tern;

using tern::test::expect_error;

namespace {

using List = std::vector<Tensor>;

std::vector<float> numbers(const List& tensors) {
  std::vector<float> all;
  for (const Tensor& x : tensors) {
    const auto values = x.to(DType::f32).to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

nn::Sequential block() {
  manual_seed(3);
  return nn::Sequential(nn::Conv2d(8, 8, 3, {.padding = 1}), nn::BatchNorm2d(8), nn::ReLU(),
                        nn::Dropout(0.3), nn::Conv2d(8, 8, 3, {.padding = 1}), nn::BatchNorm2d(8),
                        nn::Tanh());
}

/// The loss, all gradients, the state and the next random number after two steps.
std::vector<float> trained(bool with_checkpoint, bool input_requires_grad) {
  nn::Sequential net = block();
  const Tensor x = randn({4, 8, 96, 96});
  x.set_requires_grad(input_requires_grad);
  for (int step = 0; step < 2; ++step) {
    const Tensor y = with_checkpoint ? checkpoint(net, x) : net(x);
    sum(y * y).backward();
  }
  List all = {x.grad().defined() ? x.grad() : ones({1}), randn({3})};
  for (const Tensor& p : net.parameters()) all.push_back(p.grad());
  for (const auto& [name, tensor] : net.state_dict()) all.push_back(tensor);
  return numbers(all);
}

TEST(Checkpoint, GivesTheSameBits) {
  for (const bool input_requires_grad : {false, true}) {
    EXPECT_EQ(trained(true, input_requires_grad), trained(false, input_requires_grad));
  }
}

Tensor chain(Tensor x) {
  for (int i = 0; i < 10; ++i) x = tanh(x) * 1.1;
  return x;
}

TEST(Checkpoint, KeepsNothingButItsInputs) {
  const Tensor x = randn({1 << 16}).set_requires_grad();  // 256 KB
  const auto kept = [&](bool with_checkpoint) {
    const int64_t before = counters().bytes_in_use;
    const Tensor y =
        with_checkpoint ? checkpoint([](const Tensor& v) { return chain(v); }, x) : chain(x);
    const int64_t after = counters().bytes_in_use;
    sum(y).backward();
    x.set_grad({});
    return after - before;
  };
  kept(true);
  EXPECT_GT(kept(false), 10 << 18);
  EXPECT_LT(kept(true), 2 << 18) << "the result alone";
}

// Peak memory of a deep chain: a block's tensors are freed when the pass has left the block.
TEST(Checkpoint, FreesABlockWhenThePassHasLeftIt) {
  const Tensor x = randn({1 << 16}).set_requires_grad();
  int64_t most = 0;
  const auto watch = [&](const Tensor&) { most = std::max(most, counters().bytes_in_use); };
  Tensor y = x;
  for (int block = 0; block < 8; ++block) {
    y = checkpoint([](const Tensor& v) { return chain(v); }, y);
    y.register_hook(watch);
  }
  const int64_t before = counters().bytes_in_use;
  for (const bool retain : {true, false}) {
    most = 0;
    sum(y).backward({}, {.retain_graph = retain});
    EXPECT_GT(most, 0);
    EXPECT_LT(most - before, 5 << 18) << "hooks run between blocks";
  }
}

TEST(Checkpoint, HasDerivativesOfEveryOrder) {
  const Tensor w = (randn({4, 4}, DType::f64) * 0.5).set_requires_grad();
  const auto f = [](const List& in) {
    const auto body = [w = in[1]](const List& v) { return tanh(matmul(v[0], w)) * v[0]; };
    return checkpoint(body, {in[0] * 1.5});
  };
  const Tensor x = randn({3, 4}, DType::f64).set_requires_grad();
  EXPECT_TRUE(gradcheck(f, {x, w}));
  EXPECT_TRUE(gradgradcheck(f, {x, w}));
  // Third derivatives, against the same without a checkpoint.
  const auto third = [](const std::function<Tensor(const Tensor&)>& g) {
    const Tensor v = tensor(std::vector<double>{0.3}, {1}).set_requires_grad();
    Tensor y = g(v);
    for (int i = 0; i < 3; ++i) y = grad(y, {v}, {.create_graph = true})[0];
    return y.item<double>();
  };
  const auto cubic = [](const Tensor& v) { return tanh(v * v) * v; };
  EXPECT_EQ(third([&](const Tensor& v) { return checkpoint(cubic, v); }), third(cubic));
}

TEST(Checkpoint, TakesAndReturnsSeveralTensors) {
  const Tensor a = randn({5}, DType::f64).set_requires_grad(), b = randn({5}, DType::f64);
  const auto f = [](const List& in) -> List {
    EXPECT_FALSE(in[2].defined());
    return {in[0] * in[0] * in[1], exp(in[0])};
  };
  const List ys = checkpoint(f, {a, b, Tensor()});
  const List direct = f({a, b, Tensor()});
  for (const size_t i : {size_t{0}, size_t{1}}) {
    EXPECT_EQ(grad(sum(ys[i]), {a}, {.retain_graph = true})[0].to_vector<double>(),
              grad(sum(direct[i]), {a}, {.retain_graph = true})[0].to_vector<double>());
  }
}

TEST(Checkpoint, ReachesParametersThatFCaptures) {
  nn::Linear layer(3, 3);
  const auto parameters = layer.parameters();
  const Tensor x = randn({2, 3});  // requires no gradient
  const auto run = [&] { return sum(checkpoint([&](const Tensor& v) { return layer(v); }, x)); };
  run().backward();
  const auto gradients = grad(run(), parameters);
  for (size_t i = 0; i < gradients.size(); ++i) {
    EXPECT_EQ(gradients[i].to_vector<float>(), parameters[i].grad().to_vector<float>());
    EXPECT_GT(numbers({sum(gradients[i] * gradients[i])})[0], 0);
  }
}

TEST(Checkpoint, NestsAndRunsFOncePerPass) {
  int outer = 0, inner = 0;
  const Tensor x = randn({5}, DType::f64).set_requires_grad();
  const auto f = [&](const Tensor& v) {
    ++outer;
    EXPECT_EQ(recomputing(), outer > 1);
    const Tensor h = checkpoint(
        [&](const Tensor& u) {
          ++inner;
          return tanh(u * u) * u;
        },
        exp(v));
    return h * h;
  };
  const Tensor y = sum(checkpoint(f, x));
  const auto once = grad(y, {x}, {.retain_graph = true})[0].to_vector<double>();
  EXPECT_EQ(outer, 2);
  EXPECT_EQ(inner, 3) << "forward, as part of the outer one again, and for itself";
  EXPECT_EQ(grad(y, {x}, {.create_graph = true})[0].to_vector<double>(), once);
  EXPECT_EQ(outer, 3);
  EXPECT_FALSE(recomputing());
  const Tensor h = exp(x), k = tanh(h * h) * h;
  EXPECT_EQ(grad(sum(k * k), {x})[0].to_vector<double>(), once);
}

TEST(Checkpoint, MayDifferentiateInsideOfF) {
  const auto slope = [](const Tensor& v) {
    const Tensor u = v * v * v;
    return grad(sum(u), {v}, {.create_graph = true})[0] * v;  // 3 v^3
  };
  const Tensor x = tensor(std::vector<double>{2}, {1}).set_requires_grad();
  const Tensor y = checkpoint([&](const Tensor& v) { return slope(v * 1.0); }, x);
  EXPECT_EQ(y.item<double>(), 24);
  EXPECT_EQ(grad(y, {x})[0].item<double>(), 36);
}

TEST(Checkpoint, NoticesWhatChanged) {
  const Tensor x = tensor(std::vector<double>{2}, {1}).set_requires_grad();
  const Tensor w = tensor(std::vector<double>{3}, {1}).set_requires_grad();
  Tensor y = checkpoint([&](const Tensor& v) { return v * w; }, x);
  {
    const NoGrad no_grad;
    w.fill_(5);
  }
  expect_error([&] { y.backward(); }, "that f uses was changed in place after it ran");
  EXPECT_FALSE(x.grad().defined());
  y = checkpoint([](const Tensor& v) { return v * v; }, x);
  {
    const NoGrad no_grad;
    x.fill_(5);
  }
  expect_error([&] { y.backward(); }, "changed in place");

  bool more = false;
  y = checkpoint([&](const Tensor& v) { return more ? v * v * v : v * v; }, x);
  more = true;
  expect_error([&] { y.backward(); },
               "[checkpoint] f saved 4 tensors for backward where it had "
               "saved 2 the first time");
  const auto shape_changes = [&](const Tensor& v) {
    const Tensor big = more ? v : broadcast_to(v, {2});
    return big * big;
  };
  y = sum(checkpoint(shape_changes, x));
  more = false;
  expect_error([&] { y.backward(); }, "f saved f64[2] where it had saved f64[1] the first time");
  y = checkpoint([](const Tensor& v) { return v * v; }, x);
  y.backward();
  expect_error([&] { y.backward(); }, "saved tensors are freed");
}

TEST(Checkpoint, FreesEverythingWithItsGraph) {
  const int64_t before = counters().bytes_in_use;
  {
    const Tensor x = randn({1 << 14}).set_requires_grad();
    const Tensor y = sum(checkpoint([](const Tensor& v) { return chain(v); }, x));
    y.backward({}, {.create_graph = true});
    checkpoint([](const Tensor& v) { return chain(v); }, x);
  }
  EXPECT_EQ(counters().bytes_in_use, before);
}

TEST(Checkpoint, CallsFWhereNothingIsRecorded) {
  const NoGrad no_grad;
  int calls = 0;
  const Tensor y = checkpoint(
      [&](const Tensor& v) {
        ++calls;
        return v * 2.0;
      },
      ones({2}));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(y.requires_grad());
  expect_error([] { checkpoint(std::function<Tensor(const Tensor&)>(), ones({1})); },
               "[checkpoint] f is empty, want a function");
}

}  // namespace
