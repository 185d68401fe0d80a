// SPDX-License-Identifier: Apache-2.0
#include "dropout.h"

#include "../core/error.h"
#include "../ops/dropout.h"
#include "internal/repr.h"

namespace tern::nn {

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p <= 1)) fail("Dropout", "p is ", p, ", want a probability from 0 to 1");
}

Tensor Dropout::forward(const Tensor& x) { return dropout(x, p_, is_training()); }
std::string Dropout::extra_repr() const { return "p=" + repr(p_) + ", inplace=False"; }

Dropout2d::Dropout2d(double p) : p_(p) {
  if (!(p >= 0 && p <= 1)) fail("Dropout2d", "p is ", p, ", want a probability from 0 to 1");
}

Tensor Dropout2d::forward(const Tensor& x) { return dropout2d(x, p_, is_training()); }
std::string Dropout2d::extra_repr() const { return "p=" + repr(p_) + ", inplace=False"; }

}  // namespace tern::nn
