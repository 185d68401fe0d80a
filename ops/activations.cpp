// SPDX-License-Identifier: Apache-2.0
#include "activations.h"

#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/unary.h"
#include "movement.h"

namespace tern {

Tensor relu(const Tensor& x) { return unary<kernels::Relu>(x); }
Tensor leaky_relu(const Tensor& x, double negative_slope) {
  return unary<kernels::LeakyRelu>(x, {negative_slope});
}
Tensor sigmoid(const Tensor& x) { return unary<kernels::Sigmoid>(x); }
Tensor tanh(const Tensor& x) { return unary<kernels::Tanh>(x); }
Tensor gelu(const Tensor& x) { return unary<kernels::Gelu>(x); }
const char* to_string(GeluApproximation approximation) {
  return approximation == GeluApproximation::none ? "none" : "tanh";
}
Tensor gelu(const Tensor& x, const GeluOptions& options) {
  return options.approximate == GeluApproximation::none ? gelu(x) : unary<kernels::GeluTanh>(x);
}
Tensor silu(const Tensor& x) { return unary<kernels::Silu>(x); }
Tensor elu(const Tensor& x, double alpha) { return unary<kernels::Elu>(x, {alpha}); }
Tensor softplus(const Tensor& x, double beta, double threshold) {
  if (beta == 0 || beta != beta) fail("softplus", "beta is ", beta, ", want a number other than 0");
  return unary<kernels::Softplus>(x, {beta, threshold});
}
Tensor hardtanh(const Tensor& x, double min_val, double max_val) {
  if (!(min_val <= max_val)) {
    fail("hardtanh", "min_val is ", min_val, ", max_val ", max_val, ", want min_val <= max_val");
  }
  return unary<kernels::Hardtanh>(x, {min_val, max_val});
}
Tensor hardsigmoid(const Tensor& x) { return unary<kernels::Hardsigmoid>(x); }
Tensor hardswish(const Tensor& x) { return unary<kernels::Hardswish>(x); }
Tensor mish(const Tensor& x) { return unary<kernels::Mish>(x); }
Tensor logsigmoid(const Tensor& x) { return unary<kernels::LogSigmoid>(x); }
Tensor softsign(const Tensor& x) { return unary<kernels::Softsign>(x); }

Tensor prelu(const Tensor& x, const Tensor& weight) {
  const OpScope scope("prelu", x, weight);
  const int64_t count = weight.numel();
  if (count != 1 && (x.dim() < 2 || count != x.shape()[1])) {
    fail("prelu", "weight is ", weight, ", x ", x,
         ", want one element, or one for each channel (axis 1 of x)");
  }
  std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
  if (x.dim() >= 2) sizes[1] = count;
  return scope.result(where(gt(x, 0.0), x, x * reshape(weight, sizes)));
}

Tensor glu(const Tensor& x, int64_t axis) {
  const OpScope scope("glu", x, "axis", axis);
  const int64_t length = x.size(axis);
  if (length % 2 != 0) {
    fail("glu", "x is ", x, ", of length ", length, " along axis ", axis, ", want an even length");
  }
  return scope.result(slice(x, axis, 0, length / 2) * sigmoid(slice(x, axis, length / 2, length)));
}

}  // namespace tern
