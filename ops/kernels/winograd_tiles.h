// SPDX-License-Identifier: Apache-2.0
// How the Winograd drivers cut images into tiles, find their pixels and share out work.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "../../core/internal/memory.h"
#include "../../core/internal/parallel.h"
#include "../../core/threads.h"
#include "winograd.h"
#include "winograd_kernels.h"

namespace tern::kernels::winograd {

/// The kernels of an instruction set. Throws Error if this CPU does not have it.
const Kernels& kernels_for(cpu::Isa isa);

/// Throws Error unless the shape describes a convolution that these kernels compute.
void check(const char* op, const Shape& shape);

inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

/// Floats from one xi to the next when each holds `floats`: a cache line more, because the 36
/// stores of a transform would otherwise often fall into one set of the first-level cache.
inline int64_t padded(int64_t floats) { return round_up(floats, 16) + 16; }

inline size_t float_bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

/// Calls body(product, transformed weight, whether it is the weight's first) for the products of a
/// tile, one for each point in two dimensions: the products of a weight follow each other.
template <class Body>
void for_products(const Transforms& transforms, Body body) {
  const int products = transforms.products;
  const auto end = [=](int weight) { return weight == kWeights - 1 ? products : weight + 1; };
  for (int i = 0; i < kWeights; ++i) {
    for (int j = 0; j < kWeights; ++j) {
      for (int row = i; row < end(i); ++row) {
        for (int column = j; column < end(j); ++column) {
          body(row * products + column, i * kWeights + j, row == i && column == j);
        }
      }
    }
  }
}

/// Transformed tiles (V or D) in memory: [chunk of 64 channels][xi][tile][channel], so that what
/// one matrix product reads is contiguous.
struct TransformedTiles {
  int64_t row, xi_stride, chunk_stride, floats;

  TransformedTiles(const Transforms& transforms, int64_t tiles, int64_t channels, int64_t lanes)
      : row(std::min(kChunk, round_up(channels, lanes))),
        xi_stride(padded(tiles * row)),
        chunk_stride(transforms.products * transforms.products * xi_stride),
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

/// Where the side x side pixels of a tile are: tile (i, j) of an image begins at pixel
/// (first_h + i * step, first_w + j * step).
struct Window {
  int64_t side, step, first_h, first_w;
};

/// Tiles of a convolution's result, numbered by image, then row, then column.
struct Tiles {
  int64_t rows, columns, count;

  Tiles(int64_t images, int64_t tile_rows, int64_t tile_columns)
      : rows(tile_rows), columns(tile_columns), count(images * tile_rows * tile_columns) {}

  /// Pointers to the pixels of a tile. Pixels outside of the image point to `outside`.
  template <class Float>
  void find_pixels(int64_t tile, const Images<Float>& images, const Window& window, Float* outside,
                   Float** pixels) const {
    const int64_t image = tile / (rows * columns), in_image = tile % (rows * columns);
    const int64_t y0 = window.first_h + in_image / columns * window.step;
    const int64_t x0 = window.first_w + in_image % columns * window.step;
    // Most tiles lie inside: find theirs without a comparison per pixel.
    if (y0 >= 0 && x0 >= 0 && y0 + window.side <= images.h && x0 + window.side <= images.w) {
      Float* row = images.data + ((image * images.h + y0) * images.w + x0) * images.channels;
      for (int64_t i = 0; i < window.side; ++i, row += images.w * images.channels) {
        Float* pixel = row;
        for (int64_t j = 0; j < window.side; ++j, pixel += images.channels) *pixels++ = pixel;
      }
      return;
    }
    for (int64_t i = 0; i < window.side; ++i) {
      const int64_t y = y0 + i;
      const bool row_inside = y >= 0 && y < images.h;
      const int64_t row = (image * images.h + y) * images.w;
      for (int64_t j = 0; j < window.side; ++j) {
        const int64_t x = x0 + j;
        const bool inside = row_inside && x >= 0 && x < images.w;
        *pixels++ = inside ? images.data + (row + x) * images.channels : outside;
      }
    }
  }

  /// Calls transform(pixels of the tile, pixels of the next tile, index) for `how_many` tiles.
  template <class Float, class Transform>
  void for_each(int64_t first, int64_t how_many, const Images<Float>& images, const Window& window,
                Float* outside, Transform transform) const {
    Float* pixels[2][kMaxPixels];
    find_pixels(first, images, window, outside, pixels[0]);
    for (int64_t i = 0; i < how_many; ++i) {
      Float** next = pixels[(i + 1) % 2];
      find_pixels(std::min(first + i + 1, count - 1), images, window, outside, next);
      transform(pixels[i % 2], next, i);
    }
  }
};

/// Where a tile's results are.
inline constexpr Window kResults{kTile, kTile, 0, 0};

/// Transforms all channels of tiles [first, first + count) with Transforms::input or ::gradient, as
/// tiles [to, to + count) of v.
inline void transform_tiles(decltype(Transforms::input) transform, const Tiles& tiles,
                            const Images<const float>& images, const Window& window,
                            const float* zeros, int64_t first, int64_t count, float* v,
                            const TransformedTiles& layout, int64_t to) {
  tiles.for_each(first, count, images, window, zeros,
                 [&](const float** pixels, const float** next, int64_t i) {
                   for_chunks(images.channels, [&](int64_t channel, int64_t channels) {
                     transform(pixels, next, channel, channels,
                               v + layout.offset(channel, 0, to + i), layout.xi_stride);
                   });
                 });
}

/// Up to so many weights, each thread keeps a transformed copy of all, or of the sum of all their
/// gradients, for itself: faster than to fetch half of it from another processor's cache (of 16
/// images of 64x8x8, two threads with a common copy took as long as one; now 0.6 of that).
inline constexpr int64_t kMaxOwnWeights = 128 * 256;

/// Memory of each thread for U, V, D and M. Its sizes are few, so that one convolution gets what
/// the one before had: that lies in the thread's caches still.
class OwnMemory {
 public:
  OwnMemory(int threads, int64_t floats)
      : floats_(static_cast<int64_t>(
            std::bit_ceil(static_cast<uint64_t>(std::max(floats, int64_t{1} << 19))))),
        memory_(float_bytes(threads * floats_)) {}
  float* of(int64_t thread) const { return memory_.as<float>() + thread * floats_; }

 private:
  int64_t floats_;
  memory::Scratch memory_;
};

/// The transforms of a convolution, forward and backward to the weights; the tiles of its results;
/// and the patches of x from which they are computed.
const Transforms& transforms_of(const Kernels& kernels, const Shape& shape);
Tiles tiles_of(const Shape& shape);
Window patches_of(const Kernels& kernels, const Shape& shape);

/// Calls body(thread, task) for task = 0..tasks-1. Each thread begins with tasks of its own (Note
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
