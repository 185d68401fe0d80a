// SPDX-License-Identifier: Apache-2.0
#include "schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "../core/error.h"

namespace tern::optim {
namespace {

constexpr double kPi = std::numbers::pi;

void check_gamma(const char* op, double gamma) {
  if (!(gamma >= 0) || !std::isfinite(gamma))
    fail(op, "gamma is ", gamma, ", it must be 0 or more");
}

double scalar(const char* op, const StateDict& dict, const std::string& name) {
  if (!dict.contains(name)) fail(op, "the state lacks ", name);
  return dict.at(name).item<double>();
}

}  // namespace

LRScheduler::LRScheduler(Optimizer& optimizer) : optimizer_(optimizer) {
  for (size_t g = 0; g < optimizer.num_groups(); ++g) base_lrs_.push_back(optimizer.initial_lr(g));
}

void LRScheduler::apply(int64_t epoch) {
  std::vector<double> rates;
  for (size_t g = 0; g < optimizer_.num_groups(); ++g) {
    rates.push_back(rate(epoch, g, optimizer_.lr(g)));
  }
  for (size_t g = 0; g < rates.size(); ++g) {
    optimizer_.set_lr(rates[g], g);
    also(epoch, g);
  }
  epoch_ = epoch;
}

void LRScheduler::step() { apply(epoch_ + 1); }

StateDict LRScheduler::state_dict() const {
  StateDict dict{{"last_epoch", tensor(std::vector<int64_t>{epoch_}, Shape{})}};
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    dict.insert("base_lrs." + std::to_string(g), full(Shape{}, base_lrs_[g], DType::f64));
  }
  return dict;
}

void LRScheduler::load_state_dict(const StateDict& dict) {
  const char* op = "lr_scheduler";
  const auto epoch = static_cast<int64_t>(scalar(op, dict, "last_epoch"));
  if (epoch < 0) fail(op, "last_epoch is ", epoch);
  std::vector<double> base_lrs;
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    base_lrs.push_back(scalar(op, dict, "base_lrs." + std::to_string(g)));
  }
  if (dict.size() != base_lrs.size() + 1) {
    fail(op, "the state is of an optimizer with ", dict.size() - 1, " groups, this one has ",
         base_lrs.size());
  }
  epoch_ = epoch;
  base_lrs_ = std::move(base_lrs);
}

StepLR::StepLR(Optimizer& optimizer, int64_t step_size, double gamma)
    : LRScheduler(optimizer), step_size_(step_size), gamma_(gamma) {
  if (step_size < 1) fail("StepLR", "step_size is ", step_size, ", it must be 1 or more");
  check_gamma("StepLR", gamma);
  start();
}

double StepLR::rate(int64_t epoch, size_t /*group*/, double lr) const {
  return epoch == 0 || epoch % step_size_ != 0 ? lr : lr * gamma_;
}

MultiStepLR::MultiStepLR(Optimizer& optimizer, std::vector<int64_t> milestones, double gamma)
    : LRScheduler(optimizer), milestones_(std::move(milestones)), gamma_(gamma) {
  check_gamma("MultiStepLR", gamma);
  start();
}

double MultiStepLR::rate(int64_t epoch, size_t /*group*/, double lr) const {
  const auto times = std::count(milestones_.begin(), milestones_.end(), epoch);
  return times == 0 ? lr : lr * std::pow(gamma_, static_cast<double>(times));
}

ExponentialLR::ExponentialLR(Optimizer& optimizer, double gamma)
    : LRScheduler(optimizer), gamma_(gamma) {
  check_gamma("ExponentialLR", gamma);
  start();
}

double ExponentialLR::rate(int64_t epoch, size_t /*group*/, double lr) const {
  return epoch == 0 ? lr : lr * gamma_;
}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min)
    : LRScheduler(optimizer), t_max_(t_max), eta_min_(eta_min) {
  if (t_max < 1) fail("CosineAnnealingLR", "t_max is ", t_max, ", it must be 1 or more");
  start();
}

double CosineAnnealingLR::rate(int64_t epoch, size_t group, double lr) const {
  if (epoch == 0) return lr;
  const auto t_max = static_cast<double>(t_max_);
  if ((epoch - 1 - t_max_) % (2 * t_max_) == 0) {
    // The step before was at the minimum, where the ratio below would divide by zero.
    return lr + (base_lr(group) - eta_min_) * (1 - std::cos(kPi / t_max)) / 2;
  }
  const auto e = static_cast<double>(epoch);
  return (1 + std::cos(kPi * e / t_max)) / (1 + std::cos(kPi * (e - 1) / t_max)) * (lr - eta_min_) +
         eta_min_;
}

LinearLR::LinearLR(Optimizer& optimizer, const LinearLROptions& options)
    : LRScheduler(optimizer), options_(options) {
  if (!(options.start_factor > 0 && options.start_factor <= 1)) {
    fail("LinearLR", "start_factor is ", options.start_factor, ", it must be in (0, 1]");
  }
  if (!(options.end_factor >= 0 && options.end_factor <= 1)) {
    fail("LinearLR", "end_factor is ", options.end_factor, ", it must be in [0, 1]");
  }
  if (options.total_iters < 1) {
    fail("LinearLR", "total_iters is ", options.total_iters, ", it must be 1 or more");
  }
  start();
}

double LinearLR::rate(int64_t epoch, size_t /*group*/, double lr) const {
  const double first = options_.start_factor;
  if (epoch == 0) return lr * first;
  if (epoch > options_.total_iters) return lr;
  const double rise = options_.end_factor - first;
  const auto total = static_cast<double>(options_.total_iters);
  return lr * (1.0 + rise / (total * first + static_cast<double>(epoch - 1) * rise));
}

LambdaLR::LambdaLR(Optimizer& optimizer, std::function<double(int64_t epoch)> factor)
    : LRScheduler(optimizer), factor_(std::move(factor)) {
  if (!factor_) fail("LambdaLR", "the function is empty");
  start();
}

double LambdaLR::rate(int64_t epoch, size_t group, double /*lr*/) const {
  return base_lr(group) * factor_(epoch);
}

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options)
    : LRScheduler(optimizer), options_(options) {
  const char* op = "OneCycleLR";
  if (!(options.max_lr > 0)) fail(op, "max_lr is ", options.max_lr, ", it must be above 0");
  if (options.total_steps < 1) {
    fail(op, "total_steps is ", options.total_steps,
         ": give the number of batches of the whole training, epochs * loader.size()");
  }
  if (!(options.pct_start >= 0 && options.pct_start <= 1)) {
    fail(op, "pct_start is ", options.pct_start, ", it must be in [0, 1]");
  }
  if (!(options.div_factor > 0) || !(options.final_div_factor > 0)) {
    fail(op, "div_factor and final_div_factor are ", options.div_factor, " and ",
         options.final_div_factor, ", they must be above 0");
  }
  if (options.cycle_momentum && !optimizer.momentum()) {
    fail(op, "the optimizer has no momentum: set cycle_momentum = false");
  }
  for (size_t g = 0; g < optimizer.num_groups(); ++g) {
    optimizer.set_initial_lr(options.max_lr / options.div_factor, g);
  }
  start();
}

OneCycleLR::Place OneCycleLR::place(int64_t step) const {
  const OneCycleLROptions& o = options_;
  const double first = o.max_lr / o.div_factor;
  const double last = first / o.final_div_factor;
  const auto total = static_cast<double>(o.total_steps);
  const double peak = o.pct_start * total - 1;
  const auto now = static_cast<double>(step);
  // The step after the last batch keeps the last values.
  const auto share = [&](double start, double end) {
    return end > start ? std::min((now - start) / (end - start), 1.0) : 1.0;
  };
  if (now <= peak) return {first, o.max_lr, o.max_momentum, o.base_momentum, share(0, peak)};
  if (!o.three_phase) {
    return {o.max_lr, last, o.base_momentum, o.max_momentum, share(peak, total - 1)};
  }
  const double fallen = 2 * o.pct_start * total - 2;
  if (now <= fallen) {
    return {o.max_lr, first, o.base_momentum, o.max_momentum, share(peak, fallen)};
  }
  return {first, last, o.max_momentum, o.max_momentum, share(fallen, total - 1)};
}

double OneCycleLR::between(double start, double end, double share) const {
  if (options_.anneal_strategy == Anneal::linear) return (end - start) * share + start;
  return end + (start - end) / 2.0 * (std::cos(kPi * share) + 1);
}

double OneCycleLR::rate(int64_t epoch, size_t /*group*/, double /*lr*/) const {
  if (epoch > options_.total_steps) {
    fail("OneCycleLR", "stepped ", epoch, " times, total_steps is ", options_.total_steps,
         ": it must be epochs * batches in an epoch");
  }
  const Place p = place(epoch);
  return between(p.start_lr, p.end_lr, p.share);
}

void OneCycleLR::also(int64_t epoch, size_t group) {
  if (!options_.cycle_momentum) return;
  const Place p = place(epoch);
  optimizer().set_momentum(between(p.start_momentum, p.end_momentum, p.share), group);
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options)
    : optimizer_(optimizer), options_(options) {
  const char* op = "ReduceLROnPlateau";
  if (!(options.factor >= 0 && options.factor < 1)) {
    fail(op, "factor is ", options.factor, ", it must be in [0, 1)");
  }
  if (options.patience < 0 || options.cooldown < 0) {
    fail(op, "patience and cooldown are ", options.patience, " and ", options.cooldown,
         ", they must be 0 or more");
  }
  const double infinity = std::numeric_limits<double>::infinity();
  best_ = options.mode == ReduceLROnPlateauOptions::Mode::min ? infinity : -infinity;
}

bool ReduceLROnPlateau::is_better(double metric) const {
  using Options = ReduceLROnPlateauOptions;
  const double t = options_.threshold;
  const bool relative = options_.threshold_mode == Options::ThresholdMode::rel;
  if (options_.mode == Options::Mode::min) {
    return metric < (relative ? best_ * (1.0 - t) : best_ - t);
  }
  return metric > (relative ? best_ * (t + 1.0) : best_ + t);
}

void ReduceLROnPlateau::step(double metric) {
  if (is_better(metric)) {
    best_ = metric;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_epochs_ = 0;
  }
  if (bad_epochs_ <= options_.patience) return;
  for (size_t g = 0; g < optimizer_.num_groups(); ++g) {
    const double old_lr = optimizer_.lr(g);
    const double new_lr = std::max(old_lr * options_.factor, options_.min_lr);
    if (old_lr - new_lr > options_.eps) optimizer_.set_lr(new_lr, g);
  }
  cooldown_left_ = options_.cooldown;
  bad_epochs_ = 0;
}

StateDict ReduceLROnPlateau::state_dict() const {
  return {{"best", full(Shape{}, best_, DType::f64)},
          {"num_bad_epochs", tensor(std::vector<int64_t>{bad_epochs_}, Shape{})},
          {"cooldown_counter", tensor(std::vector<int64_t>{cooldown_left_}, Shape{})}};
}

void ReduceLROnPlateau::load_state_dict(const StateDict& dict) {
  const char* op = "ReduceLROnPlateau";
  const double best = scalar(op, dict, "best");
  const double bad_epochs = scalar(op, dict, "num_bad_epochs");
  const double cooldown_left = scalar(op, dict, "cooldown_counter");
  best_ = best;
  bad_epochs_ = static_cast<int64_t>(bad_epochs);
  cooldown_left_ = static_cast<int64_t>(cooldown_left);
}

}  // namespace tern::optim
