// SPDX-License-Identifier: Apache-2.0
#include "work.h"

#include <stdexcept>

#include "nets.h"
#include "train_cnn/model.h"

namespace bench {

using namespace tern;

namespace {

Tensor images(int64_t batch) {
  return to_memory_format(randn({batch, 3, 32, 32}), MemoryFormat::channels_last);
}

Tensor classes(int64_t batch, int64_t count) {
  std::vector<int64_t> values(static_cast<size_t>(batch));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i) % count;
  return tensor(values, {batch});
}

// Sets the step of the work.
template <class Optimizer, class Options>
Work trained(Work work, const Options& options) {
  const auto optimizer = std::make_shared<Optimizer>(work.net->parameters(), options);
  work.step = [net = work.net, x = work.x, y = work.target, optimizer] {
    const Tensor loss = cross_entropy((*net)(x), y);
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    return loss.item<double>();
  };
  return work;
}

Work evaluated(const std::string& name, int64_t batch, bool folded) {
  nn::Sequential net = resnet(64, 4, 2);
  {
    const NoGrad no_grad;
    net(images(batch));  // running statistics that differ from those of a new net
  }
  net.eval();
  if (folded) nn::fold_batch_norm_(net);
  Work work{.name = name,
            .net = std::make_shared<nn::Sequential>(net),
            .x = images(batch),
            .layers = evaluation_layers(resnet_layers(batch, 64, 4, 2), folded),
            .training = false};
  work.step = [net = work.net, x = work.x] {
    const NoGrad no_grad;
    return mean((*net)(x)).item<double>();
  };
  return work;
}

Work batch_norm_relu_work() {
  const Shape shape = {64, 64, 32, 32};
  Work work{
      .name = "batch_norm_relu",
      .net = std::make_shared<nn::BatchNorm2d>(64),
      .x = to_memory_format(randn(shape), MemoryFormat::channels_last).detach().set_requires_grad(),
      .target = to_memory_format(randn(shape), MemoryFormat::channels_last),
      .layers = {{.kind = Kind::batch_norm_relu, .x = shape}}};
  work.step = [net = work.net, x = work.x, dy = work.target] {
    x.set_grad({});
    net->zero_grad();
    net->forward_relu(x).backward(dy);
    return static_cast<double>(net->parameter("weight").grad().raw<float>()[0]);
  };
  return work;
}

Work add_work() {
  Work work{.name = "add", .x = ones({8}).set_requires_grad(), .target = ones({8})};
  work.step = [a = work.x, b = work.target] {
    const Tensor sum = a + b;
    return static_cast<double>(sum.raw<float>()[0]);
  };
  return work;
}

}  // namespace

Work work(const std::string& name, int64_t batch) {
  manual_seed(0);
  const optim::SGDOptions sgd{.lr = 0.01, .momentum = 0.9};
  const auto of = [&](int64_t usual) { return batch > 0 ? batch : usual; };
  if (name == "cnn28") {
    const int64_t n = of(64);
    return trained<optim::SGD>({.name = name,
                                .net = std::make_shared<train_cnn::Cnn>(),
                                .x = randn({n, 1, 28, 28}),
                                .target = classes(n, 10),
                                .layers = cnn28_layers(n)},
                               sgd);
  }
  if (name == "resnet20" || name == "resnet18") {
    const bool small = name == "resnet20";
    const int64_t n = of(small ? 128 : 32), width = small ? 16 : 64;
    const int64_t stages = small ? 3 : 4, blocks = small ? 3 : 2;
    return trained<optim::SGD>(
        {.name = name,
         .net = std::make_shared<nn::Sequential>(resnet(width, stages, blocks)),
         .x = images(n),
         .target = classes(n, 10),
         .layers = resnet_layers(n, width, stages, blocks)},
        sgd);
  }
  if (name == "resnet18_eval") return evaluated(name, of(32), false);
  if (name == "resnet18_folded") return evaluated(name, of(32), true);
  if (name == "mlp") {
    return trained<optim::Adam>({.name = name,
                                 .net = std::make_shared<Mlp>(),
                                 .x = randn({of(32), 4}),
                                 .target = classes(of(32), 2),
                                 .layers = mlp_layers(of(32))},
                                optim::AdamOptions{.lr = 1e-3});
  }
  if (name == "batch_norm_relu") return batch_norm_relu_work();
  if (name == "add") return add_work();
  throw std::invalid_argument("there is no step called " + name);
}

}  // namespace bench
