// SPDX-License-Identifier: Apache-2.0
// Attention of heads that lie side by side, as a projection leaves them, for nn/attention.cpp: no
// copy of anything is made.
#pragma once

#include <utility>

#include "../attention.h"

namespace tern {

/// How the axes of a projected sequence lie: [N, L, heads * E] or [L, N, heads * E].
enum class SequenceAxes : uint8_t { batch_first, sequence_first };

/// scaled_dot_product_attention of each head: q with L, k and v with S rows per sequence give as
/// many values per row as v has. attn_mask broadcasts to [N, heads, L, S]. If k and v are
/// undefined, q has all three side by side: [N, L, 3 * heads * E]. What does not fit is the
/// caller's mistake.
Tensor attention_of_heads(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                          SequenceAxes axes, const Tensor& attn_mask,
                          const AttentionOptions& options);

/// The same as {result, weights}, the weights [N, heads, L, S] as dropout leaves them, by a
/// composition of operations.
std::pair<Tensor, Tensor> attention_with_weights(const Tensor& q, const Tensor& k, const Tensor& v,
                                                 int64_t heads, SequenceAxes axes,
                                                 const Tensor& attn_mask,
                                                 const AttentionOptions& options);

}  // namespace tern
