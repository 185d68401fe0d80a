// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "../core/tensor.h"

namespace tern {

/// Matrix product of the last two axes, [..., M, K] x [..., K, N] -> [..., M, N]; leading axes
/// broadcast. One-dimensional operands work as PyTorch's: [K] x [K] is a scalar. Differentiable to
/// any order. Throws Error for shapes or dtypes that do not fit.
Tensor matmul(const Tensor& a, const Tensor& b);

/// y = x w^T + b with x [..., in], w [out, in] and b [out] (or undefined): [..., out].
/// Throws Error for shapes or dtypes that do not fit.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

/// Products of the matrices of two batches: [B, M, K] x [B, K, N] -> [B, M, N].
Tensor bmm(const Tensor& a, const Tensor& b);
/// The sum of the products of two vectors' elements.
Tensor dot(const Tensor& a, const Tensor& b);
/// a[i] b[j] of two vectors: a matrix.
Tensor outer(const Tensor& a, const Tensor& b);

/// Options of addmm.
struct AddmmOptions {
  double beta = 1;   ///< factor of what is added
  double alpha = 1;  ///< factor of the product
};
/// beta x + alpha a b, for matrices a and b and an x that broadcasts to their product.
Tensor addmm(const Tensor& x, const Tensor& a, const Tensor& b, const AddmmOptions& options = {});

/// Einstein's sum: `einsum("bij,bjk->bik", {a, b})`. A letter names an axis; letters that are not
/// on the right are summed over; one that is twice in an operand takes the diagonal; "..." stands
/// for any further axes, which broadcast. Without "->" the result has the letters that occur once,
/// in alphabetic order. Operands are contracted from the left, two at a time, by matmul.
Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands);

/// Options of cosine_similarity.
struct CosineSimilarityOptions {
  int64_t axis = 1;   ///< along which vectors lie
  double eps = 1e-8;  ///< the least norm that is divided by
};
/// sum(a b) / (max(|a|, eps) max(|b|, eps)) along an axis; a and b broadcast.
Tensor cosine_similarity(const Tensor& a, const Tensor& b,
                         const CosineSimilarityOptions& options = {});

/// Options of pairwise_distance.
struct PairwiseDistanceOptions {
  double p = 2;          ///< of the norm
  double eps = 1e-6;     ///< added to every difference
  bool keepdim = false;  ///< keep the last axis, with length 1
};
/// norm(a - b + eps) along the last axis; a and b broadcast.
Tensor pairwise_distance(const Tensor& a, const Tensor& b,
                         const PairwiseDistanceOptions& options = {});
/// The distance norm(a[i] - b[j], p) of every row of a [..., M, K] to every row of b [..., N, K]:
/// [..., M, N]. The gradient at distance 0 is 0.
Tensor cdist(const Tensor& a, const Tensor& b, double p = 2);

}  // namespace tern
