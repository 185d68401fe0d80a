// SPDX-License-Identifier: Apache-2.0
// The measured steps in PyTorch's C++ side (libtorch), with Tern's names; without Tern, which would
// share its threads and its allocator.
//
//     pytorch_steps NAME contiguous|channels_last DATA.pt THREADS
//
// DATA.pt holds parameters and buffers, "x" and "target". Each line of standard input is answered
// by a line: "describe" by the versions, "step" by the result of a step, "time" by its
// milliseconds, "memory" by the megabytes that the process has taken so far.
#include <dlfcn.h>
#include <torch/csrc/api/include/torch/serialize.h>
#include <torch/torch.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "timing.h"

namespace {

using Step = std::function<double()>;
using Data = std::map<std::string, torch::Tensor>;

torch::nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool bias) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(bias));
}

struct Cnn : torch::nn::Module {
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr}, bn2{nullptr};
  torch::nn::Linear fc1{nullptr}, fc2{nullptr};
  Cnn() {
    conv1 = register_module("conv1", conv(1, 32, 3, 1, false));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(32));
    conv2 = register_module("conv2", conv(32, 64, 3, 1, false));
    bn2 = register_module("bn2", torch::nn::BatchNorm2d(64));
    fc1 = register_module("fc1", torch::nn::Linear(64 * 7 * 7, 128));
    fc2 = register_module("fc2", torch::nn::Linear(128, 10));
  }
  torch::Tensor forward(torch::Tensor x) {
    x = torch::max_pool2d(torch::relu(bn1(conv1(x))), 2);
    x = torch::max_pool2d(torch::relu(bn2(conv2(x))), 2);
    return fc2(torch::relu(fc1(x.flatten(1))));
  }
};

// A convolution and its batch norm, or the convolution that they are folded into.
void push_conv(torch::nn::Sequential& net, int64_t in, int64_t out, int64_t kernel, int64_t stride,
               bool folded) {
  net->push_back(conv(in, out, kernel, stride, folded));
  if (folded) {
    net->push_back(torch::nn::Identity());
  } else {
    net->push_back(torch::nn::BatchNorm2d(out));
  }
}

struct Block : torch::nn::Module {
  torch::nn::Sequential body, shortcut;
  Block(int64_t in, int64_t out, int64_t stride, bool folded) {
    push_conv(body, in, out, 3, stride, folded);
    body->push_back(torch::nn::ReLU());
    push_conv(body, out, out, 3, 1, folded);
    if (stride != 1 || in != out) push_conv(shortcut, in, out, 1, stride, folded);
    register_module("body", body);
    register_module("shortcut", shortcut);
  }
  torch::Tensor forward(torch::Tensor x) {
    return torch::relu(body->forward(x) + (shortcut->is_empty() ? x : shortcut->forward(x)));
  }
};

struct ResNet : torch::nn::Module {
  std::vector<std::shared_ptr<Block>> blocks;
  torch::nn::Conv2d stem{nullptr};
  torch::nn::BatchNorm2d bn{nullptr};
  torch::nn::Linear fc{nullptr};
  ResNet(int64_t width, int64_t stages, int64_t depth, bool folded = false) {
    int64_t channels = width, number = 3;
    stem = register_module("0", conv(3, width, 3, 1, folded));
    if (!folded) bn = register_module("1", torch::nn::BatchNorm2d(width));
    for (int64_t stage = 0; stage < stages; ++stage) {
      for (int64_t i = 0; i < depth; ++i) {
        const int64_t out = width << stage, stride = stage > 0 && i == 0 ? 2 : 1;
        blocks.push_back(register_module(std::to_string(number++),
                                         std::make_shared<Block>(channels, out, stride, folded)));
        channels = out;
      }
    }
    fc = register_module(std::to_string(number + 2), torch::nn::Linear(channels, 10));
  }
  torch::Tensor forward(torch::Tensor x) {
    x = stem(x);
    x = torch::relu(bn ? bn(x) : x);
    for (auto& block : blocks) x = block->forward(x);
    return fc(torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }
};

struct Mlp : torch::nn::Module {
  torch::nn::Linear fc1{nullptr}, fc2{nullptr}, fc3{nullptr};
  Mlp() {
    fc1 = register_module("fc1", torch::nn::Linear(4, 64));
    fc2 = register_module("fc2", torch::nn::Linear(64, 64));
    fc3 = register_module("fc3", torch::nn::Linear(64, 2));
  }
  torch::Tensor forward(torch::Tensor x) { return fc3(torch::tanh(fc2(torch::tanh(fc1(x))))); }
};

torch::MemoryFormat format(bool channels_last) {
  return channels_last ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous;
}

template <class Net, class... Args>
std::shared_ptr<Net> twin(const Data& data, bool channels_last, Args... args) {
  const torch::NoGradGuard no_grad;
  auto net = std::make_shared<Net>(args...);
  for (auto& item : net->named_parameters()) item.value().copy_(data.at(item.key()));
  for (auto& item : net->named_buffers()) item.value().copy_(data.at(item.key()));
  for (auto& parameter : net->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(format(channels_last)));
  }
  return net;
}

torch::Tensor input(const torch::Tensor& x, bool channels_last) {
  return x.dim() == 4 ? x.contiguous(format(channels_last)) : x;
}

template <class Net, class Optimizer>
Step training(const Data& data, bool channels_last, std::shared_ptr<Net> net,
              std::shared_ptr<Optimizer> optimizer) {
  return [net, optimizer, x = input(data.at("x"), channels_last), y = data.at("target")] {
    const torch::Tensor loss = torch::nn::functional::cross_entropy(net->forward(x), y);
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    return loss.template item<double>();
  };
}

template <class Net, class... Args>
Step sgd(const Data& data, bool channels_last, Args... args) {
  const auto net = twin<Net>(data, channels_last, args...);
  return training(data, channels_last, net,
                  std::make_shared<torch::optim::SGD>(
                      net->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9)));
}

Step evaluation(const Data& data, bool channels_last, bool folded) {
  const auto net = twin<ResNet>(data, channels_last, 64, 4, 2, folded);
  net->eval();
  return [net, x = input(data.at("x"), channels_last)] {
    const torch::NoGradGuard no_grad;
    return net->forward(x).mean().item<double>();
  };
}

Step batch_norm_relu(const Data& data, bool channels_last) {
  torch::Tensor x = input(data.at("x"), channels_last).set_requires_grad(true);
  const torch::Tensor dy = input(data.at("target"), channels_last);
  torch::nn::BatchNorm2d net(64);
  return [=]() mutable {
    x.mutable_grad() = torch::Tensor();
    net->weight.mutable_grad() = torch::Tensor();
    net->bias.mutable_grad() = torch::Tensor();
    torch::relu(net(x)).backward(dy);
    return net->weight.grad()[0].template item<double>();
  };
}

Step step_of(const std::string& name, const Data& data, bool channels_last) {
  if (name == "cnn28") return sgd<Cnn>(data, channels_last);
  if (name == "resnet20") return sgd<ResNet>(data, channels_last, 16, 3, 3);
  if (name == "resnet18") return sgd<ResNet>(data, channels_last, 64, 4, 2);
  if (name == "resnet18_eval") return evaluation(data, channels_last, false);
  if (name == "resnet18_folded") return evaluation(data, channels_last, true);
  if (name == "batch_norm_relu") return batch_norm_relu(data, channels_last);
  if (name == "mlp") {
    const auto net = twin<Mlp>(data, false);
    return training(
        data, false, net,
        std::make_shared<torch::optim::Adam>(net->parameters(), torch::optim::AdamOptions(1e-3)));
  }
  TORCH_CHECK(name == "add", "there is no step called ", name);
  const torch::Tensor a = data.at("x").clone().set_requires_grad(true), b = data.at("target");
  return [=] {
    const torch::Tensor sum = a + b;
    return static_cast<double>(*sum.data_ptr<float>());
  };
}

Data read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  Data data;
  for (const auto& item : torch::pickle_load(bytes).toGenericDict()) {
    data[item.key().toStringRef()] = item.value().toTensor();
  }
  return data;
}

// PyTorch's version and what it multiplies matrices with, which is OpenBLAS or a plain BLAS.
std::string description() {
  std::string result = TORCH_VERSION;
  using Text = char*();
  if (const auto config = reinterpret_cast<Text*>(dlsym(RTLD_DEFAULT, "openblas_get_config"))) {
    return result + ", " + config();
  }
  return result + ", a BLAS that is not OpenBLAS";
}

double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  torch::set_num_threads(std::stoi(argv[4]));
  const Step step = step_of(argv[1], read(argv[3]), std::string(argv[2]) == "channels_last");
  char line[32];
  while (std::fgets(line, sizeof(line), stdin)) {
    const std::string wanted = line;
    if (wanted == "describe\n") std::printf("%s\n", description().c_str());
    if (wanted == "step\n") std::printf("%.17g\n", step());
    if (wanted == "time\n") std::printf("%.6g\n", bench::milliseconds_of_turn(step));
    if (wanted == "memory\n") std::printf("%.6g\n", peak_megabytes());
    std::fflush(stdout);
  }
}
