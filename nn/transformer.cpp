// SPDX-License-Identifier: Apache-2.0
#include "transformer.h"

#include <limits>
#include <string>
#include <utility>

#include "../core/error.h"
#include "../ops/activations.h"
#include "../ops/arithmetic.h"
#include "../ops/create.h"
#include "init.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

MultiheadAttentionOptions attention_options(const TransformerLayerOptions& options) {
  return {.dropout = options.dropout, .bias = options.bias, .batch_first = options.batch_first};
}

LayerNormOptions norm_options(const TransformerLayerOptions& options) {
  return {.eps = options.layer_norm_eps, .bias = options.bias};
}

/// x and what `part` makes of it.
template <class Part>
Tensor residual(const Tensor& x, const LayerNorm& norm, bool norm_first, const Part& part) {
  return norm_first ? x + part(norm(x)) : norm(x + part(x));
}

template <class Layer>
ModuleList copies_of(const char* op, const Layer& layer, int64_t count) {
  require_layers(op, count);
  ModuleList layers;
  for (int64_t i = 0; i < count; ++i) layers.push_back(Layer(layer.clone()));
  return layers;
}

TransformerLayerOptions layer_options(const TransformerOptions& options) {
  return {.dim_feedforward = options.dim_feedforward,
          .dropout = options.dropout,
          .activation = options.activation,
          .layer_norm_eps = options.layer_norm_eps,
          .batch_first = options.batch_first,
          .norm_first = options.norm_first,
          .bias = options.bias};
}

LayerNorm last_norm(const TransformerOptions& options) {
  return LayerNorm(options.d_model, norm_options(layer_options(options)));
}

}  // namespace

TransformerActivation::TransformerActivation(const char* name) : name_(name) {
  if (name_ == "relu") {
    function_ = [](const Tensor& x) { return relu(x); };
  } else if (name_ == "gelu") {
    function_ = [](const Tensor& x) { return gelu(x); };
  } else {
    fail("TransformerActivation", "the name is \"", name_,
         "\", want \"relu\" or \"gelu\": or give a function");
  }
}

TransformerLayer::TransformerLayer(int64_t d_model, int64_t nhead, TransformerLayerOptions options,
                                   bool cross)
    : options_(std::move(options)),
      self_attn_(d_model, nhead, attention_options(options_)),
      linear1_(d_model, options_.dim_feedforward, {.bias = options_.bias}),
      dropout_(options_.dropout),
      linear2_(options_.dim_feedforward, d_model, {.bias = options_.bias}) {
  register_module("self_attn", self_attn_);
  if (cross) {
    multihead_attn_.emplace(d_model, nhead, attention_options(options_));
    register_module("multihead_attn", *multihead_attn_);
  }
  register_module("linear1", linear1_);
  register_module("dropout", dropout_);
  register_module("linear2", linear2_);
  const int parts = cross ? 3 : 2;
  for (int i = 1; i <= parts; ++i) {
    norms_.push_back(LayerNorm(d_model, norm_options(options_)));
    register_module("norm" + std::to_string(i), norms_.back());
  }
  for (int i = 1; i <= parts; ++i) {
    dropouts_.push_back(Dropout(options_.dropout));
    register_module("dropout" + std::to_string(i), dropouts_.back());
  }
}

Tensor TransformerLayer::attend_itself(const Tensor& x, const Tensor& mask, const Tensor& padding,
                                       bool is_causal) const {
  return residual(x, norms_[0], options_.norm_first, [&](const Tensor& t) {
    return dropouts_[0](self_attn_(t, t, t, padding, false, mask, true, is_causal).first);
  });
}

Tensor TransformerLayer::attend_memory(const Tensor& x, const Tensor& memory, const Tensor& mask,
                                       const Tensor& padding, bool is_causal) const {
  return residual(x, norms_[1], options_.norm_first, [&](const Tensor& t) {
    const MultiheadAttention& attention = *multihead_attn_;
    return dropouts_[1](attention(t, memory, memory, padding, false, mask, true, is_causal).first);
  });
}

Tensor TransformerLayer::feed_forward(const Tensor& x) const {
  return residual(x, norms_.back(), options_.norm_first, [&](const Tensor& t) {
    return dropouts_.back()(linear2_(dropout_(options_.activation(linear1_(t)))));
  });
}

Tensor TransformerEncoderLayer::forward(const Tensor& src) { return forward(src, {}); }

Tensor TransformerEncoderLayer::forward(const Tensor& src, const Tensor& src_mask,
                                        const Tensor& src_key_padding_mask, bool is_causal) const {
  return feed_forward(attend_itself(src, src_mask, src_key_padding_mask, is_causal));
}

Tensor TransformerDecoderLayer::forward(const Tensor& tgt, const Tensor& memory,
                                        const Tensor& tgt_mask, const Tensor& memory_mask,
                                        const Tensor& tgt_key_padding_mask,
                                        const Tensor& memory_key_padding_mask, bool tgt_is_causal,
                                        bool memory_is_causal) const {
  const Tensor x = attend_itself(tgt, tgt_mask, tgt_key_padding_mask, tgt_is_causal);
  return feed_forward(
      attend_memory(x, memory, memory_mask, memory_key_padding_mask, memory_is_causal));
}

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& layer, int64_t num_layers,
                                       const std::optional<LayerNorm>& norm)
    : layers_(register_module("layers", copies_of("TransformerEncoder", layer, num_layers))),
      norm_(norm) {
  if (norm_) register_module("norm", *norm_);
}

Tensor TransformerEncoder::forward(const Tensor& src) { return forward(src, {}); }

Tensor TransformerEncoder::forward(const Tensor& src, const Tensor& mask,
                                   const Tensor& src_key_padding_mask, bool is_causal) const {
  Tensor x = src;
  for (int64_t i = 0; i < layers_.size(); ++i)
    x = layers_.as<TransformerEncoderLayer>(i)(x, mask, src_key_padding_mask, is_causal);
  return norm_ ? (*norm_)(x) : x;
}

TransformerDecoder::TransformerDecoder(const TransformerDecoderLayer& layer, int64_t num_layers,
                                       const std::optional<LayerNorm>& norm)
    : layers_(register_module("layers", copies_of("TransformerDecoder", layer, num_layers))),
      norm_(norm) {
  if (norm_) register_module("norm", *norm_);
}

Tensor TransformerDecoder::forward(const Tensor& tgt, const Tensor& memory, const Tensor& tgt_mask,
                                   const Tensor& memory_mask, const Tensor& tgt_key_padding_mask,
                                   const Tensor& memory_key_padding_mask, bool tgt_is_causal,
                                   bool memory_is_causal) const {
  Tensor x = tgt;
  for (int64_t i = 0; i < layers_.size(); ++i) {
    x = layers_.as<TransformerDecoderLayer>(i)(x, memory, tgt_mask, memory_mask,
                                               tgt_key_padding_mask, memory_key_padding_mask,
                                               tgt_is_causal, memory_is_causal);
  }
  return norm_ ? (*norm_)(x) : x;
}

Transformer::Transformer(TransformerOptions options)
    : options_(std::move(options)),
      encoder_(register_module(
          "encoder", TransformerEncoder(TransformerEncoderLayer(options_.d_model, options_.nhead,
                                                                layer_options(options_)),
                                        options_.num_encoder_layers, last_norm(options_)))),
      decoder_(register_module(
          "decoder", TransformerDecoder(TransformerDecoderLayer(options_.d_model, options_.nhead,
                                                                layer_options(options_)),
                                        options_.num_decoder_layers, last_norm(options_)))) {
  for (const Tensor& parameter : parameters())
    if (parameter.dim() > 1) init::xavier_uniform_(parameter);
}

Tensor Transformer::forward(const Tensor& src, const Tensor& tgt, const Tensor& src_mask,
                            const Tensor& tgt_mask, const Tensor& memory_mask,
                            const Tensor& src_key_padding_mask, const Tensor& tgt_key_padding_mask,
                            const Tensor& memory_key_padding_mask) const {
  return decoder_(tgt, encoder_(src, src_mask, src_key_padding_mask), tgt_mask, memory_mask,
                  tgt_key_padding_mask, memory_key_padding_mask);
}

Tensor Transformer::generate_square_subsequent_mask(int64_t size, DType dtype) {
  return triu(full({size, size}, -std::numeric_limits<double>::infinity(), dtype), 1);
}

}  // namespace tern::nn
