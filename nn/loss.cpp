// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

namespace tern::nn {

Tensor CrossEntropyLoss::forward(const Tensor& logits, const Tensor& classes) const {
  return cross_entropy(logits, classes, options_);
}

Tensor MSELoss::forward(const Tensor& x, const Tensor& target) const {
  return mse_loss(x, target, reduction_);
}

Tensor L1Loss::forward(const Tensor& x, const Tensor& target) const {
  return l1_loss(x, target, reduction_);
}

Tensor SmoothL1Loss::forward(const Tensor& x, const Tensor& target) const {
  return smooth_l1_loss(x, target, reduction_, beta_);
}

Tensor HuberLoss::forward(const Tensor& x, const Tensor& target) const {
  return huber_loss(x, target, reduction_, delta_);
}

Tensor KLDivLoss::forward(const Tensor& x, const Tensor& target) const {
  return kl_div(x, target, reduction_, log_target_);
}

Tensor NLLLoss::forward(const Tensor& log_probabilities, const Tensor& classes) const {
  return nll_loss(log_probabilities, classes, options_);
}

Tensor BCELoss::forward(const Tensor& p, const Tensor& target) const {
  return binary_cross_entropy(p, target, options_);
}

Tensor BCEWithLogitsLoss::forward(const Tensor& x, const Tensor& target) const {
  return binary_cross_entropy_with_logits(x, target, options_);
}

Tensor MarginRankingLoss::forward(const Tensor& a, const Tensor& b, const Tensor& target) const {
  return margin_ranking_loss(a, b, target, margin_, reduction_);
}

Tensor CTCLoss::forward(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                        const Tensor& target_lengths) const {
  return ctc_loss(log_probs, targets, input_lengths, target_lengths, options_);
}

Tensor TripletMarginLoss::forward(const Tensor& anchor, const Tensor& positive,
                                  const Tensor& negative) const {
  return triplet_margin_loss(anchor, positive, negative, options_);
}

Tensor CosineEmbeddingLoss::forward(const Tensor& a, const Tensor& b, const Tensor& target) const {
  return cosine_embedding_loss(a, b, target, margin_, reduction_);
}

}  // namespace tern::nn
