// SPDX-License-Identifier: Apache-2.0
#include "distributions.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../ops/activations.h"
#include "../ops/arithmetic.h"
#include "../ops/create.h"
#include "../ops/gather.h"
#include "../ops/loss.h"
#include "../ops/math.h"
#include "../ops/movement.h"
#include "../ops/reduce.h"
#include "../ops/softmax.h"

namespace tern::distributions {
namespace {

/// Whether no element of the mask is 0.
bool everywhere(const Tensor& mask) {
  const NoGrad no_grad;
  return mask.numel() == 0 || all(mask).item<bool>();
}

/// The one tensor that is given. Throws Error for NaN and unless it is the only one.
const Tensor& checked(const char* op, const ProbsOrLogits& parameter) {
  const Tensor &probs = parameter.probs, &logits = parameter.logits;
  if (probs.defined() == logits.defined()) {
    fail(op, "probs is ", probs, " and logits is ", logits, ", want one of both");
  }
  const Tensor& given = probs.defined() ? probs : logits;
  const char* name = probs.defined() ? "probs" : "logits";
  if (!is_floating(given.dtype())) fail(op, name, " is ", given, ", want f32 or f64");
  if (!everywhere(eq(given, given))) {
    fail(op, name, " is ", given, " with NaN among its elements: look for where it comes from");
  }
  return given;
}

/// log(p) as PyTorch's: of 0, that of the smallest step from 1.
Tensor kept_from_ends(const Tensor& p) {
  const double eps = p.dtype() == DType::f64 ? std::numeric_limits<double>::epsilon()
                                             : double{std::numeric_limits<float>::epsilon()};
  return clamp(p, eps, 1 - eps);
}

Shape joined(const Shape& a, const Shape& b) {
  std::vector<int64_t> sizes(a.begin(), a.end());
  sizes.insert(sizes.end(), b.begin(), b.end());
  return Shape(sizes);
}

/// The axes but the last one.
Shape batch_of(const Tensor& x) {
  return Shape(std::vector<int64_t>(x.shape().begin(), x.shape().end() - 1));
}

/// log(p) where p is not 0, for a product with p.
Tensor finite(const Tensor& p, const Tensor& logarithm) {
  return where(gt(p, 0.0), logarithm, 0.0);
}

}  // namespace

Categorical::Categorical(const ProbsOrLogits& parameter) {
  const Tensor& given = checked("Categorical", parameter);
  if (given.dim() < 1 || given.size(-1) < 1) {
    fail("Categorical", "the parameter is ", given,
         ", want at least one class along its last axis");
  }
  if (parameter.logits.defined()) {
    logits_ = log_softmax(given, -1);
    probs_ = softmax(given, -1);
    return;
  }
  const Tensor total = sum(given, {-1}, true);
  if (!everywhere(ge(given, 0.0)) || !everywhere(gt(total, 0.0))) {
    fail("Categorical", "probs is ", given, " with negative numbers, or a row of zeros: give ",
         "logits, or softmax(logits, -1)");
  }
  probs_ = given / total;
  logits_ = log(kept_from_ends(probs_));
}

Tensor Categorical::sample(const Shape& shape) const {
  const NoGrad no_grad;
  const Shape batch = batch_of(probs_);
  const Tensor rows = reshape(probs_.detach(), {batch.numel(), probs_.size(-1)});
  const Tensor drawn = multinomial(rows, shape.numel(), true);  // [batch, shape]
  return reshape(transpose(drawn, 0, 1), joined(shape, batch));
}

Tensor Categorical::log_prob(const Tensor& value) const {
  if (!value.defined() || value.dtype() != DType::i64) {
    fail("Categorical", "value is ", value, ", want classes (i64)");
  }
  const Shape shape = broadcast_shapes("Categorical", value.shape(), batch_of(logits_));
  const Tensor rows = broadcast_to(logits_, joined(shape, {logits_.size(-1)}));
  return squeeze(gather(rows, -1, unsqueeze(broadcast_to(value, shape), -1)), -1);
}

Tensor Categorical::entropy() const { return -sum(probs_ * finite(probs_, logits_), {-1}); }

Tensor Categorical::mode() const { return argmax(probs_, -1); }

Tensor kl_divergence(const Categorical& p, const Categorical& q) {
  return sum(p.probs_ * finite(p.probs_, p.logits_ - q.logits_), {-1});
}

Bernoulli::Bernoulli(const ProbsOrLogits& parameter) {
  const Tensor& given = checked("Bernoulli", parameter);
  if (parameter.logits.defined()) {
    logits_ = given;
    probs_ = sigmoid(given);
    return;
  }
  if (!everywhere(ge(given, 0.0)) || !everywhere(le(given, 1.0))) {
    fail("Bernoulli", "probs is ", given, ", want numbers from 0 to 1: give logits, or sigmoid of ",
         "them");
  }
  probs_ = given;
  const Tensor p = kept_from_ends(given);
  logits_ = log(p) - log1p(-p);
}

Tensor Bernoulli::sample(const Shape& shape) const {
  const NoGrad no_grad;
  return bernoulli(broadcast_to(probs_.detach(), joined(shape, probs_.shape())));
}

Tensor Bernoulli::log_prob(const Tensor& value) const {
  const Shape shape = broadcast_shapes("Bernoulli", value.shape(), logits_.shape());
  return -binary_cross_entropy_with_logits(broadcast_to(logits_, shape),
                                           broadcast_to(value.to(logits_.dtype()), shape),
                                           {.reduction = Reduction::none});
}

Tensor Bernoulli::entropy() const {
  return binary_cross_entropy_with_logits(logits_, probs_, {.reduction = Reduction::none});
}

Tensor kl_divergence(const Bernoulli& p, const Bernoulli& q) {
  const Tensor ones = softplus(-q.logits_) - softplus(-p.logits_);
  const Tensor zeros = softplus(q.logits_) - softplus(p.logits_);
  return p.probs_ * ones + (1.0 - p.probs_) * zeros;
}

Normal::Normal(const Tensor& loc, const Tensor& scale) {
  if (!loc.defined() || !scale.defined() || !is_floating(loc.dtype()) ||
      loc.dtype() != scale.dtype()) {
    fail("Normal", "loc is ", loc, " and scale is ", scale, ", want both f32 or both f64");
  }
  if (!everywhere(gt(scale, 0.0))) {
    fail("Normal", "scale is ", scale, " with elements that are not above 0: use exp or softplus");
  }
  const Shape shape = broadcast_shapes("Normal", loc.shape(), scale.shape());
  loc_ = broadcast_to(loc, shape);
  scale_ = broadcast_to(scale, shape);
}

Normal::Normal(const Tensor& loc, double scale)
    : Normal(loc, full(Shape{}, scale, loc.defined() ? loc.dtype() : DType::f32)) {}

Tensor Normal::rsample(const Shape& shape) const {
  return loc_ + scale_ * randn(joined(shape, loc_.shape()), loc_.dtype());
}

Tensor Normal::sample(const Shape& shape) const {
  const NoGrad no_grad;
  return rsample(shape);
}

Tensor Normal::log_prob(const Tensor& value) const {
  const Tensor z = (value - loc_) / scale_;
  return -0.5 * (z * z) - log(scale_) - 0.5 * std::log(2 * std::numbers::pi);
}

Tensor Normal::entropy() const { return log(scale_) + 0.5 * (1 + std::log(2 * std::numbers::pi)); }

Tensor kl_divergence(const Normal& p, const Normal& q) {
  const Tensor ratio = p.scale_ / q.scale_, distance = (p.loc_ - q.loc_) / q.scale_;
  return 0.5 * (ratio * ratio + distance * distance - 1.0) - log(ratio);
}

}  // namespace tern::distributions
