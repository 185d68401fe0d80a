// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// `none` keeps a loss per element; `mean` and `sum` give a scalar.
enum class Reduction : uint8_t { none, mean, sum };
/// "none", "mean", "sum"
const char* to_string(Reduction reduction);

/// Arguments of cross_entropy.
struct CrossEntropyOptions {
  int64_t ignore_index = -100;   ///< rows of this class count neither in the loss nor in the mean
  double label_smoothing = 0.0;  ///< in [0, 1]: the fraction of the target spread over all classes
  Reduction reduction = Reduction::mean;  ///< what is returned
  Tensor weight = {};  ///< a factor for each class, [C]; the mean divides by the targets' factors
};
using CrossEntropyParams = CrossEntropyOptions;  ///< its old name

/// -log softmax(logits)[class], logits [N,C], classes i64 [N] in [0,C); also [N,C,...] with classes
/// [N,...], and [C] with a scalar class. With label smoothing e the target is (1-e) on the class
/// plus e/C on every class. The mean is over the rows that are not ignored (NaN if all are). Throws
/// Error for classes out of range, before anything is computed.
///
/// In place of classes also probabilities, of the logits' shape and dtype: the sum over the classes
/// of -probability * log softmax(logits), which is differentiable in both; a class of probability 0
/// counts nothing, also where its logit is -inf. There are no ignored rows then.
Tensor cross_entropy(const Tensor& logits, const Tensor& classes,
                     const CrossEntropyOptions& options = {});

/// Arguments of nll_loss.
struct NllLossOptions {
  Tensor weight = {};                     ///< a factor for each class, [C]
  int64_t ignore_index = -100;            ///< rows of this class do not count
  Reduction reduction = Reduction::mean;  ///< the mean divides by the sum of the targets' factors
};
/// -log_probabilities[class], for the results of log_softmax: shapes and errors as cross_entropy.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& classes,
                const NllLossOptions& options = {});

/// Arguments of binary_cross_entropy.
struct BinaryCrossEntropyOptions {
  Tensor weight = {};                     ///< a factor for each element, broadcast
  Reduction reduction = Reduction::mean;  ///< what is returned
};
/// -(target * log(p) + (1 - target) * log(1 - p)) for probabilities p, logarithms not below -100.
/// Throws Error for p outside of 0 to 1, NaN included. Of logits the next one is more exact.
Tensor binary_cross_entropy(const Tensor& p, const Tensor& target,
                            const BinaryCrossEntropyOptions& options = {});

/// Arguments of binary_cross_entropy_with_logits.
struct BinaryCrossEntropyWithLogitsOptions {
  Tensor weight = {};                     ///< a factor for each element, broadcast
  Tensor pos_weight = {};                 ///< a factor for positive targets, broadcast
  Reduction reduction = Reduction::mean;  ///< what is returned
};
/// binary_cross_entropy of sigmoid(x), exact for every x:
/// -(pos_weight * target * log(sigmoid(x)) + (1 - target) * log(1 - sigmoid(x))).
Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                        const BinaryCrossEntropyWithLogitsOptions& options = {});

/// (x - target)^2, reduced. Shapes and dtypes are equal.
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
/// |x - target|, reduced. Shapes and dtypes are equal, as in the next ones.
Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
/// (x - target)^2 / (2 * beta) where |x - target| < beta, |x - target| - beta / 2 elsewhere. Throws
/// Error for a negative beta; with 0 it is l1_loss.
Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean,
                      double beta = 1);
/// (x - target)^2 / 2 where |x - target| <= delta, delta * (|x - target| - delta / 2) elsewhere.
/// Throws Error unless delta is positive.
Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean,
                  double delta = 1);
/// target * (log(target) - x) for log-probabilities x, 0 where the target is 0; with `log_target`,
/// exp(target) * (target - x). The divergence is its sum over the batch, divided by the batch's
/// size, which is not the mean over all elements.
Tensor kl_div(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean,
              bool log_target = false);

/// Arguments of ctc_loss.
struct CtcLossOptions {
  int64_t blank = 0;  ///< the class that stands for no label
  Reduction reduction =
      Reduction::mean;         ///< the mean is over losses divided by their labels' number
  bool zero_infinity = false;  ///< 0 for sequences that are too short for their labels
};
/// Connectionist temporal classification: minus the logarithm of the probability that a sequence of
/// classes, without its repetitions and then without its blanks, gives the labels; as
/// torch.nn.functional.ctc_loss (Graves et al., 2006).
///
/// log_probs [T,N,C] are results of log_softmax. targets, i64, are [N,S] padded in any way, or all
/// labels one after the other in one axis; input_lengths (up to T) and target_lengths are i64 [N].
/// Of a sequence that is too short the loss is infinite, and the gradient 0. Throws Error for
/// lengths and labels out of range, and for a label that is the blank.
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, const CtcLossOptions& options = {});

/// max(0, margin - target * (a - b)) for targets of 1 (a is to be larger) and -1.
Tensor margin_ranking_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                           double margin = 0, Reduction reduction = Reduction::mean);

/// Arguments of triplet_margin_loss.
struct TripletMarginLossOptions {
  double margin = 1;  ///< how much farther the negative is to be
  double p = 2;       ///< the norm's degree
  double eps = 1e-6;  ///< added to differences, so that the norm has a derivative at 0
  bool swap = false;  ///< take the negative's distance from the positive if that is smaller
  Reduction reduction = Reduction::mean;  ///< what is returned
};
/// max(0, margin + |anchor - positive| - |anchor - negative|), p-norms over the last axis.
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& options = {});

/// 1 - cos(a, b) for targets of 1, max(0, cos(a, b) - margin) for -1. a and b [N,D], target [N]; or
/// [D] and a scalar.
Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                             double margin = 0, Reduction reduction = Reduction::mean);

}  // namespace tern
