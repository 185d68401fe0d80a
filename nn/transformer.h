// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attention.h"
#include "containers.h"
#include "dropout.h"
#include "linear.h"
#include "norm.h"

namespace tern::nn {

/// The function between the two linear layers of a transformer's layer: by PyTorch's name, or any
/// of one tensor.
class TransformerActivation {
 public:
  /// "relu" or "gelu"; throws Error for another name.
  TransformerActivation(const char* name);
  /// Any other function.
  template <class F>
  requires(std::is_invocable_r_v<Tensor, const F&, const Tensor&>) TransformerActivation(F function)
      : name_("function"), function_(std::move(function)) {}

  Tensor operator()(const Tensor& x) const { return function_(x); }  ///< its value
  const std::string& name() const { return name_; }                  ///< as given, or "function"

 private:
  std::string name_;
  std::function<Tensor(const Tensor&)> function_;
};

/// Options of TransformerEncoderLayer and TransformerDecoderLayer.
struct TransformerLayerOptions {
  int64_t dim_feedforward = 2048;             ///< features between the two linear layers
  double dropout = 0.1;                       ///< the probability, everywhere in the layer
  TransformerActivation activation = "relu";  ///< between the two linear layers
  double layer_norm_eps = 1e-5;               ///< of all norms
  bool batch_first = false;                   ///< sequences are [N, L, E] rather than [L, N, E]
  bool norm_first = false;  ///< norms come before attention and linear layers rather than after
  bool bias = true;         ///< whether linear layers and norms have biases
};

/// What TransformerEncoderLayer and TransformerDecoderLayer share: self-attention and two linear
/// layers.
class TransformerLayer : public Module {
 public:
  const TransformerLayerOptions& options() const { return options_; }  ///< as given
  const MultiheadAttention& self_attn() const { return self_attn_; }   ///< the child

 protected:
  /// With `cross`, multihead_attn, norm3 and dropout3 are children as well.
  TransformerLayer(int64_t d_model, int64_t nhead, TransformerLayerOptions options, bool cross);

  /// x and its attention to itself, normalized.
  Tensor attend_itself(const Tensor& x, const Tensor& mask, const Tensor& padding,
                       bool is_causal) const;
  /// x and its attention to `memory`, normalized; only with `cross`.
  Tensor attend_memory(const Tensor& x, const Tensor& memory, const Tensor& mask,
                       const Tensor& padding, bool is_causal) const;
  /// x and what the linear layers make of it, normalized.
  Tensor feed_forward(const Tensor& x) const;
  /// The child multihead_attn, of a layer with `cross`.
  const std::optional<MultiheadAttention>& cross_attn() const { return multihead_attn_; }

 private:
  TransformerLayerOptions options_;
  MultiheadAttention self_attn_;
  std::optional<MultiheadAttention> multihead_attn_;
  Linear linear1_;
  Dropout dropout_;
  Linear linear2_;
  std::vector<LayerNorm> norms_;
  std::vector<Dropout> dropouts_;
};

/// A layer of an encoder (Vaswani et al., 2017), as torch.nn.TransformerEncoderLayer:
///
///     x = norm1(x + dropout1(self_attn(x)))
///     x = norm2(x + dropout2(linear2(dropout(activation(linear1(x))))))
///
/// or with norm_first x + dropout1(self_attn(norm1(x))), and so on. Children have these names.
class TransformerEncoderLayer : public ModuleOf<TransformerEncoderLayer, TransformerLayer> {
 public:
  /// Throws Error unless nhead divides d_model.
  TransformerEncoderLayer(int64_t d_model, int64_t nhead, TransformerLayerOptions options = {})
      : ModuleOf(d_model, nhead, std::move(options), false) {}

  /// src [L, N, E] (N first with batch_first), and the masks of MultiheadAttention.
  Tensor forward(const Tensor& src, const Tensor& src_mask, const Tensor& src_key_padding_mask = {},
                 bool is_causal = false) const;
  Tensor forward(const Tensor& src) override;
};

/// A layer of a decoder, as torch.nn.TransformerDecoderLayer: self-attention, attention to what the
/// encoder has made of the source (multihead_attn), and the two linear layers, each as in
/// TransformerEncoderLayer.
class TransformerDecoderLayer : public ModuleOf<TransformerDecoderLayer, TransformerLayer> {
 public:
  /// Throws Error unless nhead divides d_model.
  TransformerDecoderLayer(int64_t d_model, int64_t nhead, TransformerLayerOptions options = {})
      : ModuleOf(d_model, nhead, std::move(options), true) {}

  /// tgt [L, N, E] and memory [S, N, E] (N first with batch_first), and the masks of
  /// MultiheadAttention.
  Tensor forward(const Tensor& tgt, const Tensor& memory, const Tensor& tgt_mask = {},
                 const Tensor& memory_mask = {}, const Tensor& tgt_key_padding_mask = {},
                 const Tensor& memory_key_padding_mask = {}, bool tgt_is_causal = false,
                 bool memory_is_causal = false) const;

  const MultiheadAttention& multihead_attn() const { return *cross_attn(); }  ///< the child
};

/// Copies of an encoder's layer, one after the other, and a norm at the end if there is one, as
/// torch.nn.TransformerEncoder. Children: layers, norm.
class TransformerEncoder : public ModuleOf<TransformerEncoder> {
 public:
  /// All copies begin with the values of `layer`. Throws Error unless num_layers is 1 to 65536.
  TransformerEncoder(const TransformerEncoderLayer& layer, int64_t num_layers,
                     const std::optional<LayerNorm>& norm = std::nullopt);

  /// As the layers, each of which gets the masks.
  Tensor forward(const Tensor& src, const Tensor& mask, const Tensor& src_key_padding_mask = {},
                 bool is_causal = false) const;
  Tensor forward(const Tensor& src) override;

 private:
  ModuleList layers_;
  std::optional<LayerNorm> norm_;
};

/// Copies of a decoder's layer, one after the other, and a norm at the end if there is one, as
/// torch.nn.TransformerDecoder. Children: layers, norm.
class TransformerDecoder : public ModuleOf<TransformerDecoder> {
 public:
  /// All copies begin with the values of `layer`. Throws Error unless num_layers is 1 to 65536.
  TransformerDecoder(const TransformerDecoderLayer& layer, int64_t num_layers,
                     const std::optional<LayerNorm>& norm = std::nullopt);

  /// As the layers, each of which gets the masks.
  Tensor forward(const Tensor& tgt, const Tensor& memory, const Tensor& tgt_mask = {},
                 const Tensor& memory_mask = {}, const Tensor& tgt_key_padding_mask = {},
                 const Tensor& memory_key_padding_mask = {}, bool tgt_is_causal = false,
                 bool memory_is_causal = false) const;

 private:
  ModuleList layers_;
  std::optional<LayerNorm> norm_;
};

/// Options of Transformer.
struct TransformerOptions {
  int64_t d_model = 512;                      ///< E
  int64_t nhead = 8;                          ///< heads of each attention
  int64_t num_encoder_layers = 6;             ///< copies in the encoder
  int64_t num_decoder_layers = 6;             ///< copies in the decoder
  int64_t dim_feedforward = 2048;             ///< as in TransformerLayerOptions
  double dropout = 0.1;                       ///< as in TransformerLayerOptions
  TransformerActivation activation = "relu";  ///< as in TransformerLayerOptions
  double layer_norm_eps = 1e-5;               ///< as in TransformerLayerOptions
  bool batch_first = false;                   ///< as in TransformerLayerOptions
  bool norm_first = false;                    ///< as in TransformerLayerOptions
  bool bias = true;                           ///< as in TransformerLayerOptions
};

/// An encoder and a decoder with a norm at the end of each, as torch.nn.Transformer. All matrices
/// begin as Glorot's uniform. Children: encoder, decoder.
class Transformer : public ModuleOf<Transformer> {
 public:
  /// Throws Error unless nhead divides d_model and there are layers.
  explicit Transformer(TransformerOptions options = {});

  /// decoder(tgt, encoder(src)) of src [S, N, E] and tgt [L, N, E] (N first with batch_first), and
  /// the masks of MultiheadAttention.
  Tensor forward(const Tensor& src, const Tensor& tgt, const Tensor& src_mask = {},
                 const Tensor& tgt_mask = {}, const Tensor& memory_mask = {},
                 const Tensor& src_key_padding_mask = {}, const Tensor& tgt_key_padding_mask = {},
                 const Tensor& memory_key_padding_mask = {}) const;
  /// attn_mask [size, size] of a causal attention: 0, and -inf above the diagonal.
  static Tensor generate_square_subsequent_mask(int64_t size, DType dtype = DType::f32);

  const TransformerEncoder& encoder() const { return encoder_; }  ///< the child
  const TransformerDecoder& decoder() const { return decoder_; }  ///< the child
  const TransformerOptions& options() const { return options_; }  ///< as given

 private:
  TransformerOptions options_;
  TransformerEncoder encoder_;
  TransformerDecoder decoder_;
};

}  // namespace tern::nn
