// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "../core/state_dict.h"
#include "optimizer.h"

namespace tern::optim {

/// Base class of learning-rate schedules, with PyTorch's values. Constructing one sets the first
/// learning rate; `step()` sets the next one, after each epoch (OneCycleLR: after each batch). A
/// schedule refers to its optimizer, which must outlive it.
///
/// Schedules combine as factors: each has a closed form rate(epoch), and multiplies the learning
/// rate by rate(epoch) / initial rate. So several may run on one optimizer, in any order, or as a
/// ChainedScheduler; SequentialLR runs one after the other. A rate that the program sets by hand,
/// or ReduceLROnPlateau, is scaled from there on. (PyTorch's recursive forms give the same as long
/// as no eta_min is combined with another schedule.)
class LRScheduler {
 public:
  virtual ~LRScheduler() = default;
  LRScheduler(const LRScheduler&) = delete;
  LRScheduler& operator=(const LRScheduler&) = delete;

  /// Ends an epoch: sets the next learning rate of every group. Throws Error, before any change,
  /// for a rate that is negative or not finite, and if the schedule is part of another one.
  void step();
  /// The number of calls of step() so far.
  int64_t last_epoch() const { return epoch_; }
  /// The current learning rate of a group.
  double last_lr(size_t group = 0) const { return optimizer_.lr(group); }

  /// The schedule's state, with the current learning rates.
  StateDict state_dict() const;
  /// Restores the state, and the optimizer's learning rates: the optimizer's own state may be
  /// loaded before or after, and before or after the schedule is constructed. Throws Error, before
  /// any change, for a dict that does not fit, such as that of another kind of schedule.
  void load_state_dict(const StateDict& dict);

 protected:
  friend class CombinedSchedule;

  /// Remembers the groups' initial rates.
  explicit LRScheduler(Optimizer& optimizer);
  /// Sets the rate of epoch 0: call it at the end of the derived constructor.
  void start() { apply(0); }
  /// The rate of `epoch` when no other schedule runs on the optimizer.
  virtual double rate(int64_t epoch, size_t group) const = 0;
  /// Other updates at the start of `epoch`, such as of the momentum.
  virtual void on_epoch(int64_t /*epoch*/, size_t /*group*/) {}
  /// For messages, and to recognise the state of another kind of schedule.
  virtual const char* name() const { return "LRScheduler"; }

  Optimizer& optimizer() const { return optimizer_; }              ///< the optimizer it controls
  double base_lr(size_t group) const { return base_lrs_[group]; }  ///< the group's initial rate
  /// Starts from `lr` in every group instead of the initial rates.
  void restart_from(double lr);

 private:
  double factor(int64_t epoch, size_t group) const;
  double other_factors(size_t group) const;
  void set_factors(std::vector<double> factors, const std::vector<double>& lrs);
  void apply(int64_t epoch);
  void withdraw();

  Optimizer& optimizer_;
  std::vector<double> base_lrs_;
  std::shared_ptr<std::vector<double>> factors_;  // now in the groups' rates
  int64_t epoch_ = 0;
  bool combined_ = false;
};

/// Multiplies the rate by gamma every `step_size` epochs.
class StepLR final : public LRScheduler {
 public:
  /// Throws Error unless step_size >= 1.
  StepLR(Optimizer& optimizer, int64_t step_size, double gamma = 0.1);

 private:
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "StepLR"; }
  int64_t step_size_;
  double gamma_;
};

/// Multiplies the rate by gamma at each milestone.
class MultiStepLR final : public LRScheduler {
 public:
  /// Milestones are epochs; one that is listed twice counts twice.
  MultiStepLR(Optimizer& optimizer, std::vector<int64_t> milestones, double gamma = 0.1);

 private:
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "MultiStepLR"; }
  std::vector<int64_t> milestones_;
  double gamma_;
};

/// Multiplies the rate by gamma every epoch.
class ExponentialLR final : public LRScheduler {
 public:
  ExponentialLR(Optimizer& optimizer, double gamma);  ///< throws Error unless gamma >= 0

 private:
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "ExponentialLR"; }
  double gamma_;
};

/// eta_min + (initial rate - eta_min) * (1 + cos(pi * epoch / t_max)) / 2 (Loshchilov and Hutter,
/// 2017, without restarts).
class CosineAnnealingLR final : public LRScheduler {
 public:
  /// Throws Error unless t_max >= 1 and eta_min is finite and at least 0.
  CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min = 0.0);

 private:
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "CosineAnnealingLR"; }
  int64_t t_max_;
  double eta_min_;
};

/// Options of LinearLR, with PyTorch's defaults.
struct LinearLROptions {
  double start_factor = 1.0 / 3;  ///< factor in the first epoch
  double end_factor = 1.0;        ///< factor from epoch total_iters on
  int64_t total_iters = 5;        ///< epochs from the first factor to the last
};

/// Warm-up: the initial rate times a factor that goes linearly from start_factor to end_factor in
/// total_iters epochs.
class LinearLR final : public LRScheduler {
 public:
  /// Throws Error for options out of range.
  explicit LinearLR(Optimizer& optimizer, const LinearLROptions& options = {});

 private:
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "LinearLR"; }
  LinearLROptions options_;
};

/// The initial rate times factor(epoch).
class LambdaLR final : public LRScheduler {
 public:
  /// Throws Error for an empty function.
  LambdaLR(Optimizer& optimizer, std::function<double(int64_t epoch)> factor);

 private:
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "LambdaLR"; }
  std::function<double(int64_t)> factor_;
};

/// How OneCycleLR interpolates between two values.
enum class Anneal : uint8_t { cos, linear };

/// Options of OneCycleLR, with PyTorch's defaults.
struct OneCycleLROptions {
  double max_lr = 0.1;  ///< the peak of the learning rate
  /// The number of batches of the whole training: epochs times batches per epoch.
  int64_t total_steps = 0;
  double pct_start = 0.3;                ///< fraction of the steps in which the rate rises
  Anneal anneal_strategy = Anneal::cos;  ///< shape of the rise and the fall
  bool cycle_momentum = true;            ///< cycle the momentum (Adam: beta1) inversely
  double base_momentum = 0.85;           ///< momentum at the peak of the rate
  double max_momentum = 0.95;            ///< momentum at the lowest rate
  double div_factor = 25.0;              ///< the first rate is max_lr / div_factor
  double final_div_factor = 1e4;         ///< the last rate is the first / final_div_factor
  bool three_phase = false;              ///< fall back to the initial rate first, then to the last
};

/// The one-cycle policy (Smith and Topin, "Super-convergence", 2018): the rate rises to max_lr and
/// then falls to almost zero, while the momentum does the opposite. Step after each batch; step()
/// throws Error after total_steps steps.
class OneCycleLR final : public LRScheduler {
 public:
  /// Throws Error for options out of range.
  OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options);

 private:
  /// The phase that a step is in, and the fraction of it that has passed.
  struct Phase {
    double start_lr, end_lr, start_momentum, end_momentum, fraction;
  };
  Phase phase(int64_t step) const;
  double interpolate(double start, double end, double fraction) const;
  double rate(int64_t epoch, size_t group) const override;
  const char* name() const override { return "OneCycleLR"; }
  void on_epoch(int64_t epoch, size_t group) override;
  OneCycleLROptions options_;
};

/// Options of ReduceLROnPlateau, with PyTorch's defaults.
struct ReduceLROnPlateauOptions {
  /// Whether a smaller or a larger metric is better.
  enum class Mode : uint8_t { min, max };
  /// Whether `threshold` is a fraction of the best metric or an absolute difference.
  enum class ThresholdMode : uint8_t { rel, abs };
  Mode mode = Mode::min;    ///< min for a loss, max for an accuracy
  double factor = 0.1;      ///< multiplies the rate
  int64_t patience = 10;    ///< epochs without improvement that are tolerated
  double threshold = 1e-4;  ///< smaller improvements do not count
  ThresholdMode threshold_mode = ThresholdMode::rel;  ///< how threshold is measured
  int64_t cooldown = 0;                               ///< epochs to wait after a reduction
  double min_lr = 0.0;                                ///< lower bound of the rate
  double eps = 1e-8;                                  ///< smaller reductions are skipped
};

/// Multiplies the rate by `factor` when the metric has not improved for more than `patience`
/// epochs. NaN is never an improvement.
/// A relative threshold is a fraction of |best|, so that negative metrics improve downwards as well
/// (PyTorch's formula takes any value near a negative best for an improvement).
class ReduceLROnPlateau final {
 public:
  /// Throws Error for options out of range.
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {});
  ReduceLROnPlateau(const ReduceLROnPlateau&) = delete;
  ReduceLROnPlateau& operator=(const ReduceLROnPlateau&) = delete;

  /// Ends an epoch with this value of the metric; reduces the rate if it is due.
  void step(double metric);
  double best() const { return best_; }  ///< the best metric so far
  /// The current learning rate of a group.
  double last_lr(size_t group = 0) const { return optimizer_.lr(group); }

  /// The schedule's state; the rates themselves are in the optimizer's state_dict.
  StateDict state_dict() const;
  /// Restores the state. Throws Error, before any change, for a dict that does not fit.
  void load_state_dict(const StateDict& dict);

 private:
  bool is_better(double metric) const;

  Optimizer& optimizer_;
  ReduceLROnPlateauOptions options_;
  double best_;
  int64_t bad_epochs_ = 0;
  int64_t cooldown_left_ = 0;
};

}  // namespace tern::optim
