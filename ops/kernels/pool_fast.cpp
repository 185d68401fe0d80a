// SPDX-License-Identifier: Apache-2.0
// Pooling of float32 with more than one channel, vectorised over them.
#include <algorithm>
#include <atomic>
#include <limits>

#include "../../core/op_scope.h"
#include "isa.h"
#include "pool.h"
#include "pool_loops.h"
#include "pool_walk.h"

namespace tern::kernels {

namespace {

using pool::Window;

const pool::Loops& loops() {
  OpScope::implementation(cpu::loops_name());
  return *isa_kernels().pool;
}

// The window of a maximum whose origin is at `origin`.
Window window_of(const PoolImages& x, const MaxWindows& s, int64_t origin, Range rows,
                 Range columns) {
  return {rows.begin,
          rows.end,
          columns.begin,
          columns.end,
          origin,
          s.dilation.h * x.w * x.channels,
          s.dilation.w * x.channels,
          s.kernel.w};
}

// Calls body(window, count, offset of its place in the result) for every bin.
template <class F>
void for_each_bin(const PoolImages& x, const AverageBins& bins, F&& body) {
  int64_t place = 0;
  for (const Bin& row : bins.rows) {
    for (const Bin& column : bins.columns) {
      const Window window{row.begin, row.end,          column.begin, column.end,
                          0,         x.w * x.channels, x.channels,   1};
      body(window, static_cast<float>(row.count * column.count), place);
      place += x.channels;
    }
  }
}

// Whether every pixel belongs to exactly one window.
bool tiles(int64_t size, int64_t windows, int64_t kernel, int64_t stride, int64_t padding) {
  return stride == kernel && padding == 0 && windows * kernel == size;
}
bool tiles(int64_t size, const std::vector<Bin>& bins) {
  int64_t covered = 0;
  for (const Bin& bin : bins) {
    if (bin.begin != covered) return false;
    covered = bin.end;
  }
  return covered == size;
}

}  // namespace

namespace channels {

void max_pool_forward(const PoolImages& x_shape, const MaxWindows& s, const float* x, float* y,
                      uint8_t* index) {
  const auto max = loops().max;
  const WindowWalk for_each_window(x_shape, s);
  const int64_t places = s.out_h * s.out_w;
  const int64_t positions = s.kernel.h * s.kernel.w;
  const auto chunk = [&](int64_t image, int64_t first, int64_t channels) {
    const float* pixels = x + image * x_shape.h * x_shape.w * x_shape.channels + first;
    float* out = y + image * places * x_shape.channels + first;
    uint8_t* out_index = index + image * places * x_shape.channels + first;
    for_each_window([&](int64_t place, int64_t origin, Range rows, Range columns) {
      const Window window = window_of(x_shape, s, origin, rows, columns);
      if (window.empty()) {
        std::fill_n(out + place, channels, -std::numeric_limits<float>::infinity());
        std::fill_n(out_index + place, channels, static_cast<uint8_t>(positions));
      } else {
        max(window, channels, pixels, out + place, out_index + place);
      }
    });
  };
  for_each_chunk(x_shape, places * positions, chunk);
}

void max_pool_scatter(const PoolImages& x_shape, const MaxWindows& s, const float* dy,
                      const uint8_t* index, float* dx) {
  const auto scatter = loops().scatter;
  const WindowWalk for_each_window(x_shape, s);
  const int64_t places = s.out_h * s.out_w;
  const bool alone = s.dilation == Size2d(1) &&
                     tiles(x_shape.h, s.out_h, s.kernel.h, s.stride.h, s.padding.h) &&
                     tiles(x_shape.w, s.out_w, s.kernel.w, s.stride.w, s.padding.w);
  const auto chunk = [&](int64_t image, int64_t first, int64_t channels) {
    float* pixels = dx + image * x_shape.h * x_shape.w * x_shape.channels + first;
    const float* in = dy + image * places * x_shape.channels + first;
    const uint8_t* in_index = index + image * places * x_shape.channels + first;
    if (!alone) zero_chunk(x_shape, channels, pixels);
    for_each_window([&](int64_t place, int64_t origin, Range rows, Range columns) {
      scatter(window_of(x_shape, s, origin, rows, columns), channels, alone, in + place,
              in_index + place, pixels);
    });
  };
  for_each_chunk(x_shape, places * s.kernel.h * s.kernel.w, chunk);
}

bool average_forward(const PoolImages& x_shape, const AverageBins& bins, const float* x, float* y) {
  const auto average = loops().average;
  std::atomic<bool> finite{true};
  const int64_t places = static_cast<int64_t>(bins.rows.size() * bins.columns.size());
  const auto chunk = [&](int64_t image, int64_t first, int64_t channels) {
    const float* pixels = x + image * x_shape.h * x_shape.w * x_shape.channels + first;
    float* out = y + image * places * x_shape.channels + first;
    for_each_bin(x_shape, bins, [&](const Window& window, float count, int64_t place) {
      average(window, channels, count, pixels, out + place);
      if (!all_finite(channels, out + place)) finite = false;
    });
  };
  for_each_chunk(x_shape, x_shape.h * x_shape.w + places, chunk);
  return finite;
}

void average_backward(const PoolImages& x_shape, const AverageBins& bins, const float* dy,
                      float* dx) {
  const auto spread = loops().spread;
  const int64_t places = static_cast<int64_t>(bins.rows.size() * bins.columns.size());
  const bool alone = tiles(x_shape.h, bins.rows) && tiles(x_shape.w, bins.columns);
  const auto chunk = [&](int64_t image, int64_t first, int64_t channels) {
    float* pixels = dx + image * x_shape.h * x_shape.w * x_shape.channels + first;
    const float* in = dy + image * places * x_shape.channels + first;
    if (!alone) zero_chunk(x_shape, channels, pixels);
    for_each_bin(x_shape, bins, [&](const Window& window, float count, int64_t place) {
      spread(window, channels, count, alone, in + place, pixels);
    });
  };
  for_each_chunk(x_shape, x_shape.h * x_shape.w + places, chunk);
}

}  // namespace channels

}  // namespace tern::kernels
