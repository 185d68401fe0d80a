// SPDX-License-Identifier: Apache-2.0
#include "activations.h"

#include <cmath>

#include "../core/error.h"
#include "../ops/softmax.h"
#include "internal/repr.h"

namespace tern::nn {

Tensor ReLU::forward(const Tensor& x) { return relu(x); }
Tensor Sigmoid::forward(const Tensor& x) { return sigmoid(x); }
Tensor Tanh::forward(const Tensor& x) { return tanh(x); }
Tensor GELU::forward(const Tensor& x) { return gelu(x, options_); }
std::string GELU::extra_repr() const {
  return std::string("approximate='") + to_string(options_.approximate) + "'";
}
Tensor SiLU::forward(const Tensor& x) { return silu(x); }

LeakyReLU::LeakyReLU(double negative_slope) : negative_slope_(negative_slope) {
  if (!std::isfinite(negative_slope)) {
    fail("LeakyReLU", "negative_slope is ", negative_slope, ", want a finite number");
  }
}
Tensor LeakyReLU::forward(const Tensor& x) { return leaky_relu(x, negative_slope_); }
std::string LeakyReLU::extra_repr() const { return "negative_slope=" + repr(negative_slope_); }

Hardtanh::Hardtanh(double min_val, double max_val) : min_val_(min_val), max_val_(max_val) {
  if (!(min_val < max_val)) {
    fail("Hardtanh", "min_val is ", min_val, ", max_val ", max_val, ", want min_val < max_val");
  }
}
std::string Hardtanh::extra_repr() const {
  return "min_val=" + repr(min_val_) + ", max_val=" + repr(max_val_);
}

std::string ELU::extra_repr() const { return "alpha=" + repr(alpha_); }

Softplus::Softplus(double beta, double threshold) : beta_(beta), threshold_(threshold) {
  if (beta == 0 || beta != beta) fail("Softplus", "beta is ", beta, ", want a number other than 0");
}
std::string Softplus::extra_repr() const {
  return "beta=" + repr(beta_) + ", threshold=" + repr(threshold_);
}

PReLU::PReLU(int64_t num_parameters, double init) {
  if (num_parameters < 1) fail("PReLU", "num_parameters is ", num_parameters, ", want at least 1");
  weight_ = register_parameter("weight", full({num_parameters}, init));
}
std::string PReLU::extra_repr() const { return "num_parameters=" + repr(weight_.numel()); }

std::string GLU::extra_repr() const { return "dim=" + repr(axis_); }

Tensor Softmax::forward(const Tensor& x) { return softmax(x, axis_); }
std::string Softmax::extra_repr() const { return "dim=" + repr(axis_); }

Tensor LogSoftmax::forward(const Tensor& x) { return log_softmax(x, axis_); }
std::string LogSoftmax::extra_repr() const { return "dim=" + repr(axis_); }

}  // namespace tern::nn
