// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

/// Options of Adagrad, with PyTorch's defaults.
struct AdagradOptions {
  double lr = 0.01;                        ///< learning rate
  double lr_decay = 0.0;                   ///< slows the rate down: lr / (1 + (t - 1) * lr_decay)
  double weight_decay = 0.0;               ///< coefficient of the L2 penalty
  double initial_accumulator_value = 0.0;  ///< what the sum of squares begins with
  double eps = 1e-10;                      ///< added to the denominator
  bool maximize = false;                   ///< go up the gradient instead of down
};

/// Adagrad (Duchi, Hazan and Singer, 2011), as torch.optim.Adagrad; t is the parameter's own step
/// count:
///   g = grad + weight_decay * p,  s = s + g^2
///   p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
class Adagrad final : public OptimizerWith<AdagradOptions> {
 public:
  /// Throws Error for parameters that cannot be optimized and for options out of range.
  explicit Adagrad(const std::vector<Tensor>& params, const AdagradOptions& options = {});
  /// As above, with options for each group.
  explicit Adagrad(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

}  // namespace tern::optim
