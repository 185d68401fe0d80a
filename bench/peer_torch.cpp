// SPDX-License-Identifier: Apache-2.0
// The same training steps in Tern and in PyTorch's C++ side (libtorch), in one process, in turns.
// Before anything is timed, PyTorch gets Tern's weights, and the losses of three steps have to
// agree.
//
//     ./run bench --peer [name ...]
#include <tern/tern.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "resnet_cifar/resnet.h"
#include "train_cnn/model.h"

namespace {

using Step = std::function<double()>;  // returns the loss

struct Contest {
  std::string name;
  int calls;  // per round
  Step tern, torch, torch_channels_last;
};

double milliseconds(const Step& step, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) step();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
             .count() /
         calls;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

torch::Tensor to_torch(const tern::Tensor& x) {
  const std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  if (x.dtype() == tern::DType::i64) {
    return torch::tensor(x.to_vector<int64_t>()).reshape(sizes);
  }
  return torch::tensor(x.to_vector<float>()).reshape(sizes);
}

// ---- the nets in PyTorch, with the names of Tern's ------------------------------------------

struct TorchCnn : torch::nn::Module {
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr}, bn2{nullptr};
  torch::nn::Linear fc1{nullptr}, fc2{nullptr};
  TorchCnn() {
    const auto conv = [](int in, int out) {
      return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1).bias(false));
    };
    conv1 = register_module("conv1", conv(1, 32));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(32));
    conv2 = register_module("conv2", conv(32, 64));
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

struct TorchBlock : torch::nn::Module {
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr}, bn2{nullptr};
  torch::nn::Sequential downsample{nullptr};
  TorchBlock(int64_t in, int64_t out, int64_t stride) {
    using Options = torch::nn::Conv2dOptions;
    conv1 = register_module(
        "conv1", torch::nn::Conv2d(Options(in, out, 3).stride(stride).padding(1).bias(false)));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(out));
    conv2 =
        register_module("conv2", torch::nn::Conv2d(Options(out, out, 3).padding(1).bias(false)));
    bn2 = register_module("bn2", torch::nn::BatchNorm2d(out));
    if (stride == 1 && in == out) return;
    downsample = register_module(
        "downsample",
        torch::nn::Sequential(torch::nn::Conv2d(Options(in, out, 1).stride(stride).bias(false)),
                              torch::nn::BatchNorm2d(out)));
  }
  torch::Tensor forward(torch::Tensor x) {
    const torch::Tensor h = bn2(conv2(torch::relu(bn1(conv1(x)))));
    return torch::relu(h + (downsample.is_empty() ? x : downsample->forward(x)));
  }
};

// `stages` stages of `n` blocks, the first of width `width`, each twice as wide as the one before.
struct TorchResNet : torch::nn::Module {
  torch::nn::Conv2d conv1{nullptr};
  torch::nn::BatchNorm2d bn1{nullptr};
  std::vector<torch::nn::Sequential> layers;
  torch::nn::Linear fc{nullptr};
  TorchResNet(int64_t width, int64_t stages, int64_t n) {
    conv1 = register_module(
        "conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, width, 3).padding(1).bias(false)));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(width));
    int64_t channels = width;
    for (int64_t stage = 0; stage < stages; ++stage) {
      torch::nn::Sequential blocks;
      for (int64_t i = 0; i < n; ++i) {
        blocks->push_back(TorchBlock(channels, width << stage, stage > 0 && i == 0 ? 2 : 1));
        channels = width << stage;
      }
      layers.push_back(register_module("layer" + std::to_string(stage + 1), blocks));
    }
    fc = register_module("fc", torch::nn::Linear(channels, 10));
  }
  torch::Tensor forward(torch::Tensor x) {
    x = torch::relu(bn1(conv1(x)));
    for (auto& layer : layers) x = layer->forward(x);
    return fc(torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }
};

// The same family in Tern, of any width: bench's nets are wider than the example's.
class TernResNet : public tern::nn::Module {
 public:
  TernResNet(int64_t width, int64_t stages, int64_t n)
      : conv1(3, width, 3, {.padding = 1, .bias = false}),
        bn1(width),
        fc(width << (stages - 1), 10) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    int64_t channels = width;
    for (int64_t stage = 0; stage < stages; ++stage) {
      tern::nn::Sequential blocks;
      for (int64_t i = 0; i < n; ++i) {
        blocks.push_back(
            resnet_cifar::BasicBlock(channels, width << stage, stage > 0 && i == 0 ? 2 : 1));
        channels = width << stage;
      }
      layers.push_back(blocks);
      register_module("layer" + std::to_string(stage + 1), blocks);
    }
    register_module("fc", fc);
  }
  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor h = bn1.forward_relu(conv1(x));
    for (auto& layer : layers) h = layer(h);
    return fc(flatten(adaptive_avg_pool2d(h, 1), 1));
  }

 private:
  tern::nn::Conv2d conv1;
  tern::nn::BatchNorm2d bn1;
  std::vector<tern::nn::Sequential> layers;
  tern::nn::Linear fc;
};

struct TorchMlp : torch::nn::Module {
  torch::nn::Linear fc1{nullptr}, fc2{nullptr}, fc3{nullptr};
  TorchMlp() {
    fc1 = register_module("fc1", torch::nn::Linear(4, 64));
    fc2 = register_module("fc2", torch::nn::Linear(64, 64));
    fc3 = register_module("fc3", torch::nn::Linear(64, 2));
  }
  torch::Tensor forward(torch::Tensor x) { return fc3(torch::tanh(fc2(torch::tanh(fc1(x))))); }
};

class TernMlp : public tern::nn::Module {
  tern::nn::Linear fc1{4, 64}, fc2{64, 64}, fc3{64, 2};

 public:
  TernMlp() {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
  }
  tern::Tensor forward(const tern::Tensor& x) override { return fc3(tanh(fc2(tanh(fc1(x))))); }
};

// ---- steps ------------------------------------------------------------------------------------

template <class TorchNet>
void copy_state(const tern::nn::Module& from, TorchNet& to) {
  const torch::NoGradGuard no_grad;
  const tern::StateDict dict = from.state_dict();
  for (auto& item : to.named_parameters()) item.value().copy_(to_torch(dict.at(item.key())));
}

template <class Optimizer>
Step tern_step(std::shared_ptr<tern::nn::Module> net, std::shared_ptr<Optimizer> optimizer,
               tern::Tensor x, tern::Tensor y) {
  return [=] {
    const tern::Tensor loss = cross_entropy((*net)(x), y);
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    return loss.template item<double>();
  };
}

template <class TorchNet, class Optimizer>
Step torch_step(std::shared_ptr<TorchNet> net, std::shared_ptr<Optimizer> optimizer,
                torch::Tensor x, torch::Tensor y) {
  return [=] {
    const torch::Tensor loss = torch::nn::functional::cross_entropy(net->forward(x), y);
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    return loss.template item<double>();
  };
}

template <class TorchNet, class... Args>
std::shared_ptr<TorchNet> twin(const tern::nn::Module& net, bool channels_last, Args... args) {
  auto copy = std::make_shared<TorchNet>(args...);
  copy_state(net, *copy);
  if (channels_last) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) {
      if (parameter.dim() == 4) {
        parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
      }
    }
  }
  return copy;
}

template <class TorchNet, class... Args>
Contest training(const std::string& name, int calls, std::shared_ptr<tern::nn::Module> net,
                 const tern::Tensor& x, Args... args) {
  const tern::Tensor labels = tern::tensor(
      [&] {
        std::vector<int64_t> values(static_cast<size_t>(x.size(0)));
        for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i % 10);
        return values;
      }(),
      {x.size(0)});
  const auto tern_sgd = std::make_shared<tern::optim::SGD>(
      net->parameters(), tern::optim::SGDOptions{.lr = 0.01, .momentum = 0.9});
  Contest contest{name, calls, tern_step(net, tern_sgd, x, labels), {}, {}};
  for (const bool channels_last : {false, true}) {
    const auto copy = twin<TorchNet>(*net, channels_last, args...);
    const auto sgd = std::make_shared<torch::optim::SGD>(
        copy->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));
    torch::Tensor input = to_torch(x);
    if (channels_last) input = input.contiguous(torch::MemoryFormat::ChannelsLast);
    (channels_last ? contest.torch_channels_last : contest.torch) =
        torch_step(copy, sgd, input, to_torch(labels));
  }
  return contest;
}

template <class TorchNet, class... Args>
Contest evaluation(const std::string& name, int calls, std::shared_ptr<tern::nn::Module> net,
                   const tern::Tensor& x, Args... args) {
  net->eval();
  Contest contest{name,
                  calls,
                  [=] {
                    const tern::NoGrad no_grad;
                    return mean((*net)(x)).template item<double>();
                  },
                  {},
                  {}};
  for (const bool channels_last : {false, true}) {
    const auto copy = twin<TorchNet>(*net, channels_last, args...);
    copy->eval();
    torch::Tensor input = to_torch(x);
    if (channels_last) input = input.contiguous(torch::MemoryFormat::ChannelsLast);
    (channels_last ? contest.torch_channels_last : contest.torch) = [=] {
      const torch::NoGradGuard no_grad;
      return copy->forward(input).mean().template item<double>();
    };
  }
  return contest;
}

Contest mlp() {
  const auto net = std::make_shared<TernMlp>();
  const tern::Tensor x = tern::randn({32, 4});
  const tern::Tensor y = tern::tensor(std::vector<int64_t>(32, 1), {32});
  const auto adam =
      std::make_shared<tern::optim::Adam>(net->parameters(), tern::optim::AdamOptions{.lr = 1e-3});
  const auto copy = twin<TorchMlp>(*net, false);
  const auto torch_adam =
      std::make_shared<torch::optim::Adam>(copy->parameters(), torch::optim::AdamOptions(1e-3));
  return {"mlp 4-64-64-2 tanh, batch 32, Adam",
          500,
          tern_step<tern::optim::Adam>(net, adam, x, y),
          torch_step(copy, torch_adam, to_torch(x), to_torch(y)),
          {}};
}

Contest batch_norm_relu() {
  const tern::Tensor x = to_order(tern::randn({64, 64, 32, 32}), tern::Order::channels_last);
  const tern::Tensor dy = to_order(tern::randn({64, 64, 32, 32}), tern::Order::channels_last);
  x.set_requires_grad();
  const auto bn = std::make_shared<tern::nn::BatchNorm2d>(64);
  Contest contest{"batch norm + relu, forward + backward, 64x64x32x32",
                  10,
                  [=] {
                    x.set_grad({});
                    bn->zero_grad();
                    const tern::Tensor y = bn->forward_relu(x);
                    y.backward(dy);
                    return static_cast<double>(bn->weight().grad().data<float>()[0]);
                  },
                  {},
                  {}};
  for (const bool channels_last : {false, true}) {
    const auto format =
        channels_last ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous;
    torch::Tensor input = to_torch(x).contiguous(format).set_requires_grad(true);
    const torch::Tensor gradient = to_torch(dy).contiguous(format);
    torch::nn::BatchNorm2d module(64);
    (channels_last ? contest.torch_channels_last : contest.torch) = [=]() mutable {
      input.mutable_grad() = torch::Tensor();
      module->weight.mutable_grad() = torch::Tensor();
      module->bias.mutable_grad() = torch::Tensor();
      torch::relu(module(input)).backward(gradient);
      return module->weight.grad()[0].template item<double>();
    };
  }
  return contest;
}

Contest small_add() {
  const tern::Tensor a = tern::ones({8}), b = tern::ones({8});
  a.set_requires_grad();
  const torch::Tensor c = torch::ones({8}).set_requires_grad(true), d = torch::ones({8});
  return {"add two tensors of 8, recorded",
          20000,
          [=] {
            const tern::Tensor sum = a + b;
            return static_cast<double>(sum.raw<float>()[0]);
          },
          [=] {
            const torch::Tensor sum = c + d;
            return static_cast<double>(*sum.data_ptr<float>());
          },
          {}};
}

// Both sides start from the same weights: their first results must agree.
bool agree(const Contest& contest) {
  for (int i = 0; i < 3; ++i) {
    const double ours = contest.tern();
    for (const Step& step : {contest.torch, contest.torch_channels_last}) {
      if (!step) continue;
      const double theirs = step();
      if (std::abs(ours - theirs) > 1e-3 * (1 + std::abs(theirs))) {
        std::printf("%s: step %d gives %g here and %g there\n", contest.name.c_str(), i, ours,
                    theirs);
        return false;
      }
    }
  }
  return true;
}

void run(const Contest& contest) {
  constexpr int kRounds = 7;
  std::vector<double> ours, theirs, theirs_last, ratios;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(milliseconds(contest.tern, contest.calls));
    theirs.push_back(milliseconds(contest.torch, contest.calls));
    double best = theirs.back();
    if (contest.torch_channels_last) {
      theirs_last.push_back(milliseconds(contest.torch_channels_last, contest.calls));
      best = std::min(best, theirs_last.back());
    }
    ratios.push_back(best / ours.back());
  }
  char last[32] = "-";
  if (!theirs_last.empty()) std::snprintf(last, sizeof last, "%.4g", median(theirs_last));
  std::printf("| %s | %.4g | %.4g | %s | %.2f |\n", contest.name.c_str(), median(ours),
              median(theirs), last, median(ratios));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  tern::manual_seed(0);
  torch::set_num_threads(tern::num_threads());
  using Make = std::function<Contest()>;
  const std::vector<std::pair<std::string, Make>> contests = {
      {"cnn28",
       [] {
         return training<TorchCnn>("cnn28, training, batch 64", 20,
                                   std::make_shared<train_cnn::Cnn>(),
                                   tern::randn({64, 1, 28, 28}));
       }},
      {"resnet20",
       [] {
         return training<TorchResNet>(
             "resnet20, width 16, training, batch 128", 4, std::make_shared<TernResNet>(16, 3, 3),
             to_order(tern::randn({128, 3, 32, 32}), tern::Order::channels_last), 16, 3, 3);
       }},
      {"resnet18",
       [] {
         return training<TorchResNet>(
             "resnet18, width 64, training, batch 32", 2, std::make_shared<TernResNet>(64, 4, 2),
             to_order(tern::randn({32, 3, 32, 32}), tern::Order::channels_last), 64, 4, 2);
       }},
      {"resnet18-eval",
       [] {
         return evaluation<TorchResNet>(
             "resnet18, width 64, evaluation, batch 32", 4, std::make_shared<TernResNet>(64, 4, 2),
             to_order(tern::randn({32, 3, 32, 32}), tern::Order::channels_last), 64, 4, 2);
       }},
      {"mlp", mlp},
      {"batch-norm", batch_norm_relu},
      {"add", small_add},
  };
  std::printf(
      "Tern %s, oneDNN through both, PyTorch %s, %d threads; milliseconds, medians of 7 "
      "rounds in turns\n\n",
      tern::kVersion, TORCH_VERSION, tern::num_threads());
  std::printf("| work | Tern | PyTorch contiguous | PyTorch channels_last | faster |\n");
  std::printf("|---|---|---|---|---|\n");
  for (const auto& [name, make] : contests) {
    const bool wanted = argc < 2 || std::any_of(argv + 1, argv + argc,
                                                [&, n = name](const char* a) { return n == a; });
    if (!wanted) continue;
    const Contest contest = make();
    if (!agree(contest)) return 1;
    run(contest);
  }
}
