// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/embedding.h"
#include "module_of.h"

namespace tern::nn {

/// Rows of a table, see tern::embedding: [...] to [..., embedding_dim]. Parameter: weight
/// [num_embeddings, embedding_dim], which begins normal with mean 0 and deviation 1, and zero in
/// the row padding_idx, as PyTorch's.
class Embedding : public ModuleOf<Embedding> {
 public:
  /// Throws Error unless both sizes are at least 1 and padding_idx is a row.
  Embedding(int64_t num_embeddings, int64_t embedding_dim, EmbeddingOptions options = {});
  /// A module of a given table [V, D], which does not train if `freeze`.
  static Embedding from_pretrained(const Tensor& weight, bool freeze = true,
                                   EmbeddingOptions options = {});

  Tensor forward(const Tensor& ids) override;
  /// Draws new initial values.
  void reset_parameters();

  const Tensor& weight() const { return weight_; }              ///< the parameter
  int64_t num_embeddings() const { return weight_.size(0); }    ///< as given
  int64_t embedding_dim() const { return weight_.size(1); }     ///< as given
  const EmbeddingOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  Embedding(const Tensor& weight, EmbeddingOptions options);

  EmbeddingOptions options_;
  Tensor weight_;
};

/// Sums, means or maxima of rows of a table, see tern::embedding_bag. Parameter: weight
/// [num_embeddings, embedding_dim], which begins as Embedding's.
class EmbeddingBag : public ModuleOf<EmbeddingBag> {
 public:
  /// Throws Error unless both sizes are at least 1 and padding_idx is a row.
  EmbeddingBag(int64_t num_embeddings, int64_t embedding_dim, EmbeddingBagOptions options = {});

  /// [B, embedding_dim] for ids [B, n], or for ids [N] and offsets [B].
  Tensor forward(const Tensor& ids, const Tensor& offsets,
                 const Tensor& per_sample_weights = {}) const;
  Tensor forward(const Tensor& ids) override;
  /// Draws new initial values.
  void reset_parameters();

  const Tensor& weight() const { return weight_; }                 ///< the parameter
  int64_t num_embeddings() const { return weight_.size(0); }       ///< as given
  int64_t embedding_dim() const { return weight_.size(1); }        ///< as given
  const EmbeddingBagOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  EmbeddingBagOptions options_;
  Tensor weight_;
};

}  // namespace tern::nn
