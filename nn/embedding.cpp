// SPDX-License-Identifier: Apache-2.0
#include "embedding.h"

#include <utility>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../ops/indexing.h"
#include "init.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

void check_table(const char* op, int64_t rows, int64_t columns,
                 const std::optional<int64_t>& padding_idx) {
  if (rows < 1 || columns < 1) {
    fail(op, "it has ", rows, " embeddings of ", columns, " numbers, want at least 1 of each");
  }
  if (padding_idx && (*padding_idx < -rows || *padding_idx >= rows)) {
    fail(op, "padding_idx is ", *padding_idx, ", want ", -rows, " to ", rows - 1);
  }
}

void draw(const Tensor& weight, const std::optional<int64_t>& padding_idx) {
  init::normal_(weight);
  if (!padding_idx) return;
  const NoGrad no_grad;
  index_put_(weight, {*padding_idx}, 0.0);
}

template <class Options>
std::string repr_of(const Tensor& weight, const Options& options) {
  std::string text = repr(weight.size(0)) + ", " + repr(weight.size(1));
  if (options.padding_idx) text += ", padding_idx=" + repr(*options.padding_idx);
  if (options.max_norm) text += ", max_norm=" + repr(*options.max_norm);
  if (options.norm_type != 2) text += ", norm_type=" + repr(options.norm_type);
  return text;
}

}  // namespace

Embedding::Embedding(int64_t num_embeddings, int64_t embedding_dim, EmbeddingOptions options)
    : options_(std::move(options)) {
  check_table("Embedding", num_embeddings, embedding_dim, options_.padding_idx);
  weight_ = register_parameter("weight", zeros({num_embeddings, embedding_dim}));
  reset_parameters();
}

Embedding::Embedding(const Tensor& weight, EmbeddingOptions options)
    : options_(std::move(options)) {
  if (!weight.defined() || weight.dim() != 2) {
    fail("from_pretrained", "weight is ", weight, ", want 2 axes, one row for each id");
  }
  check_table("from_pretrained", weight.size(0), weight.size(1), options_.padding_idx);
  weight_ = register_parameter("weight", weight.detach().clone());
}

Embedding Embedding::from_pretrained(const Tensor& weight, bool freeze, EmbeddingOptions options) {
  Embedding module(weight, std::move(options));
  module.requires_grad_(!freeze);
  return module;
}

void Embedding::reset_parameters() { draw(weight_, options_.padding_idx); }
Tensor Embedding::forward(const Tensor& ids) { return embedding(ids, weight_, options_); }
std::string Embedding::extra_repr() const { return repr_of(weight_, options_); }

EmbeddingBag::EmbeddingBag(int64_t num_embeddings, int64_t embedding_dim,
                           EmbeddingBagOptions options)
    : options_(std::move(options)) {
  check_table("EmbeddingBag", num_embeddings, embedding_dim, options_.padding_idx);
  weight_ = register_parameter("weight", zeros({num_embeddings, embedding_dim}));
  reset_parameters();
}

void EmbeddingBag::reset_parameters() { draw(weight_, options_.padding_idx); }
Tensor EmbeddingBag::forward(const Tensor& ids) {
  return embedding_bag(ids, weight_, {}, {}, options_);
}
Tensor EmbeddingBag::forward(const Tensor& ids, const Tensor& offsets,
                             const Tensor& per_sample_weights) const {
  return embedding_bag(ids, weight_, offsets, per_sample_weights, options_);
}
std::string EmbeddingBag::extra_repr() const {
  return repr_of(weight_, options_) + ", mode='" + to_string(options_.mode) + "'";
}

}  // namespace tern::nn
