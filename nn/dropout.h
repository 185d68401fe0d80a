// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "module_of.h"

namespace tern::nn {

/// In training mode, each element becomes 0 with probability p and 1 / (1 - p) of itself otherwise.
class Dropout : public ModuleOf<Dropout> {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit Dropout(double p = 0.5);
  Tensor forward(const Tensor& x) override;
  double p() const { return p_; }  ///< the probability
  std::string extra_repr() const override;

 private:
  double p_;
};

/// In training mode, each channel of each image becomes 0 with probability p, as a whole, see
/// tern::dropout2d.
class Dropout2d : public ModuleOf<Dropout2d> {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit Dropout2d(double p = 0.5);
  Tensor forward(const Tensor& x) override;
  double p() const { return p_; }  ///< the probability
  std::string extra_repr() const override;

 private:
  double p_;
};

}  // namespace tern::nn
