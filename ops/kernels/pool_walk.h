// SPDX-License-Identifier: Apache-2.0
// How the kernels of pooling walk over images and windows.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "../../core/internal/parallel.h"
#include "pool.h"

namespace tern::kernels {

/// Whether no number is infinite or NaN, without a floating-point comparison.
template <class T>
bool all_finite(int64_t n, const T* x) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const Bits exponent = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
  Bits found = 0;
  for (int64_t i = 0; i < n; ++i)
    found |= static_cast<Bits>((std::bit_cast<Bits>(x[i]) & exponent) == exponent);
  return found == 0;
}

// Channels that are worked on at a time: small enough to stay in the first cache, large enough for
// vector loops.
inline constexpr int64_t kChannels = 64;

// Calls body(image, first channel, number of channels) for all images and chunks of channels, in
// parallel. `work` is the number of values touched per channel. Row-major images have one channel,
// which the compiler is told, to leave the loops over channels out.
template <class F>
void for_each_chunk(const PoolImages& x, int64_t work, F&& body) {
  const int64_t chunks = divide_up(x.channels, kChannels);
  const int64_t cost = std::max<int64_t>(1, work * std::min(x.channels, kChannels));
  const int64_t grain = std::max<int64_t>(1, kGrain / cost);
  parallel_for(x.images * chunks, grain, [&](int64_t begin, int64_t end) {
    if (x.channels == 1) {
      for (int64_t i = begin; i < end; ++i) {
        body(i, int64_t{0}, std::integral_constant<int64_t, 1>{});
      }
      return;
    }
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % chunks * kChannels;
      body(i / chunks, first, std::min(kChannels, x.channels - first));
    }
  });
}

template <class T>
void zero_chunk(const PoolImages& x, int64_t channels, T* pixels) {
  if (channels == x.channels) {
    std::fill_n(pixels, x.h * x.w * channels, T{0});
  } else {
    for (int64_t p = 0; p < x.h * x.w; ++p) std::fill_n(pixels + p * x.channels, channels, T{0});
  }
}

// The window positions r with 0 <= start + r*dilation < size.
struct Range {
  int64_t begin, end;
};
// One for every place along an axis, computed once: it takes divisions.
inline std::vector<Range> ranges_of(int64_t places, int64_t size, int64_t kernel, int64_t stride,
                                    int64_t padding, int64_t dilation) {
  std::vector<Range> ranges;
  ranges.reserve(static_cast<size_t>(places));
  for (int64_t i = 0; i < places; ++i) {
    const int64_t start = i * stride - padding;
    const int64_t begin = start < 0 ? divide_up(-start, dilation) : 0;
    const int64_t end = start < size ? divide_up(size - start, dilation) : 0;
    ranges.push_back({begin, std::max(begin, std::min(kernel, end))});
  }
  return ranges;
}

// The windows of an image.
class WindowWalk {
 public:
  WindowWalk(const PoolImages& x, const MaxWindows& s)
      : x_(x),
        s_(s),
        rows_(ranges_of(s.out_h, x.h, s.kernel.h, s.stride.h, s.padding.h, s.dilation.h)),
        columns_(ranges_of(s.out_w, x.w, s.kernel.w, s.stride.w, s.padding.w, s.dilation.w)) {}

  // Calls body(place in the result, the window's origin, rows, columns) for every window; place
  // and origin count values from the image's first.
  template <class F>
  void operator()(F&& body) const {
    int64_t place = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const int64_t h = static_cast<int64_t>(i) * s_.stride.h - s_.padding.h;
      int64_t origin = (h * x_.w - s_.padding.w) * x_.channels;
      for (const Range& columns : columns_) {
        body(place, origin, rows_[i], columns);
        place += x_.channels;
        origin += s_.stride.w * x_.channels;
      }
    }
  }

 private:
  PoolImages x_;
  MaxWindows s_;
  std::vector<Range> rows_, columns_;
};

}  // namespace tern::kernels
