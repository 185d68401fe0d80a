// SPDX-License-Identifier: Apache-2.0
// Nets as ONNX files, and back.
#include "tern/io/onnx.h"

#include <tern/tern.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "onnx_nets.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::expect_error;
using tern::test::read_file;
using tern::test::same_bits;

std::string path_of(const char* name) { return ::testing::TempDir() + name; }

/// Exports with a batch of 2, and computes the same as the file with other batches.
template <class M>
void expect_same(const char* what, M net, const Tensor& example, double tolerance = 0) {
  SCOPED_TRACE(what);
  const std::string path = path_of("net.onnx");
  test::randomize_statistics(net);
  net.eval();
  io::save_onnx(net, {example}, path);
  const io::OnnxNet read = io::load_onnx(path);
  const NoGrad no_grad;
  for (const int64_t batch : {1, 2, 7}) {
    std::vector<Tensor> rows;
    for (int64_t i = 0; i < batch; ++i) {
      rows.push_back(is_floating(example.dtype()) ? randn(slice(example, 0, 0, 1).shape())
                                                  : slice(example, 0, 0, 1));
    }
    const Tensor x = cat(rows);
    const Tensor wanted = net(x), found = read(x);
    if (tolerance == 0) {
      EXPECT_TRUE(same_bits(found, wanted))
          << "batch " << batch << ", apart by " << test::max_distance(found, wanted);
    } else {
      EXPECT_LE(test::max_distance(found, wanted), tolerance) << "batch " << batch;
    }
  }
  // The same net gives the same bytes, and the names of the weights stay.
  const std::string bytes = read_file(path);
  io::save_onnx(net, {example}, path);
  EXPECT_EQ(read_file(path), bytes);
  for (const auto& [name, tensor] : read.state_dict()) {
    EXPECT_TRUE(net.state_dict().contains(name)) << name;
  }
  for (const auto& [name, tensor] : net.named_parameters()) {
    EXPECT_TRUE(read.state_dict().contains(name)) << name;
  }
  // What was read can be exported.
  const std::string again = path_of("again.onnx");
  io::save_onnx(read, {example}, again);
  const io::OnnxNet reread = io::load_onnx(again);
  EXPECT_TRUE(same_bits(reread(example), read(example)));
}

TEST(Onnx, NetsAreTheSameAfterwards) {
  manual_seed(1);
  test::for_each_net([](const char* name, auto net, const Tensor& example, double tolerance) {
    expect_same(name, net, example, tolerance);
  });
}

// ---- What cannot be a graph ---------------------------------------------------------------------

/// A module with a child, which does what the test says.
class Block : public nn::ModuleOf<Block> {
 public:
  using Function = std::function<Tensor(const Tensor&)>;
  explicit Block(Function f) : f_(std::move(f)) {}
  Tensor forward(const Tensor& x) override { return f_(x); }

 private:
  Function f_;
};
class Outer : public nn::ModuleOf<Outer> {
 public:
  explicit Outer(Block::Function f) : block_(register_module("block", Block(std::move(f)))) {}
  Tensor forward(const Tensor& x) override { return relu(block_(x)); }

 private:
  Block block_;
};

std::string refusal(Block::Function f, io::SaveOnnxOptions options = {}) {
  const std::string path = path_of("refused.onnx");
  std::filesystem::remove(path);
  const Outer net(std::move(f));
  const std::string message = test::message_of([&] {
    io::save_onnx(net, {rand({4, 3})}, path, options);
  });
  EXPECT_FALSE(std::filesystem::exists(path));
  return message;
}
void expect_refused(Block::Function f, const std::vector<std::string>& parts) {
  test::expect_mentions(refusal(std::move(f)), parts);
}

TEST(OnnxErrors, ListEverythingAndWhereItIs) {
  expect_refused(
      [](const Tensor& x) {
        return nonzero(x).to(DType::f32) + rand({1, 2});
      },
      {"[save_onnx]", "\n  block: nonzero: the shape of its result depends on values",
       "\n  block: rand: it draws random numbers"});
}

TEST(OnnxErrors, ABatchSizeInTheGraph) {
  const auto mean = [](const Tensor& x) { return sum(x, 0) / static_cast<double>(x.size(0)); };
  expect_refused(mean, {"block: div: b depends on the batch size", ".dynamic_batch = false"});
  expect_refused([](const Tensor& x) { return x + tensor({1.f * static_cast<float>(x.size(0))}); },
                 {"block: tensor: it makes a constant that depends on the batch size"});
  expect_refused([](const Tensor& x) { return x.size(0) == 2 ? exp(x) : log(x); },
                 {"block: log is another operation", "batch size 3", "exp with 2"});
  expect_refused(
      [](const Tensor& x) {
        Tensor y = x;
        for (int64_t i = 0; i < x.size(0); ++i) y = exp(y);
        return y;
      },
      {"block"});
  expect_refused(
      [](const Tensor& x) {
        return broadcast_to(ones({1}), {x.size(0) * x.size(0), 1});
      },
      {"block: broadcast_to: a size, in another way than as a multiple, depends on the batch"});
  expect_refused(
      [](const Tensor& x) {
        return x + ones({2, 1});
      },
      {"with 3 rows of the example as a batch, the net throws [add] shapes [3,3] and",
       ".dynamic_batch = false"});
  // With one batch size, numbers are numbers.
  const std::string path = path_of("fixed.onnx");
  io::save_onnx(Outer(mean), {rand({4, 3})}, path, {.dynamic_batch = false});
  expect_error(
      [&] {
        (void)io::load_onnx(path)(rand({5, 3}));
      },
      {"input 0, 'x', is", "want length 4 along axis 0"});
}

TEST(OnnxErrors, AValueThatLeaves) {
  expect_refused([](const Tensor& x) { return x * static_cast<double>(max(x).item<float>()); },
                 {"module block: the values of f32[] leave the graph", "tensor operations"});
  expect_refused([](const Tensor& x) { return x.to_vector<float>()[0] > 0 ? x : -x; },
                 {"module block: the values of f32[2,3] leave the graph"});
}

TEST(OnnxErrors, ATensorFromNowhere) {
  expect_refused(
      [](const Tensor& x) {
        const Tensor y = empty(x.shape());
        for (int64_t i = 0; i < x.numel(); ++i) y.raw<float>()[i] = 2 * x.raw<float>()[i];
        return y;
      },
      {"the net itself: relu: input f32[2,3] comes from nowhere", "declare an OpScope"});
  expect_refused(
      [](const Tensor& x) {
        const Tensor y = zeros({3});
        y.raw<float>()[1] = x.raw<float>()[0];
        return x + y;
      },
      {"module block: an input of add, f32[3], was changed through its memory"});
  const auto custom = [](const Tensor& x) {
    const OpScope scope("my_function", x);
    const Tensor y = empty(x.shape());
    y.raw<float>()[0] = x.raw<float>()[0];
    return scope.result(y);
  };
  expect_refused(custom, {"block: my_function: there is no way to say it in ONNX"});
}

TEST(OnnxErrors, ATensorFromAnotherThread) {
  for (const bool dynamic : {true, false}) {
    const std::string message = refusal(
        [](const Tensor& x) {
          Tensor y;
          std::thread([&] {
            const NoGrad no_grad;
            y = sum(x, {0, 1});
          }).join();
          return x + y;
        },
        {.dynamic_batch = dynamic});
    test::expect_mentions(message, {"a tensor f32[] comes from nowhere", "on another thread"});
  }
}

TEST(OnnxErrors, StateAndSharedMemoryThatChange) {
  const Tensor counter = zeros({1});
  expect_refused(
      [=](const Tensor& x) {
        add_(counter, 1.0);
        return x + counter;
      },
      {"module block: add_ changes a tensor that was there before"});
  expect_refused(
      [](const Tensor& x) {
        const Tensor y = exp(x), flat = reshape(y, {-1});
        mul_(y, 2.0);
        return y + reshape(flat, y.shape());
      },
      {"module block: mul_ changes f32[2,3], whose memory f32[6] shares"});
}

TEST(OnnxErrors, Arguments) {
  const nn::Linear net(3, 2);
  const std::string path = path_of("arguments.onnx");
  const auto save = [&](const std::vector<Tensor>& inputs, io::SaveOnnxOptions options = {}) {
    return test::message_of([&] { io::save_onnx(net, inputs, path, options); });
  };
  const Tensor x = rand({2, 3});
  test::expect_mentions(save({}), {"there are no inputs"});
  test::expect_mentions(save({x, x}),
                        {"the example has 2 tensors, which no forward of Linear takes"});
  test::expect_mentions(save({x}, {.input_names = {"a", "b"}}), {"there are 2 input_names"});
  test::expect_mentions(save({x}, {.input_names = {"weight"}}),
                        {"two values would be called weight"});
  test::expect_mentions(save({x}, {.input_names = {"a"}, .output_names = {"a"}}),
                        {"two values would be called a"});
  test::expect_mentions(save({rand({})}),
                        {"want the same number of rows, at least 1, in each along axis 0"});
  expect_error([&] { io::save_onnx(net, {x}, "/nowhere/net.onnx"); }, {"[save_onnx]", "/nowhere"});
}

// ---- Several tensors ----------------------------------------------------------------------------

class Two : public nn::ModuleOf<Two> {
 public:
  std::pair<Tensor, std::vector<Tensor>> forward(const Tensor& a, const Tensor& b) {
    return {a + b, {a, split(b, 1, 1)[2], ones({3})}};
  }
};

TEST(Onnx, SeveralInputsAndOutputs) {
  const std::string path = path_of("two.onnx");
  io::save_onnx(
      Two(), {rand({2, 3}), rand({2, 3})}, path,
      {.input_names = {"left", "right"}, .output_names = {"sum", "left again", "c", "d"}});
  const io::OnnxNet net = io::load_onnx(path);
  EXPECT_EQ(net.input_names(), (std::vector<std::string>{"left", "right"}));
  EXPECT_EQ(net.output_names(), (std::vector<std::string>{"sum", "left again", "c", "d"}));
  const Tensor a = rand({5, 3}), b = rand({5, 3});
  const std::vector<Tensor> y = net.run({a, b});
  ASSERT_EQ(y.size(), 4u);
  EXPECT_TRUE(same_bits(y[0], a + b));
  EXPECT_TRUE(same_bits(y[1], a));
  EXPECT_TRUE(same_bits(y[2], slice(b, 1, 2, 3)));
  EXPECT_TRUE(same_bits(y[3], ones({3})));
  expect_error([&] { (void)net(a); }, "the model has 4 outputs: call run");
  expect_error([&] { (void)net.run({a}); }, "there are 1 inputs, want 2");
  expect_error(
      [&] {
        (void)net.run({a, b.to(DType::f64)});
      },
      {"input 1, 'right', is f64[5,3]", "want f32"});
}

TEST(Onnx, ABatchThatIsAnotherAxis) {
  manual_seed(6);
  class Sequence : public nn::ModuleOf<Sequence> {
    nn::GRU gru = register_module("gru", nn::GRU(3, 4));

   public:
    std::pair<Tensor, Tensor> forward(const Tensor& x, const Tensor& h0) {
      const auto [y, h] = gru(x, h0 + zeros({1, x.size(1), 4}));
      return {y, reshape(h, {-1})};
    }
  };
  const Sequence net;
  const std::string path = path_of("sequence.onnx");
  io::save_onnx(net, {rand({5, 2, 3}), rand({1, 2, 4})}, path, {.batch_axis = 1});
  const Tensor x = randn({5, 9, 3}), h = randn({1, 9, 4});
  const NoGrad no_grad;
  const std::vector<Tensor> found = io::load_onnx(path).run({x, h});
  const auto wanted = net(x, h);
  EXPECT_TRUE(same_bits(found[0], wanted.first));
  EXPECT_TRUE(same_bits(found[1], wanted.second));
}

// ---- Nets that were read ------------------------------------------------------------------------

TEST(OnnxNet, TrainsAsTheNetThatItWas) {
  manual_seed(3);
  nn::Sequential net(nn::Conv2d(1, 4, 3, {.padding = 1, .bias = false}),
                     nn::BatchNorm2d(4, {.momentum = Momentum::update(0.25)}), nn::ReLU(),
                     nn::Flatten(), nn::Linear(100, 3));
  test::randomize_statistics(net);
  const std::string path = path_of("train.onnx");
  io::save_onnx(net, {rand({2, 1, 5, 5})}, path);
  EXPECT_TRUE(net.is_training()) << "the mode is what it was";
  const std::string again = path_of("train_again.onnx");  // which keeps the momentum
  io::save_onnx(io::load_onnx(path), {rand({2, 1, 5, 5})}, again);
  io::OnnxNet read = io::load_onnx(again);
  EXPECT_FALSE(read.is_training());
  std::vector<std::string> names;
  for (const auto& [name, parameter] : read.named_parameters()) names.push_back(name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names,
            (std::vector<std::string>{"0.weight", "1.bias", "1.weight", "4.bias", "4.weight"}));
  EXPECT_EQ(read.buffers().size(), 2u);

  read.train();
  optim::SGD one(net.parameters(), {.lr = 0.1}), other(read.parameters(), {.lr = 0.1});
  for (int step = 0; step < 3; ++step) {
    const Tensor x = randn({6, 1, 5, 5}), classes = randint(0, 3, {6});
    for (auto* optimizer : {&one, &other}) optimizer->zero_grad();
    cross_entropy(net(x), classes).backward();
    cross_entropy(read(x), classes).backward();
    for (auto* optimizer : {&one, &other}) optimizer->step();
  }
  for (const auto& [name, tensor] : read.state_dict()) {
    EXPECT_LE(test::max_distance(tensor, net.state_dict()[name]), 1e-6) << name;
  }
  // It is saved and loaded by name, copied and cloned as any module.
  const StateDict saved = net.state_dict();
  read.load_state_dict(saved, {.strict = false});  // which has num_batches_tracked as well
  const io::OnnxNet same = read;
  const io::OnnxNet copy = nn::clone(read);
  const Tensor x = randn({2, 1, 5, 5});
  read.eval();
  net.eval();
  const NoGrad no_grad;
  const Tensor before = read(x);
  EXPECT_TRUE(same_bits(before, net(x)));
  read.parameters()[0].fill_(0);
  EXPECT_FALSE(same_bits(read(x), before));
  EXPECT_TRUE(same_bits(same(x), read(x))) << "a handle of the same net";
  nn::Module handle = copy;
  handle.eval();
  EXPECT_TRUE(same_bits(copy(x), before));
}

TEST(OnnxNet, GradientsHaveEveryOrder) {
  manual_seed(4);
  nn::Sequential net(nn::Linear(2, 3), nn::Tanh(), nn::Linear(3, 1));
  net.to(DType::f64);
  const std::string path = path_of("f64.onnx");
  io::save_onnx(net, {rand({2, 2}, DType::f64)}, path);
  const io::OnnxNet read = io::load_onnx(path);
  const Tensor x = randn({3, 2}, DType::f64);
  const auto curvature = [&](const nn::Module& module) {
    const Tensor leaf = test::leaf(x);
    const Tensor slope = grad(sum(module(leaf)), {leaf}, {.create_graph = true})[0];
    return grad(sum(square(slope)), {leaf})[0];
  };
  EXPECT_TRUE(same_bits<double>(curvature(read), curvature(net)));
}

}  // namespace
