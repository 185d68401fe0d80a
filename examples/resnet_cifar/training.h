// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace resnet_cifar {

struct Options {
  std::string data = "";  ///< the directory with the files of CIFAR-10's binary version
  int64_t blocks = 3;     ///< in each of the three stages: 3 is a ResNet-20, 9 a ResNet-56
  int64_t epochs = 30;
  int64_t batch_size = 128;
  double lr = 0.1;  ///< divided by 10 after half of the epochs, and after three quarters
  int64_t workers = 1;
  uint64_t seed = 0;
  std::string save = "";  ///< where the weights go after every epoch, as safetensors
};

struct EpochResult {
  double train_loss = 0;
  double train_accuracy = 0;
  double test_accuracy = 0;
  double seconds = 0;
};

/// Trains a ResNet on CIFAR-10 with the paper's augmentation, and says on `out` how it goes.
/// Throws tern::Error that says how to get the data if they are not there.
std::vector<EpochResult> train(const Options& options, std::ostream& out);

/// The share of right answers.
double evaluate(tern::nn::Module& net, tern::data::DataLoader& loader);

}  // namespace resnet_cifar
