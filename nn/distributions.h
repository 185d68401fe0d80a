// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/shape.h"
#include "../core/tensor.h"

/// Probability distributions of what a net has computed, as torch.distributions: policies.
namespace tern::distributions {

/// The parameter of Categorical and Bernoulli: one of the two.
struct ProbsOrLogits {
  Tensor probs = {};   ///< probabilities
  Tensor logits = {};  ///< their logarithms, up to what normalizes them; -inf is probability 0
};

/// One of n classes, n the size of the last axis: `Categorical({.logits = policy(x)})`. What is
/// drawn and asked for has the shape of the other axes, the batch, behind `shape`.
class Categorical {
 public:
  /// Throws Error unless there is exactly one of both, of rank 1 or more and floating, without NaN,
  /// and probabilities are at least 0, not all 0. They need not sum to 1.
  explicit Categorical(const ProbsOrLogits& parameter);
  /// From probabilities.
  explicit Categorical(const Tensor& probs) : Categorical(ProbsOrLogits{.probs = probs}) {}

  const Tensor& probs() const { return probs_; }    ///< the probabilities, which sum to 1
  const Tensor& logits() const { return logits_; }  ///< their logarithms
  /// Classes (i64), drawn by the default generator.
  Tensor sample(const Shape& shape = {}) const;
  /// The logarithm of the probability of these classes, which broadcast with the batch.
  Tensor log_prob(const Tensor& value) const;
  Tensor entropy() const;  ///< -sum(p log p); a class of probability 0 adds nothing
  Tensor mode() const;     ///< the most probable class (i64)
  /// sum(p (log p - log q)): infinite where q is 0 and p is not.
  friend Tensor kl_divergence(const Categorical& p, const Categorical& q);

 private:
  Tensor probs_, logits_;
};

/// 1 with probability p, otherwise 0, element by element: `Bernoulli({.logits = x})`.
class Bernoulli {
 public:
  /// Throws Error unless there is exactly one of both, floating, without NaN, and probabilities are
  /// from 0 to 1.
  explicit Bernoulli(const ProbsOrLogits& parameter);
  /// From probabilities.
  explicit Bernoulli(const Tensor& probs) : Bernoulli(ProbsOrLogits{.probs = probs}) {}

  const Tensor& probs() const { return probs_; }    ///< the probabilities of 1
  const Tensor& logits() const { return logits_; }  ///< log(p / (1 - p))
  /// 0 and 1, drawn by the default generator.
  Tensor sample(const Shape& shape = {}) const;
  Tensor log_prob(const Tensor& value) const;  ///< the logarithm of the probability of `value`
  Tensor entropy() const;                      ///< -p log p - (1 - p) log(1 - p)
  /// p (log p - log q) + (1 - p) (log(1 - p) - log(1 - q))
  friend Tensor kl_divergence(const Bernoulli& p, const Bernoulli& q);

 private:
  Tensor probs_, logits_;
};

/// Normal with mean `loc` and standard deviation `scale`, which broadcast, element by element.
class Normal {
 public:
  /// Throws Error unless both are floating, of one dtype, and `scale` is above 0.
  Normal(const Tensor& loc, const Tensor& scale);
  /// With one standard deviation.
  Normal(const Tensor& loc, double scale);

  const Tensor& mean() const { return loc_; }      ///< the mean, of the common shape
  const Tensor& stddev() const { return scale_; }  ///< the standard deviation, likewise
  /// Numbers drawn by the default generator; no gradient.
  Tensor sample(const Shape& shape = {}) const;
  /// As sample, loc + scale * noise with the gradients of both (reparameterized).
  Tensor rsample(const Shape& shape = {}) const;
  /// -(value - loc)^2 / (2 scale^2) - log(scale) - log(2 pi) / 2
  Tensor log_prob(const Tensor& value) const;
  Tensor entropy() const;  ///< (1 + log(2 pi)) / 2 + log(scale)
  /// log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2
  friend Tensor kl_divergence(const Normal& p, const Normal& q);

 private:
  Tensor loc_, scale_;
};

}  // namespace tern::distributions
