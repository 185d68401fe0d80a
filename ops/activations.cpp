// SPDX-License-Identifier: Apache-2.0
#include "activations.h"

#include "unary.h"

namespace tern {

using kernels::Unary;

Tensor relu(const Tensor& x) { return unary("relu", Unary::relu, x); }
Tensor leaky_relu(const Tensor& x, double negative_slope) {
  return unary("leaky_relu", Unary::leaky_relu, x, negative_slope);
}
Tensor sigmoid(const Tensor& x) { return unary("sigmoid", Unary::sigmoid, x); }
Tensor tanh(const Tensor& x) { return unary("tanh", Unary::tanh, x); }
Tensor gelu(const Tensor& x) { return unary("gelu", Unary::gelu, x); }
Tensor silu(const Tensor& x) { return unary("silu", Unary::silu, x); }

}  // namespace tern
