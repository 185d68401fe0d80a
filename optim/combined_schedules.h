// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "schedule.h"

namespace tern::optim {

/// Base class of schedules made of others. They must run on the same optimizer and outlive it, and
/// are not stepped themselves any more.
class CombinedSchedule : public LRScheduler {
 protected:
  /// Takes the schedules over: undoes their factors. Throws Error, before any change, for an empty
  /// list, for one that is listed twice or part of another already, and one of another optimizer.
  CombinedSchedule(const char* name, Optimizer& optimizer,
                   std::vector<std::reference_wrapper<LRScheduler>> schedules);

  size_t count() const { return parts_.size(); }  ///< the number of schedules
  /// The rate of schedule `i` in its own `epoch`.
  double rate_of(size_t i, int64_t epoch, size_t group) const;
  /// Moves schedule `i` to `epoch`, with its other updates.
  void advance(size_t i, int64_t epoch, size_t group);

 private:
  std::vector<std::reference_wrapper<LRScheduler>> parts_;
};

/// One schedule after the other, as torch.optim.lr_scheduler.SequentialLR: schedule i runs from
/// epoch milestones[i - 1] on, where it begins with its own epoch 0.
///
///     optim::LinearLR warm_up(sgd, {.start_factor = 0.1, .total_iters = 5});
///     optim::CosineAnnealingLR cosine(sgd, 85);
///     optim::SequentialLR schedule(sgd, {warm_up, cosine}, {5});
class SequentialLR final : public CombinedSchedule {
 public:
  /// Throws Error unless there is one milestone fewer than schedules, all above 0 and increasing.
  SequentialLR(Optimizer& optimizer, std::vector<std::reference_wrapper<LRScheduler>> schedules,
               std::vector<int64_t> milestones);

 private:
  struct Position {
    size_t schedule;
    int64_t epoch;
  };
  Position position(int64_t epoch) const;
  double rate(int64_t epoch, size_t group) const override;
  void on_epoch(int64_t epoch, size_t group) override;
  const char* name() const override { return "SequentialLR"; }
  std::vector<int64_t> milestones_;
};

/// All schedules at once, stepped together: the initial rate times the factors of all of them, as
/// torch.optim.lr_scheduler.ChainedScheduler.
class ChainedScheduler final : public CombinedSchedule {
 public:
  /// Throws Error for an empty list and for schedules of another optimizer.
  ChainedScheduler(Optimizer& optimizer,
                   std::vector<std::reference_wrapper<LRScheduler>> schedules);

 private:
  double rate(int64_t epoch, size_t group) const override;
  void on_epoch(int64_t epoch, size_t group) override;
  const char* name() const override { return "ChainedScheduler"; }
};

}  // namespace tern::optim
