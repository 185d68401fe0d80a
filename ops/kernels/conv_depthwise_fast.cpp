// SPDX-License-Identifier: Apache-2.0
// Gradients of depthwise convolutions that oneDNN takes for many small ones: with windows larger
// than 3x3, padding above 1 or dilation it spends 10 to 1000 times as long on them. Channels-last:
// every loop runs over the channels.
#include <algorithm>
#include <vector>

#include "../../core/internal/parallel.h"
#include "conv.h"
#include "vectors.h"

namespace tern::kernels::depthwise {

namespace {

constexpr int64_t kBlock = 4 * kLanes;  // channels at once
constexpr int64_t kParts = 16;          // of the rows, for sums of their own: the shape decides

struct Range {
  int64_t begin, end;
};

// The places j of the result whose pixel j * stride + offset lies in the image.
Range places(int64_t offset, int64_t stride, int64_t size, int64_t output) {
  const int64_t begin = offset < 0 ? divide_up(-offset, stride) : 0;
  const int64_t end = size > offset ? divide_up(size - offset, stride) : 0;
  return {begin, std::max(begin, std::min(end, output))};
}

// sum[c] += sum over i < count of a[i * a_step + c] * b[i * b_step + c], for a block of channels.
void add_products(int64_t count, int64_t channels, const float* a, int64_t a_step, const float* b,
                  int64_t b_step, float* sum) {
  if (channels == kBlock) {
    Vec v[4] = {};
    for (int64_t i = 0; i < count; ++i, a += a_step, b += b_step) {
      for (int k = 0; k < 4; ++k) v[k] += load<Vec>(a + k * kLanes) * load<Vec>(b + k * kLanes);
    }
    for (int k = 0; k < 4; ++k) store(sum + k * kLanes, load<Vec>(sum + k * kLanes) + v[k]);
    return;
  }
  float v[kBlock] = {};
  for (int64_t i = 0; i < count; ++i, a += a_step, b += b_step) {
    for (int64_t c = 0; c < channels; ++c) v[c] += a[c] * b[c];
  }
  for (int64_t c = 0; c < channels; ++c) sum[c] += v[c];
}

bool is_depthwise(const ConvShape& s) { return s.groups == s.c && s.c == s.k && s.c > 1; }

}  // namespace

bool computes_backward_data(const ConvShape& s) {
  return is_depthwise(s) && s.dilation != Size2d(1);
}

bool computes_backward_weights(const ConvShape& s) {
  const bool small = std::max(s.r, s.s) <= 3 && std::max(s.padding.h, s.padding.w) <= 1;
  return is_depthwise(s) && (!small || s.dilation != Size2d(1));
}

void backward_data(const ConvShape& s, const float* dy, const float* w, float* dx) {
  OpScope::implementation("depthwise");
  const int64_t taps = s.r * s.s;
  std::vector<float> weight(static_cast<size_t>(taps * s.c));  // [r, s, c]
  for (int64_t c = 0; c < s.c; ++c) {
    for (int64_t t = 0; t < taps; ++t) weight[static_cast<size_t>(t * s.c + c)] = w[c * taps + t];
  }
  const int64_t row = s.w * s.c;
  parallel_for(s.n * s.h, kGrain / (row * taps) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t n = line / s.h, h = line % s.h;
      std::fill_n(dx + line * row, row, 0.0f);
      for (int64_t r = 0; r < s.r; ++r) {
        const int64_t above = h + s.padding.h - r * s.dilation.h;
        const int64_t i = above / s.stride.h;
        if (above < 0 || above % s.stride.h != 0 || i >= s.out_h) continue;
        for (int64_t q = 0; q < s.s; ++q) {
          const int64_t offset = q * s.dilation.w - s.padding.w;
          const float* v = weight.data() + (r * s.s + q) * s.c;
          const Range range = places(offset, s.stride.w, s.w, s.out_w);
          for (int64_t j = range.begin; j < range.end; ++j) {
            const float* from = dy + ((n * s.out_h + i) * s.out_w + j) * s.c;
            float* to = dx + line * row + (j * s.stride.w + offset) * s.c;
            for (int64_t c = 0; c < s.c; ++c) to[c] += from[c] * v[c];
          }
        }
      }
    }
  });
}

void backward_weights(const ConvShape& s, const float* x, const float* dy, float* dw) {
  OpScope::implementation("depthwise");
  const int64_t taps = s.r * s.s, rows = s.n * s.out_h, parts = std::min(rows, kParts);
  std::vector<float> sums(static_cast<size_t>(parts * taps * s.c), 0.0f);  // [part, r, s, c]
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      float* const sum = sums.data() + part * taps * s.c;
      for (int64_t line = rows * part / parts; line < rows * (part + 1) / parts; ++line) {
        const int64_t n = line / s.out_h, i = line % s.out_h;
        for (int64_t r = 0; r < s.r; ++r) {
          const int64_t h = i * s.stride.h + r * s.dilation.h - s.padding.h;
          if (h < 0 || h >= s.h) continue;
          for (int64_t q = 0; q < s.s; ++q) {
            const int64_t offset = q * s.dilation.w - s.padding.w;
            const Range range = places(offset, s.stride.w, s.w, s.out_w);
            const float* a = dy + (line * s.out_w + range.begin) * s.c;
            const float* b = x + ((n * s.h + h) * s.w + range.begin * s.stride.w + offset) * s.c;
            for (int64_t c = 0; c < s.c; c += kBlock) {
              add_products(range.end - range.begin, std::min(kBlock, s.c - c), a + c, s.c, b + c,
                           s.stride.w * s.c, sum + (r * s.s + q) * s.c + c);
            }
          }
        }
      }
    }
  });
  for (int64_t c = 0; c < s.c; ++c) {
    for (int64_t t = 0; t < taps; ++t) {
      float total = 0;
      for (int64_t part = 0; part < parts; ++part) {
        total += sums[static_cast<size_t>((part * taps + t) * s.c + c)];
      }
      dw[c * taps + t] = total;
    }
  }
}

}  // namespace tern::kernels::depthwise
