// SPDX-License-Identifier: Apache-2.0
// The examples of the reference: core and ops. docs/examples.dox assigns them to classes.
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

Tensor squared(const Tensor& x) {
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
  const tern::GradcheckFunction f = [](const std::vector<Tensor>& in) { return squared(in[0]); };
  EXPECT_TRUE(tern::gradcheck(f, {x}, {.tolerance = 1e-7}));
  EXPECT_TRUE(tern::gradgradcheck(f, {x}));
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
  //! [from_blob]
  const auto pixels = std::make_shared<std::vector<float>>(3 * 32 * 32, 0.5f);
  const Tensor image = from_blob(pixels->data(), {3, 32, 32}, [pixels](void*) {});
  EXPECT_EQ(image.data<float>().data(), pixels->data());  // the deleter keeps them alive
  //! [from_blob]
}

TEST(Documentation, Shape) {
  //! [Shape]
  const Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.numel(), 24);
  EXPECT_EQ(shape.with(1, 5), (Shape{2, 5, 4}));
  EXPECT_EQ(broadcast_shapes("example", {3, 1}, {4}), (Shape{3, 4}));
  //! [Shape]
  //! [IntList]
  const Tensor x = ones(shape);
  EXPECT_EQ(sum(x, {0, 2}).shape(), (Shape{3}));           // several
  EXPECT_EQ(mean(x, -1, true).shape(), (Shape{2, 3, 1}));  // one
  EXPECT_EQ(reshape(x, ones({4, 6}).shape()).shape(), (Shape{4, 6}));
  //! [IntList]
}

TEST(Documentation, PadOptions) {
  //! [PadOptions]
  const Tensor x = tensor(std::vector<float>{1, 2, 3}, {3});
  EXPECT_EQ(pad(x, {1, 1}, {.value = 9}).to_vector<float>(), (std::vector<float>{9, 1, 2, 3, 9}));
  EXPECT_EQ(pad(x, {1, 1}, {.mode = PadMode::reflect}).to_vector<float>(),
            (std::vector<float>{2, 1, 2, 3, 2}));
  //! [PadOptions]
}

TEST(Documentation, Indexing) {
  //! [Indexing]
  const Tensor x = reshape(arange(6), {2, 3});  // 0 1 2
                                                // 3 4 5
  EXPECT_EQ(x[1].to_vector<int64_t>(), (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ((x[{Range(), -1}].to_vector<int64_t>()), (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(x[gt(x, 3)].to_vector<int64_t>(), (std::vector<int64_t>{4, 5}));
  const Tensor columns = tensor(std::vector<int64_t>{2, 0}, {2});
  const std::vector<Index> indices{Range(0, 1), columns};
  EXPECT_EQ(index(x, indices).to_vector<int64_t>(), (std::vector<int64_t>{2, 0}));
  x[0] = x[1] * 2.0;  // what x[...] gives is an Indexed: assigned to, it writes into x
  x[0][1] = 9;
  EXPECT_EQ(x.to_vector<int64_t>(), (std::vector<int64_t>{6, 9, 10, 3, 4, 5}));
  //! [Indexing]
}

TEST(Documentation, OptionsOfReductions) {
  //! [VarOptions]
  const Tensor x = tensor(std::vector<float>{3, 4, 0, 0}, {2, 2});
  EXPECT_EQ(var(x, 1, {.correction = 0, .keepdim = true}).shape(), (Shape{2, 1}));
  //! [VarOptions]
  //! [NormalizeOptions]
  EXPECT_EQ(normalize(x, {.p = 1, .axis = 0}).to_vector<float>(), (std::vector<float>{1, 1, 0, 0}));
  //! [NormalizeOptions]
}

TEST(Documentation, OptionsOfProducts) {
  //! [AddmmOptions]
  const Tensor x = ones({2, 2});
  EXPECT_EQ(addmm(x, x, x, {.beta = 3, .alpha = 0.5}).to_vector<float>(),
            (std::vector<float>{4, 4, 4, 4}));
  //! [AddmmOptions]
  //! [CosineSimilarityOptions]
  EXPECT_EQ(cosine_similarity(ones({3, 2}), ones({2}), {.axis = -1}).shape(), (Shape{3}));
  //! [CosineSimilarityOptions]
  //! [PairwiseDistanceOptions]
  EXPECT_EQ(pairwise_distance(x, -x, {.p = 1, .eps = 0}).to_vector<float>(),
            (std::vector<float>{4, 4}));
  //! [PairwiseDistanceOptions]
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

TEST(Documentation, Hooks) {
  //! [HookHandle]
  HookList<std::function<void(int)>> list;
  int sum = 0;
  HookHandle handle = list.add([&](int x) { sum += x; });
  for (const auto& hook : list.hooks()) (*hook)(3);
  EXPECT_EQ(sum, 3);
  handle.remove();
  EXPECT_TRUE(list.empty());
  handle.remove();  // does nothing
  //! [HookHandle]
  handle = list.add([](int) {});
  list = {};
  handle.remove();  // the list is gone
}

TEST(Documentation, Edge) {
  //! [Edge]
  const Tensor x = randn({2, 3}).set_requires_grad();
  const auto columns = unbind(x, 1);
  const Edge& last = columns[2].edge();
  EXPECT_STREQ(last->name(), "unbind");
  EXPECT_EQ(last.output, 2u);
  EXPECT_EQ(last->inputs()[0].node, x.node());
  //! [Edge]
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
  const test::TemporaryDirectory directory;
  const std::string path = (directory.path() / "trace.json").string();
  const Tensor w = randn({8, 8}).set_requires_grad();
  const Tensor x = randn({8, 8});
  //! [Profiler]
  Profiler profiler;
  for (int step = 0; step < 3; ++step) sum(relu(linear(x, w))).backward();
  EXPECT_NE(profiler.table().find("relu backward"), std::string::npos);
  EXPECT_NE(profiler.table({.by = ProfilerTableOptions::module}).find("backward ms"),
            std::string::npos);
  io::write_trace(profiler, path);  // for ui.perfetto.dev
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
  //! [ModuleScope]
  const std::string layer = "layer1";
  const ModuleScope scope(&layer);
  EXPECT_EQ(ModuleScope::path(), "layer1");
  //! [ModuleScope]
}

//! [OpListener]
// Writes down what a program computes.
class Script : public OpListener {
 public:
  void result(const OpCall& call) override {
    if (call.kind != OpCall::Kind::operation || call.depth > 0) return;
    lines.push_back(to_string(call.results[0].shape()) + " = " + call.name);
    for (const OpAttribute& attribute : call.attributes) lines.back() += " " + attribute.name;
  }
  void note(const OpCall*, const OpNote& note) noexcept override {
    if (note.what == OpNote::What::makes) ++tensors;
  }
  std::vector<std::string> lines;
  int tensors = 0;
};
//! [OpListener]

TEST(Documentation, OpScope) {
  //! [OpScope]
  // An operation of one's own, which profilers and tracers see as they see Tern's.
  const auto swish = [](const Tensor& x, double beta) {
    const OpScope scope("swish", x, "beta", beta);
    return scope.result(x * sigmoid(x * beta));
  };
  EXPECT_EQ(swish(zeros({3}), 1.5).numel(), 3);
  //! [OpScope]
  //! [OpListening]
  const Tensor x = randn({2, 3});
  Script script;
  {
    const OpListening listening(script);
    (void)softmax(swish(x, 1.5), -1);
  }
  (void)exp(x);  // unheard
  EXPECT_EQ(script.lines, (std::vector<std::string>{"[2,3] = swish beta", "[2,3] = softmax axis"}));
  EXPECT_EQ(script.tensors, 4);
  //! [OpListening]
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

TEST(Documentation, BatchNormOptions) {
  //! [BatchNormOptions]
  const Tensor x = tensor(std::vector<double>{1, 3}, {2, 1});
  const Tensor running_mean = zeros({1}, DType::f64);
  const Tensor running_var = ones({1}, DType::f64);
  batch_norm(x, running_mean, running_var, {}, {},
             {.training = true, .momentum = Momentum::update(0.5)});
  EXPECT_DOUBLE_EQ(running_mean.item<double>(), 1.0);  // half of 0 and of 2
  EXPECT_DOUBLE_EQ(running_var.item<double>(), 1.5);   // half of 1 and of 2, over n - 1
  //! [BatchNormOptions]
}

TEST(Documentation, FusedNode) {
  //! [FusedNode]
  class CubeNode final : public FusedNode {
   public:
    explicit CubeNode(const Tensor& x) : x_(this, x) {}
    const char* name() const override { return "cube"; }

   private:
    Gradients fused(const Tensor& dy) override {  // a kernel of your own
      const Tensor x = x_.get();
      return {dy * (3.0 * x * x)};
    }
    std::vector<Tensor> saved() override { return {x_.get()}; }
    Tensor compose(const std::vector<Tensor>& x) override { return x[0] * x[0] * x[0]; }
    Saved x_;
  };
  const Tensor x = full({1}, 2.0).set_requires_grad();
  const Tensor y = record<CubeNode>(full({1}, 8.0), {x}, x);
  const Tensor dx = grad(y, {x}, {.create_graph = true})[0];
  EXPECT_EQ(dx.item<float>(), 12);                // 3 x^2
  EXPECT_EQ(grad(dx, {x})[0].item<float>(), 12);  // 6 x
  //! [FusedNode]
}

TEST(Documentation, FusedMultiNode) {
  //! [FusedMultiNode]
  class SumAndProductNode final : public FusedMultiNode {
   public:
    SumAndProductNode(const Tensor& a, const Tensor& b) : a_(this, a), b_(this, b) {}
    const char* name() const override { return "sum_and_product"; }

   private:
    Gradients fused(std::span<const Tensor> dys) override {  // a kernel of your own
      const Tensor a = a_.get(), b = b_.get(), zero = zeros_like(a);
      const Tensor ds = dys[0].defined() ? dys[0] : zero, dp = dys[1].defined() ? dys[1] : zero;
      return {ds + dp * b, ds + dp * a};
    }
    std::vector<Tensor> saved() override { return {a_.get(), b_.get()}; }
    std::vector<Tensor> compose(const std::vector<Tensor>& x) override {
      return {x[0] + x[1], x[0] * x[1]};
    }
    Saved a_, b_;
  };
  const Tensor a = full({1}, 2.0).set_requires_grad(), b = full({1}, 5.0).set_requires_grad();
  const std::vector<Tensor> ys =
      record<SumAndProductNode>(std::vector<Tensor>{full({1}, 7.0), full({1}, 10.0)}, {a, b}, a, b);
  EXPECT_EQ(grad(ys[0] + ys[1], {a}, {.retain_graph = true})[0].item<float>(), 6);  // 1 + b
  const Tensor da = grad(ys[1], {a}, {.create_graph = true})[0];
  EXPECT_EQ(grad(da, {b})[0].item<float>(), 1);
  //! [FusedMultiNode]
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

TEST(Documentation, CrossEntropyOptions) {
  //! [CrossEntropyOptions]
  const Tensor logits = zeros({2, 4}, DType::f64);
  const Tensor classes = tensor(std::vector<int64_t>{3, -100}, {2});
  const Tensor loss = cross_entropy(logits, classes, {.label_smoothing = 0.1});
  EXPECT_NEAR(loss.item<double>(), std::log(4.0), 1e-15);  // the row of class -100 does not count
  //! [CrossEntropyOptions]
}

}  // namespace
