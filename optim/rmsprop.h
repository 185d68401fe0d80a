// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

/// Options of RMSprop, with PyTorch's defaults.
struct RMSpropOptions {
  double lr = 0.01;           ///< learning rate
  double alpha = 0.99;        ///< decay of the squares' mean
  double eps = 1e-8;          ///< added to the divisor
  double weight_decay = 0.0;  ///< weight of the L2 penalty
  double momentum = 0.0;      ///< share of the last step that is kept
  bool centered = false;      ///< divide by the deviation
};

/// RMSprop (Hinton, 2012), as torch.optim.RMSprop:
///   g = grad + weight_decay * p
///   v = alpha * v + (1 - alpha) * g^2
///   a = alpha * a + (1 - alpha) * g                        (centered; otherwise a = 0)
///   s = g / (sqrt(v - a^2) + eps)
///   b = momentum * b + s,  p = p - lr * b                  (without momentum: p - lr * s)
class RMSprop final : public OptimizerWith<RMSpropOptions> {
 public:
  /// Throws Error for parameters that cannot be trained and for options out of range.
  explicit RMSprop(const std::vector<Tensor>& params, const RMSpropOptions& options = {});
  /// Groups of parameters with options of their own.
  explicit RMSprop(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

}  // namespace tern::optim
