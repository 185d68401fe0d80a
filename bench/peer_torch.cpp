// SPDX-License-Identifier: Apache-2.0
// The measured steps in PyTorch's C++ side (libtorch), with Tern's names and weights.
#include <torch/torch.h>

#include "work.h"

namespace bench {

namespace {

torch::Tensor to_torch(const tern::Tensor& x) {
  const std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  if (x.dtype() == tern::DType::i64) {
    return torch::tensor(x.to_vector<int64_t>()).reshape(sizes);
  }
  return torch::tensor(x.to_vector<float>()).reshape(sizes);
}

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
std::shared_ptr<Net> twin(const Work& work, bool channels_last, Args... args) {
  const torch::NoGradGuard no_grad;
  auto net = std::make_shared<Net>(args...);
  const tern::StateDict dict = work.net->state_dict();
  for (auto& item : net->named_parameters()) item.value().copy_(to_torch(dict.at(item.key())));
  for (auto& item : net->named_buffers()) item.value().copy_(to_torch(dict.at(item.key())));
  for (auto& parameter : net->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(format(channels_last)));
  }
  return net;
}

torch::Tensor input(const tern::Tensor& x, bool channels_last) {
  return x.shape().size() == 4 ? to_torch(x).contiguous(format(channels_last)) : to_torch(x);
}

template <class Net, class Optimizer>
Step training(const Work& work, bool channels_last, std::shared_ptr<Net> net,
              std::shared_ptr<Optimizer> optimizer) {
  return [net, optimizer, x = input(work.x, channels_last), y = to_torch(work.target)] {
    const torch::Tensor loss = torch::nn::functional::cross_entropy(net->forward(x), y);
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    return loss.template item<double>();
  };
}

template <class Net, class... Args>
Step sgd(const Work& work, bool channels_last, Args... args) {
  const auto net = twin<Net>(work, channels_last, args...);
  return training(work, channels_last, net,
                  std::make_shared<torch::optim::SGD>(
                      net->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9)));
}

Step evaluation(const Work& work, bool channels_last, bool folded) {
  const auto net = twin<ResNet>(work, channels_last, 64, 4, 2, folded);
  net->eval();
  return [net, x = input(work.x, channels_last)] {
    const torch::NoGradGuard no_grad;
    return net->forward(x).mean().item<double>();
  };
}

Step batch_norm_relu(const Work& work, bool channels_last) {
  torch::Tensor x = input(work.x, channels_last).set_requires_grad(true);
  const torch::Tensor dy = input(work.target, channels_last);
  torch::nn::BatchNorm2d net(64);
  return [=]() mutable {
    x.mutable_grad() = torch::Tensor();
    net->weight.mutable_grad() = torch::Tensor();
    net->bias.mutable_grad() = torch::Tensor();
    torch::relu(net(x)).backward(dy);
    return net->weight.grad()[0].template item<double>();
  };
}

Step step(const Work& work, bool channels_last) {
  if (work.name == "cnn28") return sgd<Cnn>(work, channels_last);
  if (work.name == "resnet20") return sgd<ResNet>(work, channels_last, 16, 3, 3);
  if (work.name == "resnet18") return sgd<ResNet>(work, channels_last, 64, 4, 2);
  if (work.name == "resnet18_eval") return evaluation(work, channels_last, false);
  if (work.name == "resnet18_folded") return evaluation(work, channels_last, true);
  if (work.name == "batch_norm_relu") return batch_norm_relu(work, channels_last);
  if (channels_last) return {};  // no images
  if (work.name == "mlp") {
    const auto net = twin<Mlp>(work, false);
    return training(
        work, false, net,
        std::make_shared<torch::optim::Adam>(net->parameters(), torch::optim::AdamOptions(1e-3)));
  }
  const torch::Tensor a = to_torch(work.x).set_requires_grad(true), b = to_torch(work.target);
  return [=] {
    const torch::Tensor sum = a + b;
    return static_cast<double>(*sum.data_ptr<float>());
  };
}

}  // namespace

Peer peer(const Work& work) {
  torch::set_num_threads(tern::num_threads());
  return {step(work, false), step(work, true)};
}

std::string peer_version() { return TORCH_VERSION; }

}  // namespace bench
