// SPDX-License-Identifier: Apache-2.0
// The programs of docs/weights.md, which has their text, with small files that PyTorch and protobuf
// made.
#include <tern/tern.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "support.h"
#include "weight_files.h"

namespace {

namespace resnet {
//! [resnet]
using namespace tern;

nn::Conv2d conv(int64_t in, int64_t out, int64_t size, int64_t stride) {
  return {in, out, size, {.stride = stride, .padding = size / 2, .bias = false}};
}

class BasicBlock : public nn::Module {  // torchvision's names
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  nn::Sequential downsample;

 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride)
      : conv1(register_module("conv1", conv(in, out, 3, stride))),
        conv2(out, out, 3, {.padding = 1, .bias = false}),
        bn1(register_module("bn1", nn::BatchNorm2d(out))),
        bn2(out) {
    register_module("conv2", conv2);
    register_module("bn2", bn2);
    if (stride == 1 && in == out) return;
    downsample = nn::Sequential(conv(in, out, 1, stride), nn::BatchNorm2d(out));
    register_module("downsample", downsample);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor h = bn2(conv2(bn1.forward_relu(conv1(x))));
    return add_relu(h, downsample.empty() ? x : downsample(x));
  }
};

class ResNet18 : public nn::Module {
  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Sequential layer1, layer2, layer3, layer4;
  nn::Linear fc;

 public:
  explicit ResNet18(int64_t classes = 1000, int64_t channels = 3, int64_t n = 64)
      : conv1(register_module("conv1", conv(channels, n, 7, 2))),
        bn1(register_module("bn1", nn::BatchNorm2d(n))),
        layer1(register_module("layer1", nn::Sequential(BasicBlock(n, n, 1), BasicBlock(n, n, 1)))),
        layer2(register_module("layer2", stage(n))),
        layer3(register_module("layer3", stage(2 * n))),
        layer4(register_module("layer4", stage(4 * n))),
        fc(register_module("fc", nn::Linear(8 * n, classes))) {}
  Tensor forward(const Tensor& x) override {
    Tensor h = max_pool2d(bn1.forward_relu(conv1(x)), 3, {.stride = 2, .padding = 1});
    h = layer4(layer3(layer2(layer1(h))));
    return fc(flatten(adaptive_avg_pool2d(h, 1), 1));
  }

 private:
  static nn::Sequential stage(int64_t n) {
    return nn::Sequential(BasicBlock(n, 2 * n, 2), BasicBlock(2 * n, 2 * n, 1));
  }
};
//! [resnet]
}  // namespace resnet

using namespace tern;
using resnet::ResNet18;
using tern::test::expect_same_tensors;
using tern::test::read_file;
using tern::test::weight_file;

/// In a directory of its own, as the programs name files without one.
class DocumentationWeights : public tern::test::WeightFiles {
 protected:
  void SetUp() override {
    std::filesystem::current_path(directory());
    std::filesystem::copy_file(weight_file("resnet18.pt"), "resnet18.pt");
    std::filesystem::copy_file(weight_file("checkpoint.pt"), "checkpoint.pt");
    std::filesystem::copy_file(weight_file("mindspore_crc.ckpt"), "net.ckpt");
  }
  void TearDown() override { std::filesystem::current_path(before_); }

 private:
  std::filesystem::path before_ = std::filesystem::current_path();
};

TEST_F(DocumentationWeights, ResNet18ComputesWhatPyTorchComputes) {
  const StateDict python = io::load_safetensors(weight_file("resnet18.safetensors"));
  ResNet18 net(5, 3, 1);
  net.load_state_dict(io::load_weights("resnet18.pt"));
  const NoGrad no_grad;
  net.eval();
  EXPECT_LT(test::relative_distance(net(python.at("x")), python.at("y")), 1e-5);
}

TEST_F(DocumentationWeights, FineTuning) {
  constexpr int64_t kWidth = 1;
  const Tensor images = randn({8, 1, 28, 28}), classes = randint(10, {8});
  const auto ResNet18 = [](int64_t n, int64_t channels) {
    return resnet::ResNet18(n, channels, kWidth);
  };
  //! [tune]
  StateDict weights = io::load_weights("resnet18.pt");
  // Fashion-MNIST has one channel, whose filters are the sums of three, and classes of its own.
  weights.set("conv1.weight", sum(weights["conv1.weight"], 1, true));
  weights.erase("fc.weight");
  weights.erase("fc.bias");
  auto net = ResNet18(10, 1);
  const nn::LoadReport report = net.load_state_dict(weights, {.strict = false});
  EXPECT_EQ(to_string(report), "missing: fc.weight, fc.bias");  // as it should

  optim::SGD sgd(net.parameters(), {.lr = 0.01, .momentum = 0.9});
  sgd.zero_grad();
  cross_entropy(net(images), classes).backward();
  sgd.step();

  io::save_pytorch(net.state_dict(), "tuned.pt");
  io::save_onnx(net, {images}, "tuned.onnx");  // for other programs, with what is computed
  //! [tune]
  expect_same_tensors(io::load_pytorch("tuned.pt"), net.state_dict());
  net.eval();
  EXPECT_TRUE(test::same_bits(io::load_onnx("tuned.onnx")(images), net(images)));
}

TEST_F(DocumentationWeights, MindSpore) {
  nn::Sequential net = test::mindspore_net();
  //! [mindspore]
  net.load_state_dict(io::load_mindspore("net.ckpt"));

  const StateDict all = io::load_mindspore("net.ckpt", {.optimizer_state = true});
  EXPECT_EQ(all["epoch_num"].item<int64_t>(), 3);
  //! [mindspore]
  EXPECT_EQ(net.state_dict()["layer.0.bn.running_mean"].to_vector<float>(),
            (std::vector<float>{0.5f, -1}));
}

TEST_F(DocumentationWeights, Names) {
  nn::Sequential net(nn::Linear(2, 3)), whole(net);
  const StateDict parallel = io::rename(net.state_dict(), {{"^", "module."}});
  const StateDict keras = io::rename(net.state_dict(), {{"^0", "dense"}, {"weight", "kernel"}});
  //! [names]
  net.load_state_dict(parallel, {.prefix = "module."});
  net.load_state_dict(io::pick(parallel, "module."));  // the same
  net.load_state_dict(io::rename(keras, {{"^dense\\.", "0."}, {"kernel$", "weight"}}));
  net.load_state_dict(keras, {.by_order = true});  // the same shapes in the same order
  //! [names]
  test::expect_error([&] { net.load_state_dict(parallel); }, "{.prefix = \"module.\"}");
  test::expect_error([&] { net.load_state_dict(keras); }, "{.by_order = true}");
}

// What the reference shows for the options.
TEST_F(DocumentationWeights, Options) {
  //! [LoadPytorchOptions]
  const StateDict moments = io::load_pytorch("checkpoint.pt", {.key = "optimizer.state"});
  EXPECT_EQ(moments["0.exp_avg"].shape(), (Shape{2, 1, 3, 3}));
  //! [LoadPytorchOptions]
  //! [LoadMindsporeOptions]
  const StateDict all = io::load_mindspore("net.ckpt", {.optimizer_state = true});
  EXPECT_TRUE(all.contains("moments.layer.0.bn.gamma"));
  //! [LoadMindsporeOptions]
  //! [Renaming]
  const StateDict dict{{"bn.gamma", ones({2})}};
  const std::vector<io::Renaming> rules{{.pattern = "gamma$", .replacement = "weight"}};
  EXPECT_EQ(io::rename(dict, rules).names(), std::vector<std::string>{"bn.weight"});
  //! [Renaming]
}

TEST_F(DocumentationWeights, ThePageHasTheirText) {
  const std::string root = TERN_SOURCE_DIR;
  const std::string page = read_file(root + "/docs/weights.md");
  const std::string source = read_file(root + "/tests/docs/documentation_weights_test.cpp");
  for (const std::string name : {"resnet", "tune", "mindspore", "names"}) {
    const std::string mark = "//! [" + name + "]\n";
    const size_t begin = source.find(mark) + mark.size();
    std::istringstream lines(
        source.substr(begin, source.rfind('\n', source.find(mark, begin)) - begin));
    std::string program;
    const size_t indent = source.find_first_not_of(' ', begin) - begin;
    for (std::string line; std::getline(lines, line);) {
      program += (line.empty() ? line : line.substr(indent)) + "\n";
    }
    EXPECT_GT(program.size(), 100u);
    EXPECT_NE(page.find(program), std::string::npos)
        << "docs/weights.md and this file differ in [" << name << "]:\n"
        << program;
  }
}

}  // namespace
