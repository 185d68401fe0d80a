// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "../core/tensor.h"

namespace tern {

/// Options of scaled_dot_product_attention.
struct AttentionOptions {
  double dropout_p = 0;                        ///< the probability with which a weight is dropped
  bool is_causal = false;                      ///< query i uses keys 0 to i only
  std::optional<double> scale = std::nullopt;  ///< of the products; 1 / sqrt(E) unless set
};

/// softmax(scale q k^T + mask) v along the keys: q [..., L, E], k [..., S, E], v [..., S, Ev] give
/// [..., L, Ev]. `attn_mask` broadcasts to [..., L, S]: of bool (or u8), whether a query may use a
/// key; of x's dtype, what is added to the product. It may be given together with is_causal. A
/// query that may use no key gets zeros, not NaN.
///
/// The scores are computed tile by tile, forward and again backward, and never stored: memory grows
/// with L + S, not with L times S (but where attn_mask requires a gradient, and under
/// create_graph). Gradients are the same bits for every number of threads. Throws Error for shapes
/// and dtypes that do not fit. As torch.nn.functional.scaled_dot_product_attention.
///
/// Text is generated token by token with a cache of keys and values: q of the new token, and k and
/// v of all so far, `k = cat({k, new_k}, -2)`; no mask is needed for one query.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& attn_mask = {},
                                    const AttentionOptions& options = {});

}  // namespace tern
