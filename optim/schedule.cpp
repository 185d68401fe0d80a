// SPDX-License-Identifier: Apache-2.0
#include "schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr char kLastEpoch[] = "last_epoch";
constexpr char kType[] = "type";

void check_positive(const char* op, const char* option, double value) {
  if (!(value > 0) || !std::isfinite(value)) {
    fail(op, option, " is ", value, ", want a finite number above 0");
  }
}

const Tensor& entry(const char* op, const StateDict& dict, const std::string& name) {
  if (!dict.contains(name)) {
    fail(op, "the state has no ", name, ": load what state_dict of this schedule gave");
  }
  return dict.at(name);
}

int64_t count(const char* op, const StateDict& dict, const std::string& name) {
  const auto value = whole_number(entry(op, dict, name));
  if (!value) fail(op, name, " of the state is ", dict.at(name), ", want a count of at least 0");
  return *value;
}

std::string numbered(const char* name, size_t group) {
  return std::string(name) + "." + std::to_string(group);
}

std::vector<double> rates(const char* op, const StateDict& dict, const char* name, size_t groups) {
  std::vector<double> result;
  for (size_t g = 0; g < groups; ++g) {
    const std::string numbered_name = numbered(name, g);
    result.push_back(entry(op, dict, numbered_name).item<double>());
    check_option(op, numbered_name.c_str(), result.back());
  }
  return result;
}

Tensor as_tensor(const std::string& text) {
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  return tensor(bytes, {static_cast<int64_t>(bytes.size())});
}

std::string as_text(const Tensor& x) {
  const std::vector<uint8_t> bytes = x.to_vector<uint8_t>();
  return {bytes.begin(), bytes.end()};
}

}  // namespace

LRScheduler::LRScheduler(Optimizer& optimizer) : optimizer_(optimizer) {
  for (size_t g = 0; g < optimizer.num_groups(); ++g) base_lrs_.push_back(optimizer.initial_lr(g));
  factors_ = std::make_shared<std::vector<double>>(base_lrs_.size(), 1.0);
  std::erase_if(optimizer.schedule_factors_, [](const auto& factors) { return factors.expired(); });
  optimizer.schedule_factors_.emplace_back(factors_);
}

void LRScheduler::restart_from(double lr) {
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    base_lrs_[g] = lr;
    optimizer_.set_initial_lr(lr, g);
    optimizer_.set_lr(lr * other_factors(g), g);
  }
}

double LRScheduler::factor(int64_t epoch, size_t group) const {
  const double lr = rate(epoch, group);
  return base_lrs_[group] > 0 ? lr / base_lrs_[group] : 1.0;
}

double LRScheduler::other_factors(size_t group) const {
  double product = 1;
  for (const auto& other : optimizer_.schedule_factors_) {
    const auto factors = other.lock();
    if (factors && factors != factors_) product *= (*factors)[group];
  }
  return product;
}

void LRScheduler::set_factors(std::vector<double> factors, const std::vector<double>& lrs) {
  for (size_t g = 0; g < lrs.size(); ++g) check_option(name(), "the learning rate", lrs[g]);
  for (size_t g = 0; g < lrs.size(); ++g) optimizer_.set_lr(lrs[g], g);
  *factors_ = std::move(factors);
}

void LRScheduler::apply(int64_t epoch) {
  std::vector<double> factors, lrs;
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    const double others = other_factors(g);
    const double before = (*factors_)[g];
    factors.push_back(factor(epoch, g));
    // A rate of 0 cannot be scaled: compute it from the initial rate.
    const bool scales = base_lrs_[g] > 0 && before * others > 0;
    lrs.push_back(scales ? optimizer_.lr(g) * (factors[g] / before) : rate(epoch, g) * others);
  }
  set_factors(std::move(factors), lrs);
  for (size_t g = 0; g < base_lrs_.size(); ++g) on_epoch(epoch, g);
  epoch_ = epoch;
}

void LRScheduler::withdraw() {
  std::vector<double> lrs;
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    const double others = other_factors(g);
    const double before = (*factors_)[g];
    lrs.push_back(before * others > 0 ? optimizer_.lr(g) / before : base_lrs_[g] * others);
  }
  set_factors(std::vector<double>(base_lrs_.size(), 1.0), lrs);
  combined_ = true;
}

void LRScheduler::step() {
  if (combined_) fail(name(), "the schedule is part of another one: step that one");
  apply(epoch_ + 1);
}

StateDict LRScheduler::state_dict() const {
  StateDict dict{{kLastEpoch, tensor(std::vector<int64_t>{epoch_}, Shape{})},
                 {kType, as_tensor(name())}};
  for (size_t g = 0; g < base_lrs_.size(); ++g) {
    dict.insert(numbered("base_lrs", g), full(Shape{}, base_lrs_[g], DType::f64));
    dict.insert(numbered("last_lr", g), full(Shape{}, optimizer_.lr(g), DType::f64));
  }
  return dict;
}

void LRScheduler::load_state_dict(const StateDict& dict) {
  const char* op = name();
  const size_t groups = base_lrs_.size();
  const int64_t epoch = count(op, dict, kLastEpoch);
  // States of earlier versions have neither the type nor the rates.
  const bool complete = dict.contains(kType);
  if (complete && as_text(dict.at(kType)) != op) {
    fail(op, "the state is that of ", as_text(dict.at(kType)), ", want one of ", op);
  }
  const size_t saved_groups = complete ? dict.size() / 2 - 1 : dict.size() - 1;
  if (saved_groups != groups) {
    fail(op, "the state has ", saved_groups, " groups, want ", groups, " as the optimizer has");
  }
  std::vector<double> base_lrs = rates(op, dict, "base_lrs", groups);
  std::vector<double> lrs;
  if (complete) lrs = rates(op, dict, "last_lr", groups);
  base_lrs_.swap(base_lrs);
  try {
    std::vector<double> factors;
    for (size_t g = 0; g < groups; ++g) {
      factors.push_back(factor(epoch, g));
      if (!complete) lrs.push_back(rate(epoch, g) * other_factors(g));
    }
    set_factors(std::move(factors), lrs);
  } catch (...) {
    base_lrs_.swap(base_lrs);
    throw;
  }
  for (size_t g = 0; g < groups; ++g) on_epoch(epoch, g);
  epoch_ = epoch;
}

StepLR::StepLR(Optimizer& optimizer, int64_t step_size, double gamma)
    : LRScheduler(optimizer), step_size_(step_size), gamma_(gamma) {
  if (step_size < 1) fail(name(), "step_size is ", step_size, ", want at least 1");
  check_option(name(), "gamma", gamma);
  start();
}

double StepLR::rate(int64_t epoch, size_t group) const {
  const int64_t steps = epoch / step_size_;
  return base_lr(group) * std::pow(gamma_, static_cast<double>(steps));
}

MultiStepLR::MultiStepLR(Optimizer& optimizer, std::vector<int64_t> milestones, double gamma)
    : LRScheduler(optimizer), milestones_(std::move(milestones)), gamma_(gamma) {
  check_option(name(), "gamma", gamma);
  start();
}

double MultiStepLR::rate(int64_t epoch, size_t group) const {
  const auto passed = std::count_if(milestones_.begin(), milestones_.end(), [=](int64_t milestone) {
    return 0 <= milestone && milestone <= epoch;
  });
  return base_lr(group) * std::pow(gamma_, static_cast<double>(passed));
}

ExponentialLR::ExponentialLR(Optimizer& optimizer, double gamma)
    : LRScheduler(optimizer), gamma_(gamma) {
  check_option(name(), "gamma", gamma);
  start();
}

double ExponentialLR::rate(int64_t epoch, size_t group) const {
  return base_lr(group) * std::pow(gamma_, static_cast<double>(epoch));
}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, int64_t t_max, double eta_min)
    : LRScheduler(optimizer), t_max_(t_max), eta_min_(eta_min) {
  if (t_max < 1) fail(name(), "t_max is ", t_max, ", want at least 1");
  check_option(name(), "eta_min", eta_min);
  start();
}

double CosineAnnealingLR::rate(int64_t epoch, size_t group) const {
  const auto t_max = static_cast<double>(t_max_);
  const double phase = std::fmod(static_cast<double>(epoch), 2 * t_max) / t_max;
  return eta_min_ + (base_lr(group) - eta_min_) * ((1 + std::cos(kPi * phase)) / 2);
}

LinearLR::LinearLR(Optimizer& optimizer, const LinearLROptions& options)
    : LRScheduler(optimizer), options_(options) {
  if (!(options.start_factor > 0 && options.start_factor <= 1)) {
    fail(name(), "start_factor is ", options.start_factor, ", want (0, 1]");
  }
  if (!(options.end_factor >= 0 && options.end_factor <= 1)) {
    fail(name(), "end_factor is ", options.end_factor, ", want [0, 1]");
  }
  if (options.total_iters < 1) {
    fail(name(), "total_iters is ", options.total_iters, ", want at least 1");
  }
  start();
}

double LinearLR::rate(int64_t epoch, size_t group) const {
  const double passed = static_cast<double>(std::min(epoch, options_.total_iters)) /
                        static_cast<double>(options_.total_iters);
  return base_lr(group) * ((1 - passed) * options_.start_factor + passed * options_.end_factor);
}

LambdaLR::LambdaLR(Optimizer& optimizer, std::function<double(int64_t epoch)> factor)
    : LRScheduler(optimizer), factor_(std::move(factor)) {
  if (!factor_) fail(name(), "factor is empty, want a function of the epoch");
  start();
}

double LambdaLR::rate(int64_t epoch, size_t group) const { return base_lr(group) * factor_(epoch); }

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options)
    : LRScheduler(optimizer), options_(options) {
  const char* op = name();
  check_positive(op, "max_lr", options.max_lr);
  if (options.total_steps < 1) {
    fail(op, "total_steps is ", options.total_steps,
         ", want at least 1: pass the number of batches of the training, epochs * loader.size()");
  }
  if (!(options.pct_start >= 0 && options.pct_start <= 1)) {
    fail(op, "pct_start is ", options.pct_start, ", want [0, 1]");
  }
  check_positive(op, "div_factor", options.div_factor);
  check_positive(op, "final_div_factor", options.final_div_factor);
  check_option(op, "base_momentum", options.base_momentum, 1.0);
  check_option(op, "max_momentum", options.max_momentum, 1.0);
  if (options.cycle_momentum && !optimizer.momentum()) {
    fail(op, "the optimizer has no momentum, want one to cycle: set cycle_momentum = false");
  }
  const double first = options.max_lr / options.div_factor;
  check_positive(op, "the first rate, max_lr / div_factor,", first);
  check_option(op, "the last rate, max_lr / (div_factor * final_div_factor),",
               first / options.final_div_factor);
  restart_from(first);
  start();
}

OneCycleLR::Phase OneCycleLR::phase(int64_t step) const {
  const OneCycleLROptions& o = options_;
  const double first = o.max_lr / o.div_factor;
  const double last = first / o.final_div_factor;
  const auto total = static_cast<double>(o.total_steps);
  const double peak = o.pct_start * total - 1;
  const auto now = static_cast<double>(step);
  // The step after the last batch keeps the last values.
  const auto fraction = [&](double start, double end) {
    return end > start ? std::min((now - start) / (end - start), 1.0) : 1.0;
  };
  if (now <= peak) return {first, o.max_lr, o.max_momentum, o.base_momentum, fraction(0, peak)};
  if (!o.three_phase) {
    return {o.max_lr, last, o.base_momentum, o.max_momentum, fraction(peak, total - 1)};
  }
  const double fallen = 2 * o.pct_start * total - 2;
  if (now <= fallen) {
    return {o.max_lr, first, o.base_momentum, o.max_momentum, fraction(peak, fallen)};
  }
  return {first, last, o.max_momentum, o.max_momentum, fraction(fallen, total - 1)};
}

double OneCycleLR::interpolate(double start, double end, double fraction) const {
  if (options_.anneal_strategy == Anneal::linear) return (end - start) * fraction + start;
  return end + (start - end) / 2.0 * (std::cos(kPi * fraction) + 1);
}

double OneCycleLR::rate(int64_t epoch, size_t /*group*/) const {
  if (epoch > options_.total_steps) {
    fail(name(), "step is ", epoch, ", want at most total_steps, which is ", options_.total_steps,
         ": set total_steps to epochs * batches per epoch");
  }
  const Phase p = phase(epoch);
  return interpolate(p.start_lr, p.end_lr, p.fraction);
}

void OneCycleLR::on_epoch(int64_t epoch, size_t group) {
  if (!options_.cycle_momentum) return;
  const Phase p = phase(epoch);
  optimizer().set_momentum(interpolate(p.start_momentum, p.end_momentum, p.fraction), group);
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options)
    : optimizer_(optimizer), options_(options) {
  const char* op = "ReduceLROnPlateau";
  if (!(options.factor >= 0 && options.factor < 1)) {
    fail(op, "factor is ", options.factor, ", want [0, 1)");
  }
  if (options.patience < 0 || options.cooldown < 0) {
    fail(op, "patience and cooldown are ", options.patience, " and ", options.cooldown,
         ", want at least 0");
  }
  check_option(op, "threshold", options.threshold);
  check_option(op, "min_lr", options.min_lr);
  check_option(op, "eps", options.eps);
  const double infinity = std::numeric_limits<double>::infinity();
  best_ = options.mode == ReduceLROnPlateauOptions::Mode::min ? infinity : -infinity;
}

bool ReduceLROnPlateau::is_better(double metric) const {
  using Options = ReduceLROnPlateauOptions;
  const bool down = options_.mode == Options::Mode::min;
  if (std::isinf(best_)) return down ? metric < best_ : metric > best_;
  const double margin = options_.threshold_mode == Options::ThresholdMode::rel
                            ? options_.threshold * std::abs(best_)
                            : options_.threshold;
  return down ? metric < best_ - margin : metric > best_ + margin;
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
  const double best = entry(op, dict, "best").item<double>();
  if (std::isnan(best)) fail(op, "best of the state is nan, want a number");
  const int64_t bad_epochs = count(op, dict, "num_bad_epochs");
  const int64_t cooldown_left = count(op, dict, "cooldown_counter");
  if (dict.size() != 3)
    fail(op, "the state has ", dict.size(), " entries, want 3: it is another's");
  best_ = best;
  bad_epochs_ = bad_epochs;
  cooldown_left_ = cooldown_left;
}

}  // namespace tern::optim
