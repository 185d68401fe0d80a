// SPDX-License-Identifier: Apache-2.0
#include "attention.h"

#include <limits>
#include <string>
#include <vector>

#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/internal/attention.h"
#include "../ops/internal/op.h"
#include "../ops/logical.h"
#include "../ops/matmul.h"
#include "../ops/movement.h"
#include "../ops/reduce.h"
#include "init.h"

namespace tern::nn {

namespace {

/// What is added to the scores: -inf where a mask leaves out, as in PyTorch's MultiheadAttention.
Tensor added(const Tensor& mask, DType dtype) {
  if (!is_mask(mask)) return mask;
  return where(mask, -std::numeric_limits<double>::infinity(), zeros({}, dtype));
}

/// Both masks, as scaled_dot_product_attention takes them.
Tensor joined(const Tensor& a, const Tensor& b, DType dtype) {
  if (a.defined() && b.defined()) {
    if (is_mask(a) && is_mask(b)) return logical_not(logical_or(a, b));
    return added(a, dtype) + added(b, dtype);
  }
  const Tensor& mask = a.defined() ? a : b;
  return mask.defined() && is_mask(mask) ? logical_not(mask) : mask;
}

}  // namespace

MultiheadAttention::MultiheadAttention(int64_t embed_dim, int64_t num_heads,
                                       MultiheadAttentionOptions options)
    : embed_dim_(embed_dim),
      num_heads_(num_heads),
      options_(options),
      out_proj_(std::max<int64_t>(1, embed_dim), std::max<int64_t>(1, embed_dim),
                {.bias = options.bias}) {
  if (embed_dim < 1 || num_heads < 1 || embed_dim % num_heads != 0) {
    fail("MultiheadAttention", "num_heads is ", num_heads,
         ", want a divisor of embed_dim, which is ", embed_dim);
  }
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    fail("MultiheadAttention", "dropout is ", options.dropout, ", want 0 or more and less than 1");
  }
  const int64_t kdim = options.kdim.value_or(embed_dim), vdim = options.vdim.value_or(embed_dim);
  if (kdim < 1 || vdim < 1) {
    fail("MultiheadAttention", "kdim is ", kdim, " and vdim is ", vdim, ", want at least 1");
  }
  if (kdim == embed_dim && vdim == embed_dim) {
    in_proj_weight_ = register_parameter("in_proj_weight", zeros({3 * embed_dim, embed_dim}));
  } else {
    q_proj_weight_ = register_parameter("q_proj_weight", zeros({embed_dim, embed_dim}));
    k_proj_weight_ = register_parameter("k_proj_weight", zeros({embed_dim, kdim}));
    v_proj_weight_ = register_parameter("v_proj_weight", zeros({embed_dim, vdim}));
  }
  in_proj_bias_ =
      register_parameter("in_proj_bias", options.bias ? zeros({3 * embed_dim}) : Tensor());
  register_module("out_proj", out_proj_);
  reset_parameters();
}

void MultiheadAttention::reset_parameters() {
  for (const Tensor& weight : {in_proj_weight_, q_proj_weight_, k_proj_weight_, v_proj_weight_})
    if (weight.defined()) init::xavier_uniform_(weight);
  out_proj_.reset_parameters();
  if (!options_.bias) return;
  init::zeros_(in_proj_bias_);
  init::zeros_(out_proj_.bias());
}

std::pair<Tensor, Tensor> MultiheadAttention::forward(
    const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& key_padding_mask,
    bool need_weights, const Tensor& attn_mask, bool average_attn_weights, bool is_causal) const {
  const char* const op = "MultiheadAttention";
  const bool single = query.dim() == 2;
  const int batch_axis = options_.batch_first ? 0 : 1, rows_axis = 1 - batch_axis;
  const auto check = [&](const char* name, const Tensor& x, int64_t width) {
    const bool fits = x.defined() && x.dim() == (single ? 2 : 3) && x.size(-1) == width;
    if (fits) return;
    fail(op, name, " is ", x, ", want ", options_.batch_first ? "[N, L, " : "[L, N, ", width,
         "], or [L, ", width, "] for all three");
  };
  check("query", query, embed_dim_);
  check("key", key, options_.kdim.value_or(embed_dim_));
  check("value", value, options_.vdim.value_or(embed_dim_));
  const auto batch = [&](const Tensor& x) { return single ? unsqueeze(x, batch_axis) : x; };
  const bool self = query.is_same(key) && query.is_same(value) && in_proj_weight_.defined();
  const Tensor q = batch(query), k = self ? q : batch(key), v = self ? q : batch(value);
  const int64_t n = q.size(batch_axis), rows = q.size(rows_axis), columns = k.size(rows_axis);
  if (k.size(batch_axis) != n || v.size(batch_axis) != n || v.size(rows_axis) != columns) {
    fail(op, "query is ", query, ", key is ", key, " and value is ", value,
         ", want the same N, and as many keys as values");
  }

  Tensor padding = key_padding_mask, mask = attn_mask;
  if (padding.defined()) {
    if (padding.shape() != (single ? Shape{columns} : Shape{n, columns})) {
      fail(op, "key_padding_mask is ", padding, ", want [", n, ",", columns, "]");
    }
    padding = reshape(padding, {n, 1, 1, columns});
  }
  if (mask.defined()) {
    if (mask.shape() == Shape{rows, columns}) {
      mask = reshape(mask, {1, 1, rows, columns});
    } else if (mask.shape() == Shape{n * num_heads_, rows, columns}) {
      mask = reshape(mask, {n, num_heads_, rows, columns});
    } else {
      fail(op, "attn_mask is ", mask, ", want [", rows, ",", columns, "] or [", n * num_heads_, ",",
           rows, ",", columns, "]");
    }
  }
  const Tensor both = joined(mask, padding, q.dtype());
  const AttentionOptions attention{.dropout_p = is_training() ? options_.dropout : 0,
                                   .is_causal = is_causal};
  const auto axes = options_.batch_first ? SequenceAxes::batch_first : SequenceAxes::sequence_first;

  Tensor projected, keys, values;
  if (self) {
    projected = linear(q, in_proj_weight_, in_proj_bias_);
  } else {
    const std::vector<Tensor> weights =
        in_proj_weight_.defined()
            ? split(in_proj_weight_, embed_dim_, 0)
            : std::vector<Tensor>{q_proj_weight_, k_proj_weight_, v_proj_weight_};
    const std::vector<Tensor> biases =
        in_proj_bias_.defined() ? split(in_proj_bias_, embed_dim_, 0) : std::vector<Tensor>(3);
    projected = linear(q, weights[0], biases[0]);
    keys = linear(k, weights[1], biases[1]);
    values = linear(v, weights[2], biases[2]);
  }
  Tensor y, weights;
  if (need_weights) {
    std::tie(y, weights) =
        attention_with_weights(projected, keys, values, num_heads_, axes, both, attention);
    if (average_attn_weights) weights = mean(weights, {1});
    if (single) weights = squeeze(weights, 0);
  } else {
    y = attention_of_heads(projected, keys, values, num_heads_, axes, both, attention);
  }
  y = out_proj_(y);
  return {single ? squeeze(y, batch_axis) : y, weights};
}

}  // namespace tern::nn
