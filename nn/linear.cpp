// SPDX-License-Identifier: Apache-2.0
#include "linear.h"

#include <cmath>

#include "../core/error.h"
#include "../ops/matmul.h"
#include "init.h"
#include "internal/repr.h"

namespace tern::nn {

Linear::Linear(int64_t in_features, int64_t out_features, LinearOptions options)
    : in_features_(in_features), out_features_(out_features) {
  if (in_features < 1 || out_features < 1) {
    fail("Linear", "it has ", in_features, " inputs and ", out_features,
         " outputs, want at least 1 of each");
  }
  weight_ = register_parameter("weight", zeros({out_features, in_features}));
  bias_ = register_parameter("bias", options.bias ? zeros({out_features}) : Tensor());
  reset_parameters();
}

void Linear::reset_parameters() {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in_features_));
  init::uniform_(weight_, -bound, bound);
  if (bias_.defined()) init::uniform_(bias_, -bound, bound);
}

Tensor Linear::forward(const Tensor& x) { return linear(x, weight_, bias_); }

std::string Linear::extra_repr() const {
  return "in_features=" + repr(in_features_) + ", out_features=" + repr(out_features_) +
         ", bias=" + repr(bias_.defined());
}

}  // namespace tern::nn
