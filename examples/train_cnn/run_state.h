// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

#include <cstdint>
#include <string>
#include <vector>

#include "report.h"
#include "training.h"

namespace train_cnn {

/// Sums over the labelled images of a pass so far.
struct Tally {
  double loss_sum = 0;
  int64_t right = 0;
  int64_t count = 0;

  void add(const Tally& other);
  /// The sum over all ranks.
  Tally over(const tern::dist::Communicator& world) const;
  /// The same, and whether `flag` is set on any of them.
  Tally over(const tern::dist::Communicator& world, bool flag, bool& any) const;
  void add(double mean_loss, const tern::Tensor& logits, const tern::Tensor& classes);
  double loss() const { return loss_sum / static_cast<double>(count); }
  double accuracy() const { return static_cast<double>(right) / static_cast<double>(count); }
};

/// How far a run is. It is saved with the checkpoint, so that an interrupted run goes on.
struct RunState {
  int64_t epoch = 1;     ///< the one that runs, or is next
  Tally tally = {};      ///< of that epoch
  double seconds = 0;    ///< of that epoch
  double lr = kUnknown;  ///< of its last step
  std::vector<Epoch> epochs = {};
  std::vector<double> step_losses = {};

  /// As entries of Checkpoint::extra, with the flags that decide the numbers.
  tern::StateDict state_dict(const Settings& settings) const;
  /// Throws Error unless `dict` is from a run with the same flags.
  static RunState from(const tern::StateDict& dict, const Settings& settings);
};

}  // namespace train_cnn
