// SPDX-License-Identifier: Apache-2.0
// The rates come from PyTorch: fixtures/make_fixtures.py.
#include <gtest/gtest.h>
#include <tern/core/error.h>
#include <tern/core/tensor.h>
#include <tern/io/safetensors.h>
#include <tern/optim/adam.h>
#include <tern/optim/combined_schedules.h>
#include <tern/optim/rmsprop.h>
#include <tern/optim/schedule.h>
#include <tern/optim/sgd.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "support.h"

using tern::test::expect_error;

namespace {

using namespace tern;
using namespace tern::optim;

constexpr size_t kSteps = 60;

const StateDict& fixture() {
  static const StateDict dict =
      io::load_safetensors(TERN_SOURCE_DIR "/tests/fixtures/schedules.safetensors");
  return dict;
}

Tensor parameter() {
  const Tensor p = zeros({1});
  p.set_requires_grad();
  return p;
}

std::unique_ptr<Optimizer> make_sgd() {
  return std::make_unique<SGD>(
      std::vector<SGD::Group>{{{parameter()}, {.lr = 0.5, .momentum = 0.9}},
                              {{parameter()}, {.lr = 0.02, .momentum = 0.9}}});
}

std::unique_ptr<Optimizer> make_adam() {
  return std::make_unique<Adam>(std::vector<Tensor>{parameter()}, AdamOptions{.lr = 0.5});
}

/// Compares rates and momenta of all groups in step `t` with the fixture.
void expect_equal(const Optimizer& optimizer, const std::string& name, size_t t) {
  const auto rates = fixture().at(name + ".lr").to_vector<double>();
  const auto momenta = fixture().at(name + ".momentum").to_vector<double>();
  const size_t groups = optimizer.num_groups();
  ASSERT_EQ(rates.size(), kSteps * groups);
  for (size_t g = 0; g < groups; ++g) {
    const double rate = rates[t * groups + g];
    EXPECT_NEAR(optimizer.lr(g), rate, 1e-13 * rate) << name << " step " << t;
    EXPECT_NEAR(*optimizer.momentum(g), momenta[t * groups + g], 1e-14) << name << " step " << t;
  }
}

using Schedules = std::vector<std::unique_ptr<LRScheduler>>;

struct Case {
  std::string name;
  std::function<void(Optimizer&, Schedules&)> make;
  bool with_adam = false;
};

template <class S, class... Args>
std::function<void(Optimizer&, Schedules&)> one(Args... args) {
  return [args...](Optimizer& o, Schedules& s) { s.push_back(std::make_unique<S>(o, args...)); };
}

std::vector<Case> cases() {
  const OneCycleLROptions cycle{.max_lr = 0.4, .total_steps = 60};
  OneCycleLROptions three_phase = cycle;
  three_phase.three_phase = true;
  three_phase.base_momentum = 0.8;
  three_phase.max_momentum = 0.9;
  return {
      {"step", one<StepLR>(int64_t{7}, 0.3)},
      {"multi_step", one<MultiStepLR>(std::vector<int64_t>{5, 12, 12, 40}, 0.5)},
      {"exponential", one<ExponentialLR>(0.93)},
      {"cosine", one<CosineAnnealingLR>(int64_t{59}, 0.001)},
      {"cosine_beyond", one<CosineAnnealingLR>(int64_t{20}, 0.001)},
      {"linear", one<LinearLR>(LinearLROptions{.start_factor = 0.1, .total_iters = 8})},
      {"linear_default", one<LinearLR>()},
      {"lambda", one<LambdaLR>([](int64_t t) { return std::pow(0.9, static_cast<double>(t)); })},
      {"warmup_cosine",
       [](Optimizer& o, Schedules& s) {
         s.push_back(std::make_unique<LinearLR>(o, LinearLROptions{.start_factor = 0.01}));
         s.push_back(std::make_unique<CosineAnnealingLR>(o, 60));
       }},
      {"one_cycle", one<OneCycleLR>(cycle)},
      {"one_cycle_linear", one<OneCycleLR>(OneCycleLROptions{.max_lr = 0.4,
                                                             .total_steps = 60,
                                                             .pct_start = 0.25,
                                                             .anneal_strategy = Anneal::linear,
                                                             .div_factor = 10,
                                                             .final_div_factor = 100})},
      {"one_cycle_three_phase", one<OneCycleLR>(three_phase)},
      {"one_cycle_fixed_momentum", one<OneCycleLR>(OneCycleLROptions{
                                       .max_lr = 0.4, .total_steps = 60, .cycle_momentum = false})},
      {"one_cycle_adam", one<OneCycleLR>(cycle), true},
  };
}

TEST(Schedule, RatesEqualPyTorch) {
  for (const Case& c : cases()) {
    const auto optimizer = c.with_adam ? make_adam() : make_sgd();
    Schedules schedules;
    c.make(*optimizer, schedules);
    for (size_t t = 0; t < kSteps; ++t) {
      expect_equal(*optimizer, c.name, t);
      if (t + 1 == kSteps) break;
      for (const auto& schedule : schedules) schedule->step();
    }
  }
}

TEST(Schedule, ResumesFromItsStateAndTheOptimizers) {
  for (const Case& c : cases()) {
    const auto make = [&] { return c.with_adam ? make_adam() : make_sgd(); };
    const auto first = make();
    Schedules before;
    c.make(*first, before);
    for (size_t t = 0; t < 17; ++t) {
      for (const auto& schedule : before) schedule->step();
    }
    const auto second = make();
    Schedules after;
    c.make(*second, after);
    second->load_state_dict(first->state_dict());
    for (size_t i = 0; i < after.size(); ++i) after[i]->load_state_dict(before[i]->state_dict());
    for (size_t t = 17; t < kSteps; ++t) {
      expect_equal(*second, c.name, t);
      if (t + 1 == kSteps) break;
      for (const auto& schedule : after) schedule->step();
    }
  }
}

TEST(Schedule, PlateauEqualsPyTorchAlsoWhenResumed) {
  using Options = ReduceLROnPlateauOptions;
  const std::vector<std::pair<std::string, Options>> plateaus = {
      {"plateau", {.factor = 0.5, .patience = 3}},
      {"plateau_cooldown", {.factor = 0.3, .patience = 2, .cooldown = 4, .min_lr = 0.004}},
      {"plateau_max_abs",
       {.mode = Options::Mode::max,
        .factor = 0.5,
        .patience = 5,
        .threshold = 0.01,
        .threshold_mode = Options::ThresholdMode::abs}}};
  const std::vector<double> metrics = fixture().at("metrics").to_vector<double>();
  for (const auto& [name, options] : plateaus) {
    const auto optimizer = make_sgd();
    auto schedule = std::make_unique<ReduceLROnPlateau>(*optimizer, options);
    for (size_t t = 0; t < kSteps; ++t) {
      expect_equal(*optimizer, name, t);
      schedule->step(metrics[t]);
      const StateDict state = schedule->state_dict();
      schedule = std::make_unique<ReduceLROnPlateau>(*optimizer, options);
      schedule->load_state_dict(state);
    }
  }
}

TEST(Schedule, OneCycleRunsForTotalStepsAndNoMore) {
  const auto optimizer = make_sgd();
  OneCycleLR schedule(*optimizer, {.max_lr = 0.1, .total_steps = 5});
  for (int step = 0; step < 5; ++step) schedule.step();  // a loop steps after its last batch too
  const double last = optimizer->lr();
  EXPECT_NEAR(last, 0.1 / 25 / 1e4, 1e-12);
  expect_error([&] { schedule.step(); }, "at most total_steps, which is 5");
  EXPECT_EQ(optimizer->lr(), last);
  EXPECT_EQ(schedule.last_epoch(), 5);
}

TEST(Schedule, OneCycleOfVeryFewStepsStaysFinite) {
  for (const int64_t total : {1, 2, 3, 10}) {
    for (const double fraction : {0.0, 0.1, 1.0}) {
      const auto optimizer = make_sgd();
      OneCycleLR schedule(*optimizer, {.max_lr = 0.1, .total_steps = total, .pct_start = fraction});
      for (int64_t step = 0; step < total; ++step) {
        schedule.step();
        EXPECT_TRUE(optimizer->lr() >= 0 && optimizer->lr() <= 0.1) << total << " " << fraction;
      }
    }
  }
}

TEST(Schedule, ValidatesOptions) {
  const auto optimizer = make_sgd();
  expect_error([&] { StepLR(*optimizer, 0); }, "step_size is 0");
  expect_error([&] { ExponentialLR(*optimizer, -1); }, "gamma is -1");
  expect_error([&] { CosineAnnealingLR(*optimizer, 0); }, "t_max is 0");
  expect_error([&] { LinearLR(*optimizer, {.start_factor = 0.0}); }, "start_factor is 0");
  expect_error([&] { LambdaLR(*optimizer, {}); }, "factor is empty");
  expect_error([&] { OneCycleLR(*optimizer, {.max_lr = 0.1}); }, "epochs * loader.size()");
  expect_error([&] { ReduceLROnPlateau(*optimizer, {.factor = 1.0}); }, "factor is 1");
  EXPECT_EQ(optimizer->lr(), 0.5);

  const auto three = std::make_unique<SGD>(std::vector<Tensor>{parameter()}, SGDOptions{});
  StepLR two_groups(*optimizer, 1);
  StepLR one_group(*three, 1);
  expect_error([&] { one_group.load_state_dict(two_groups.state_dict()); }, "2 groups");

  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInf = HUGE_VAL;
  using Plateau = ReduceLROnPlateau;
  for (const double bad : {kNaN, kInf, -1.0}) {
    EXPECT_THROW(StepLR(*optimizer, 1, bad), Error);
    EXPECT_THROW(MultiStepLR(*optimizer, {1}, bad), Error);
    EXPECT_THROW(ExponentialLR(*optimizer, bad), Error);
    EXPECT_THROW(CosineAnnealingLR(*optimizer, 5, bad), Error);
    EXPECT_THROW(LinearLR(*optimizer, {.start_factor = bad}), Error);
    EXPECT_THROW(LinearLR(*optimizer, {.end_factor = bad}), Error);
    EXPECT_THROW(LambdaLR(*optimizer, [=](int64_t) { return bad; }), Error);
    EXPECT_THROW(OneCycleLR(*optimizer, {.max_lr = bad, .total_steps = 5}), Error);
    for (double OneCycleLROptions::*option :
         {&OneCycleLROptions::pct_start, &OneCycleLROptions::div_factor,
          &OneCycleLROptions::final_div_factor, &OneCycleLROptions::base_momentum,
          &OneCycleLROptions::max_momentum}) {
      OneCycleLROptions options{.max_lr = 0.1, .total_steps = 5};
      options.*option = bad;
      EXPECT_THROW(OneCycleLR(*optimizer, options), Error);
    }
    EXPECT_THROW(Plateau(*optimizer, {.factor = bad}), Error);
    EXPECT_THROW(Plateau(*optimizer, {.threshold = bad}), Error);
    EXPECT_THROW(Plateau(*optimizer, {.min_lr = bad}), Error);
    EXPECT_THROW(Plateau(*optimizer, {.eps = bad}), Error);
  }
  EXPECT_EQ(optimizer->lr(0), 0.5);
  EXPECT_EQ(optimizer->lr(1), 0.02);
  EXPECT_EQ(*optimizer->momentum(), 0.9);
}

TEST(Schedule, ExtremeNumbersGiveRatesOrErrors) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const auto optimizer = make_adam();
  StepLR step(*optimizer, kMost, 1e300);
  CosineAnnealingLR cosine(*optimizer, kMost);
  LinearLR linear(*optimizer, {.start_factor = 1e-300, .total_iters = kMost});
  MultiStepLR multi(*optimizer, {-5, kMost});
  for (LRScheduler* schedule :
       {(LRScheduler*)&step, (LRScheduler*)&cosine, (LRScheduler*)&linear, (LRScheduler*)&multi}) {
    schedule->step();
    EXPECT_TRUE(std::isfinite(optimizer->lr()));
  }
  const auto other = make_sgd();
  ExponentialLR exploding(*other, 1e300);
  exploding.step();
  expect_error([&] { exploding.step(); }, "[ExponentialLR] the learning rate is inf");
  EXPECT_EQ(other->lr(), 0.5e300);
  EXPECT_EQ(exploding.last_epoch(), 1);
  const auto third = make_sgd();
  ExponentialLR vanishing(*third, 1e-300);
  for (int i = 0; i < 3; ++i) vanishing.step();
  EXPECT_EQ(vanishing.last_lr(), 0);
}

/// The state of an optimizer's parameter lies in the optimizer, the rest in the schedule.
TEST(Schedule, ResumesInAnyOrderOfLoading) {
  const auto make_schedule = [](Optimizer& optimizer) {
    return std::make_unique<LinearLR>(optimizer);
  };
  const auto sgd = [] {
    return std::make_unique<SGD>(std::vector<Tensor>{parameter()}, SGDOptions{.lr = 0.1});
  };
  const auto first = sgd();
  const auto before = make_schedule(*first);
  before->step(), before->step();
  EXPECT_NEAR(first->lr(), 0.06, 1e-15);
  const StateDict optimizer_state = first->state_dict().clone(), state = before->state_dict();
  const auto expect_undisturbed = [](Optimizer& optimizer, LRScheduler& schedule) {
    EXPECT_NEAR(optimizer.lr(), 0.06, 1e-15);
    schedule.step();
    EXPECT_NEAR(optimizer.lr(), 0.0733333333333333, 1e-14);
    schedule.step(), schedule.step(), schedule.step();
    EXPECT_NEAR(optimizer.lr(), 0.1, 1e-15);
  };
  {
    const auto optimizer = sgd();
    optimizer->load_state_dict(optimizer_state);
    const auto schedule = make_schedule(*optimizer);
    schedule->load_state_dict(state);
    expect_undisturbed(*optimizer, *schedule);
  }
  {
    const auto optimizer = sgd();
    const auto schedule = make_schedule(*optimizer);
    schedule->load_state_dict(state);
    optimizer->load_state_dict(optimizer_state);
    expect_undisturbed(*optimizer, *schedule);
  }
  {
    const auto optimizer = sgd();
    const auto schedule = make_schedule(*optimizer);
    schedule->load_state_dict(state);
    expect_undisturbed(*optimizer, *schedule);
  }
  {  // a state of an earlier version: without the rates
    StateDict old = state;
    old.erase("type"), old.erase("last_lr.0");
    const auto optimizer = sgd();
    optimizer->load_state_dict(optimizer_state);
    const auto schedule = make_schedule(*optimizer);
    schedule->load_state_dict(old);
    expect_undisturbed(*optimizer, *schedule);
  }
  {  // OneCycleLR sets the momentum as well
    const auto make = [&] { return make_adam(); };
    const OneCycleLROptions options{.max_lr = 0.4, .total_steps = 20};
    const auto undisturbed = make();
    OneCycleLR cycle(*undisturbed, options);
    for (int i = 0; i < 7; ++i) cycle.step();
    const auto resumed = make();
    resumed->load_state_dict(undisturbed->state_dict());
    OneCycleLR again(*resumed, options);
    again.load_state_dict(cycle.state_dict());
    EXPECT_EQ(resumed->lr(), undisturbed->lr());
    EXPECT_EQ(*resumed->momentum(), *undisturbed->momentum());
  }
}

TEST(Schedule, RefusesAStateThatDoesNotFitAndChangesNothing) {
  const auto optimizer = make_adam();
  LinearLR linear(*optimizer);
  linear.step();
  const double lr = optimizer->lr();
  StepLR step(*optimizer, 1);
  expect_error([&] { linear.load_state_dict(step.state_dict()); },
               "[LinearLR] the state is that of StepLR, want one of LinearLR");
  ReduceLROnPlateau plateau(*optimizer);
  expect_error([&] { linear.load_state_dict(plateau.state_dict()); }, "has no last_epoch");
  expect_error([&] { plateau.load_state_dict(linear.state_dict()); }, "has no best");
  const StateDict good = linear.state_dict();
  const auto f64 = [](double value) { return full({}, value, DType::f64); };
  for (const double bad : {std::nan(""), -1.0, HUGE_VAL}) {
    for (const char* name : {"last_epoch", "base_lrs.0", "last_lr.0"}) {
      StateDict state = good;
      state.set(name, f64(bad));
      EXPECT_THROW(linear.load_state_dict(state), Error) << name << " " << bad;
    }
    StateDict state = plateau.state_dict();
    state.set("num_bad_epochs", f64(bad));
    EXPECT_THROW(plateau.load_state_dict(state), Error);
    state = optimizer->state_dict();
    state.set("param_groups.0.initial_lr", f64(bad));
    EXPECT_THROW(optimizer->load_state_dict(state), Error);
  }
  StateDict state = plateau.state_dict();
  state.set("best", f64(std::nan("")));
  EXPECT_THROW(plateau.load_state_dict(state), Error);
  const auto other = make_adam();
  OneCycleLR cycle(*other, {.max_lr = 0.1, .total_steps = 5});
  state = cycle.state_dict();
  state.set("last_epoch", f64(6));
  expect_error([&] { cycle.load_state_dict(state); }, "step is 6, want at most total_steps");
  EXPECT_EQ(cycle.last_epoch(), 0);
  EXPECT_EQ(optimizer->lr(), lr);
  EXPECT_EQ(linear.last_epoch(), 1);
}

std::unique_ptr<SGD> sgd_of(double lr) {
  return std::make_unique<SGD>(std::vector<Tensor>{parameter()}, SGDOptions{.lr = lr});
}

void expect_rates(LRScheduler& schedule, const std::vector<double>& rates) {
  for (const double rate : rates) {
    schedule.step();
    EXPECT_NEAR(schedule.last_lr(), rate, 1e-7) << schedule.last_epoch();
  }
}

const LinearLROptions kWarmUp{.start_factor = 0.1, .total_iters = 5};
const std::vector<double> kProduct{.0273833, .0420467, .0521282, .0565027, .055};

TEST(Schedule, SeveralOnOneOptimizerMultiply) {
  const auto optimizer = sgd_of(0.1);
  LinearLR warm_up(*optimizer, kWarmUp);
  CosineAnnealingLR cosine(*optimizer, 10, 0.01);
  EXPECT_NEAR(optimizer->lr(), 0.01, 1e-15);
  for (const double rate : kProduct) {
    warm_up.step();
    cosine.step();
    EXPECT_NEAR(optimizer->lr(), rate, 1e-7);
  }
  // Through zero and back: what the others are is not lost.
  const auto other = sgd_of(0.1);
  CosineAnnealingLR two(*other, 2), three(*other, 3);
  for (int t = 1; t < 12; ++t) {
    three.step();
    two.step();
    const auto cosine_of = [&](double t_max) {
      return (1 + std::cos(3.14159265358979323846 * t / t_max)) / 2;
    };
    EXPECT_NEAR(other->lr(), 0.1 * cosine_of(2) * cosine_of(3), 1e-15) << t;
  }
}

TEST(Schedule, TwoCosinesNeverMakeANegativeRate) {
  const auto optimizer = sgd_of(0.1);
  CosineAnnealingLR a(*optimizer, 20, 0.01), b(*optimizer, 33, 0.01);
  for (int t = 0; t < 200; ++t) {
    a.step();
    b.step();
    EXPECT_GE(optimizer->lr(), 0.01 * 0.01 / 0.1 * (1 - 1e-12));
    EXPECT_LE(optimizer->lr(), 0.1 * (1 + 1e-12));
  }
}

TEST(Schedule, AScheduleScalesARateSetByHand) {
  const auto optimizer = sgd_of(0.1);
  StepLR step(*optimizer, 1, 0.5);
  optimizer->set_lr(0.4);
  step.step();
  EXPECT_DOUBLE_EQ(optimizer->lr(), 0.2);
}

TEST(Schedule, ChainedMultipliesAndResumes) {
  const auto make = [](SGD& sgd, auto& schedules) {
    schedules.push_back(std::make_unique<LinearLR>(sgd, kWarmUp));
    schedules.push_back(std::make_unique<CosineAnnealingLR>(sgd, 10, 0.01));
    return ChainedScheduler(sgd, {*schedules[0], *schedules[1]});
  };
  const auto optimizer = sgd_of(0.1);
  Schedules parts;
  ChainedScheduler chained = make(*optimizer, parts);
  EXPECT_NEAR(optimizer->lr(), 0.01, 1e-15);
  expect_rates(chained, {kProduct[0], kProduct[1]});
  EXPECT_EQ(parts[0]->last_epoch(), 2);
  expect_error([&] { parts[0]->step(); }, "[LinearLR] the schedule is part of another one");

  const auto resumed = sgd_of(0.1);
  resumed->load_state_dict(optimizer->state_dict());
  Schedules resumed_parts;
  ChainedScheduler again = make(*resumed, resumed_parts);
  again.load_state_dict(chained.state_dict());
  expect_rates(again, {kProduct[2], kProduct[3], kProduct[4]});
}

TEST(Schedule, SequentialRunsOneAfterTheOther) {
  const auto optimizer = sgd_of(0.1);
  LambdaLR warm_up(*optimizer, [](int64_t t) { return double(t) / 4; });  // from 0
  CosineAnnealingLR cosine(*optimizer, 4, 0.02);
  ExponentialLR exponential(*optimizer, 0.5);
  SequentialLR schedule(*optimizer, {warm_up, cosine, exponential}, {2, 5});
  EXPECT_EQ(optimizer->lr(), 0);
  const double quarter = 0.02 + 0.08 * (1 + std::sqrt(0.5)) / 2;
  expect_rates(schedule, {0.025, 0.1, quarter, 0.06, 0.1, 0.05, 0.025});
  StateDict state = schedule.state_dict();
  state.set("last_epoch", tensor(std::vector<int64_t>{3}, {}));
  state.set("last_lr.0", full({}, quarter, DType::f64));
  schedule.load_state_dict(state);
  expect_rates(schedule, {0.06, 0.1});
}

TEST(Schedule, CombinedSchedulesValidate) {
  const auto optimizer = sgd_of(0.1), other = sgd_of(0.1);
  StepLR a(*optimizer, 1), b(*optimizer, 1), foreign(*other, 1);
  LinearLR warm_up(*optimizer, kWarmUp);
  expect_error([&] { ChainedScheduler(*optimizer, {}); }, "schedules is empty");
  expect_error([&] { ChainedScheduler(*optimizer, {a, a}); }, "(StepLR) is given twice");
  expect_error([&] { ChainedScheduler(*optimizer, {a, foreign}); }, "another optimizer");
  expect_error([&] { SequentialLR(*optimizer, {a, b}, {}); }, "milestones has 0 epochs");
  expect_error([&] { SequentialLR(*optimizer, {a, b}, {0}); }, "a milestone is 0");
  expect_error([&] { SequentialLR(*optimizer, {a, b, warm_up}, {3, 3}); }, "a milestone is 3");
  EXPECT_NEAR(optimizer->lr(), 0.01, 1e-15);  // nothing was taken over
  a.step();
  ChainedScheduler chained(*optimizer, {a, b});
  expect_error([&] { ChainedScheduler(*optimizer, {warm_up, b}); }, "part of another one");
}

TEST(Schedule, PlateauMeasuresProgressInTheSizeOfTheBest) {
  for (const std::vector<double>& metrics :
       {std::vector<double>{-1, -1, -1, -1}, {-100, -99.999, -99.998, -99.997}}) {
    const auto optimizer = sgd_of(0.1);
    ReduceLROnPlateau plateau(*optimizer, {.patience = 2});
    for (const double metric : metrics) plateau.step(metric);
    EXPECT_DOUBLE_EQ(optimizer->lr(), 0.01);
  }
  const auto optimizer = sgd_of(0.1);
  ReduceLROnPlateau rising(*optimizer,
                           {.mode = ReduceLROnPlateauOptions::Mode::max, .patience = 0});
  for (const double metric : {-100.0, -99.0, -98.0}) rising.step(metric);
  EXPECT_EQ(optimizer->lr(), 0.1);
  rising.step(-97.9999);
  EXPECT_DOUBLE_EQ(optimizer->lr(), 0.01);
}

}  // namespace
