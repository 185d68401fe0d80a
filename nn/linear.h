// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "module_of.h"

namespace tern::nn {

/// Options of Linear.
struct LinearOptions {
  bool bias = true;  ///< whether there is a bias
};

/// y = x weight^T + bias for x [..., in_features]. Parameters: weight [out, in], bias [out]. Both
/// begin uniform within 1 / sqrt(in_features), as PyTorch's.
class Linear : public ModuleOf<Linear> {
 public:
  /// Throws Error unless both sizes are at least 1.
  Linear(int64_t in_features, int64_t out_features, LinearOptions options = {});

  Tensor forward(const Tensor& x) override;
  /// Draws new initial values.
  void reset_parameters();

  const Tensor& weight() const { return weight_; }  ///< the parameter
  /// Undefined if the layer has none.
  const Tensor& bias() const { return bias_; }
  int64_t in_features() const { return in_features_; }    ///< as given
  int64_t out_features() const { return out_features_; }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t in_features_;
  int64_t out_features_;
  Tensor weight_;
  Tensor bias_;
};

}  // namespace tern::nn
