// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "../core/tensor.h"

namespace tern {

/// @name Matrices
/// Of the last two axes; `offset` k counts diagonals from the main one, upwards.
/// @{

/// x on and below the diagonal, 0 above.
Tensor tril(const Tensor& x, int64_t offset = 0);
/// x on and above the diagonal, 0 below.
Tensor triu(const Tensor& x, int64_t offset = 0);
/// A square matrix with the vector x on the diagonal, or the diagonal of the matrix x.
Tensor diag(const Tensor& x, int64_t offset = 0);
/// @}

/// Coordinates of a grid: result i is vector i along axis i, stretched over all others. As
/// torch.meshgrid with indexing "ij".
std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors);
/// 1 at each class (i64, 0 to `count` - 1) along a new last axis, 0 elsewhere (i64). `count` -1 is
/// the largest class + 1. Throws Error for other classes.
Tensor one_hot(const Tensor& classes, int64_t count = -1);

/// @name Random numbers by tensors
/// Of the default generator. Not differentiable.
/// @{

/// 1 with probability p, 0 otherwise, in p's dtype. Throws Error unless all p are from 0 to 1.
Tensor bernoulli(const Tensor& p);
/// Normal with these means and standard deviations, which broadcast. Throws Error for a negative
/// deviation.
Tensor normal(const Tensor& mean, const Tensor& std);
Tensor normal(double mean, const Tensor& std);  ///< with one mean
Tensor normal(const Tensor& mean, double std);  ///< with one standard deviation
Tensor normal(double mean, double std, const Shape& shape,
              DType dtype = DType::f32);  ///< with both
/// `count` indices (i64) of the last axis of `weights` ([n] or [rows, n]), each drawn with
/// probability weight / sum: [count] or [rows, count]. Without `replacement` an index is drawn
/// once at most. Throws Error for weights that are negative, not finite or all 0, and for a count
/// above the number of weights other than 0 without replacement.
Tensor multinomial(const Tensor& weights, int64_t count, bool replacement = false);
/// @}

}  // namespace tern
