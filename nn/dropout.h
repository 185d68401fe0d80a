// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "module.h"

namespace tern::nn {

/// In training mode, each element becomes 0 with probability p and 1 / (1 - p) of itself otherwise.
class Dropout : public Module {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit Dropout(double p = 0.5);
  Tensor forward(const Tensor& x) override;
  Dropout clone() const { return nn::clone(*this); }  ///< a deep copy
  double p() const { return p_; }                     ///< the probability
  std::string extra_repr() const override;

 private:
  double p_;
};

}  // namespace tern::nn
