// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

namespace tern::nn {

Tensor CrossEntropyLoss::operator()(const Tensor& logits, const Tensor& classes) const {
  const Running running(*this);
  return cross_entropy(logits, classes, options_);
}

Tensor MSELoss::operator()(const Tensor& x, const Tensor& target) const {
  const Running running(*this);
  return mse_loss(x, target, reduction_);
}

}  // namespace tern::nn
