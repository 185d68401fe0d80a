// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/loss.h"
#include "module.h"

namespace tern::nn {

/// cross_entropy(logits, classes, options) as an object.
class CrossEntropyLoss : public Module {
 public:
  /// The options of the function.
  explicit CrossEntropyLoss(CrossEntropyParams options = {}) : options_(options) {}
  /// The loss; throws as the function does.
  Tensor operator()(const Tensor& logits, const Tensor& classes) const;

 private:
  CrossEntropyParams options_;
};

/// mse_loss(x, target, reduction) as an object.
class MSELoss : public Module {
 public:
  /// The options of the function.
  explicit MSELoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  /// The loss; throws as the function does.
  Tensor operator()(const Tensor& x, const Tensor& target) const;

 private:
  Reduction reduction_;
};

}  // namespace tern::nn
