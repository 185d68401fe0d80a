// SPDX-License-Identifier: Apache-2.0
// The kernels of pooling, for both memory orders: channels-last memory is [n, h, w, c], row-major
// memory is the same with n*c images of one channel. The fast ones are Tern's own, not oneDNN's,
// whose maximum drops NaN and turns -inf into the lowest number. Private: not installed.
#pragma once

#include <cstdint>
#include <vector>

#include "../window.h"

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
void max_pool_forward(const PoolImages& x_shape, const MaxWindows& windows, const T* x, T* y,
                      Index* index);
/// dx = 0, then dx[index] += dy
template <class T, class Index>
void max_pool_scatter(const PoolImages& x_shape, const MaxWindows& windows, const T* dy,
                      const Index* index, T* dx);
/// y = x[index]; 0 for empty windows.
template <class T, class Index>
void max_pool_gather(const PoolImages& x_shape, const MaxWindows& windows, const T* x,
                     const Index* index, T* y);

/// The pixels begin <= p < end of an axis that one place of an average sees, and what it divides
/// by.
struct Bin {
  int64_t begin, end, count;
};
/// Averages over rectangles: place (i, j) sees rows[i] and columns[j].
struct AverageBins {
  std::vector<Bin> rows, columns;
};

/// y[i,j] = sum of x over the bin / (rows[i].count * columns[j].count)
template <class T>
void average_forward(const PoolImages& x_shape, const AverageBins& bins, const T* x, T* y);
/// The adjoint: every dy[i,j] / (rows[i].count * columns[j].count) is added to its bin's pixels.
template <class T>
void average_backward(const PoolImages& x_shape, const AverageBins& bins, const T* dy, T* dx);

/// @name The same for float32 with many channels, vectorized over them
/// @{
void max_pool_forward_fast(const PoolImages& x_shape, const MaxWindows& windows, const float* x,
                           float* y, uint8_t* index);
void max_pool_scatter_fast(const PoolImages& x_shape, const MaxWindows& windows, const float* dy,
                           const uint8_t* index, float* dx);
void average_forward_fast(const PoolImages& x_shape, const AverageBins& bins, const float* x,
                          float* y);
void average_backward_fast(const PoolImages& x_shape, const AverageBins& bins, const float* dy,
                           float* dx);
/// @}

}  // namespace tern::kernels
