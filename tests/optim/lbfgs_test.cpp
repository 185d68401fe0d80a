// SPDX-License-Identifier: Apache-2.0
// L-BFGS and averages of weights, against PyTorch (fixtures/make_fixtures.py), and Adagrad's state.
#include <tern/tern.h>

#include <cmath>
#include <limits>

#include "op_checks.h"
#include "support.h"

namespace {

using namespace tern;
using optim::LineSearch;
using tern::test::expect_close;
using tern::test::expect_error;

const StateDict& fixture() {
  static const StateDict dict =
      io::load_safetensors(TERN_SOURCE_DIR "/tests/fixtures/optim.safetensors");
  return dict;
}

/// Rosenbrock's function of two tensors, as make_lbfgs has it.
struct Rosenbrock {
  Tensor a, b;
  explicit Rosenbrock(DType dtype = DType::f64)
      : a(linspace(-1.2, 1.5, 3, dtype)), b(reshape(linspace(0.7, -0.9, 4, dtype), {2, 2})) {
    b = b.detach().clone();
    a.set_requires_grad();
    b.set_requires_grad();
  }
  Tensor loss() const {
    const Tensor v = cat({a, reshape(b, {4})});
    const Tensor next = slice(v, 0, 1, 7), now = slice(v, 0, 0, 6);
    return sum(100.0 * pow(next - now * now, 2.0) + pow(1.0 - now, 2.0));
  }
  optim::LBFGS::Closure closure() const {
    return [*this] {
      a.set_grad({});
      b.set_grad({});
      const Tensor y = loss();
      y.backward();
      return y;
    };
  }
};

TEST(LBFGS, StepsEqualPyTorchs) {
  const std::map<std::string, optim::LBFGSOptions> cases{
      {"plain", {.lr = 0.001, .max_iter = 5}},
      {"wolfe", {.line_search_fn = LineSearch::strong_wolfe}},
      {"wolfe_short",
       {.lr = 0.5, .max_iter = 4, .history_size = 2, .line_search_fn = LineSearch::strong_wolfe}},
      {"wolfe_evals", {.max_eval = 6, .line_search_fn = LineSearch::strong_wolfe}}};
  for (const auto& [name, options] : cases) {
    const Rosenbrock f;
    optim::LBFGS lbfgs({f.a, f.b}, options);
    std::vector<double> losses;
    for (int i = 0; i < 6; ++i) losses.push_back(lbfgs.step(f.closure()).item<double>());
    expect_close(tensor(losses, {6}), fixture().at("lbfgs_" + name + ".loss"), 1e-8, name);
    expect_close(f.a, fixture().at("lbfgs_" + name + ".a"), 1e-8, name);
    expect_close(f.b, fixture().at("lbfgs_" + name + ".b"), 1e-8, name);
  }
}

TEST(LBFGS, FindsAMinimumInFloat32Too) {
  const Rosenbrock f(DType::f32);
  optim::LBFGS lbfgs({f.a, f.b}, {.line_search_fn = LineSearch::strong_wolfe});
  for (int i = 0; i < 10; ++i) lbfgs.step(f.closure());
  EXPECT_LT(f.loss().item<double>(), 4.0);
  EXPECT_GT(lbfgs.func_evals(), 20);
  EXPECT_LT(test::largest(f.a.grad()), 0.1);
}

TEST(LBFGS, AResumedOneMakesTheSameSteps) {
  const optim::LBFGSOptions options{.max_iter = 3, .line_search_fn = LineSearch::strong_wolfe};
  const Rosenbrock f, g;
  optim::LBFGS first({f.a, f.b}, options), second({g.a, g.b}, options);
  for (int i = 0; i < 3; ++i) first.step(f.closure());
  const StateDict saved = first.state_dict().clone();
  {
    const NoGrad no_grad;
    g.a.copy_(f.a);
    g.b.copy_(f.b);
  }
  second.load_state_dict(saved);
  for (int i = 0; i < 2; ++i) {
    first.step(f.closure());
    second.step(g.closure());
  }
  EXPECT_TRUE(test::same_bits<double>(f.a, g.a));
  EXPECT_TRUE(test::same_bits<double>(f.b, g.b));
  EXPECT_EQ(first.func_evals(), second.func_evals());
  StateDict broken = saved;
  broken.set("state.0.d", zeros({3}));
  const int64_t evals = second.func_evals();
  expect_error([&] { second.load_state_dict(broken); }, "d is f32[3], want [7]");
  broken.erase("state.0.d");
  expect_error([&] { second.load_state_dict(broken); }, "has no state.0.d");
  EXPECT_EQ(second.func_evals(), evals);
}

TEST(LBFGS, ALossThatIsNotFiniteHasNotFallen) {
  const Tensor x = full({1}, 0.5, DType::f64).set_requires_grad();
  optim::LBFGS lbfgs({x}, {.lr = 100, .line_search_fn = LineSearch::strong_wolfe});
  for (int i = 0; i < 5; ++i) {
    lbfgs.step([&] {
      lbfgs.zero_grad();
      const Tensor loss = x * 3.0 - log(x);  // NaN below 0; least at 1/3
      sum(loss).backward();
      return loss;
    });
  }
  EXPECT_NEAR(x.item<double>(), 1.0 / 3, 1e-5);
}

TEST(LBFGS, Errors) {
  const Tensor x = ones({2}).set_requires_grad();
  optim::LBFGS lbfgs({x});
  expect_error([&] { lbfgs.step({}); }, "the closure is empty");
  expect_error([&] { lbfgs.step([&] { return x; }); },
               "the closure returned f32[2], want the loss");
  x.set_grad(ones({2}));
  optim::Optimizer& base = lbfgs;
  expect_error([&] { base.step(); }, "step() was called without a function");
  expect_error([&] { optim::LBFGS({x}, {.max_iter = 0}); }, "max_iter is 0");
  const Tensor y = ones({2}, DType::f64).set_requires_grad();
  expect_error([&] { optim::LBFGS({x, y}); }, "a parameter is f64[2], want f32 as the first one");
  expect_error([&] { optim::Adagrad({x}, {.lr_decay = -1}); }, "lr_decay is -1");
}

TEST(Optimizer, AStateFromBeforeMaximizeWasThereLoads) {
  const Tensor x = ones({2}).set_requires_grad();
  optim::SGD sgd({x}, {.maximize = true});
  StateDict dict = sgd.state_dict();
  EXPECT_EQ(dict.at("param_groups.0.maximize").item<double>(), 1);
  dict.erase("param_groups.0.maximize");
  sgd.load_state_dict(dict);
  EXPECT_TRUE(sgd.options().maximize);
  dict.erase("param_groups.0.momentum");
  expect_error([&] { sgd.load_state_dict(dict); }, "Missing: param_groups.0.momentum");
}

TEST(AveragedWeights, EqualPyTorchs) {
  for (const double decay : {0.0, 0.9}) {
    std::vector<Tensor> params;
    for (size_t i = 0; i < 3; ++i) {
      params.push_back(fixture().at("start." + std::to_string(i)).clone().set_requires_grad());
    }
    optim::SGD sgd(params, {.lr = 0.1});
    optim::AveragedWeights averages(params, {.decay = decay});
    for (int64_t t = 0; t < 20; ++t) {
      for (size_t i = 0; i < 3; ++i) {
        const Tensor noise = select(fixture().at("noise." + std::to_string(i)), 0, t);
        params[i].set_grad(noise + 0.3 * params[i].detach());
      }
      sgd.step();
      averages.update();
    }
    for (size_t i = 0; i < 3; ++i) {
      const std::string name = decay > 0 ? "average_ema." : "average_swa.";
      expect_close(averages.averages()[i], fixture().at(name + std::to_string(i)), 1e-13, name);
    }
  }
}

TEST(AveragedWeights, SwapCopyAndResume) {
  const Tensor x = full({2}, 1.0).set_requires_grad();
  optim::AveragedWeights ema({x}, {.decay = 0.5});
  ema.update();
  {
    const NoGrad no_grad;
    x.fill_(3);
  }
  ema.update();  // 0.5 * 1 + 0.5 * 3
  EXPECT_EQ(ema.updates(), 2);
  ema.swap();
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{2, 2}));
  ema.swap();
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{3, 3}));
  const Tensor other = zeros({2}, DType::f64);
  ema.copy_to({other});
  EXPECT_EQ(other.to_vector<double>(), (std::vector<double>{2, 2}));
  optim::AveragedWeights resumed({x}, {.decay = 0.5});
  resumed.load_state_dict(ema.state_dict());
  resumed.update();
  ema.update();
  EXPECT_TRUE(test::same_bits(resumed.averages()[0], ema.averages()[0]));

  expect_error([&] { ema.copy_to({}); }, "there are 0 tensors to write to, want 1");
  expect_error([&] { ema.copy_to({zeros({3})}); }, "tensor 0 to write to is f32[3], want f32[2]");
  expect_error([&] { ema.load_state_dict({}); }, "the state has 0 entries, want n_averaged");
  expect_error([] { optim::AveragedWeights({}); }, "params is empty");
  expect_error([&] { optim::AveragedWeights({x}, {.decay = 1}); }, "decay is 1, want [0, 1)");
}

}  // namespace
