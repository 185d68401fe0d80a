// SPDX-License-Identifier: Apache-2.0
// The examples of the documentation: core and ops. docs/examples.dox says which class shows which.
#include <cmath>

#include <tern/tern.h>
#include "support.h"

using namespace tern;

namespace {

//! [Node]
class Square final : public Node {
 public:
  explicit Square(const Tensor& x) : x_(this, x) {}
  const char* name() const override { return "square"; }
  Gradients backward(const Tensor& dy) override { return {2.0 * x_.get() * dy}; }

 private:
  Saved x_;
};

Tensor square(const Tensor& x) {
  const Tensor y = empty_like(x);
  const auto from = x.data<double>();
  const auto to = y.data<double>();
  for (size_t i = 0; i < from.size(); ++i) to[i] = from[i] * from[i];
  return record<Square>(y, {x}, x);
}
//! [Node]

TEST(Documentation, Node) {
  //! [gradcheck]
  const Tensor x = randn({2, 3}, DType::f64).set_requires_grad();
  const tern::testing::Function f = [](const std::vector<Tensor>& in) { return square(in[0]); };
  EXPECT_TRUE(tern::testing::gradcheck(f, {x}, {.tolerance = 1e-7}));
  EXPECT_TRUE(tern::testing::gradgradcheck(f, {x}));
  //! [gradcheck]
}

//! [Recipe]
class SquareAgain final : public Recipe {
 public:
  explicit SquareAgain(const Tensor& x) : Recipe("cheap_square", x) {}
  Tensor compute() const override { return x() * x(); }
};

class CheapSquare final : public Node {
 public:
  explicit CheapSquare(const Tensor& x) : x_(this, x) {}
  const char* name() const override { return "cheap_square"; }
  Gradients backward(const Tensor& dy) override { return {2.0 * x_.get() * dy}; }
  std::shared_ptr<const Recipe> recipe() const override {
    const Tensor x = x_.kept();
    return x.defined() ? std::make_shared<SquareAgain>(x) : nullptr;
  }

 private:
  Saved x_;
};
//! [Recipe]

TEST(Documentation, Recipe) {
  const Tensor x = tensor(std::vector<double>{2, 3}, {2}).set_requires_grad();
  const auto cheap_square = [&] { return record<CheapSquare>((x * x).detach(), {x}, x); };
  const Tensor y = cheap_square();
  const Tensor z = sum(y * y);  // keeps x, and computes y from it
  {
    const NoGrad no_grad;
    y.fill_(0);
  }
  EXPECT_EQ(grad(z, {x})[0].to_vector<double>(), (std::vector<double>{4 * 8, 4 * 27}));
}

TEST(Documentation, Tensor) {
  //! [Tensor]
  const Tensor x = tensor(std::vector<float>{1, 2, 3, 4}, {2, 2}).set_requires_grad();
  const Tensor y = sum(x * x);
  y.backward();
  EXPECT_EQ(y.item<float>(), 30);
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{2, 4, 6, 8}));
  const Tensor same = x;  // another handle
  EXPECT_TRUE(same.is_same(x));
  EXPECT_EQ(to_string(x.shape()), "[2,2]");
  //! [Tensor]
}

TEST(Documentation, Shape) {
  //! [Shape]
  const Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.numel(), 24);
  EXPECT_EQ(shape.with(1, 5), (Shape{2, 5, 4}));
  EXPECT_EQ(broadcast_shapes("example", {3, 1}, {4}), (Shape{3, 4}));
  //! [Shape]
}

TEST(Documentation, GradModes) {
  const Tensor w = ones({3}).set_requires_grad();
  //! [NoGrad]
  {
    const NoGrad no_grad;
    EXPECT_FALSE((w * 2.0).requires_grad());
    const GradMode on_again(true);
    EXPECT_TRUE((w * 2.0).requires_grad());
  }
  EXPECT_TRUE(grad_enabled());
  //! [NoGrad]
}

TEST(Documentation, Grad) {
  //! [grad]
  const Tensor x = full({}, 3.0, DType::f64).set_requires_grad();
  const Tensor dy = grad(x * x * x, {x}, {.create_graph = true})[0];  // 3 x^2
  const Tensor d2y = grad(dy, {x})[0];                                // 6 x
  EXPECT_EQ(dy.item<double>(), 27);
  EXPECT_EQ(d2y.item<double>(), 18);
  //! [grad]
}

TEST(Documentation, BackwardOptions) {
  //! [BackwardOptions]
  const Tensor x = ones({}).set_requires_grad();
  const Tensor y = x * x;
  y.backward({}, {.retain_graph = true});
  y.backward();
  EXPECT_EQ(x.grad().item<float>(), 4);  // twice 2
  //! [BackwardOptions]
}

TEST(Documentation, Shared) {
  //! [Shared]
  const Shared<int> count(1);
  const Shared<int> handle = count;
  *handle = 2;
  EXPECT_EQ(*count, 2);
  const CloneScope scope;
  const Shared<int> copy = count;
  *copy = 3;
  EXPECT_EQ(*count, 2);
  //! [Shared]
}

TEST(Documentation, Counters) {
  const Tensor x = randn({8, 8});
  (void)(x + x);
  //! [Counters]
  const int64_t before = counters().system_allocations;
  for (int i = 0; i < 10; ++i) (void)(x + x);
  EXPECT_EQ(counters().system_allocations, before);  // memory is reused
  //! [Counters]
}

TEST(Documentation, Profiler) {
  const support::TemporaryDirectory directory;
  const std::string path = (directory.path() / "trace.json").string();
  const Tensor w = randn({8, 8}).set_requires_grad();
  const Tensor x = randn({8, 8});
  //! [Profiler]
  Profiler profiler;
  for (int step = 0; step < 3; ++step) sum(relu(linear(x, w))).backward();
  EXPECT_NE(profiler.table().find("relu backward"), std::string::npos);
  profiler.write_trace(path);  // for ui.perfetto.dev
  //! [Profiler]
  //! [ProfilerEvent]
  double work = 0;
  for (const ProfilerEvent& event : profiler.events()) {
    if (event.name == "linear") work += event.flops;
  }
  EXPECT_EQ(work, 3 * 2.0 * 8 * 8 * 8);
  //! [ProfilerEvent]
  //! [ProfilerRange]
  {
    const ProfilerRange range("augment");
    (void)(x * 2.0);  // is shown inside of it
  }
  EXPECT_EQ(profiler.events().back().name, "mul");
  //! [ProfilerRange]
}

TEST(Documentation, Error) {
  //! [Error]
  try {
    (void)(zeros({2}) + zeros({3}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).substr(0, 5), "[add]");
  }
  //! [Error]
  //! [ErrorScope]
  const std::string layer = "layer1";
  const ErrorScope scope(&layer);
  EXPECT_EQ(ErrorScope::path(), "layer1");
  //! [ErrorScope]
}

TEST(Documentation, Generator) {
  //! [Generator]
  Generator random(42);
  const double first = random.uniform();
  const Generator::State state = random.state();
  const int64_t die = random.integer(6);
  random.set_state(state);
  EXPECT_EQ(random.integer(6), die);
  EXPECT_EQ(Generator(42).uniform(), first);
  //! [Generator]
}

TEST(Documentation, StateDict) {
  //! [StateDict]
  StateDict dict = {{"weight", ones({2, 3})}, {"bias", zeros({2})}};
  dict.set("scale", full({}, 2.0));
  EXPECT_EQ(dict["weight"].shape(), (Shape{2, 3}));
  EXPECT_EQ(dict.names(), (std::vector<std::string>{"weight", "bias", "scale"}));
  for (const auto& [name, value] : dict) EXPECT_TRUE(value.defined()) << name;
  //! [StateDict]
}

TEST(Documentation, ReferenceKernels) {
  //! [ReferenceKernels]
  const Tensor x = randn({1, 2, 6, 6});
  const Tensor w = randn({3, 2, 3, 3});
  const Tensor fast = conv2d(x, w);
  const ReferenceKernels reference;
  const Tensor plain = conv2d(x, w);
  EXPECT_LT(max(abs(fast - plain)).item<float>(), 1e-4f);
  //! [ReferenceKernels]
}

TEST(Documentation, Momentum) {
  //! [Momentum]
  EXPECT_DOUBLE_EQ(Momentum::keep(0.75).weight_of_new(1), Momentum::update(0.25).weight_of_new(1));
  EXPECT_DOUBLE_EQ(Momentum::cumulative().weight_of_new(4), 0.25);
  //! [Momentum]
}

TEST(Documentation, BatchNormParams) {
  //! [BatchNormParams]
  const Tensor x = tensor(std::vector<double>{1, 3}, {2, 1});
  const Tensor running_mean = zeros({1}, DType::f64);
  const Tensor running_var = ones({1}, DType::f64);
  batch_norm(x, running_mean, running_var, {}, {},
             {.training = true, .momentum = Momentum::update(0.5)});
  EXPECT_DOUBLE_EQ(running_mean.item<double>(), 1.0);  // half of 0 and of 2
  EXPECT_DOUBLE_EQ(running_var.item<double>(), 1.5);   // half of 1 and of 2, over n - 1
  //! [BatchNormParams]
}

TEST(Documentation, Windows) {
  //! [Size2d]
  const Tensor x = ones({1, 1, 4, 6});
  EXPECT_EQ(max_pool2d(x, {2, 3}).shape(), (Shape{1, 1, 2, 2}));
  EXPECT_EQ(max_pool2d(x, 2, {.stride = 1}).shape(), (Shape{1, 1, 3, 5}));
  EXPECT_EQ(avg_pool2d(x, 3, {.padding = {1, 0}}).shape(), (Shape{1, 1, 2, 2}));
  EXPECT_EQ(conv2d(x, ones({1, 1, 3, 3}), {}, {.padding = 1}).shape(), x.shape());
  //! [Size2d]
}

TEST(Documentation, FixedBatchNorm) {
  //! [FixedBatchNorm]
  const Tensor x = ones({1, 1, 2, 2}), weight = full({1, 1, 1, 1}, 6.0);
  const FixedBatchNorm norm{
      .running_mean = full({1}, 2.0), .running_var = full({1}, 4.0), .eps = 0};
  const Tensor y = conv2d_batch_norm(x, weight, {}, norm, false);
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(4, 2.0f));  // (6 - 2) / sqrt(4)
  //! [FixedBatchNorm]
}

TEST(Documentation, CrossEntropyParams) {
  //! [CrossEntropyParams]
  const Tensor logits = zeros({2, 4}, DType::f64);
  const Tensor classes = tensor(std::vector<int64_t>{3, -100}, {2});
  const Tensor loss = cross_entropy(logits, classes, {.label_smoothing = 0.1});
  EXPECT_NEAR(loss.item<double>(), std::log(4.0), 1e-15);  // the row of class -100 does not count
  //! [CrossEntropyParams]
}

}  // namespace
