// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

/// Options of SGD, with PyTorch's defaults.
struct SGDOptions {
  double lr = 0.01;           ///< learning rate
  double momentum = 0.0;      ///< fraction of the last step that is kept
  double dampening = 0.0;     ///< reduces the gradient's weight in the momentum buffer
  double weight_decay = 0.0;  ///< coefficient of the L2 penalty
  bool nesterov = false;      ///< Nesterov momentum: requires momentum > 0, dampening = 0
  bool maximize = false;      ///< go up the gradient instead of down
};

/// Stochastic gradient descent with momentum, as torch.optim.SGD:
///   d = grad + weight_decay * p
///   b = momentum * b + (1 - dampening) * d   (b = d in the first step)
///   p = p - lr * b                           (nesterov: p - lr * (d + momentum * b))
class SGD final : public OptimizerWith<SGDOptions> {
 public:
  /// Throws Error for parameters that cannot be optimized and for options out of range.
  explicit SGD(const std::vector<Tensor>& params, const SGDOptions& options = {});
  /// As above, with options for each group.
  explicit SGD(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

}  // namespace tern::optim
