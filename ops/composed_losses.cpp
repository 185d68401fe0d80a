// SPDX-License-Identifier: Apache-2.0
// Losses made of other operations.
#include <limits>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "activations.h"
#include "arithmetic.h"
#include "internal/loss.h"
#include "internal/op.h"
#include "logical.h"
#include "math.h"
#include "matmul.h"
#include "reduce.h"
#include "softmax.h"

namespace tern {

namespace {

Tensor reduced(const Tensor& each, Reduction reduction) {
  if (reduction == Reduction::none) return each;
  return reduction == Reduction::mean ? mean(each) : sum(each);
}

void check_pair(const char* op, const Tensor& x, const Tensor& target) {
  if (x.shape() != target.shape() || x.dtype() != target.dtype() || !is_floating(x.dtype())) {
    fail(op, "x is ", x, ", target ", target, ", want the same shape and dtype, f32 or f64");
  }
}

// A vector over the classes, as it broadcasts to x.
Tensor along_classes(const Tensor& vector, const Tensor& x, int axis) {
  std::vector<int64_t> sizes(static_cast<size_t>(x.dim() - axis), 1);
  sizes[0] = x.shape()[axis];
  return reshape(vector, sizes);
}

void check_weight(const char* op, const Tensor& weight, const Tensor& x, int axis) {
  if (!weight.defined()) return;
  if (weight.dim() != 1 || weight.numel() != x.shape()[axis] || weight.dtype() != x.dtype()) {
    fail(op, "weight is ", weight, ", logits ", x, ", want [", x.shape()[axis], "], ", x.dtype());
  }
}

// -log_p of the target, which is 1 - smoothing on the class plus smoothing / C on every class.
// What `where` leaves out is never read: ignored rows, and classes that are no part of the target.
Tensor of_classes(const char* op, const Tensor& log_p, const Tensor& classes, const Tensor& weight,
                  int64_t ignore_index, double smoothing, Reduction reduction, int axis) {
  const int64_t count = log_p.shape()[axis];
  const int64_t counted = check_classes(op, log_p, classes, count, ignore_index);
  const Tensor labels = unsqueeze(classes, axis);
  const Tensor counts = ne(labels, static_cast<double>(ignore_index));
  const Tensor places = along_classes(arange(static_cast<double>(count)), log_p, axis);
  const Tensor of_class = logical_and(eq(labels, places), counts);
  Tensor chosen = of_class, values = log_p, factors;
  if (weight.defined()) {
    factors = along_classes(weight, log_p, axis);
    values = values * factors;
  }
  if (smoothing > 0) {
    const Tensor target =
        of_class.to(log_p.dtype()) * (1 - smoothing) + smoothing / static_cast<double>(count);
    chosen = logical_and(counts, ne(target, 0.0));
    values = values * target;
  }
  const Tensor each = neg(sum(where(chosen, values, {}), {axis}));
  if (reduction != Reduction::mean) return reduced(each, reduction);
  if (!weight.defined()) return sum(each) / static_cast<double>(counted);
  return sum(each) / sum(where(of_class, factors, {}));
}

class BinaryCrossEntropyNode final : public Node {
 public:
  BinaryCrossEntropyNode(const Tensor& p, const Tensor& target)
      : p_(this, p), target_(this, needed_by(p, target)) {}
  const char* name() const override { return "binary_cross_entropy"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    const Tensor p = p_.get();
    if (needs(0)) {
      gradients[0] = dy * (p - target_.get()) / clamp_min((1.0 - p) * p, 1e-12);
    }
    if (needs(1)) gradients[1] = dy * (clamp_min(log(1.0 - p), -100) - clamp_min(log(p), -100));
    return gradients;
  }

 private:
  Saved p_, target_;
};

}  // namespace

Tensor weighted_cross_entropy(const Tensor& logits, const Tensor& classes,
                              const CrossEntropyOptions& options) {
  const int axis = class_axis("cross_entropy", logits, classes);
  check_weight("cross_entropy", options.weight, logits, axis);
  return of_classes("cross_entropy", log_softmax(logits, axis), classes, options.weight,
                    options.ignore_index, options.label_smoothing, options.reduction, axis);
}

Tensor soft_cross_entropy(const Tensor& logits, const Tensor& probabilities,
                          const CrossEntropyOptions& options) {
  check_pair("cross_entropy", logits, probabilities);
  const int axis = logits.dim() == 1 ? 0 : 1;
  if (logits.dim() == 0 || logits.shape()[axis] == 0) {
    fail("cross_entropy", "logits are ", logits, ", want [N,C], [N,C,...] or [C]");
  }
  if (options.ignore_index >= 0) {
    fail("cross_entropy", "ignore_index is ", options.ignore_index,
         ", and the targets are probabilities: want no ignored class");
  }
  check_weight("cross_entropy", options.weight, logits, axis);
  const double smoothing = options.label_smoothing;
  Tensor target = probabilities;
  if (smoothing > 0) {
    target = target * (1 - smoothing) + smoothing / static_cast<double>(logits.shape()[axis]);
  }
  const Tensor log_p = log_softmax(logits, axis);
  const Tensor counts =
      logical_or(gt(log_p, -std::numeric_limits<double>::infinity()), ne(target, 0.0));
  Tensor values = target * where(counts, log_p, {});
  if (options.weight.defined()) values = values * along_classes(options.weight, logits, axis);
  return reduced(neg(sum(values, {axis})), options.reduction);
}

Tensor nll_loss(const Tensor& log_probabilities, const Tensor& classes,
                const NllLossOptions& options) {
  const OpScope scope("nll_loss", log_probabilities, classes, options.weight, "ignore_index",
                      options.ignore_index, "reduction", options.reduction);
  const int axis = class_axis("nll_loss", log_probabilities, classes);
  check_weight("nll_loss", options.weight, log_probabilities, axis);
  return scope.result(of_classes("nll_loss", log_probabilities, classes, options.weight,
                                 options.ignore_index, 0, options.reduction, axis));
}

Tensor binary_cross_entropy(const Tensor& p, const Tensor& target,
                            const BinaryCrossEntropyOptions& options) {
  const OpScope scope("binary_cross_entropy", p, target, options.weight, "reduction",
                      options.reduction);
  check_pair("binary_cross_entropy", p, target);
  visit_floating(p.dtype(), [&]<class T>(T) {
    const T* values = p.raw<T>();
    for (int64_t i = 0; i < p.numel(); ++i) {
      if (values[i] >= 0 && values[i] <= 1) continue;
      fail("binary_cross_entropy", "p holds ", values[i],
           ", want probabilities from 0 to 1: use binary_cross_entropy_with_logits");
    }
  });
  const Tensor unrecorded = [&] {
    const NoGrad no_grad;
    const Tensor other = clamp_min(log(1.0 - p), -100);
    return neg(target * (clamp_min(log(p), -100) - other) + other);
  }();
  Tensor each = record<BinaryCrossEntropyNode>(unrecorded, {p, target}, p, target);
  if (options.weight.defined()) each = each * options.weight;
  return scope.result(reduced(each, options.reduction));
}

Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                        const BinaryCrossEntropyWithLogitsOptions& options) {
  const OpScope scope("binary_cross_entropy_with_logits", x, target, options.weight,
                      options.pos_weight, "reduction", options.reduction);
  check_pair("binary_cross_entropy_with_logits", x, target);
  // -log(1 - sigmoid(x)) = x - log(sigmoid(x))
  Tensor positive = logsigmoid(x);
  if (options.pos_weight.defined()) {
    positive = positive * ((options.pos_weight - 1.0) * target + 1.0);
  }
  Tensor each = (1.0 - target) * x - positive;
  if (options.weight.defined()) each = each * options.weight;
  return scope.result(reduced(each, options.reduction));
}

Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  const OpScope scope("l1_loss", x, target, "reduction", reduction);
  check_pair("l1_loss", x, target);
  return scope.result(reduced(abs(x - target), reduction));
}

Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction, double beta) {
  const OpScope scope("smooth_l1_loss", x, target, "reduction", reduction, "beta", beta);
  check_pair("smooth_l1_loss", x, target);
  if (!(beta >= 0)) fail("smooth_l1_loss", "beta is ", beta, ", want at least 0");
  const Tensor difference = x - target, size = abs(difference);
  if (beta == 0) return scope.result(reduced(size, reduction));
  return scope.result(reduced(
      where(lt(size, beta), square(difference) * (0.5 / beta), size - 0.5 * beta), reduction));
}

Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction, double delta) {
  const OpScope scope("huber_loss", x, target, "reduction", reduction, "delta", delta);
  check_pair("huber_loss", x, target);
  if (!(delta > 0)) fail("huber_loss", "delta is ", delta, ", want a positive number");
  const Tensor difference = x - target, size = abs(difference);
  return scope.result(reduced(
      where(le(size, delta), square(difference) * 0.5, (size - 0.5 * delta) * delta), reduction));
}

Tensor kl_div(const Tensor& x, const Tensor& target, Reduction reduction, bool log_target) {
  const OpScope scope("kl_div", x, target, "reduction", reduction, "log_target", log_target);
  check_pair("kl_div", x, target);
  if (log_target) return scope.result(reduced(exp(target) * (target - x), reduction));
  return scope.result(reduced(where(ne(target, 0.0), target * (log(target) - x), {}), reduction));
}

Tensor margin_ranking_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin,
                           Reduction reduction) {
  const OpScope scope("margin_ranking_loss", a, b, target, "margin", margin, "reduction",
                      reduction);
  return scope.result(reduced(clamp_min(margin - target * (a - b), 0), reduction));
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& options) {
  const OpScope scope("triplet_margin_loss", anchor, positive, negative, "margin", options.margin,
                      "p", options.p, "eps", options.eps, "swap", options.swap, "reduction",
                      options.reduction);
  check_pair("triplet_margin_loss", anchor, positive);
  check_pair("triplet_margin_loss", anchor, negative);
  if (!(options.p > 0)) fail("triplet_margin_loss", "p is ", options.p, ", want above 0");
  const PairwiseDistanceOptions norm{.p = options.p, .eps = options.eps};
  Tensor far = pairwise_distance(anchor, negative, norm);
  if (options.swap) far = minimum(far, pairwise_distance(positive, negative, norm));
  const Tensor near = pairwise_distance(anchor, positive, norm);
  return scope.result(reduced(clamp_min(near - far + options.margin, 0), options.reduction));
}

Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin,
                             Reduction reduction) {
  const OpScope scope("cosine_embedding_loss", a, b, target, "margin", margin, "reduction",
                      reduction);
  check_pair("cosine_embedding_loss", a, b);
  if (a.dim() < 1 || a.dim() > 2 || target.dim() != a.dim() - 1 ||
      (a.dim() == 2 && target.shape()[0] != a.shape()[0])) {
    fail("cosine_embedding_loss", "a is ", a, ", target ", target,
         ", want [N,D] and [N], or [D] and a scalar");
  }
  constexpr double kEps = 1e-12;
  const Tensor squares = (sum(a * a, {-1}) + kEps) * (sum(b * b, {-1}) + kEps);
  const Tensor cosine = sum(a * b, {-1}) / sqrt(squares);
  const Tensor alike = where(eq(target, 1.0), 1.0 - cosine, {});
  return scope.result(
      reduced(where(eq(target, -1.0), clamp_min(cosine - margin, 0), alike), reduction));
}

}  // namespace tern
