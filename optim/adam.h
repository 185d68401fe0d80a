// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "optimizer.h"

namespace tern::optim {

/// Options of Adam, with PyTorch's defaults.
struct AdamOptions {
  double lr = 1e-3;           ///< learning rate
  double beta1 = 0.9;         ///< decay of the running mean of the gradient
  double beta2 = 0.999;       ///< decay of the running mean of its square
  double eps = 1e-8;          ///< added to the denominator
  double weight_decay = 0.0;  ///< coefficient of the L2 penalty
  bool amsgrad = false;       ///< divide by the largest v so far
  bool maximize = false;      ///< go up the gradient instead of down
};

/// Options of AdamW, with PyTorch's defaults.
struct AdamWOptions {
  double lr = 1e-3;            ///< learning rate
  double beta1 = 0.9;          ///< decay of the running mean of the gradient
  double beta2 = 0.999;        ///< decay of the running mean of its square
  double eps = 1e-8;           ///< added to the denominator
  double weight_decay = 0.01;  ///< decoupled decay, multiplied by lr
  bool amsgrad = false;        ///< divide by the largest v so far
  bool maximize = false;       ///< go up the gradient instead of down
};

/// Adam (Kingma and Ba, 2015), as torch.optim.Adam; t is the parameter's own step count:
///   g = grad + weight_decay * p
///   m = beta1 * m + (1 - beta1) * g
///   v = beta2 * v + (1 - beta2) * g^2
///   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// amsgrad (Reddi, Kale and Kumar, 2018) divides by the largest v so far.
class Adam final : public OptimizerWith<AdamOptions> {
 public:
  /// Throws Error for parameters that cannot be optimized and for options out of range.
  explicit Adam(const std::vector<Tensor>& params, const AdamOptions& options = {});
  /// As above, with options for each group.
  explicit Adam(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as torch.optim.AdamW: g = grad,
/// and p shrinks by 1 - lr * weight_decay before each step.
class AdamW final : public OptimizerWith<AdamWOptions> {
 public:
  /// Throws Error for parameters that cannot be optimized and for options out of range.
  explicit AdamW(const std::vector<Tensor>& params, const AdamWOptions& options = {});
  /// As above, with options for each group.
  explicit AdamW(const std::vector<Group>& groups);

 private:
  void update(size_t group, const Tensor& param, const Tensor& grad, State& state) override;
};

}  // namespace tern::optim
