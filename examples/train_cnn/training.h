// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace train_cnn {

/// What the flags of train_cnn set.
struct Settings {
  int64_t epochs = 10;
  int64_t batch_size = 64;
  double lr = 0.1;  ///< the highest of the one-cycle schedule
  double momentum = 0.9;
  double weight_decay = 5e-4;
  uint64_t seed = 0;
  int threads = 0;  ///< 0: as many as there are processors
  int64_t workers = 1;
  bool flip = true;          ///< mirror training images at random
  bool direct = false;       ///< no Winograd convolution
  std::string data = "";     ///< directory; empty: Debian's package
  std::string out = "out";   ///< directory for results
  bool timings = false;      ///< also write wall-clock figures into the results
  std::string profile = "";  ///< name of a trace of some steps, inside out; empty: none
};

/// Trains, tests, and writes metrics.csv, model.safetensors and report.html into settings.out.
/// Prints progress and, as the last line, "test accuracy 0.9xyz". Throws tern::Error with a message
/// for the user where the data, the output or the settings do not allow it.
void train(const Settings& settings);

}  // namespace train_cnn
