// SPDX-License-Identifier: Apache-2.0
// Pooling as the formulas say it, a value of the result after the other.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../../core/internal/parallel.h"
#include "pool.h"

namespace tern::kernels {

namespace {

// Images of h by w pixels: value (n, i, j, c) is at ((n*h + i)*w + j)*channels + c.
struct Grid {
  int64_t h, w, channels;
  int64_t operator()(int64_t n, int64_t i, int64_t j, int64_t c) const {
    return ((n * h + i) * w + j) * channels + c;
  }
};

Grid grid_of(const PoolImages& x) { return {x.h, x.w, x.channels}; }

// Calls body(n, i, j, c) for every value of the images, one image on one thread.
template <class Body>
void for_values(int64_t images, const Grid& grid, const Body& body) {
  if (grid.channels == 0) return;
  parallel_for(images, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t i = 0; i < grid.h; ++i)
        for (int64_t j = 0; j < grid.w; ++j)
          for (int64_t c = 0; c < grid.channels; ++c) body(n, i, j, c);
  });
}

// Where position k of the window at (i, j) lies.
struct Pixel {
  int64_t h, w;
};
Pixel pixel_of(const MaxWindows& s, int64_t i, int64_t j, int64_t k) {
  return {i * s.stride.h + k / s.kernel.w * s.dilation.h - s.padding.h,
          j * s.stride.w + k % s.kernel.w * s.dilation.w - s.padding.w};
}

}  // namespace

template <class T, class Index>
void max_pool_forward_reference(const PoolImages& x_shape, const MaxWindows& s, const T* x, T* y,
                                Index* index) {
  const Grid in = grid_of(x_shape), out{s.out_h, s.out_w, x_shape.channels};
  const int64_t positions = s.kernel.h * s.kernel.w;
  for_values(x_shape.images, out, [&](int64_t n, int64_t i, int64_t j, int64_t c) {
    T best = -std::numeric_limits<T>::infinity();
    int64_t where = positions;
    for (int64_t k = 0; k < positions; ++k) {
      const auto [h, w] = pixel_of(s, i, j, k);
      if (h < 0 || h >= in.h || w < 0 || w >= in.w) continue;
      const T value = x[in(n, h, w, c)];
      if (where < positions && !(value > best) && value == value) continue;
      best = value;
      where = k;
    }
    y[out(n, i, j, c)] = best;
    index[out(n, i, j, c)] = static_cast<Index>(where);
  });
}

template <class T, class Index>
void max_pool_scatter_reference(const PoolImages& x_shape, const MaxWindows& s, const T* dy,
                                const Index* index, T* dx) {
  const Grid in = grid_of(x_shape), out{s.out_h, s.out_w, x_shape.channels};
  std::fill_n(dx, x_shape.images * in.h * in.w * in.channels, T{0});
  for_values(x_shape.images, out, [&](int64_t n, int64_t i, int64_t j, int64_t c) {
    const int64_t k = index[out(n, i, j, c)];
    if (k >= s.kernel.h * s.kernel.w) return;
    const auto [h, w] = pixel_of(s, i, j, k);
    dx[in(n, h, w, c)] += dy[out(n, i, j, c)];
  });
}

template <class T, class Index>
void max_pool_gather_reference(const PoolImages& x_shape, const MaxWindows& s, const T* x,
                               const Index* index, T* y) {
  const Grid in = grid_of(x_shape), out{s.out_h, s.out_w, x_shape.channels};
  for_values(x_shape.images, out, [&](int64_t n, int64_t i, int64_t j, int64_t c) {
    const int64_t k = index[out(n, i, j, c)];
    const auto [h, w] = pixel_of(s, i, j, k);
    y[out(n, i, j, c)] = k < s.kernel.h * s.kernel.w ? x[in(n, h, w, c)] : T{0};
  });
}

template <class T>
void average_forward_reference(const PoolImages& x_shape, const AverageBins& bins, const T* x,
                               T* y) {
  const Grid in = grid_of(x_shape);
  const Grid out{static_cast<int64_t>(bins.rows.size()), static_cast<int64_t>(bins.columns.size()),
                 x_shape.channels};
  for_values(x_shape.images, out, [&](int64_t n, int64_t i, int64_t j, int64_t c) {
    const Bin& row = bins.rows[static_cast<size_t>(i)];
    const Bin& column = bins.columns[static_cast<size_t>(j)];
    const auto count = static_cast<double>(row.count * column.count);
    double total = 0;
    const auto add_up = [&](double factor) {
      total = 0;
      for (int64_t h = row.begin; h < row.end; ++h)
        for (int64_t w = column.begin; w < column.end; ++w)
          total += static_cast<double>(x[in(n, h, w, c)]) * factor;
    };
    add_up(1);
    double factor = 1;
    if (!std::isfinite(total)) {
      // Of doubles, a sum may be too large where the average is not.
      while (factor * count > 1) factor /= 2;
      add_up(factor);
    }
    y[out(n, i, j, c)] = static_cast<T>(total / count / factor);
  });
}

template <class T>
void average_backward_reference(const PoolImages& x_shape, const AverageBins& bins, const T* dy,
                                T* dx) {
  const Grid in = grid_of(x_shape);
  const Grid out{static_cast<int64_t>(bins.rows.size()), static_cast<int64_t>(bins.columns.size()),
                 x_shape.channels};
  std::fill_n(dx, x_shape.images * in.h * in.w * in.channels, T{0});
  for_values(x_shape.images, out, [&](int64_t n, int64_t i, int64_t j, int64_t c) {
    const Bin& row = bins.rows[static_cast<size_t>(i)];
    const Bin& column = bins.columns[static_cast<size_t>(j)];
    for (int64_t h = row.begin; h < row.end; ++h)
      for (int64_t w = column.begin; w < column.end; ++w)
        dx[in(n, h, w, c)] += dy[out(n, i, j, c)] / static_cast<T>(row.count * column.count);
  });
}

template void average_forward_reference(const PoolImages&, const AverageBins&, const float*,
                                        float*);
template void average_forward_reference(const PoolImages&, const AverageBins&, const double*,
                                        double*);
template void average_backward_reference(const PoolImages&, const AverageBins&, const float*,
                                         float*);
template void average_backward_reference(const PoolImages&, const AverageBins&, const double*,
                                         double*);

template void max_pool_forward_reference(const PoolImages&, const MaxWindows&, const float*, float*,
                                         uint8_t*);
template void max_pool_forward_reference(const PoolImages&, const MaxWindows&, const float*, float*,
                                         int64_t*);
template void max_pool_forward_reference(const PoolImages&, const MaxWindows&, const double*,
                                         double*, uint8_t*);
template void max_pool_forward_reference(const PoolImages&, const MaxWindows&, const double*,
                                         double*, int64_t*);
template void max_pool_scatter_reference(const PoolImages&, const MaxWindows&, const float*,
                                         const uint8_t*, float*);
template void max_pool_scatter_reference(const PoolImages&, const MaxWindows&, const float*,
                                         const int64_t*, float*);
template void max_pool_scatter_reference(const PoolImages&, const MaxWindows&, const double*,
                                         const uint8_t*, double*);
template void max_pool_scatter_reference(const PoolImages&, const MaxWindows&, const double*,
                                         const int64_t*, double*);
template void max_pool_gather_reference(const PoolImages&, const MaxWindows&, const float*,
                                        const uint8_t*, float*);
template void max_pool_gather_reference(const PoolImages&, const MaxWindows&, const float*,
                                        const int64_t*, float*);
template void max_pool_gather_reference(const PoolImages&, const MaxWindows&, const double*,
                                        const uint8_t*, double*);
template void max_pool_gather_reference(const PoolImages&, const MaxWindows&, const double*,
                                        const int64_t*, double*);

}  // namespace tern::kernels
