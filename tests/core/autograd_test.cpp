// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <functional>
#include <string>
#include <vector>

#include "support.h"

using namespace tern;

using tern::test::message_of;

namespace {

Tensor leaf(std::vector<double> values) {
  const auto count = static_cast<int64_t>(values.size());
  return tensor(values, {count}).set_requires_grad();
}

using Values = std::vector<double>;

TEST(Autograd, AddsUpOverAllPaths) {
  const Tensor x = leaf({2, 3});
  const Tensor y = x * x + x * 4.0;  // y' = 2x + 4
  y.backward(tensor(Values{1, 10}, {2}));
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{8, 100}));
}

TEST(Autograd, AccumulatesOverBackwardPasses) {
  const Tensor x = leaf({2});
  (x * x).backward();
  const Tensor first = x.grad();
  (x * x).backward();
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{8}));
}

TEST(Autograd, NeverHandsOutTheCallersGradient) {
  const Tensor x = leaf({2, 3});
  const Tensor y = x + x.detach();  // add passes dy through as it is
  const Tensor dy = tensor(Values{1, 1}, {2});
  y.backward(dy, {.retain_graph = true});
  y.backward(dy);
  EXPECT_EQ(dy.to_vector<double>(), (Values{1, 1}));
  EXPECT_EQ(x.grad().to_vector<double>(), (Values{2, 2}));
}

// Note [Gradients in place]: each of these may write its gradient over the one that it gets.
class InPlace : public ::testing::TestWithParam<std::string> {
 protected:
  const Tensor x = randn({2, 3, 4, 4}).set_requires_grad();
  const Tensor w = randn({2, 3, 4, 4});

  Tensor layer() const {
    const BatchNormOptions batch{.training = true};
    if (GetParam() == "batch_norm") return batch_norm(x, {}, {}, {}, {}, batch);
    if (GetParam() == "batch_norm_relu") return batch_norm_relu(x, {}, {}, {}, {}, batch);
    return GetParam() == "relu" ? relu(x) : add_relu(x, x.detach());
  }

  std::vector<float> expected() const {  // the gradient w comes from the caller, who keeps it
    const std::vector<float> before = w.to_vector<float>();
    const auto result = grad(layer(), {x}, {.grad_output = w})[0].to_vector<float>();
    EXPECT_EQ(w.to_vector<float>(), before);
    return result;
  }
};
INSTANTIATE_TEST_SUITE_P(Layers, InPlace,
                         ::testing::Values("relu", "add_relu", "batch_norm", "batch_norm_relu"));

TEST_P(InPlace, WritesOverWhatNobodySees) {
  const Tensor y = layer(), total = sum(y * w);
  const int64_t before = counters().allocations;
  const auto whole = grad(total, {x})[0].to_vector<float>();
  const int64_t with_nobody = counters().allocations - before;
  EXPECT_EQ(whole, expected());

  const Tensor again = layer(), again_total = sum(again * w);
  again.retain_grad();
  const int64_t start = counters().allocations;
  again_total.backward();
  EXPECT_EQ(counters().allocations - start, with_nobody + 1) << "a result of its own";
}

TEST_P(InPlace, SparesWhatWasAskedFor) {
  const Tensor y = layer();
  y.retain_grad();
  sum(y * w).backward();
  EXPECT_EQ(y.grad().to_vector<float>(), w.to_vector<float>());
  EXPECT_EQ(x.grad().to_vector<float>(), expected());

  const Tensor again = layer();
  const auto gradients = grad(sum(again * w), {again, x});
  EXPECT_EQ(gradients[0].to_vector<float>(), w.to_vector<float>());
  EXPECT_EQ(gradients[1].to_vector<float>(), expected());
}

TEST_P(InPlace, SparesAGradientThatTwoNodesGet) {
  const Tensor a = layer(), b = layer();
  const auto gradients = grad(sum((a + b) * w), {x});
  const auto once = expected(), twice = gradients[0].to_vector<float>();
  for (size_t i = 0; i < once.size(); ++i) EXPECT_FLOAT_EQ(twice[i], 2 * once[i]);
}

TEST(Autograd, AMillionOperationsDoNotOverflowTheStack) {
  const Tensor x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 1000000; ++i) y = y + 1.0;
  EXPECT_EQ(y.item<double>(), 1000001);
  y.backward();
  EXPECT_EQ(x.grad().item<double>(), 1);
  y = Tensor();  // destroys the chain
}

TEST(Autograd, NoGradRecordsNothing) {
  const Tensor x = leaf({2});
  {
    const NoGrad no_grad;
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE((x * x).requires_grad());
    const GradMode on(true);
    EXPECT_TRUE((x * x).requires_grad());
  }
  EXPECT_TRUE((x * x).requires_grad());
  EXPECT_FALSE((x * x).detach().requires_grad());
  EXPECT_EQ((x * x).detach().to_vector<double>(), (Values{4}));
}

TEST(Autograd, ASecondBackwardNeedsRetainGraph) {
  const Tensor x = leaf({3});
  const Tensor y = x * x;
  y.backward();
  EXPECT_EQ(message_of([&] { y.backward(); }),
            "[mul] backward has been through this graph, and its saved tensors are freed: pass "
            "{.retain_graph = true} the first time");
  const Tensor z = x * x;
  z.backward({}, {.retain_graph = true});
  z.backward();
  EXPECT_EQ(x.grad().item<double>(), 18);
}

TEST(Autograd, SavedTensorsAreFreedAtOnce) {
  const Tensor x = randn({1000, 1000});
  x.set_requires_grad();
  const Tensor y = x * x.detach();  // saves 4 MB it shares, and y's own 4 MB
  const Tensor z = exp(y);          // saves its output
  const int64_t before = counters().bytes_in_use;
  sum(z).backward();
  x.set_grad({});
  EXPECT_LE(counters().bytes_in_use, before + 4096);
}

TEST(Autograd, NoticesASavedTensorThatChanged) {
  const Tensor x = leaf({2, 3});
  const Tensor y = x * x;
  {
    const NoGrad no_grad;
    x.fill_(7);
  }
  EXPECT_EQ(message_of([&] { y.backward(ones({2}, DType::f64)); }),
            "[mul] the tensor f64[2] that backward needs was changed in place after it was saved "
            "(version 1, saved at 0): change a copy, or call backward first");
  EXPECT_FALSE(x.grad().defined());
}

TEST(Autograd, AskingForTheImpossibleSaysWhatToDo) {
  const Tensor x = leaf({2, 3});
  EXPECT_EQ(
      message_of([&] { (x * x).backward(); }),
      "[backward] output f64[2] has 2 elements: pass the gradient to start from, or reduce it "
      "to a scalar");
  EXPECT_EQ(message_of([] { ones({1}).backward(); }),
            "[backward] output f32[1] does not require a gradient: no input does, or it was made "
            "under NoGrad");
  EXPECT_EQ(message_of([&] { (x * x).backward(ones({3}, DType::f64)); }),
            "[backward] the gradient to start from is f64[3], want shape and dtype of the output "
            "f64[2]");
  EXPECT_THROW((x * x).set_requires_grad(false), Error);
  EXPECT_THROW(arange(3).set_requires_grad(), Error);
}

class WrongShape final : public Node {
 public:
  const char* name() const override { return "wrong_shape"; }
  Gradients backward(const Tensor&) override { return {ones({5}, DType::f64)}; }
};
class WrongCount final : public Node {
 public:
  const char* name() const override { return "wrong_count"; }
  Gradients backward(const Tensor& dy) override { return {dy, dy}; }
};

TEST(Autograd, ChecksEveryGradientAndNamesTheNode) {
  const Tensor x = leaf({2, 3});
  const Tensor dy = ones({2}, DType::f64);
  const Tensor a = record<WrongShape>(ones({2}, DType::f64), {x});
  EXPECT_EQ(message_of([&] { a.backward(dy); }),
            "[wrong_shape] backward returned f64[5] for input 0, which is f64[2]");
  const Tensor b = record<WrongCount>(ones({2}, DType::f64), {x});
  EXPECT_EQ(message_of([&] { b.backward(dy); }),
            "[wrong_count] backward returned 2 gradients for 1 inputs");
  EXPECT_FALSE(x.grad().defined());  // a failed pass leaves nothing behind
}

TEST(Autograd, GradLeavesGradAlone) {
  const Tensor x = leaf({2});
  const Tensor w = leaf({5});
  const Tensor y = x * x * w;
  const auto gradients = grad(y, {x, w});
  EXPECT_EQ(gradients[0].item<double>(), 20);
  EXPECT_EQ(gradients[1].item<double>(), 4);
  EXPECT_FALSE(x.grad().defined());
  const Tensor unused = leaf({1});
  EXPECT_THROW(grad(x * x, {unused}), Error);
  EXPECT_FALSE(grad(x * x, {unused}, {.allow_unused = true})[0].defined());
}

TEST(Autograd, GradReachesTensorsInTheMiddle) {
  const Tensor x = leaf({3});
  const Tensor middle = x * x;
  const Tensor y = middle * middle;
  const auto gradients = grad(y, {middle, x}, {.retain_graph = true});
  EXPECT_EQ(gradients[0].item<double>(), 18);
  EXPECT_EQ(gradients[1].item<double>(), 108);
  middle.retain_grad();
  y.backward();
  EXPECT_EQ(middle.grad().item<double>(), 18);
}

TEST(Autograd, DerivativesOfAnyOrder) {
  const Tensor x = leaf({2});
  Tensor y = pow(x, 5.0);
  for (const double expected : {5 * 16., 20 * 8., 60 * 4., 120 * 2., 120.}) {
    y = grad(y, {x}, {.create_graph = true})[0];
    EXPECT_DOUBLE_EQ(y.item<double>(), expected);
  }
}

TEST(Autograd, AGradientPenaltyReachesTheWeights) {
  const Tensor w = leaf({3});
  const Tensor x = leaf({2});
  const Tensor y = w * x * x;                                    // dy/dx = 2 w x
  const Tensor slope = grad(y, {x}, {.create_graph = true})[0];  // 12
  (slope * slope).backward();                                    // d/dw 4 w^2 x^2 = 8 w x^2
  EXPECT_EQ(w.grad().item<double>(), 96);
}

TEST(Autograd, GradientsLieAsTheirParameters) {
  const Tensor x = to_memory_format(randn({2, 3, 4, 4}), MemoryFormat::channels_last).detach();
  x.set_requires_grad();
  const Tensor dy = randn({2, 3, 4, 4});
  contiguous(x).backward(dy);
  EXPECT_EQ(x.grad().memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(x.grad().to_vector<float>(), dy.to_vector<float>());
}

TEST(Autograd, ConversionsPassGradients) {
  const Tensor x = randn({3}).set_requires_grad();
  const Tensor y = x.to(DType::f64) * 2.0;
  y.backward(ones({3}, DType::f64));
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{2, 2, 2}));
}

TEST(Autograd, OnlyWhatIsNeededIsComputed) {
  class Picky final : public Node {
   public:
    explicit Picky(bool* asked) : asked_(asked) {}
    const char* name() const override { return "picky"; }
    Gradients backward(const Tensor& dy) override {
      asked_[0] = needs(0);
      asked_[1] = needs(1);
      return {needs(0) ? dy : Tensor(), needs(1) ? dy : Tensor()};
    }

   private:
    bool* asked_;
  };
  bool asked[2] = {};
  const Tensor x = leaf({1}), w = leaf({1});
  const Tensor y = record<Picky>(ones({1}, DType::f64), {x, w}, asked);
  EXPECT_EQ(grad(y, {w})[0].item<double>(), 1);
  EXPECT_FALSE(asked[0]);
  EXPECT_TRUE(asked[1]);
}

// A multiplication whose backward is wrong by a factor that depends on what the test breaks.
class BrokenSquare final : public Node {
 public:
  BrokenSquare(const Tensor& x, double factor) : x_(this, x), factor_(factor) {}
  const char* name() const override { return "broken_square"; }
  Gradients backward(const Tensor& dy) override { return {dy * x_.get() * factor_}; }

 private:
  Saved x_;
  double factor_;
};

TEST(Gradcheck, AcceptsTheRightAndRejectsTheWrong) {
  const auto square = [](double factor) {
    return [factor](const std::vector<Tensor>& v) {
      return record<BrokenSquare>(v[0].detach() * v[0].detach(), {v[0]}, v[0], factor);
    };
  };
  const Tensor x = leaf({0.5, -1.5, 2});
  EXPECT_TRUE(tern::gradcheck(square(2), {x}));
  EXPECT_TRUE(tern::gradgradcheck(square(2), {x}));
  const std::string message = message_of([&] { tern::gradcheck(square(2.0001), {x}); });
  EXPECT_NE(message.find("[gradcheck] gradient is wrong. Worst: input 0, element"),
            std::string::npos)
      << message;
  EXPECT_THROW(tern::gradcheck(square(-2), {x}), Error);
}

TEST(Gradcheck, SeesAWrongSecondDerivative) {
  // Right value and right gradient, but the gradient is cut off from x.
  class Cut final : public Node {
   public:
    explicit Cut(const Tensor& x) : x_(this, x) {}
    const char* name() const override { return "cut"; }
    Gradients backward(const Tensor& dy) override { return {dy * x_.get().detach() * 2.0}; }

   private:
    Saved x_;
  };
  const auto f = [](const std::vector<Tensor>& v) {
    return record<Cut>(v[0].detach() * v[0].detach(), {v[0]}, v[0]);
  };
  const Tensor x = leaf({0.5, -1.5, 2});
  EXPECT_TRUE(tern::gradcheck(f, {x}));
  EXPECT_THROW(tern::gradgradcheck(f, {x}), Error);
}

TEST(Gradcheck, WantsFloat64AndSomethingToCheck) {
  const auto identity = [](const std::vector<Tensor>& v) { return v[0] * 1.0; };
  EXPECT_THROW(tern::gradcheck(identity, {randn({2}).set_requires_grad()}), Error);
  EXPECT_THROW(tern::gradcheck(identity, {randn({2}, DType::f64)}), Error);
}

}  // namespace
