// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// @name Selecting along an axis
/// `index` is i64, with numbers from 0 to x.size(axis) - 1; others throw Error. Gradients of x and
/// `src` are exact where numbers repeat, and the same bits for every number of threads. Results
/// lie in x's memory format.
/// @{

/// The indices `index` (of one axis, or none) of `axis`, one after the other; they may repeat. As
/// torch.index_select.
Tensor index_select(const Tensor& x, int64_t axis, const Tensor& index);
/// y[i][j] = x[index[i][j]][j] for axis 0, x[i][index[i][j]] for axis 1, and so on: `index` has
/// x's number of axes and the result's shape, which is at most x's on every other axis. As
/// torch.gather.
Tensor gather(const Tensor& x, int64_t axis, const Tensor& index);
/// As gather, with NumPy's rules: x and `index` broadcast on all other axes, and negative numbers
/// count from the end. As numpy.take_along_axis.
Tensor take_along(const Tensor& x, int64_t axis, const Tensor& index);
/// x with src[i][j] at [index[i][j]][j] for axis 0, and so on: the contrary of gather. `src` is of
/// x's dtype and at least as long as `index` on every axis. Where numbers repeat the last element
/// stays, and the others get gradient 0. As torch.scatter.
Tensor scatter(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& src);
/// As above, with one number for all.
Tensor scatter(const Tensor& x, int64_t axis, const Tensor& index, double value);
/// As scatter, but adds: the adjoint of gather. As torch.scatter_add.
Tensor scatter_add(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& src);
/// x with src added at the indices `index` of `axis`: the adjoint of index_select. `src` has x's
/// shape but for the length of `axis`, which is that of `index`. As torch.index_add.
Tensor index_add(const Tensor& x, int64_t axis, const Tensor& index, const Tensor& src);
/// @}

}  // namespace tern
