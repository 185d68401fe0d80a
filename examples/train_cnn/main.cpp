// SPDX-License-Identifier: Apache-2.0
// Trains a small convolutional net with batch normalization on Fashion-MNIST: 10 epochs to a test
// accuracy of about 0.93.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#ifdef TERN_MPI
#include <tern/mpi/session.h>
#endif

#include "interruption.h"
#include "training.h"

namespace {

int run(const train_cnn::Settings& settings) {
  train_cnn::Interruption interruption;  // before MPI has threads
#ifdef TERN_MPI
  const tern::mpi::Session session;  // one rank unless mpirun has started the program
  return train_cnn::train(settings, interruption, session.world());
#else
  return train_cnn::train(settings, interruption, {});
#endif
}

}  // namespace

int main(int argc, char** argv) {
  train_cnn::Settings settings;
  CLI::App app("Trains a small convolutional net with batch normalization on Fashion-MNIST.");
  app.option_defaults()->always_capture_default();
  app.add_option("--epochs", settings.epochs, "Passes over the training images")
      ->check(CLI::Range(int64_t{1}, int64_t{100000}));
  app.add_option("--batch-size", settings.batch_size, "Images per training step")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 30));
  app.add_option("--lr", settings.lr, "Highest learning rate of the one-cycle schedule")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--momentum", settings.momentum, "SGD's momentum (Nesterov)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--weight-decay", settings.weight_decay, "L2 penalty on the parameters")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", settings.seed, "Seed of initial weights, order and augmentation");
  app.add_option("--threads", settings.threads, "Threads, 0 for one per processor")
      ->check(CLI::Range(0, 4096));
  app.add_option("--workers", settings.workers, "Threads that prepare batches ahead")
      ->check(CLI::Range(int64_t{0}, int64_t{256}));
  app.add_flag("--flip,!--no-flip", settings.flip, "Mirror training images at random");
  app.add_flag("--direct", settings.direct, "Use only oneDNN's direct convolution");
  app.add_option("--data", settings.data,
                 "Directory with the four idx files, plain or .gz (default: Debian's package)");
  app.add_option("--out", settings.out, "Directory for the results and the checkpoint");
  app.add_option("--from", settings.from,
                 "Weights to begin with: .safetensors, .pt, .ckpt or .npz (default: random)");
  app.add_option("--onnx", settings.onnx,
                 "Also write the trained net as an ONNX model, which other programs run");
  app.add_flag("--timings", settings.timings,
               "Also write seconds and images per second to the results");
  app.add_flag("--resume", settings.resume,
               "Go on from the checkpoint that an interrupted run (Ctrl-C) left in --out, with the "
               "same flags: the results are those of an undisturbed run");
  app.add_option("--shards", settings.shards,
                 "Parts of every batch, a power of two: the same number gives the same bits on any "
                 "number of ranks (mpirun -n) up to it; 0 for one per rank")
      ->check(CLI::Range(0, 1024));
  app.add_option("--profile", settings.profile,
                 "Profile some steps of the first epoch, and write their trace to this file in the "
                 "output directory")
      ->expected(0, 1)
      ->default_str("trace.json");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  try {
    // As a shell reports programs that a signal has ended.
    if (const int signal = run(settings)) return 128 + signal;
  } catch (const std::exception& error) {
    std::cerr << "train_cnn: " << error.what() << "\n";
    return 1;
  }
}
