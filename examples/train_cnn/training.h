// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/dist/communicator.h>

#include <cstdint>
#include <string>

#include "interruption.h"

namespace train_cnn {

/// The flags of train_cnn.
struct Settings {
  int64_t epochs = 10;
  int64_t batch_size = 64;
  double lr = 0.1;  ///< maximum of the one-cycle schedule
  double momentum = 0.9;
  double weight_decay = 5e-4;
  uint64_t seed = 0;
  int threads = 0;  ///< 0: one per processor
  int64_t workers = 1;
  bool flip = true;          ///< mirror training images at random
  bool direct = false;       ///< no Winograd convolution
  std::string data = "";     ///< directory; empty: Debian's package
  std::string out = "out";   ///< directory for results
  std::string from = "";     ///< weights to begin with, of any format; empty: random ones
  std::string onnx = "";     ///< file for the net as an ONNX model; empty: none
  bool timings = false;      ///< also write wall-clock figures into the results
  std::string profile = "";  ///< file in `out` for a trace of some steps; empty: none
  bool resume = false;       ///< go on from the checkpoint in `out`
  int shards = 0;            ///< parts of every batch, at least one per rank; 0: one per rank
};

/// Trains on all ranks of `world`, tests, and writes metrics.csv, model.safetensors and report.html
/// into settings.out, and checkpoint.safetensors after every epoch; settings.onnx, if given, at the
/// end. Prints progress and, as the last line, "test accuracy 0.9xyz"; rank 0 does so for all. When
/// `interruption` of a rank has a signal it finishes the step, writes the checkpoint, the metrics
/// and the page of the epochs so far, and returns the signal; else 0. Throws tern::Error with a
/// message for the user if the data, the output directory or the settings are unusable.
int train(Settings settings, Interruption& interruption, const tern::dist::Communicator& world);

}  // namespace train_cnn
