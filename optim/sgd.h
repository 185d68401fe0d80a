// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

struct SGDOptions {
  double lr = 0.01;
  double momentum = 0.0;
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;  ///< needs momentum > 0 and no dampening
};

/// Stochastic gradient descent with momentum, as torch.optim.SGD:
///   d = grad + weight_decay * p
///   b = momentum * b + (1 - dampening) * d   (b = d in the first step)
///   p = p - lr * b                           (nesterov: p - lr * (d + momentum * b))
class SGD final : public OptimizerWith<SGDOptions> {
 public:
  explicit SGD(const std::vector<Tensor>& params, const SGDOptions& options = {});
  explicit SGD(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

}  // namespace tern::optim
