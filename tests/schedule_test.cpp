// SPDX-License-Identifier: Apache-2.0
// The rates come from PyTorch: fixtures/make_fixtures.py.
#include <gtest/gtest.h>
#include <tern/core/error.h>
#include <tern/core/tensor.h>
#include <tern/io/safetensors.h>
#include <tern/optim/adam.h>
#include <tern/optim/rmsprop.h>
#include <tern/optim/schedule.h>
#include <tern/optim/sgd.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support.h"

using tern::support::expect_error;

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
  expect_error([&] { schedule.step(); }, "total_steps is 5");
  EXPECT_EQ(optimizer->lr(), last);
  EXPECT_EQ(schedule.last_epoch(), 5);
}

TEST(Schedule, OneCycleOfVeryFewStepsStaysFinite) {
  for (const int64_t total : {1, 2, 3, 10}) {
    for (const double share : {0.0, 0.1, 1.0}) {
      const auto optimizer = make_sgd();
      OneCycleLR schedule(*optimizer, {.max_lr = 0.1, .total_steps = total, .pct_start = share});
      for (int64_t step = 0; step < total; ++step) {
        schedule.step();
        EXPECT_TRUE(optimizer->lr() >= 0 && optimizer->lr() <= 0.1) << total << " " << share;
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
  expect_error([&] { LambdaLR(*optimizer, {}); }, "function is empty");
  expect_error([&] { OneCycleLR(*optimizer, {.max_lr = 0.1}); }, "epochs * loader.size()");
  expect_error([&] { ReduceLROnPlateau(*optimizer, {.factor = 1.0}); }, "factor is 1");
  EXPECT_EQ(optimizer->lr(), 0.5);

  const auto three = std::make_unique<SGD>(std::vector<Tensor>{parameter()}, SGDOptions{});
  StepLR two_groups(*optimizer, 1);
  StepLR one_group(*three, 1);
  expect_error([&] { one_group.load_state_dict(two_groups.state_dict()); }, "2 groups");
}

}  // namespace
