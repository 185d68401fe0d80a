// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

struct RMSpropOptions {
  double lr = 0.01;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.0;
  bool centered = false;
};

/// RMSprop (Hinton, 2012), as torch.optim.RMSprop:
///   g = grad + weight_decay * p
///   v = alpha * v + (1 - alpha) * g^2
///   a = alpha * a + (1 - alpha) * g                        (centered; otherwise a = 0)
///   s = g / (sqrt(v - a^2) + eps)
///   b = momentum * b + s,  p = p - lr * b                  (without momentum: p - lr * s)
class RMSprop final : public OptimizerWith<RMSpropOptions> {
 public:
  explicit RMSprop(const std::vector<Tensor>& params, const RMSpropOptions& options = {});
  explicit RMSprop(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

}  // namespace tern::optim
