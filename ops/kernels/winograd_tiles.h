// SPDX-License-Identifier: Apache-2.0
// How the Winograd drivers cut images into tiles, find their pixels and share out work.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "../../core/parallel.h"
#include "../../core/threads.h"
#include "winograd.h"
#include "winograd_kernels.h"

namespace tern::kernels::winograd {

/// The kernels of an instruction set. Throws Error if this CPU does not have it.
const Kernels& kernels_for(Isa isa);

/// Throws Error unless the shape describes a convolution that these kernels compute.
void check(const char* op, const Shape& shape);

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

/// Floats from one xi to the next when each holds `floats`: a cache line more, because the 36
/// stores of a transform would otherwise often fall into one set of the first-level cache.
inline int64_t padded(int64_t floats) { return round_up(floats, 16) + 16; }

inline size_t float_bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

/// Transformed tiles (V or D) in memory: [chunk of 64 channels][xi][tile][channel], so that what
/// one matrix product reads is contiguous.
struct TransformedTiles {
  int64_t row, xi_stride, chunk_stride, floats;

  TransformedTiles(int64_t tiles, int64_t channels, int64_t lanes)
      : row(std::min(kChunk, round_up(channels, lanes))),
        xi_stride(padded(tiles * row)),
        chunk_stride(kPoints * xi_stride),
        floats(divide_up(channels, kChunk) * chunk_stride) {}

  /// Where the row of `tile` for point xi starts; `channel` is the first of a chunk.
  int64_t offset(int64_t channel, int64_t xi, int64_t tile) const {
    return channel / kChunk * chunk_stride + xi * xi_stride + tile * row;
  }
};

/// Calls body(first channel, how many) for each chunk.
template <class Body>
void for_chunks(int64_t channels, Body body) {
  for (int64_t first = 0; first < channels; first += kChunk) {
    body(first, std::min(kChunk, channels - first));
  }
}

/// A batch of channels-last images whose pixels are read (const float) or written (float).
template <class Float>
struct Images {
  Float* data;
  int64_t h, w, channels;
};

/// Output tiles of a convolution, numbered by image, then row, then column.
struct Tiles {
  int64_t rows, columns, count;

  Tiles(int64_t images, int64_t output_h, int64_t output_w)
      : rows(divide_up(output_h, kTile)),
        columns(divide_up(output_w, kTile)),
        count(images * rows * columns) {}

  /// Pointers to the kSide x kSide pixels of a tile; the tile's first pixel is (-pad_h, -pad_w)
  /// away from its first output pixel. Pixels outside of the image point to `outside`.
  template <int kSide, class Float>
  void find_pixels(int64_t tile, const Images<Float>& images, int64_t pad_h, int64_t pad_w,
                   Float* outside, Float** pixels) const {
    const int64_t image = tile / (rows * columns), in_image = tile % (rows * columns);
    const int64_t y0 = in_image / columns * kTile - pad_h;
    const int64_t x0 = in_image % columns * kTile - pad_w;
    // Most tiles lie inside: find theirs without a comparison per pixel.
    if (y0 >= 0 && x0 >= 0 && y0 + kSide <= images.h && x0 + kSide <= images.w) {
      Float* row = images.data + ((image * images.h + y0) * images.w + x0) * images.channels;
      for (int i = 0; i < kSide; ++i, row += images.w * images.channels) {
        Float* pixel = row;
        for (int j = 0; j < kSide; ++j, pixel += images.channels) *pixels++ = pixel;
      }
      return;
    }
    for (int64_t i = 0; i < kSide; ++i) {
      const int64_t y = y0 + i;
      const bool row_inside = y >= 0 && y < images.h;
      const int64_t row = (image * images.h + y) * images.w;
      for (int64_t j = 0; j < kSide; ++j) {
        const int64_t x = x0 + j;
        const bool inside = row_inside && x >= 0 && x < images.w;
        *pixels++ = inside ? images.data + (row + x) * images.channels : outside;
      }
    }
  }

  /// Calls transform(pixels of the tile, pixels of the next tile, index) for `how_many` tiles.
  template <int kSide, class Transform>
  void for_each(int64_t first, int64_t how_many, const Images<const float>& images, int64_t pad_h,
                int64_t pad_w, const float* zeros, Transform transform) const {
    const float* pixels[2][kSide * kSide];
    find_pixels<kSide>(first, images, pad_h, pad_w, zeros, pixels[0]);
    for (int64_t i = 0; i < how_many; ++i) {
      const float** next = pixels[(i + 1) % 2];
      find_pixels<kSide>(std::min(first + i + 1, count - 1), images, pad_h, pad_w, zeros, next);
      transform(pixels[i % 2], next, i);
    }
  }
};

/// Calls body(thread, task) for task = 0..tasks-1. Each thread begins with a share of its own (Note
/// [Data stay with their thread]), and helps the others when it is done. 0 <= thread < threads,
/// where `threads` is what num_threads() said.
template <class Body>
void run_tasks(int threads, int64_t tasks, Body body) {
  if (tasks <= 1 || threads <= 1) {
    for (int64_t task = 0; task < tasks; ++task) body(0, task);
    return;
  }
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
  };
  const auto memory = std::make_unique<Share[]>(static_cast<size_t>(threads));
  Share* const shares = memory.get();
  for (int i = 0; i < threads; ++i) {
    shares[i].next = tasks * i / threads;
    shares[i].end = tasks * (i + 1) / threads;
  }
  parallel_team([&](int thread, int) {
    for (int i = 0; i < threads && thread < threads; ++i) {  // num_threads() may have grown
      Share& share = shares[(thread + i) % threads];
      for (int64_t task; (task = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
        body(thread, task);
      }
    }
  });
}

}  // namespace tern::kernels::winograd
