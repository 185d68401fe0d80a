// SPDX-License-Identifier: Apache-2.0
// The kernels of pooling, for both memory formats: channels-last memory is [n, h, w, c], row-major
// memory is the same with n*c images of one channel. The fast ones, for every dtype, are Tern's
// own, not oneDNN's, whose maximum drops NaN and turns -inf into the lowest number.
#pragma once

#include <cstdint>
#include <vector>

#include "../window.h"
#include "dispatch.h"

namespace tern::kernels {

/// `images` images of h by w pixels with `channels` values each.
struct PoolImages {
  int64_t images, h, w, channels;
};

/// Windows of a maximum: place (i, j) of the result sees the pixels
/// (i*stride.h + r*dilation.h - padding.h, j*stride.w + s*dilation.w - padding.w) inside the image.
struct MaxWindows {
  int64_t out_h, out_w;
  Size2d kernel, stride, padding, dilation;
};

/// y is the maximum over each window (NaN if it holds one, -inf if it is empty), and index the
/// position r*kernel.w + s of the first one (kernel.h*kernel.w if the window is empty).
/// Index is uint8_t or int64_t.
template <class T, class Index>
void max_pool_forward_fast(const PoolImages& x_shape, const MaxWindows& windows, const T* x, T* y,
                           Index* index);
template <class T, class Index>
void max_pool_forward_reference(const PoolImages& x_shape, const MaxWindows& windows, const T* x,
                                T* y, Index* index);
template <class T, class Index>
void max_pool_forward(const PoolImages& x_shape, const MaxWindows& windows, const T* x, T* y,
                      Index* index) {
  dispatch(max_pool_forward_fast<T, Index>, max_pool_forward_reference<T, Index>, x_shape, windows,
           x, y, index);
}

/// dx = 0, then dx[index] += dy
template <class T, class Index>
void max_pool_scatter_fast(const PoolImages& x_shape, const MaxWindows& windows, const T* dy,
                           const Index* index, T* dx);
template <class T, class Index>
void max_pool_scatter_reference(const PoolImages& x_shape, const MaxWindows& windows, const T* dy,
                                const Index* index, T* dx);
template <class T, class Index>
void max_pool_scatter(const PoolImages& x_shape, const MaxWindows& windows, const T* dy,
                      const Index* index, T* dx) {
  dispatch(max_pool_scatter_fast<T, Index>, max_pool_scatter_reference<T, Index>, x_shape, windows,
           dy, index, dx);
}

/// y = x[index]; 0 for empty windows.
template <class T, class Index>
void max_pool_gather_fast(const PoolImages& x_shape, const MaxWindows& windows, const T* x,
                          const Index* index, T* y);
template <class T, class Index>
void max_pool_gather_reference(const PoolImages& x_shape, const MaxWindows& windows, const T* x,
                               const Index* index, T* y);
template <class T, class Index>
void max_pool_gather(const PoolImages& x_shape, const MaxWindows& windows, const T* x,
                     const Index* index, T* y) {
  dispatch(max_pool_gather_fast<T, Index>, max_pool_gather_reference<T, Index>, x_shape, windows, x,
           index, y);
}

/// The pixels begin <= p < end of an axis that one place of an average sees, and what it divides
/// by.
struct Bin {
  int64_t begin, end, count;
};
/// Averages over rectangles: place (i, j) sees rows[i] and columns[j].
struct AverageBins {
  std::vector<Bin> rows, columns;
};

/// y[i,j] = sum of x over the bin / (rows[i].count * columns[j].count). It is infinite only if it
/// is too large itself: where a sum was, the reference adds again.
template <class T>
void average_forward_fast(const PoolImages& x_shape, const AverageBins& bins, const T* x, T* y);
template <class T>
void average_forward_reference(const PoolImages& x_shape, const AverageBins& bins, const T* x,
                               T* y);
template <class T>
void average_forward(const PoolImages& x_shape, const AverageBins& bins, const T* x, T* y) {
  dispatch(average_forward_fast<T>, average_forward_reference<T>, x_shape, bins, x, y);
}

/// The adjoint: every dy[i,j] / (rows[i].count * columns[j].count) is added to its bin's pixels.
template <class T>
void average_backward_fast(const PoolImages& x_shape, const AverageBins& bins, const T* dy, T* dx);
template <class T>
void average_backward_reference(const PoolImages& x_shape, const AverageBins& bins, const T* dy,
                                T* dx);
template <class T>
void average_backward(const PoolImages& x_shape, const AverageBins& bins, const T* dy, T* dx) {
  dispatch(average_backward_fast<T>, average_backward_reference<T>, x_shape, bins, dy, dx);
}

/// Loops over the channels, for float32 with more than one.
namespace channels {
void max_pool_forward(const PoolImages& x_shape, const MaxWindows& windows, const float* x,
                      float* y, uint8_t* index);
void max_pool_scatter(const PoolImages& x_shape, const MaxWindows& windows, const float* dy,
                      const uint8_t* index, float* dx);
/// Whether all results are finite.
bool average_forward(const PoolImages& x_shape, const AverageBins& bins, const float* x, float* y);
void average_backward(const PoolImages& x_shape, const AverageBins& bins, const float* dy,
                      float* dx);
}  // namespace channels

}  // namespace tern::kernels
