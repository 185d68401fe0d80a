// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <ostream>

#include "resnet.h"

using namespace tern;

namespace resnet_cifar {

namespace {

// Means and standard deviations of the training images' channels.
const data::Normalize kNormalize({0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616});

void require_data(const std::string& directory) {
  const std::filesystem::path root(directory);
  const char* file = "test_batch.bin";
  if (!directory.empty() && (std::filesystem::exists(root / file) ||
                             std::filesystem::exists(root / "cifar-10-batches-bin" / file))) {
    return;
  }
  throw Error((directory.empty() ? "--data is not given"
                                 : "--data is " + directory + ", which has no CIFAR-10") +
              ": unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz (162 MiB) and give "
              "its directory with --data");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t count_right(const Tensor& logits, const Tensor& classes) {
  return sum(eq(argmax(logits, 1), classes).to(DType::f32)).item<int64_t>();
}

}  // namespace

double evaluate(nn::Module& net, data::DataLoader& loader) {
  const NoGrad no_grad;
  const nn::EvalMode evaluation(net);
  int64_t right = 0;
  int64_t images = 0;
  for (const auto& [x, y] : loader) {
    right += count_right(net(x), y);
    images += x.size(0);
  }
  return static_cast<double>(right) / static_cast<double>(images);
}

std::vector<EpochResult> train(const Options& options, std::ostream& out) {
  require_data(options.data);
  manual_seed(options.seed);
  data::DataLoader training(
      data::CIFAR10({.train = true,
                     .root = options.data,
                     .transform = data::Compose(
                         {data::RandomCrop(32, 4), data::RandomHorizontalFlip(), kNormalize})}),
      {.batch_size = options.batch_size, .shuffle = true, .workers = options.workers});
  data::DataLoader test(
      data::CIFAR10({.train = false, .root = options.data, .transform = kNormalize}),
      {.batch_size = options.batch_size, .workers = options.workers});

  ResNet net(options.blocks);
  optim::SGD sgd(net.parameters(), {.lr = options.lr, .momentum = 0.9, .weight_decay = 1e-4});
  optim::MultiStepLR schedule(sgd, {options.epochs / 2, options.epochs * 3 / 4});
  std::vector<EpochResult> results;
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    double loss_sum = 0;
    int64_t right = 0;
    int64_t images = 0;
    for (const auto& [x, y] : training) {
      const Tensor logits = net(x);
      const Tensor loss = cross_entropy(logits, y);
      sgd.zero_grad();
      loss.backward();
      sgd.step();
      loss_sum += loss.item<double>() * static_cast<double>(x.size(0));
      right += count_right(logits.detach(), y);
      images += x.size(0);
    }
    schedule.step();
    const auto count = static_cast<double>(images);
    results.push_back({.train_loss = loss_sum / count,
                       .train_accuracy = static_cast<double>(right) / count,
                       .test_accuracy = evaluate(net, test),
                       .seconds = seconds_since(start)});
    const EpochResult& result = results.back();
    char line[160];
    std::snprintf(line, sizeof line, "epoch %3lld  loss %.4f  train %.2f %%  test %.2f %%  %.1f s",
                  static_cast<long long>(epoch), result.train_loss, 100 * result.train_accuracy,
                  100 * result.test_accuracy, result.seconds);
    out << line << std::endl;
    if (!options.save.empty()) io::save_safetensors(net.state_dict(), options.save);
  }
  return results;
}

}  // namespace resnet_cifar
