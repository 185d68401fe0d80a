// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <utility>

#include "linear.h"
#include "module_of.h"

namespace tern::nn {

/// Options of MultiheadAttention.
struct MultiheadAttentionOptions {
  double dropout = 0;  ///< the probability with which a weight is dropped in training
  bool bias = true;    ///< whether the projections have biases
  std::optional<int64_t> kdim = std::nullopt;  ///< features of key, embed_dim unless set
  std::optional<int64_t> vdim = std::nullopt;  ///< features of value, embed_dim unless set
  bool batch_first = false;                    ///< sequences are [N, L, E] rather than [L, N, E]
};

/// Attention of several heads (Vaswani et al., "Attention Is All You Need", 2017): projections of
/// query, key and value, scaled_dot_product_attention of each of num_heads parts of them, and a
/// projection of the result. As torch.nn.MultiheadAttention, without add_bias_kv and add_zero_attn.
///
/// Parameters: in_proj_weight [3 E, E] (with kdim or vdim q_proj_weight [E, E], k_proj_weight [E,
/// kdim], v_proj_weight [E, vdim]), which begin as Glorot's uniform, in_proj_bias [3 E] (zeros),
/// and out_proj, a Linear whose bias begins as zeros.
class MultiheadAttention : public ModuleOf<MultiheadAttention> {
 public:
  /// Throws Error unless num_heads divides embed_dim and sizes and dropout are in range.
  MultiheadAttention(int64_t embed_dim, int64_t num_heads, MultiheadAttentionOptions options = {});

  /// {result, weights} of query [L, N, E], key [S, N, kdim] and value [S, N, vdim] (N first with
  /// batch_first; or all without N): the result has the shape of query, the weights are
  /// [N, L, S], averaged over heads, or [N, heads, L, S]. They need memory for L x S numbers per
  /// head: without `need_weights` they are undefined, and nothing of that size is kept.
  ///
  /// Masks have PyTorch's meaning here, which is the contrary of scaled_dot_product_attention's:
  /// true leaves out. key_padding_mask [N, S], attn_mask [L, S] or [N * heads, L, S]; of x's dtype,
  /// they are added. With `is_causal`, query i uses keys 0 to i. A query that may use no key gets
  /// zeros from its heads.
  std::pair<Tensor, Tensor> forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& key_padding_mask = {}, bool need_weights = true,
                                    const Tensor& attn_mask = {}, bool average_attn_weights = true,
                                    bool is_causal = false) const;
  /// Draws new initial values.
  void reset_parameters();

  /// Undefined with kdim or vdim, as the others are without.
  const Tensor& in_proj_weight() const { return in_proj_weight_; }
  const Tensor& q_proj_weight() const { return q_proj_weight_; }  ///< a parameter, or undefined
  const Tensor& k_proj_weight() const { return k_proj_weight_; }  ///< a parameter, or undefined
  const Tensor& v_proj_weight() const { return v_proj_weight_; }  ///< a parameter, or undefined
  const Tensor& in_proj_bias() const { return in_proj_bias_; }    ///< a parameter, or undefined
  const Linear& out_proj() const { return out_proj_; }            ///< the child
  int64_t embed_dim() const { return embed_dim_; }                ///< E
  int64_t num_heads() const { return num_heads_; }                ///< as given
  const MultiheadAttentionOptions& options() const { return options_; }  ///< as given

 private:
  int64_t embed_dim_, num_heads_;
  MultiheadAttentionOptions options_;
  Tensor in_proj_weight_, q_proj_weight_, k_proj_weight_, v_proj_weight_, in_proj_bias_;
  Linear out_proj_;
};

}  // namespace tern::nn
