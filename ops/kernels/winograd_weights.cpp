// SPDX-License-Identifier: Apache-2.0
// Backward weights: dg = G^T [ sum over tiles of (A dy A^T) . (B^T d B) ] G
#include <algorithm>
#include <cstring>

#include "../../core/internal/memory.h"
#include "winograd.h"
#include "winograd_kernels.h"
#include "winograd_tiles.h"

namespace tern::kernels::winograd {
namespace {

struct WeightGradient {
  Shape shape;
  const Transforms& transforms;
  Images<const float> x, dy;
  Window patches;
  Tiles tiles;
  const float* zeros;  // what stands outside of the images

  WeightGradient(const Kernels& kernels, const Shape& s, const float* x_data, const float* dy_data,
                 const float* zero_row)
      : shape(s),
        transforms(transforms_of(kernels, s)),
        x{x_data, s.h, s.w, s.c},
        dy{dy_data, s.output_h(), s.output_w(), s.k},
        patches(patches_of(kernels, s)),
        tiles(tiles_of(s)),
        zeros(zero_row) {}

  /// V and D of tiles [first, first + count), as tiles [to, to + count) of v and d.
  void transform(int64_t first, int64_t count, float* v, const TransformedTiles& v_layout, float* d,
                 const TransformedTiles& d_layout, int64_t to) const {
    transform_tiles(transforms.input, tiles, x, patches, zeros, first, count, v, v_layout, to);
    transform_tiles(transforms.gradient, tiles, dy, kResults, zeros, first, count, d, d_layout, to);
  }
};

/// Few weights: the tiles are cut into slices. A task takes a slice, sums M of all weights for it
/// in memory of its thread and transforms that sum back; the slices' gradients are added in order.
void sum_by_tiles(const Kernels& kernels, const WeightGradient& problem, int threads,
                  int64_t slices, float* dw) {
  constexpr int64_t kTilesAtOnce = 32;
  const Shape& s = problem.shape;
  const int64_t m_row = round_up(s.c, kernels.lanes);
  const int64_t m_xi = padded(s.k * m_row);
  const TransformedTiles v_layout(problem.transforms, kTilesAtOnce, s.c, kernels.lanes);
  const TransformedTiles d_layout(problem.transforms, kTilesAtOnce, s.k, kernels.lanes);
  const int64_t weights = s.k * s.c * kTaps;

  const OwnMemory own_memory(threads, v_layout.floats + d_layout.floats + kPoints * m_xi);
  const memory::Scratch slice_memory(float_bytes(slices > 1 ? slices * weights : 0));
  float* sums = slices > 1 ? slice_memory.as<float>() : dw;

  run_tasks(threads, slices, [&](int thread, int64_t slice) {
    float* v = own_memory.of(thread);
    float* d = v + v_layout.floats;
    float* m = d + d_layout.floats;
    const int64_t begin = problem.tiles.count * slice / slices;
    const int64_t end = problem.tiles.count * (slice + 1) / slices;
    for (int64_t first = begin; first < end; first += kTilesAtOnce) {
      const int64_t count = std::min(kTilesAtOnce, end - first);
      problem.transform(first, count, v, v_layout, d, d_layout, 0);
      for_products(problem.transforms, [&](int xi, int weight, bool first_product) {
        for_chunks(s.k, [&](int64_t k, int64_t ks) {
          for_chunks(s.c, [&](int64_t c, int64_t cs) {
            kernels.product->multiply_transposed({.a = d + d_layout.offset(k, xi, 0),
                                                  .a_stride = d_layout.row,
                                                  .b = v + v_layout.offset(c, xi, 0),
                                                  .b_stride = v_layout.row,
                                                  .m = m + weight * m_xi + k * m_row + c,
                                                  .m_stride = m_row,
                                                  .rows = ks,
                                                  .columns = round_up(cs, kernels.lanes),
                                                  .depth = count,
                                                  .add = first > begin || !first_product});
          });
        });
      });
    }
    for (int64_t k = 0; k < s.k; ++k) {
      problem.transforms.weight_gradient(m + k * m_row, m_xi, s.c, false,
                                         sums + slice * weights + k * s.c * kTaps);
    }
  });

  if (slices == 1) return;
  parallel_for(weights, 4096, [&](int64_t begin, int64_t end) {
    std::copy(sums + begin, sums + end, dw + begin);
    for (int64_t slice = 1; slice < slices; ++slice) {
      const float* part = sums + slice * weights;
      for (int64_t i = begin; i < end; ++i) dw[i] += part[i];
    }
  });
}

/// Many weights: V and D of a few hundred tiles are shared; a task takes a block of the weights,
/// sums M of that block in the second-level cache and transforms the sum back into its part of dw.
void sum_by_weights(const Kernels& kernels, const WeightGradient& problem, int threads, float* dw) {
  constexpr int64_t kMaxFloats = 8 << 20;  // of V and D together
  constexpr int64_t kTilesPerSum = 64;     // summed in registers before rounding into M
  const Shape& s = problem.shape;
  const int64_t chunks_c = divide_up(s.c, kChunk), chunks_k = divide_up(s.k, kChunk);
  const int64_t products = int64_t{problem.transforms.products} * problem.transforms.products;
  const int64_t fitting = kMaxFloats / (products * kChunk * (chunks_c + chunks_k));
  const int64_t rounds = divide_up(problem.tiles.count, std::max<int64_t>(fitting, 32));
  const int64_t at_once = divide_up(problem.tiles.count, rounds);
  const TransformedTiles v_layout(problem.transforms, at_once, s.c, kernels.lanes);
  const TransformedTiles d_layout(problem.transforms, at_once, s.k, kernels.lanes);
  const int64_t m_row = v_layout.row, m_xi = padded(kChunk * m_row);

  const memory::Scratch shared_memory(float_bytes(v_layout.floats + d_layout.floats));
  const OwnMemory own_memory(threads, kPoints * m_xi);
  float* v = shared_memory.as<float>();
  float* d = v + v_layout.floats;

  for (int64_t begin = 0; begin < problem.tiles.count; begin += at_once) {
    const int64_t count = std::min(at_once, problem.tiles.count - begin);
    constexpr int64_t kTilesPerTask = 4;
    run_tasks(threads, divide_up(count, kTilesPerTask), [&](int, int64_t task) {
      const int64_t first = task * kTilesPerTask;
      problem.transform(begin + first, std::min(kTilesPerTask, count - first), v, v_layout, d,
                        d_layout, first);
    });
    run_tasks(threads, chunks_c * chunks_k, [&](int thread, int64_t task) {
      float* m = own_memory.of(thread);
      const int64_t c = task % chunks_c * kChunk, k = task / chunks_c * kChunk;
      const int64_t cs = std::min(kChunk, s.c - c), ks = std::min(kChunk, s.k - k);
      for_products(problem.transforms, [&](int xi, int weight, bool first_product) {
        for (int64_t tile = 0; tile < count; tile += kTilesPerSum) {
          kernels.product->multiply_transposed({.a = d + d_layout.offset(k, xi, tile),
                                                .a_stride = d_layout.row,
                                                .b = v + v_layout.offset(c, xi, tile),
                                                .b_stride = v_layout.row,
                                                .m = m + weight * m_xi,
                                                .m_stride = m_row,
                                                .rows = ks,
                                                .columns = round_up(cs, kernels.lanes),
                                                .depth = std::min(kTilesPerSum, count - tile),
                                                .add = tile > 0 || !first_product});
        }
      });
      for (int64_t i = 0; i < ks; ++i) {
        problem.transforms.weight_gradient(m + i * m_row, m_xi, cs, begin > 0,
                                           dw + ((k + i) * s.c + c) * kTaps);
      }
    });
  }
}

}  // namespace

void backward_weights(const Shape& s, const float* x, const float* dy, float* dw,
                      bool deterministic, cpu::Isa isa) {
  check("winograd::backward_weights", s);
  const Kernels& kernels = kernels_for(isa);
  const int threads = num_threads();
  const int64_t channels = std::max(s.c, s.k);
  const memory::Scratch zeros(float_bytes(channels));
  std::memset(zeros.as<float>(), 0, float_bytes(channels));
  const WeightGradient problem(kernels, s, x, dy, zeros.as<float>());
  if (problem.tiles.count == 0) {
    std::memset(dw, 0, float_bytes(s.k * s.c * kTaps));
    return;
  }

  if (s.c * s.k > kMaxOwnWeights) {
    sum_by_weights(kernels, problem, threads, dw);
    return;
  }
  constexpr int64_t kTilesPerSlice = 32;
  const int64_t most = divide_up(problem.tiles.count, kTilesPerSlice);
  const int64_t slices =
      deterministic ? std::min<int64_t>(most, 16) : std::min<int64_t>(most, threads);
  sum_by_tiles(kernels, problem, threads, slices, dw);
}

}  // namespace tern::kernels::winograd
