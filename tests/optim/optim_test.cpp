// SPDX-License-Identifier: Apache-2.0
// The trajectories come from PyTorch: fixtures/make_fixtures.py.
#include <gtest/gtest.h>
#include <tern/core/autograd.h>
#include <tern/core/error.h>
#include <tern/core/random.h>
#include <tern/core/tensor.h>
#include <tern/core/threads.h>
#include <tern/io/safetensors.h>
#include <tern/optim/adagrad.h>
#include <tern/optim/adam.h>
#include <tern/optim/clip.h>
#include <tern/optim/rmsprop.h>
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
using optim::Optimizer;
using Maker = std::function<std::unique_ptr<Optimizer>(const std::vector<Tensor>&)>;

constexpr int kSteps = 100;
constexpr size_t kParams = 3;

const StateDict& fixture() {
  static const StateDict dict =
      io::load_safetensors(TERN_SOURCE_DIR "/tests/fixtures/optim.safetensors");
  return dict;
}

std::string numbered(const std::string& name, size_t i) { return name + "." + std::to_string(i); }

std::vector<Tensor> start(DType dtype = DType::f64) {
  std::vector<Tensor> params;
  for (size_t i = 0; i < kParams; ++i) {
    params.push_back(fixture().at(numbered("start", i)).to(dtype).clone());
    params.back().set_requires_grad();
  }
  return params;
}

/// noise of step t, plus `pull` times the parameter.
template <class T>
Tensor gradient(const Tensor& param, size_t i, int step, double pull) {
  const std::vector<double> noise = fixture().at(numbered("noise", i)).to_vector<double>();
  std::vector<T> values = param.to_vector<T>();
  const size_t n = values.size();
  for (size_t k = 0; k < n; ++k) {
    values[k] =
        static_cast<T>(noise[static_cast<size_t>(step) * n + k]) + static_cast<T>(pull) * values[k];
  }
  return tensor(values, param.shape());
}

template <class T>
void run_step(Optimizer& optimizer, const std::vector<Tensor>& params, int step,
              bool skipping = false) {
  for (size_t i = 0; i < params.size(); ++i)
    params[i].set_grad(gradient<T>(params[i], i, step, 0.3));
  if (skipping && step % 3 == 1) params[1].set_grad({});
  if (skipping && step == 50) optimizer.set_lr(optimizer.lr() * 0.5);
  optimizer.step();
}

template <class T>
double worst_error(const std::string& name, const Maker& make, bool skipping = false) {
  const std::vector<Tensor> params = start(DTypeOf<T>::value);
  const auto optimizer = make(params);
  double worst = 0;
  for (int step = 0; step < kSteps; ++step) {
    run_step<T>(*optimizer, params, step, skipping);
    if (step % 10 != 9) continue;
    for (size_t i = 0; i < kParams; ++i) {
      const std::vector<double> expected =
          fixture().at(numbered(name, i)).template to_vector<double>();
      const std::vector<T> found = params[i].template to_vector<T>();
      const size_t row = static_cast<size_t>(step / 10) * found.size();
      for (size_t k = 0; k < found.size(); ++k) {
        const double error = std::abs(static_cast<double>(found[k]) - expected[row + k]);
        worst = std::isnan(error) ? HUGE_VAL : std::max(worst, error);
      }
    }
  }
  return worst;
}

template <class O, class Options>
Maker maker(const Options& options) {
  return [options](const std::vector<Tensor>& p) { return std::make_unique<O>(p, options); };
}

Maker sgd(const optim::SGDOptions& o) { return maker<optim::SGD>(o); }
Maker adam(const optim::AdamOptions& o) { return maker<optim::Adam>(o); }
Maker adamw(const optim::AdamWOptions& o) { return maker<optim::AdamW>(o); }
Maker adagrad(const optim::AdagradOptions& o) { return maker<optim::Adagrad>(o); }
Maker rmsprop(const optim::RMSpropOptions& o) { return maker<optim::RMSprop>(o); }

struct Case {
  std::string name;
  Maker make;
  bool skipping = false;
};

std::vector<Case> cases() {
  const Maker momentum = sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4});
  const Maker moving = rmsprop({.lr = 0.003, .alpha = 0.9, .weight_decay = 0.01, .momentum = 0.9});
  return {
      {"sgd", sgd({.lr = 0.1})},
      {"sgd_decay", sgd({.lr = 0.1, .weight_decay = 0.05})},
      {"sgd_momentum", momentum},
      {"sgd_dampening", sgd({.lr = 0.1, .momentum = 0.9, .dampening = 0.3})},
      {"sgd_nesterov", sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true})},
      {"adam", adam({})},
      {"adam_options",
       adam({.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1})},
      {"adam_amsgrad", adam({.lr = 0.02, .amsgrad = true})},
      {"adamw", adamw({.lr = 0.02})},
      {"adamw_amsgrad", adamw({.lr = 0.02, .weight_decay = 0.2, .amsgrad = true})},
      {"rmsprop", rmsprop({})},
      {"rmsprop_momentum", moving},
      {"rmsprop_centered", rmsprop({.lr = 0.003, .momentum = 0.5, .centered = true})},
      {"adagrad", adagrad({.lr = 0.05})},
      {"adagrad_options", adagrad({.lr = 0.1,
                                   .lr_decay = 0.02,
                                   .weight_decay = 0.05,
                                   .initial_accumulator_value = 0.2,
                                   .eps = 1e-6})},
      {"sgd_maximize", sgd({.lr = 0.01, .maximize = true})},
      {"sgd_momentum_maximize",
       sgd({.lr = 0.01, .momentum = 0.5, .weight_decay = 0.1, .maximize = true})},
      {"adam_maximize", adam({.lr = 0.02, .weight_decay = 0.1, .maximize = true})},
      {"adamw_maximize", adamw({.lr = 0.02, .amsgrad = true, .maximize = true})},
      {"adagrad_maximize", adagrad({.lr = 0.05, .weight_decay = 0.1, .maximize = true})},
      {"sgd_momentum_skipping", momentum, true},
      {"adam_skipping", adam({}), true},
      {"rmsprop_momentum_skipping", moving, true},
      {"sgd_groups",
       [](const std::vector<Tensor>& p) -> std::unique_ptr<Optimizer> {
         return std::make_unique<optim::SGD>(std::vector<optim::SGD::Group>{
             {{p[0]}, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01}},
             {{p[1], p[2]}, {.lr = 0.01, .momentum = 0.5, .weight_decay = 0.01}}});
       }},
      {"adam_groups",
       [](const std::vector<Tensor>& p) -> std::unique_ptr<Optimizer> {
         return std::make_unique<optim::Adam>(std::vector<optim::Adam::Group>{
             {{p[0]}, {.lr = 0.01}}, {{p[1], p[2]}, {.lr = 0.001, .weight_decay = 0.1}}});
       }},
  };
}

TEST(Optimizer, TrajectoriesEqualPyTorch) {
  for (const Case& c : cases()) {
    EXPECT_LT(worst_error<double>(c.name, c.make, c.skipping), 1e-12) << c.name;
    EXPECT_LT(worst_error<float>(c.name, c.make, c.skipping), 2e-5) << c.name;
  }
}

TEST(Optimizer, ChannelsLastParametersMakeTheSameSteps) {
  const std::vector<Tensor> params = start();
  const std::vector<Tensor> others = start();
  Tensor last = to_memory_format(others[2].detach(), MemoryFormat::channels_last).clone();
  ASSERT_EQ(last.memory_format(), MemoryFormat::channels_last);
  last.set_requires_grad();
  optim::Adam a({params[2]}, {.lr = 0.1});
  optim::Adam b({last}, {.lr = 0.1});
  for (int step = 0; step < 3; ++step) {
    const Tensor grad = gradient<double>(params[2], 2, step, 0.3);
    params[2].set_grad(grad);
    last.set_grad(to_memory_format(grad, MemoryFormat::channels_last));
    a.step();
    b.step();
  }
  EXPECT_EQ(params[2].to_vector<double>(), last.to_vector<double>());
  EXPECT_NE(params[2].to_vector<double>(), fixture().at("start.2").to_vector<double>());
}

TEST(Optimizer, LargeParametersAreTheSameForEveryNumberOfThreads) {
  const int before = num_threads();
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    manual_seed(3);
    const Tensor p = randn({300, 501});
    p.set_requires_grad();
    optim::AdamW optimizer({p}, {.lr = 0.1});
    for (int step = 0; step < 3; ++step) {
      p.set_grad(randn({300, 501}));
      optim::clip_grad_norm_({p}, 1.0);
      optimizer.step();
    }
    results.push_back(p.to_vector<float>());
  }
  set_num_threads(before);
  EXPECT_EQ(results[0], results[1]);
}

TEST(Optimizer, StepCountsAsAnInPlaceChange) {
  const Tensor p = ones({2});
  p.set_requires_grad();
  p.set_grad(ones({2}));
  const uint64_t version = p.version();
  optim::SGD optimizer({p}, {.lr = 0.5});
  optimizer.step();
  EXPECT_GT(p.version(), version);
  EXPECT_EQ(p.to_vector<float>(), (std::vector<float>{0.5f, 0.5f}));
  EXPECT_TRUE(p.requires_grad());
  EXPECT_TRUE(p.is_leaf());
}

TEST(Optimizer, ZeroGradDropsOrZeroes) {
  const Tensor p = ones({2});
  p.set_requires_grad();
  optim::SGD optimizer({p}, {.lr = 0.5});
  p.set_grad(ones({2}));
  optimizer.zero_grad(false);
  ASSERT_TRUE(p.grad().defined());
  EXPECT_EQ(p.grad().to_vector<float>(), (std::vector<float>{0, 0}));
  optimizer.zero_grad();
  EXPECT_FALSE(p.grad().defined());
  optimizer.step();
  EXPECT_EQ(p.to_vector<float>(), (std::vector<float>{1, 1}));
}

// Half the way, saved and loaded into a new optimizer, is the whole way, bit by bit; without the
// state it is not.
TEST(Optimizer, ResumesExactly) {
  for (const Case& c : cases()) {
    const std::vector<Tensor> whole = start();
    const auto one = c.make(whole);
    for (int step = 0; step < 20; ++step) run_step<double>(*one, whole, step);

    for (const bool with_state : {true, false}) {
      const std::vector<Tensor> params = start();
      const auto first = c.make(params);
      for (int step = 0; step < 10; ++step) run_step<double>(*first, params, step);
      const auto second = c.make(params);
      if (with_state) second->load_state_dict(first->state_dict().clone());
      for (int step = 10; step < 20; ++step) run_step<double>(*second, params, step);
      bool equal = true;
      for (size_t i = 0; i < kParams; ++i) {
        equal = equal && params[i].to_vector<double>() == whole[i].to_vector<double>();
      }
      const bool stateless = c.name == "sgd" || c.name == "sgd_decay" || c.name == "sgd_maximize";
      EXPECT_EQ(equal, with_state || stateless) << c.name;
    }
  }
}

TEST(Optimizer, StateIsNamedAndLoadedWithItsOptions) {
  const std::vector<Tensor> params = start();
  optim::SGD optimizer(params, {.lr = 0.1, .momentum = 0.9});
  run_step<double>(optimizer, params, 0);
  optimizer.set_lr(0.025);
  const StateDict dict = optimizer.state_dict();
  EXPECT_EQ(dict.at("state.0.momentum_buffer").shape(), params[0].shape());
  EXPECT_EQ(dict.at("state.2.step").item<int64_t>(), 1);
  EXPECT_EQ(dict.at("param_groups.0.lr").item<double>(), 0.025);

  optim::SGD other(params, {.lr = 1.0, .momentum = 0.5, .nesterov = true});
  other.load_state_dict(dict);
  EXPECT_EQ(other.lr(), 0.025);
  EXPECT_EQ(other.options().momentum, 0.9);
  EXPECT_FALSE(other.options().nesterov);
}

TEST(Optimizer, RefusesAStateThatDoesNotFitAndChangesNothing) {
  const std::vector<Tensor> params = start();
  optim::Adam optimizer(params, {.lr = 0.1});
  run_step<double>(optimizer, params, 0);
  const StateDict good = optimizer.state_dict().clone();

  StateDict dict = good;
  dict.set("param_groups.0.lr", full(Shape{}, 0.7, DType::f64));
  dict.erase("state.1.exp_avg");
  expect_error([&] { optimizer.load_state_dict(dict); }, "Missing: state.1.exp_avg");
  EXPECT_EQ(optimizer.lr(), 0.1);

  dict = good;
  dict.set("state.1.exp_avg", zeros({7}, DType::f64));
  expect_error([&] { optimizer.load_state_dict(dict); }, "state.1.exp_avg is f64[7], want [3]");

  dict = good;
  dict.set("state.9.exp_avg", zeros({7}, DType::f64));
  expect_error([&] { optimizer.load_state_dict(dict); }, "Unexpected: state.9.exp_avg");

  dict = good;
  dict.set("param_groups.0.beta1", full(Shape{}, 1.5, DType::f64));
  expect_error([&] { optimizer.load_state_dict(dict); }, "beta1 is 1.5");
  EXPECT_EQ(optimizer.options().beta1, 0.9);
}

TEST(Optimizer, ValidatesParametersAndOptions) {
  const Tensor p = ones({2});
  p.set_requires_grad();
  expect_error([] { optim::SGD(std::vector<Tensor>{}, {.lr = 0.1}); }, "params is empty");
  expect_error([] { optim::SGD({Tensor()}, {.lr = 0.1}); }, "parameter 0 is undefined");
  expect_error([&] { optim::SGD({p, p}, {.lr = 0.1}); }, "given twice");
  expect_error([] { optim::SGD({zeros({2}, DType::i64)}, {.lr = 0.1}); }, "i64[2]");
  expect_error([&] { optim::SGD({p}, {.lr = -1}); }, "lr is -1");
  expect_error([&] { optim::SGD({p}, {.lr = std::nan("")}); }, "lr is");
  expect_error([&] { optim::SGD({p}, {.lr = 0.1, .nesterov = true}); }, "nesterov");
  expect_error([&] { optim::Adam({p}, {.beta2 = 1.0}); }, "beta2 is 1");
  expect_error([&] { optim::AdamW({p}, {.eps = -1e-8}); }, "optim::AdamW");
  expect_error([&] { optim::RMSprop({p}, {.weight_decay = -1}); }, "weight_decay is -1");
  optim::SGD optimizer({p}, {.lr = 0.1});
  expect_error([&] { optimizer.set_lr(-0.1); }, "lr is -0.1");
  EXPECT_EQ(optimizer.lr(), 0.1);
}

TEST(RMSprop, CenteredVarianceIsNeverNegative) {
  const auto run = [](DType dtype) {
    const Tensor p = zeros({1}, dtype).set_requires_grad();
    optim::RMSprop rmsprop({p}, {.lr = 1e-4, .centered = true});
    for (int step = 0; step < 1500; ++step) {
      p.set_grad(full({1}, 0.1, dtype));
      rmsprop.step();
    }
    return p.item<double>();
  };
  const double exact = run(DType::f64);
  EXPECT_TRUE(std::isfinite(exact));
  EXPECT_NEAR(run(DType::f32), exact, 1e-4 * std::abs(exact));
}

TEST(RMSprop, LoadsPyTorchsCenteredStateAndTheOtherOption) {
  const auto step = [](optim::RMSprop& rmsprop, const Tensor& p, double gradient) {
    p.set_grad(full({1}, gradient, DType::f64));
    rmsprop.step();
  };
  const auto make = [](const Tensor& p, bool centered) {
    return optim::RMSprop({p}, {.lr = 0.01, .centered = centered});
  };
  const auto fresh = [] { return zeros({1}, DType::f64).set_requires_grad(); };
  // After gradients 1 and 3: v = alpha v + (1 - alpha) g^2, a likewise.
  const double v = 0.99 * 0.01 + 0.01 * 9, a = 0.99 * 0.01 + 0.01 * 3;
  const Tensor p = fresh(), q = fresh();
  optim::RMSprop whole = make(p, true);
  step(whole, p, 1), step(whole, p, 3);
  StateDict state = whole.state_dict();
  EXPECT_NEAR(state.at("state.0.grad_var").item<double>(), v - a * a, 1e-15);
  EXPECT_FALSE(state.contains("state.0.square_avg"));
  state.erase("state.0.grad_var");
  optim::RMSprop resumed = make(q, true);
  expect_error([&] { resumed.load_state_dict(state); }, "Missing: the buffers of state.0.step");
  state.insert("state.0.square_avg", full({1}, v, DType::f64));  // as PyTorch has it
  resumed.load_state_dict(state);
  {
    const NoGrad no_grad;
    q.copy_(p);
  }
  step(whole, p, 2), step(resumed, q, 2);
  EXPECT_NEAR(q.item<double>(), p.item<double>(), 1e-14);
  whole.set_options({.lr = 0.01, .centered = false});
  step(whole, p, 2);
  const double squares = 0.99 * (0.99 * v + 0.04) + 0.04;
  EXPECT_NEAR(whole.state_dict().at("state.0.square_avg").item<double>(), squares, 1e-14);
}

TEST(Clip, GradientsEqualPyTorch) {
  struct Clip {
    std::string name;
    std::function<double(const std::vector<Tensor>&)> run;
  };
  const std::vector<Clip> clips = {
      {"norm_2", [](auto& p) { return optim::clip_grad_norm_(p, 1.5); }},
      {"norm_1", [](auto& p) { return optim::clip_grad_norm_(p, 2.5, 1.0); }},
      {"norm_3", [](auto& p) { return optim::clip_grad_norm_(p, 0.7, 3.0); }},
      {"norm_inf", [](auto& p) { return optim::clip_grad_norm_(p, 0.9, HUGE_VAL); }},
      {"norm_loose", [](auto& p) { return optim::clip_grad_norm_(p, 1e6); }},
      {"value", [](auto& p) {
         optim::clip_grad_value_(p, 0.4);
         return 0.0;
       }}};
  for (const Clip& clip : clips) {
    std::vector<Tensor> params = start();
    for (size_t i = 0; i < kParams; ++i) params[i].set_grad(gradient<double>(params[i], i, 0, 0));
    params.push_back(ones({2}));  // one without a gradient
    const double norm = clip.run(params);
    if (clip.name != "value") {
      const double expected = fixture().at("clip_" + clip.name + ".norm").item<double>();
      EXPECT_NEAR(norm, expected, 1e-12 * expected) << clip.name;
    }
    for (size_t i = 0; i < kParams; ++i) {
      const auto expected = fixture().at(numbered("clip_" + clip.name, i)).to_vector<double>();
      const auto found = params[i].grad().to_vector<double>();
      for (size_t k = 0; k < found.size(); ++k) EXPECT_NEAR(found[k], expected[k], 1e-12);
    }
  }
}

TEST(Clip, NonFiniteGradientsSpreadOrThrow) {
  const Tensor a = ones({2});
  const Tensor b = ones({1});
  for (const Tensor& p : {a, b}) p.set_requires_grad();
  a.set_grad(tensor(std::vector<float>{1, NAN}, {2}));
  b.set_grad(tensor(std::vector<float>{1}, {1}));
  expect_error([&] { optim::clip_grad_norm_({a, b}, 1.0, 2.0, true); }, "want a finite one");
  EXPECT_EQ(b.grad().item<float>(), 1.0f);
  EXPECT_TRUE(std::isnan(optim::clip_grad_norm_({a, b}, 1.0)));
  EXPECT_TRUE(std::isnan(b.grad().item<float>()));
  EXPECT_TRUE(std::isnan(optim::clip_grad_norm_({a, b}, 1.0, HUGE_VAL)));
  expect_error([&] { optim::clip_grad_norm_({a}, -1.0); }, "max_norm is -1");
  expect_error([&] { optim::clip_grad_value_({a}, -1.0); }, "clip_value is -1");
}

TEST(Optimizer, AGroupThatIsNotThereIsAnError) {
  optim::SGD sgd({ones({1}).set_requires_grad()}, {.lr = 0.5});
  const char* message = "[optim::SGD] there is no group 1, the optimizer has 1";
  expect_error([&] { (void)sgd.params(1); }, message);
  expect_error([&] { (void)sgd.options(1); }, message);
  expect_error([&] { sgd.set_options({}, 1); }, message);
  expect_error([&] { (void)sgd.lr(1); }, message);
  expect_error([&] { sgd.set_lr(1, 1); }, message);
  expect_error([&] { (void)sgd.momentum(1); }, message);
  expect_error([&] { sgd.set_momentum(0.5, 1); }, message);
  expect_error([&] { (void)sgd.initial_lr(1); }, message);
  expect_error([&] { sgd.set_initial_lr(1, 1); }, message);
  const optim::StepLR schedule(sgd, 1);
  expect_error([&] { (void)schedule.last_lr(1); }, message);
}

}  // namespace
