// SPDX-License-Identifier: Apache-2.0
// Trains a ResNet on CIFAR-10.
#include <tern/tern.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "training.h"

int main(int argc, char** argv) {
  resnet_cifar::Options options;
  int threads = tern::num_threads();
  CLI::App app("Trains a ResNet (He et al., 2015) on CIFAR-10.");
  app.add_option("--data", options.data, "directory of CIFAR-10's binary version");
  app.add_option("--blocks", options.blocks, "residual blocks per stage (3: ResNet-20)")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--epochs", options.epochs, "passes over the training images")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--batch-size", options.batch_size, "images per training step")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--lr", options.lr, "initial learning rate")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--workers", options.workers, "threads that prepare batches")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--threads", threads, "threads that compute")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "seed of weights, order and augmentation")
      ->capture_default_str();
  app.add_option("--save", options.save, "safetensors file to write the weights to");
  CLI11_PARSE(app, argc, argv);
  try {
    tern::set_num_threads(threads);
    resnet_cifar::train(options, std::cout);
  } catch (const tern::Error& error) {
    std::cerr << "resnet_cifar: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
