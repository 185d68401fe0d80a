// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace resnet_cifar {

struct Options {
  std::string data = "";  ///< directory of CIFAR-10's binary version
  int64_t blocks = 3;     ///< in each of the three stages: 3 is a ResNet-20, 9 a ResNet-56
  int64_t epochs = 30;
  int64_t batch_size = 128;
  double lr = 0.1;  ///< divided by 10 after half of the epochs, and after three quarters
  int64_t workers = 1;
  uint64_t seed = 0;
  std::string save = "";  ///< safetensors file, written after every epoch; empty: none
};

struct EpochResult {
  double train_loss = 0;
  double train_accuracy = 0;
  double test_accuracy = 0;
  double seconds = 0;
};

/// Trains a ResNet on CIFAR-10 with the paper's augmentation, and prints progress on `out`. Throws
/// tern::Error with instructions for getting the data if they are missing.
std::vector<EpochResult> train(const Options& options, std::ostream& out);

/// Accuracy, 0 to 1.
double evaluate(tern::nn::Module& net, tern::data::DataLoader& loader);

}  // namespace resnet_cifar
