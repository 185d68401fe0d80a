// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "../ops/loss.h"
#include "module_of.h"

namespace tern::nn {

/// cross_entropy(logits, classes, options) as an object.
class CrossEntropyLoss : public ModuleOf<CrossEntropyLoss> {
 public:
  /// The options of the function.
  explicit CrossEntropyLoss(tern::CrossEntropyOptions options = {})
      : options_(std::move(options)) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& logits, const Tensor& classes) const;

 private:
  tern::CrossEntropyOptions options_;
};

/// mse_loss(x, target, reduction) as an object.
class MSELoss : public ModuleOf<MSELoss> {
 public:
  /// The options of the function.
  explicit MSELoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& x, const Tensor& target) const;

 private:
  Reduction reduction_;
};

/// l1_loss(x, target, reduction) as an object.
class L1Loss : public ModuleOf<L1Loss> {
 public:
  /// The argument of the function.
  explicit L1Loss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& x, const Tensor& target) const;

 private:
  Reduction reduction_;
};

/// smooth_l1_loss(x, target, reduction, beta) as an object.
class SmoothL1Loss : public ModuleOf<SmoothL1Loss> {
 public:
  /// The arguments of the function.
  explicit SmoothL1Loss(Reduction reduction = Reduction::mean, double beta = 1)
      : reduction_(reduction), beta_(beta) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& x, const Tensor& target) const;

 private:
  Reduction reduction_;
  double beta_;
};

/// huber_loss(x, target, reduction, delta) as an object.
class HuberLoss : public ModuleOf<HuberLoss> {
 public:
  /// The arguments of the function.
  explicit HuberLoss(Reduction reduction = Reduction::mean, double delta = 1)
      : reduction_(reduction), delta_(delta) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& x, const Tensor& target) const;

 private:
  Reduction reduction_;
  double delta_;
};

/// kl_div(x, target, reduction, log_target) as an object.
class KLDivLoss : public ModuleOf<KLDivLoss> {
 public:
  /// The arguments of the function.
  explicit KLDivLoss(Reduction reduction = Reduction::mean, bool log_target = false)
      : reduction_(reduction), log_target_(log_target) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& x, const Tensor& target) const;

 private:
  Reduction reduction_;
  bool log_target_;
};

/// nll_loss(log_probabilities, classes, options) as an object.
class NLLLoss : public ModuleOf<NLLLoss> {
 public:
  /// The options of the function.
  explicit NLLLoss(NllLossOptions options = {}) : options_(std::move(options)) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& log_probabilities, const Tensor& classes) const;

 private:
  NllLossOptions options_;
};

/// binary_cross_entropy(p, target, options) as an object.
class BCELoss : public ModuleOf<BCELoss> {
 public:
  /// The options of the function.
  explicit BCELoss(BinaryCrossEntropyOptions options = {}) : options_(std::move(options)) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& p, const Tensor& target) const;

 private:
  BinaryCrossEntropyOptions options_;
};

/// binary_cross_entropy_with_logits(x, target, options) as an object.
class BCEWithLogitsLoss : public ModuleOf<BCEWithLogitsLoss> {
 public:
  /// The options of the function.
  explicit BCEWithLogitsLoss(BinaryCrossEntropyWithLogitsOptions options = {})
      : options_(std::move(options)) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& x, const Tensor& target) const;

 private:
  BinaryCrossEntropyWithLogitsOptions options_;
};

/// margin_ranking_loss(a, b, target, margin, reduction) as an object.
class MarginRankingLoss : public ModuleOf<MarginRankingLoss> {
 public:
  /// The arguments of the function.
  explicit MarginRankingLoss(double margin = 0, Reduction reduction = Reduction::mean)
      : margin_(margin), reduction_(reduction) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& a, const Tensor& b, const Tensor& target) const;

 private:
  double margin_;
  Reduction reduction_;
};

/// ctc_loss(log_probs, targets, input_lengths, target_lengths, options) as an object.
class CTCLoss : public ModuleOf<CTCLoss> {
 public:
  /// The options of the function.
  explicit CTCLoss(CtcLossOptions options = {}) : options_(options) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                 const Tensor& target_lengths) const;

 private:
  CtcLossOptions options_;
};

/// triplet_margin_loss(anchor, positive, negative, options) as an object.
class TripletMarginLoss : public ModuleOf<TripletMarginLoss> {
 public:
  /// The options of the function.
  explicit TripletMarginLoss(TripletMarginLossOptions options = {}) : options_(options) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& anchor, const Tensor& positive, const Tensor& negative) const;

 private:
  TripletMarginLossOptions options_;
};

/// cosine_embedding_loss(a, b, target, margin, reduction) as an object.
class CosineEmbeddingLoss : public ModuleOf<CosineEmbeddingLoss> {
 public:
  /// The arguments of the function.
  explicit CosineEmbeddingLoss(double margin = 0, Reduction reduction = Reduction::mean)
      : margin_(margin), reduction_(reduction) {}
  /// The loss; throws as the function does.
  Tensor forward(const Tensor& a, const Tensor& b, const Tensor& target) const;

 private:
  double margin_;
  Reduction reduction_;
};

}  // namespace tern::nn
