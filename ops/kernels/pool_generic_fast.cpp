// SPDX-License-Identifier: Apache-2.0
// Pooling of every dtype, in both memory formats.
#include "pool.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <type_traits>

#include "pool_walk.h"

namespace tern::kernels {

namespace {

// Where the positions of a window lie, relative to the window's origin.
class Offsets {
 public:
  Offsets(const PoolImages& x, const MaxWindows& s)
      : positions_(s.kernel.h * s.kernel.w),
        kernel_w_(s.kernel.w),
        down_(s.dilation.h * x.w * x.channels),
        right_(s.dilation.w * x.channels) {
    const int64_t listed = std::min(positions_, kListed);
    for (int64_t k = 0; k < listed; ++k) list_[k] = computed(k);
  }
  int64_t positions() const { return positions_; }
  int64_t operator[](int64_t k) const { return k < kListed ? list_[k] : computed(k); }

 private:
  static constexpr int64_t kListed = 256;
  int64_t computed(int64_t k) const { return k / kernel_w_ * down_ + k % kernel_w_ * right_; }

  int64_t positions_, kernel_w_, down_, right_;
  int64_t list_[kListed];
};

// wins ? a : b without a jump, which no processor would predict.
template <class T>
T chosen(bool wins, T a, T b) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const Bits mask = Bits{0} - Bits{wins};
  return std::bit_cast<T>((std::bit_cast<Bits>(a) & mask) | (std::bit_cast<Bits>(b) & ~mask));
}

}  // namespace

template <class T, class Index>
void max_pool_forward_fast(const PoolImages& x_shape, const MaxWindows& s, const T* x, T* y,
                           Index* index) {
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Index, uint8_t>) {
    if (x_shape.channels > 1) return channels::max_pool_forward(x_shape, s, x, y, index);
  }
  using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;  // as wide as T, for vectors
  const Offsets offsets(x_shape, s);
  const Lane empty = static_cast<Lane>(offsets.positions());
  const WindowWalk for_each_window(x_shape, s);
  const int64_t places = s.out_h * s.out_w;
  const auto chunk = [&](int64_t image, int64_t first, auto channels) {
    const T* pixels = x + image * x_shape.h * x_shape.w * x_shape.channels + first;
    T* out = y + image * places * x_shape.channels + first;
    Index* out_index = index + image * places * x_shape.channels + first;
    T best[kChannels];
    Lane where[kChannels];
    for_each_window([&](int64_t place, int64_t origin, Range rows, Range columns) {
      std::fill_n(best, channels, -std::numeric_limits<T>::infinity());
      std::fill_n(where, channels, empty);
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        for (int64_t q = columns.begin; q < columns.end; ++q) {
          const Lane k = static_cast<Lane>(r * s.kernel.w + q);
          const T* values = pixels + (origin + offsets[k]);
          for (int64_t c = 0; c < channels; ++c) {
            const T value = values[c];
            // NaN wins, and so does the first value, even if it is -inf.
            const bool wins = (value > best[c]) | (value != value) | (where[c] == empty);
            best[c] = chosen(wins, value, best[c]);
            where[c] = chosen(wins, k, where[c]);
          }
        }
      }
      for (int64_t c = 0; c < channels; ++c) {
        out[place + c] = best[c];
        out_index[place + c] = static_cast<Index>(where[c]);
      }
    });
  };
  for_each_chunk(x_shape, places * offsets.positions(), chunk);
}

template <class T, class Index>
void max_pool_scatter_fast(const PoolImages& x_shape, const MaxWindows& s, const T* dy,
                           const Index* index, T* dx) {
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Index, uint8_t>) {
    if (x_shape.channels > 1) return channels::max_pool_scatter(x_shape, s, dy, index, dx);
  }
  const Offsets offsets(x_shape, s);
  const WindowWalk for_each_window(x_shape, s);
  const int64_t places = s.out_h * s.out_w;
  const auto chunk = [&](int64_t image, int64_t first, auto channels) {
    T* pixels = dx + image * x_shape.h * x_shape.w * x_shape.channels + first;
    const T* in = dy + image * places * x_shape.channels + first;
    const Index* in_index = index + image * places * x_shape.channels + first;
    zero_chunk(x_shape, channels, pixels);
    for_each_window([&](int64_t place, int64_t origin, Range, Range) {
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t k = in_index[place + c];
        if (k < offsets.positions()) pixels[origin + offsets[k] + c] += in[place + c];
      }
    });
  };
  for_each_chunk(x_shape, x_shape.h * x_shape.w + places, chunk);
}

template <class T, class Index>
void max_pool_gather_fast(const PoolImages& x_shape, const MaxWindows& s, const T* x,
                          const Index* index, T* y) {
  const Offsets offsets(x_shape, s);
  const WindowWalk for_each_window(x_shape, s);
  const int64_t places = s.out_h * s.out_w;
  const auto chunk = [&](int64_t image, int64_t first, auto channels) {
    const T* pixels = x + image * x_shape.h * x_shape.w * x_shape.channels + first;
    T* out = y + image * places * x_shape.channels + first;
    const Index* in_index = index + image * places * x_shape.channels + first;
    for_each_window([&](int64_t place, int64_t origin, Range, Range) {
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t k = in_index[place + c];
        out[place + c] = k < offsets.positions() ? pixels[origin + offsets[k] + c] : T{0};
      }
    });
  };
  for_each_chunk(x_shape, 2 * places, chunk);
}

template <class T>
void average_forward_fast(const PoolImages& x_shape, const AverageBins& bins, const T* x, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    if (x_shape.channels > 1) {
      if (channels::average_forward(x_shape, bins, x, y)) return;
      return average_forward_reference(x_shape, bins, x, y);
    }
  }
  std::atomic<bool> finite{true};
  const int64_t places = static_cast<int64_t>(bins.rows.size() * bins.columns.size());
  const auto chunk = [&](int64_t image, int64_t first, auto channels) {
    const T* pixels = x + image * x_shape.h * x_shape.w * x_shape.channels + first;
    T* out = y + image * places * x_shape.channels + first;
    for (const Bin& row : bins.rows) {
      for (const Bin& column : bins.columns) {
        T total[kChannels] = {};
        for (int64_t h = row.begin; h < row.end; ++h) {
          for (int64_t w = column.begin; w < column.end; ++w) {
            const T* values = pixels + (h * x_shape.w + w) * x_shape.channels;
            for (int64_t c = 0; c < channels; ++c) total[c] += values[c];
          }
        }
        const T count = static_cast<T>(row.count * column.count);
        for (int64_t c = 0; c < channels; ++c) out[c] = total[c] / count;
        if (!all_finite(channels, out)) finite = false;
        out += x_shape.channels;
      }
    }
  };
  for_each_chunk(x_shape, x_shape.h * x_shape.w + places, chunk);
  if (!finite) average_forward_reference(x_shape, bins, x, y);
}

template <class T>
void average_backward_fast(const PoolImages& x_shape, const AverageBins& bins, const T* dy, T* dx) {
  if constexpr (std::is_same_v<T, float>) {
    if (x_shape.channels > 1) return channels::average_backward(x_shape, bins, dy, dx);
  }
  const int64_t places = static_cast<int64_t>(bins.rows.size() * bins.columns.size());
  const auto chunk = [&](int64_t image, int64_t first, auto channels) {
    T* pixels = dx + image * x_shape.h * x_shape.w * x_shape.channels + first;
    const T* in = dy + image * places * x_shape.channels + first;
    zero_chunk(x_shape, channels, pixels);
    for (const Bin& row : bins.rows) {
      for (const Bin& column : bins.columns) {
        const T count = static_cast<T>(row.count * column.count);
        T share[kChannels];
        for (int64_t c = 0; c < channels; ++c) share[c] = in[c] / count;
        for (int64_t h = row.begin; h < row.end; ++h) {
          for (int64_t w = column.begin; w < column.end; ++w) {
            T* values = pixels + (h * x_shape.w + w) * x_shape.channels;
            for (int64_t c = 0; c < channels; ++c) values[c] += share[c];
          }
        }
        in += x_shape.channels;
      }
    }
  };
  for_each_chunk(x_shape, x_shape.h * x_shape.w + places, chunk);
}

template void average_forward_fast(const PoolImages&, const AverageBins&, const float*, float*);
template void average_forward_fast(const PoolImages&, const AverageBins&, const double*, double*);
template void average_backward_fast(const PoolImages&, const AverageBins&, const float*, float*);
template void average_backward_fast(const PoolImages&, const AverageBins&, const double*, double*);

template void max_pool_forward_fast(const PoolImages&, const MaxWindows&, const float*, float*,
                                    uint8_t*);
template void max_pool_forward_fast(const PoolImages&, const MaxWindows&, const float*, float*,
                                    int64_t*);
template void max_pool_forward_fast(const PoolImages&, const MaxWindows&, const double*, double*,
                                    uint8_t*);
template void max_pool_forward_fast(const PoolImages&, const MaxWindows&, const double*, double*,
                                    int64_t*);
template void max_pool_scatter_fast(const PoolImages&, const MaxWindows&, const float*,
                                    const uint8_t*, float*);
template void max_pool_scatter_fast(const PoolImages&, const MaxWindows&, const float*,
                                    const int64_t*, float*);
template void max_pool_scatter_fast(const PoolImages&, const MaxWindows&, const double*,
                                    const uint8_t*, double*);
template void max_pool_scatter_fast(const PoolImages&, const MaxWindows&, const double*,
                                    const int64_t*, double*);
template void max_pool_gather_fast(const PoolImages&, const MaxWindows&, const float*,
                                   const uint8_t*, float*);
template void max_pool_gather_fast(const PoolImages&, const MaxWindows&, const float*,
                                   const int64_t*, float*);
template void max_pool_gather_fast(const PoolImages&, const MaxWindows&, const double*,
                                   const uint8_t*, double*);
template void max_pool_gather_fast(const PoolImages&, const MaxWindows&, const double*,
                                   const int64_t*, double*);

}  // namespace tern::kernels
