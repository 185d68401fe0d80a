// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// max(x, 0); the derivative at 0 is 0.
Tensor relu(const Tensor& x);
/// x where x > 0, negative_slope * x elsewhere.
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
/// 1 / (1 + exp(-x))
Tensor sigmoid(const Tensor& x);
/// The hyperbolic tangent.
Tensor tanh(const Tensor& x);
/// x * Phi(x) with the normal distribution function Phi (the exact form, with erf).
Tensor gelu(const Tensor& x);

/// How gelu computes Phi(x): exactly, or as 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).
enum class GeluApproximation : uint8_t { none, tanh };
/// "none", "tanh"
const char* to_string(GeluApproximation approximation);

/// Arguments of gelu.
struct GeluOptions {
  GeluApproximation approximate = GeluApproximation::none;  ///< tanh: as GPT-2 was trained
};
/// x * Phi(x), approximated as the options say (Hendrycks and Gimpel 2016).
Tensor gelu(const Tensor& x, const GeluOptions& options);

/// x * sigmoid(x)
Tensor silu(const Tensor& x);
/// x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2015); the derivative at 0 is
/// alpha.
Tensor elu(const Tensor& x, double alpha = 1);
/// log(1 + exp(beta * x)) / beta, x itself where beta * x > threshold, as
/// torch.nn.functional.softplus. Throws Error if beta is 0.
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
/// min(max(x, min_val), max_val); the derivative is 0 at the limits. Throws Error unless
/// min_val <= max_val.
Tensor hardtanh(const Tensor& x, double min_val = -1, double max_val = 1);
/// min(max(x, 0), 6), which is hardtanh(x, 0, 6).
inline Tensor relu6(const Tensor& x) { return hardtanh(x, 0, 6); }
/// min(max(x + 3, 0), 6) / 6; the derivative at -3 and 3 is 0.
Tensor hardsigmoid(const Tensor& x);
/// x * hardsigmoid(x) (Howard et al. 2019); the derivative is 0 at -3 and 1 at 3.
Tensor hardswish(const Tensor& x);
/// x * tanh(softplus(x)) (Misra 2019)
Tensor mish(const Tensor& x);
/// log(sigmoid(x)), exact for every x.
Tensor logsigmoid(const Tensor& x);
/// x / (1 + |x|)
Tensor softsign(const Tensor& x);
/// x where x > 0, weight * x elsewhere (He et al. 2015). The weight has one element, or one for
/// each channel, which is axis 1 of x.
Tensor prelu(const Tensor& x, const Tensor& weight);
/// a * sigmoid(b), a and b being the halves of x along an axis of even length (Dauphin et al.
/// 2016).
Tensor glu(const Tensor& x, int64_t axis = -1);

}  // namespace tern
