// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "optimizer.h"

namespace tern::optim {

/// How LBFGS finds the length of a step.
enum class LineSearch : uint8_t {
  none,         ///< it is lr
  strong_wolfe  ///< where the loss and its slope have fallen enough, starting from lr
};

/// Options of LBFGS, with PyTorch's defaults.
struct LBFGSOptions {
  double lr = 1.0;                 ///< length of a step, or where the line search starts
  int64_t max_iter = 20;           ///< iterations in a call of step
  int64_t max_eval = 0;            ///< calls of the closure in a call of step; 0: 5/4 of max_iter
  double tolerance_grad = 1e-7;    ///< ends where no element of the gradient is larger
  double tolerance_change = 1e-9;  ///< ends where steps or the loss change by less
  int64_t history_size = 100;      ///< pairs of changes that are remembered
  LineSearch line_search_fn = LineSearch::none;  ///< how far a step goes
};

/// L-BFGS (Liu and Nocedal, 1989), as torch.optim.LBFGS: a quasi-Newton method for losses that are
/// the same function in every call, as those of physics-informed nets. An iteration goes along
/// -H g, where H is made of the changes of the parameters and the gradients in the last
/// `history_size` iterations. It keeps 2 * history_size copies of all parameters.
///
///     optim::LBFGS lbfgs(net.parameters(), {.line_search_fn = optim::LineSearch::strong_wolfe});
///     const Tensor loss = lbfgs.step([&] {
///       lbfgs.zero_grad();
///       const Tensor loss = mse_loss(net(x), y);
///       loss.backward();
///       return loss;
///     });
///
/// A loss that is not finite counts as one that has not fallen. Parameters without a gradient have
/// the gradient 0.
class LBFGS final : public OptimizerWith<LBFGSOptions> {
 public:
  /// What computes the loss: drops the gradients, runs backward and returns the loss.
  using Closure = std::function<Tensor()>;

  /// Throws Error for parameters that cannot be optimized or differ in their dtype, and for options
  /// out of range.
  explicit LBFGS(const std::vector<Tensor>& params, const LBFGSOptions& options = {});

  /// Up to max_iter iterations; returns the loss before the first one. The closure runs with
  /// gradients recorded. Throws Error if it returns no number.
  Tensor step(const Closure& closure);
  int64_t func_evals() const { return state_.func_evals; }  ///< calls of closures so far

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& dict) override;

 private:
  /// What is remembered; tensors are flat, of all parameters.
  struct Memory {
    int64_t func_evals = 0, n_iter = 0;
    Tensor d, previous_gradient;
    double t = 0, h_diag = 1, previous_loss = 0;
    std::vector<Tensor> changes, steps;  // of the gradient and of the parameters
    std::vector<double> ro;              // 1 / (change * step)
  };
  /// A point of the line that is searched.
  struct Point {
    double t, loss;
    Tensor gradient;
    double slope;
  };
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
  Tensor gradient() const;
  void move(double t, const Tensor& d) const;
  double evaluate(const Closure& closure, Tensor* loss = nullptr);
  void find_direction(const Tensor& g);
  Point strong_wolfe(const Closure& closure, const Point& start, double t);
  Point evaluate_at(const Closure& closure, double t, const std::vector<Tensor>& origin);

  Memory state_;
};

}  // namespace tern::optim
