// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

/// Options of RMSprop, with PyTorch's defaults.
struct RMSpropOptions {
  double lr = 0.01;           ///< learning rate
  double alpha = 0.99;        ///< decay of the running mean of the squared gradient
  double eps = 1e-8;          ///< added to the denominator
  double weight_decay = 0.0;  ///< coefficient of the L2 penalty
  double momentum = 0.0;      ///< fraction of the last step that is kept
  bool centered = false;      ///< divide by the standard deviation instead
  bool maximize = false;      ///< go up the gradient instead of down
};

/// RMSprop (Hinton, 2012), as torch.optim.RMSprop:
///   g = grad + weight_decay * p
///   v = alpha * v + (1 - alpha) * g^2
///   s = g / (sqrt(v) + eps)
///   b = momentum * b + s,  p = p - lr * b                  (without momentum: p - lr * s)
/// With centered, the variance takes the place of v. PyTorch computes it as v - a^2, which rounding
/// can make negative; here it has a recurrence of its own, which cannot (Welford's, with weights):
///   d = g - a,  a = a + (1 - alpha) * d,  v = alpha * (v + (1 - alpha) * d^2)
class RMSprop final : public OptimizerWith<RMSpropOptions> {
 public:
  /// Throws Error for parameters that cannot be optimized and for options out of range.
  explicit RMSprop(const std::vector<Tensor>& params, const RMSpropOptions& options = {});
  /// As above, with options for each group.
  explicit RMSprop(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
  bool is_complete(const State& state) const override;
};

}  // namespace tern::optim
