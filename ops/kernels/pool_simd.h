// SPDX-License-Identifier: Apache-2.0
// The loops of pool_loops.h, over the vectors of simd.h.

namespace tern::kernels::pool {
namespace {

/// f(offset, position) for the pixels of a window.
template <class F>
inline void for_pixels(const Window& w, F&& f) {
  for (int64_t r = w.row_begin; r < w.row_end; ++r) {
    int64_t offset = w.origin + r * w.row_step + w.column_begin * w.column_step;
    int32_t position = static_cast<int32_t>(r * w.kernel_w + w.column_begin);
    for (int64_t left = w.column_end - w.column_begin; left > 0; --left) {
      f(offset, position);
      offset += w.column_step;
      ++position;
    }
  }
}

void max(const Window& window, int64_t channels, const float* x, float* y, uint8_t* index) {
  const Window w = window;  // writing bytes must not make it be read again
  const int64_t first = w.origin + w.row_begin * w.row_step + w.column_begin * w.column_step;
  const int32_t first_position = static_cast<int32_t>(w.row_begin * w.kernel_w + w.column_begin);
  for_lanes<4>(channels, [&](auto lanes, int64_t c) {
    using Float = typename decltype(lanes)::Float;
    using Int = typename decltype(lanes)::Int;
    Float best = load<Float>(x + first + c);
    Int where = Int{} + first_position;
    for_pixels(w, [&](int64_t offset, int32_t position) {
      const Float value = load<Float>(x + offset + c);
      const auto wins = (value > best) | (value != value);  // NaN does
      best = wins ? value : best;
      where = wins ? Int{} + position : where;
    });
    store(y + c, best);
    store(index + c, convert<typename decltype(lanes)::Byte>(where));
  });
}

template <bool kAlone>
void scatter_as(const Window& window, int64_t channels, const float* dy, const uint8_t* index,
                float* dx) {
  const Window w = window;
  for_lanes<4>(channels, [&](auto lanes, int64_t c) {
    using Float = typename decltype(lanes)::Float;
    using Int = typename decltype(lanes)::Int;
    const Float gradient = load<Float>(dy + c);
    const Int where = convert<Int>(load<typename decltype(lanes)::Byte>(index + c));
    for_pixels(w, [&](int64_t offset, int32_t position) {
      float* target = dx + offset + c;
      const Float share = where == Int{} + position ? gradient : Float{};
      store(target, kAlone ? share : load<Float>(target) + share);
    });
  });
}

void scatter(const Window& window, int64_t channels, bool alone, const float* dy,
             const uint8_t* index, float* dx) {
  if (alone) {
    scatter_as<true>(window, channels, dy, index, dx);
  } else {
    scatter_as<false>(window, channels, dy, index, dx);
  }
}

void average(const Window& window, int64_t channels, float count, const float* x, float* y) {
  const Window w = window;
  for_lanes<4>(channels, [&](auto lanes, int64_t c) {
    using Float = typename decltype(lanes)::Float;
    Float total{};
    for_pixels(w, [&](int64_t offset, int32_t) { total += load<Float>(x + offset + c); });
    store(y + c, total / (Float{} + count));
  });
}

template <bool kAlone>
void spread_as(const Window& window, int64_t channels, float count, const float* dy, float* dx) {
  const Window w = window;
  for_lanes<4>(channels, [&](auto lanes, int64_t c) {
    using Float = typename decltype(lanes)::Float;
    const Float share = load<Float>(dy + c) / (Float{} + count);
    for_pixels(w, [&](int64_t offset, int32_t) {
      float* target = dx + offset + c;
      store(target, kAlone ? share : load<Float>(target) + share);
    });
  });
}

void spread(const Window& window, int64_t channels, float count, bool alone, const float* dy,
            float* dx) {
  if (alone) {
    spread_as<true>(window, channels, count, dy, dx);
  } else {
    spread_as<false>(window, channels, count, dy, dx);
  }
}

constexpr Loops kLoops{max, scatter, average, spread};

}  // namespace
}  // namespace tern::kernels::pool
