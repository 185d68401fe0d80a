// SPDX-License-Identifier: Apache-2.0
// Whose a gradient is, when it is complete, and nodes with several results.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <string>
#include <vector>

#include "support.h"

using namespace tern;

using tern::test::expect_error;
using tern::test::message_of;

namespace {

using Values = std::vector<double>;

Tensor leaf(Values values) {
  const auto count = static_cast<int64_t>(values.size());
  return tensor(values, {count}).set_requires_grad();
}

double value(const Tensor& x) { return x.item<double>(); }

// ---- A gradient belongs to its tensor -----------------------------------------------------------

TEST(Gradient, StaysWhenRequiresGradIsSwitched) {
  const Tensor x = leaf({3});
  sum(x * 2.0).backward();
  x.set_requires_grad(false);
  EXPECT_EQ(value(x.grad()), 2);
  EXPECT_TRUE(x.is_leaf());
  x.set_requires_grad(true);
  EXPECT_EQ(value(x.grad()), 2);
}

TEST(Gradient, IsFilledByGraphsRecordedBeforeTheSwitch) {
  const Tensor w = leaf({3});
  const Tensor loss = sum(w * w);
  w.set_requires_grad(false);
  w.set_requires_grad(true);
  EXPECT_EQ(value(grad(loss, {w}, {.retain_graph = true})[0]), 6);
  const Tensor both = loss + w * 2.0;  // recorded before and after
  both.backward({}, {.retain_graph = true});
  EXPECT_EQ(value(w.grad()), 8);
  w.set_requires_grad(false);
  both.backward({}, {.retain_graph = true});
  EXPECT_EQ(value(w.grad()), 8) << "nothing is added while it is off";
  w.set_requires_grad();
  both.backward();
  EXPECT_EQ(value(w.grad()), 16);
}

TEST(Gradient, FrozenParametersNeitherMoveNorCount) {
  const Tensor a = leaf({3}), b = leaf({3});
  (a * 3.0 + b * 4.0).backward();
  a.set_requires_grad(false);
  optim::SGD sgd({a, b}, {.lr = 1});
  EXPECT_DOUBLE_EQ(optim::clip_grad_norm_({a, b}, 100), 4);
  sgd.step();
  EXPECT_EQ(value(a), 3);
  EXPECT_EQ(value(b), -1);
  sgd.zero_grad();
  EXPECT_FALSE(a.grad().defined()) << "zero_grad clears it, so that thawing starts afresh";
}

TEST(Gradient, IsSharedByNoTwoTensors) {
  for (const bool create_graph : {false, true}) {
    const Tensor a = leaf({1}), b = leaf({1});
    sum(a + b).backward({}, {.create_graph = create_graph});
    optim::clip_grad_norm_({a, b}, 1);
    EXPECT_NEAR(value(a.grad()), 0.7071063, 1e-7);
    EXPECT_NEAR(value(b.grad()), 0.7071063, 1e-7);

    const auto gradients =
        grad(a + b, {a, b}, {.create_graph = create_graph, .grad_output = leaf({1}).detach()});
    EXPECT_NE(gradients[0].storage(), gradients[1].storage());
  }
  const Tensor a = leaf({1}), b = leaf({1}), g = tensor(Values{5}, {1});
  a.set_grad(g);
  b.set_grad(g);
  a.grad().fill_(7);
  EXPECT_EQ(value(b.grad()), 5);
  EXPECT_EQ(value(g), 5);
}

TEST(Gradient, IsTakenOverWhereNobodyElseHasIt) {
  const Tensor x = leaf({1, 2});
  Tensor g = tensor(Values{5, 6}, {2});
  const void* memory = g.raw_data();
  x.set_grad(std::move(g));
  EXPECT_EQ(x.grad().raw_data(), memory);
  // A plain training step copies nothing: dy, two products, and the sum goes into one of these.
  x.set_grad({});
  const Tensor w = randn({2}, DType::f64), y = sum(x * w + x * w);
  const int64_t before = counters().allocations;
  y.backward();
  EXPECT_EQ(counters().allocations - before, 4);
}

TEST(Gradient, NobodysCotangentIsWritten) {
  for (const bool create_graph : {false, true}) {
    const Tensor c = leaf({4}), dy = tensor(Values{1}, {1});
    (c + 1.0).backward(dy, {.create_graph = create_graph});
    optim::SGD sgd({c}, {.lr = 1});
    sgd.zero_grad(false);
    EXPECT_EQ(value(dy), 1);
    EXPECT_EQ(value(c.grad()), 0);
    (c + 1.0).backward(dy, {.create_graph = create_graph});
    (c + 1.0).backward(dy);
    EXPECT_EQ(value(dy), 1);
    EXPECT_EQ(value(c.grad()), 2);
  }
}

TEST(Gradient, LosesItsGraphInAPlainPass) {
  const Tensor x = leaf({2});
  (x * x).backward({}, {.create_graph = true});
  EXPECT_TRUE(x.grad().requires_grad());
  (x * x).backward();
  EXPECT_EQ(value(x.grad()), 8);
  EXPECT_FALSE(x.grad().requires_grad());
}

TEST(Gradient, OfATensorThatIsGoneGoesNowhere) {
  Tensor x = leaf({2});
  const Tensor w = leaf({3}), y = x * w;
  x = Tensor();
  y.backward();
  EXPECT_EQ(value(w.grad()), 2);
}

// The gradient leads to a node of the graph, that to the leaf's node: no circle may close.
TEST(Gradient, WithAGraphIsFreedWithItsTensor) {
  const auto step = [] {
    const Tensor x = randn({1 << 14}).set_requires_grad();
    sum(x * x * x).backward({}, {.create_graph = true});
    EXPECT_TRUE(x.grad().requires_grad());
  };
  step();
  const int64_t before = counters().bytes_in_use;
  for (int i = 0; i < 200; ++i) step();
  EXPECT_EQ(counters().bytes_in_use, before);
}

TEST(Gradient, RetainedWithAGraphIsFreedToo) {
  const int64_t before = counters().bytes_in_use;
  {
    const Tensor x = randn({1 << 14}).set_requires_grad();
    const Tensor y = x * x;
    y.retain_grad();
    sum(y * y).backward({}, {.create_graph = true});
    EXPECT_TRUE(y.grad().requires_grad());
  }
  EXPECT_EQ(counters().bytes_in_use, before);
}

TEST(Gradient, AHundredThousandStepsWithCreateGraphTakeNoMemory) {
  const Tensor w = leaf({1, 2, 3});
  optim::SGD sgd({w}, {.lr = 1e-4});
  int64_t before = 0;
  for (int i = 0; i < 100000; ++i) {
    if (i == 100) before = counters().bytes_in_use;
    const Tensor loss = sum(w * w * w);
    sgd.zero_grad(i % 2 == 0);
    loss.backward({}, {.create_graph = true});
    sum(w.grad() * w.grad()).backward();  // a penalty on the gradient
    sgd.step();
  }
  EXPECT_LE(counters().bytes_in_use, before + 4096);
}

// ---- Clone --------------------------------------------------------------------------------------

TEST(Gradient, FlowsThroughClone) {
  const Tensor x = leaf({2});
  const Tensor residual = x.clone();
  EXPECT_TRUE(residual.requires_grad());
  (x * x + residual).backward();
  EXPECT_EQ(value(x.grad()), 5);
  EXPECT_FALSE(x.detach().clone().requires_grad());
  const auto cloned = [](const std::vector<Tensor>& in) { return (in[0] * in[0]).clone(); };
  EXPECT_TRUE(gradcheck(cloned, {leaf({1, -2})}));
  EXPECT_TRUE(gradgradcheck(cloned, {leaf({1, -2})}));
  nn::Linear layer(2, 3);
  EXPECT_FALSE(layer.state_dict().clone().at("weight").requires_grad());
}

// ---- Hooks --------------------------------------------------------------------------------------

TEST(Hooks, SeeACompleteGradientOnce) {
  const Tensor x = leaf({3}), y = x * x;
  std::vector<double> seen;
  y.register_hook([&](const Tensor& dy) { seen.push_back(value(dy)); });
  x.register_hook([&](const Tensor& dx) { seen.push_back(value(dx)); });
  (y * 2.0 + y * 3.0 + x * 7.0).backward();
  EXPECT_EQ(seen, (Values{5, 37}));
  EXPECT_EQ(value(x.grad()), 37);
}

TEST(Hooks, MayReplaceTheGradient) {
  const Tensor x = leaf({3}), y = x * x;
  y.retain_grad();
  const HookHandle twice = y.register_hook([](const Tensor& dy) { return dy * 2.0; });
  y.register_hook([](const Tensor& dy) { return dy + 1.0; });
  x.register_hook([](const Tensor& dx) { return dx * 10.0; });
  y.backward({}, {.retain_graph = true});
  EXPECT_EQ(value(y.grad()), 3) << "2 * 1 + 1";
  EXPECT_EQ(value(x.grad()), 180);
  const auto gradients = grad(y, {y, x}, {.retain_graph = true});
  EXPECT_EQ(value(gradients[0]), 3);
  EXPECT_EQ(value(gradients[1]), 180);
  HookHandle copy = twice;
  copy.remove();
  copy.remove();
  EXPECT_EQ(value(grad(y, {x})[0]), 120);
}

TEST(Hooks, LiveWithTheGraph) {
  const Tensor x = leaf({3});
  Tensor y = x * x;
  int calls = 0;
  y.register_hook([&](const Tensor&) { ++calls; });
  const Tensor z = y * 2.0;
  y = Tensor();
  z.backward();
  EXPECT_EQ(calls, 1);
}

TEST(Hooks, MayRemoveThemselves) {
  const Tensor x = leaf({3});
  int calls = 0;
  HookHandle handle;
  handle = x.register_hook([&](const Tensor&) {
    ++calls;
    handle.remove();
  });
  (x * x).backward();
  (x * x).backward();
  EXPECT_EQ(calls, 1);
}

TEST(Hooks, AreDifferentiatedUnderCreateGraph) {
  const Tensor x = leaf({3}), y = x * x;
  y.register_hook([](const Tensor& dy) { return dy * dy; });
  const Tensor c = leaf({5});
  const Tensor dx = grad(y, {x}, {.create_graph = true, .grad_output = c})[0];  // 2 x c^2
  EXPECT_EQ(value(dx), 150);
  EXPECT_EQ(value(grad(dx, {c})[0]), 60);
}

TEST(Hooks, SayWhatIsWrong) {
  const Tensor x = leaf({3, 4}), y = x * x;
  const HookHandle handle = y.register_hook([](const Tensor&) { return ones({5}); });
  EXPECT_EQ(message_of([&] { sum(y).backward(); }),
            "[register_hook] the hook of mul's result returned f32[5], want the shape and dtype of "
            "the gradient, f64[2]");
  EXPECT_FALSE(x.grad().defined());
  expect_error([] { ones({1}).register_hook([](const Tensor&) {}); },
               "[register_hook] tensor f32[1] does not require a gradient");
  expect_error([] { ones({1}).register_post_accumulate_grad_hook([](const Tensor&) {}); },
               "does not require a gradient");
  expect_error([&] { y.register_post_accumulate_grad_hook([](const Tensor&) {}); },
               "is no leaf: use register_hook");
}

// The order of events in a pass: a leaf is served when its last edge has run, not at the end.
TEST(Hooks, RunAsSoonAsALeafIsComplete) {
  const Tensor early = leaf({2}), late = leaf({3});
  const Tensor h = late * late;
  const Tensor y = h * early + early;  // `early` is complete when h's node has not run yet
  std::vector<std::string> events;
  h.register_hook([&](const Tensor&) { events.push_back("h"); });
  early.register_post_accumulate_grad_hook([&](const Tensor& x) {
    EXPECT_TRUE(x.is_same(early));
    EXPECT_EQ(value(x.grad()), 10);
    events.push_back("early");
  });
  late.register_post_accumulate_grad_hook([&](const Tensor&) { events.push_back("late"); });
  y.backward();
  EXPECT_EQ(events, (std::vector<std::string>{"early", "h", "late"}));
}

TEST(Hooks, AfterAccumulationMayStepAndClear) {
  const Tensor w = leaf({3});
  HookHandle handle = w.register_post_accumulate_grad_hook([](const Tensor& x) {
    const NoGrad no_grad;
    x.copy_(x - x.grad());
    x.set_grad({});
  });
  (w * w).backward();
  EXPECT_EQ(value(w), -3);
  EXPECT_FALSE(w.grad().defined());
  EXPECT_EQ(value(grad(w * w, {w})[0]), -6);
  EXPECT_EQ(value(w), -3) << "grad() leaves gradients alone";
  handle.remove();
  (w * w).backward();
  EXPECT_EQ(value(w.grad()), -6);
}

TEST(Hooks, APassThatThrowsLeavesNothingButWhatHooksHaveGot) {
  const Tensor hooked = leaf({2}), plain = leaf({3}), x = leaf({4});
  const Tensor bad = x * x;
  bad.register_hook([](const Tensor&) { throw Error("[test] no"); });
  bad.retain_grad();
  int calls = 0;
  HookHandle handle = hooked.register_post_accumulate_grad_hook([&](const Tensor&) { ++calls; });
  const Tensor y = bad * plain + hooked * plain;
  y.retain_grad();
  EXPECT_EQ(message_of([&] { y.backward({}, {.retain_graph = true}); }), "[test] no");
  EXPECT_FALSE(plain.grad().defined());
  EXPECT_FALSE(x.grad().defined());
  EXPECT_FALSE(y.grad().defined());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(value(hooked.grad()), 3);
  handle.remove();
  hooked.set_grad({});
  EXPECT_THROW(y.backward(), Error);
  EXPECT_FALSE(hooked.grad().defined());
}

// ---- Nodes with several results -----------------------------------------------------------------

/// (x^2, x^3) in one node, which keeps one of its results.
class Powers final : public Node {
 public:
  Powers(const Tensor& x, const Tensor& cube)
      : x_(this, x), cube_(this, cube, Saved::Role::output, 1) {}
  const char* name() const override { return "powers"; }
  Gradients backward(std::span<const Tensor> dys) override {
    const Tensor x = x_.get();
    Tensor dx;
    if (dys[0].defined()) dx = 2.0 * x * dys[0];
    if (dys[1].defined()) {
      const Tensor part = 3.0 * cube_.get() / x * dys[1];
      dx = dx.defined() ? dx + part : part;
    }
    return {dx};
  }

 private:
  Saved x_, cube_;
};

std::vector<Tensor> powers(const Tensor& x) {
  const Tensor v = x.detach();
  const std::vector<Tensor> ys = {v * v, v * v * v};
  return record<Powers>(ys, {x}, x, ys[1]);
}

TEST(SeveralResults, GetTheGradientsThatHaveArrived) {
  const Tensor x = leaf({2});
  const auto ys = powers(x);
  EXPECT_EQ(ys[0].node(), ys[1].node());
  EXPECT_EQ(ys[0].node()->outputs(), 2u);
  EXPECT_EQ(ys[1].edge().output, 1u);
  EXPECT_EQ(value(grad(ys[0], {x}, {.retain_graph = true})[0]), 4);
  EXPECT_EQ(value(grad(ys[1], {x}, {.retain_graph = true})[0]), 12);
  EXPECT_EQ(value(grad(ys[1] * 10.0 + ys[0] + ys[1], {x}, {.retain_graph = true})[0]), 136);
  const auto parts = grad(ys[0] * ys[1], {ys[1], x, ys[0]}, {.retain_graph = true});
  EXPECT_EQ(value(parts[0]), 4);
  EXPECT_EQ(value(parts[1]), 80);
  EXPECT_EQ(value(parts[2]), 8);
  expect_error([&] { grad(ys[0] * 1.0, {ys[1]}); }, "the output does not depend on input 0");
}

TEST(SeveralResults, HaveDerivativesOfEveryOrder) {
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const auto one = [i](const std::vector<Tensor>& in) { return powers(in[0])[i]; };
    EXPECT_TRUE(gradcheck(one, {leaf({0.5, -1.5})}));
    EXPECT_TRUE(gradgradcheck(one, {leaf({0.5, -1.5})}));
  }
  const auto both = [](const std::vector<Tensor>& in) {
    const auto ys = powers(in[0]);
    return ys[0] * ys[1];
  };
  EXPECT_TRUE(gradcheck(both, {leaf({0.5, -1.5})}));
  EXPECT_TRUE(gradgradcheck(both, {leaf({0.5, -1.5})}));
}

TEST(SeveralResults, HaveHooksAndRetainedGradientsOfTheirOwn) {
  const Tensor x = leaf({2});
  const auto ys = powers(x);
  ys[1].retain_grad();
  ys[1].register_hook([](const Tensor& dy) { return dy * 2.0; });
  (ys[0] + ys[1]).backward();
  EXPECT_EQ(value(ys[1].grad()), 2);
  EXPECT_FALSE(ys[0].grad().defined());
  EXPECT_EQ(value(x.grad()), 4 + 24);
}

TEST(SeveralResults, AreCheckedEachAndNameTheNode) {
  class Wide final : public Node {
   public:
    const char* name() const override { return "wide"; }
    Gradients backward(const Tensor&) override { return {ones({3})}; }
  };
  const Tensor x = leaf({1, 2});
  const std::vector<Tensor> ys = record<Wide>({ones({3}), ones({4})}, {x});
  EXPECT_EQ(message_of([&] { sum(ys[0] * 2.0).backward(); }),
            "[wide] has 2 results: override Node::backward(std::span<const Tensor> dys)");
  expect_error([&] { record<Wide>({ones({3}), ys[1]}, {x}); }, "is recorded already");

  class Product final : public Node {
   public:
    const char* name() const override { return "product"; }
    Gradients backward(const Tensor& dy) override { return {dy, ones({5})}; }
  };
  const auto parts = powers(x);
  const Tensor y = record<Product>(ones({2}, DType::f64), {parts[0], parts[1]});
  EXPECT_EQ(message_of([&] { sum(y).backward(); }),
            "[product] backward returned f32[5] for input 1, which is f64[2]");
  class Nothing final : public Node {
    const char* name() const override { return "nothing"; }
  };
  const Tensor none = record<Nothing>(ones({1}), {x});
  expect_error([&] { none.backward(); }, "[nothing] has no backward function: override");
}

TEST(Node, HasAnyNumberOfInputs) {
  std::vector<Tensor> parts;
  for (int i = 0; i < 1000; ++i) parts.push_back(leaf({double(i)}));
  const Tensor y = cat(parts);
  EXPECT_EQ(y.node()->inputs().size(), 1000u) << "one node";
  sum(y * y).backward();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(value(parts[size_t(i)].grad()), 2 * i);
}

// A backward pass inside of a backward pass.
TEST(Pass, MayRunInsideOfAnother) {
  class Inner final : public Node {
   public:
    explicit Inner(const Tensor& x) : x_(this, x) {}
    const char* name() const override { return "inner"; }
    Gradients backward(const Tensor& dy) override {
      const Tensor x = x_.get().detach().set_requires_grad();
      const GradMode on(true);
      const Tensor dx = grad(x * x * x, {x})[0];  // goes through needs() of other nodes
      EXPECT_TRUE(needs(0));
      EXPECT_FALSE(needs(1));
      return {dy * dx, Tensor()};
    }

   private:
    Saved x_;
  };
  const Tensor x = leaf({2}), unwanted = leaf({1});
  const Tensor y = record<Inner>(tensor(Values{8}, {1}), {x, unwanted}, x) * 1.0;
  EXPECT_EQ(value(grad(y, {x})[0]), 12);
}

}  // namespace
