// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "../core/state_dict.h"
#include "optimizer.h"

namespace tern::optim {

/// Learning-rate schedules with PyTorch's values. Constructing one sets the first learning rate;
/// `step()` sets the next, after each epoch (OneCycleLR: after each batch). Schedules multiply
/// into whatever the rate is, so several can run on one optimizer: a LinearLR warm-up beside a
/// CosineAnnealingLR. A schedule points at its optimizer, which must outlive it.
class LRScheduler {
 public:
  virtual ~LRScheduler() = default;
  LRScheduler(const LRScheduler&) = delete;
  LRScheduler& operator=(const LRScheduler&) = delete;

  /// Ends an epoch: sets the next learning rate of every group.
  void step();
  /// How many times step() has run.
  int64_t last_epoch() const { return epoch_; }
  /// The rate of the present epoch.
  double last_lr(size_t group = 0) const { return optimizer_.lr(group); }

  /// Where the schedule stands; the rates themselves are in the optimizer's state_dict.
  StateDict state_dict() const;
  /// Throws Error, before any change, for a dict that does not fit.
  void load_state_dict(const StateDict& dict);

 protected:
  /// Takes the groups' initial rates.
  explicit LRScheduler(Optimizer& optimizer);
  /// To be called at the end of constructors: sets the rate of epoch 0.
  void start() { apply(0); }
  /// The rate of `epoch` when the one before it is `lr` (for epoch 0: what the optimizer has).
  virtual double rate(int64_t epoch, size_t group, double lr) const = 0;
  /// What else changes in `epoch`.
  virtual void also(int64_t /*epoch*/, size_t /*group*/) {}

  Optimizer& optimizer() const { return optimizer_; }              ///< whose rates it sets
  double base_lr(size_t group) const { return base_lrs_[group]; }  ///< the group's initial rate

 private:
  void apply(int64_t epoch);

  Optimizer& optimizer_;
  std::vector<double> base_lrs_;
  int64_t epoch_ = 0;
};

/// lr * gamma every `step_size` epochs.
class StepLR final : public LRScheduler {
 public:
  /// Throws Error unless step_size >= 1.
  StepLR(Optimizer& optimizer, int64_t step_size, double gamma = 0.1);

 private:
  double rate(int64_t epoch, size_t group, double lr) const override;
  int64_t step_size_;
  double gamma_;
};

/// lr * gamma at each milestone.
class MultiStepLR final : public LRScheduler {
 public:
  /// Milestones are epochs; one that occurs twice counts twice.
  MultiStepLR(Optimizer& optimizer, std::vector<int64_t> milestones, double gamma = 0.1);

 private:
  double rate(int64_t epoch, size_t group, double lr) const override;
  std::vector<int64_t> milestones_;
  double gamma_;
};

/// lr * gamma every epoch.
class ExponentialLR final : public LRScheduler {
 public:
  ExponentialLR(Optimizer& optimizer, double gamma);  ///< gamma: the factor per epoch

 private:
  double rate(int64_t epoch, size_t group, double lr) const override;
  double gamma_;
};

/// eta_min + (lr - eta_min) * (1 + cos(pi * epoch / t_max)) / 2 (Loshchilov and Hutter, 2017,
/// without restarts), in PyTorch's recursive form.
class CosineAnnealingLR final : public LRScheduler {
 public:
  /// Throws Error unless t_max >= 1.
  CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min = 0.0);

 private:
  double rate(int64_t epoch, size_t group, double lr) const override;
  int64_t t_max_;
  double eta_min_;
};

/// Options of LinearLR, with PyTorch's defaults.
struct LinearLROptions {
  double start_factor = 1.0 / 3;  ///< of the first epoch
  double end_factor = 1.0;        ///< from total_iters on
  int64_t total_iters = 5;        ///< epochs between the two
};

/// Warm-up: lr times a factor that goes from start_factor to end_factor in total_iters epochs.
class LinearLR final : public LRScheduler {
 public:
  /// Throws Error for options out of range.
  explicit LinearLR(Optimizer& optimizer, const LinearLROptions& options = {});

 private:
  double rate(int64_t epoch, size_t group, double lr) const override;
  LinearLROptions options_;
};

/// factor(epoch) times the initial rate.
class LambdaLR final : public LRScheduler {
 public:
  /// Throws Error for an empty function.
  LambdaLR(Optimizer& optimizer, std::function<double(int64_t epoch)> factor);

 private:
  double rate(int64_t epoch, size_t group, double lr) const override;
  std::function<double(int64_t)> factor_;
};

/// How OneCycleLR goes from one value to the next.
enum class Anneal : uint8_t { cos, linear };

/// Options of OneCycleLR, with PyTorch's defaults.
struct OneCycleLROptions {
  double max_lr = 0.1;  ///< the highest rate
  /// The number of batches of the whole training: epochs times batches in an epoch.
  int64_t total_steps = 0;
  double pct_start = 0.3;                ///< the share of steps that the rate rises
  Anneal anneal_strategy = Anneal::cos;  ///< the shape of both ways
  bool cycle_momentum = true;            ///< move the momentum (Adam: beta1) the other way
  double base_momentum = 0.85;           ///< where the rate is highest
  double max_momentum = 0.95;            ///< where it is lowest
  double div_factor = 25.0;              ///< the first rate is max_lr / div_factor
  double final_div_factor = 1e4;         ///< the last rate is the first / final_div_factor
  bool three_phase = false;              ///< fall symmetrically first, annihilate the rate after
};

/// The one-cycle policy (Smith and Topin, "Super-convergence", 2018): the rate rises to max_lr and
/// falls to almost nothing, the momentum does the opposite. Step after each batch. Throws Error
/// when stepped more than total_steps times.
class OneCycleLR final : public LRScheduler {
 public:
  /// Throws Error for options out of range.
  OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options);

 private:
  /// Where in its phase a step is, and what the phase's ends are.
  struct Place {
    double start_lr, end_lr, start_momentum, end_momentum, share;
  };
  Place place(int64_t step) const;
  double between(double start, double end, double share) const;
  double rate(int64_t epoch, size_t group, double lr) const override;
  void also(int64_t epoch, size_t group) override;
  OneCycleLROptions options_;
};

/// Options of ReduceLROnPlateau, with PyTorch's defaults.
struct ReduceLROnPlateauOptions {
  /// Which metric is better.
  enum class Mode : uint8_t { min, max };
  /// Whether `threshold` is a share of the best metric or an absolute difference.
  enum class ThresholdMode : uint8_t { rel, abs };
  Mode mode = Mode::min;    ///< whether a smaller or a larger metric is better
  double factor = 0.1;      ///< multiplies the rate
  int64_t patience = 10;    ///< epochs without improvement that are forgiven
  double threshold = 1e-4;  ///< smaller improvements are none
  ThresholdMode threshold_mode = ThresholdMode::rel;  ///< how it is measured
  int64_t cooldown = 0;                               ///< epochs after a change that do not count
  double min_lr = 0.0;                                ///< the rate goes no lower
  double eps = 1e-8;                                  ///< changes smaller than this are not made
};

/// lr * factor when the metric has not improved for more than `patience` epochs. NaN is never an
/// improvement.
class ReduceLROnPlateau final {
 public:
  /// Throws Error for options out of range.
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {});
  ReduceLROnPlateau(const ReduceLROnPlateau&) = delete;
  ReduceLROnPlateau& operator=(const ReduceLROnPlateau&) = delete;

  /// Ends an epoch that reached `metric`.
  void step(double metric);
  double best() const { return best_; }  ///< the best metric so far
  /// The rate of the present epoch.
  double last_lr(size_t group = 0) const { return optimizer_.lr(group); }

  /// Where it stands.
  StateDict state_dict() const;
  /// Throws Error, before any change, for a dict that does not fit.
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
