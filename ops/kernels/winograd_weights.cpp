// SPDX-License-Identifier: Apache-2.0
// Backward weights: dg = G^T [ sum over tiles of (A dy A^T) . (B^T d B) ] G
#include <algorithm>
#include <cstring>

#include "../../core/memory.h"
#include "winograd.h"
#include "winograd_kernels.h"
#include "winograd_tiles.h"

namespace tern::kernels::winograd {
namespace {

constexpr int64_t kTaps = 9;

size_t float_bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

struct WeightGradient {
  Shape shape;
  Images<const float> x, dy;
  Tiles tiles;
  const float* zeros;  // what stands outside of the images
  int64_t v_row, d_row;

  WeightGradient(const Shape& s, const float* x_data, const float* dy_data, const float* zero_row,
                 int64_t lanes)
      : shape(s),
        x{x_data, s.h, s.w, s.c},
        dy{dy_data, s.output_h(), s.output_w(), s.k},
        tiles(s.n, s.output_h(), s.output_w()),
        zeros(zero_row),
        v_row(padded_row(s.c, lanes)),
        d_row(padded_row(s.k, lanes)) {}

  /// v[xi][tile - first][c] and d[xi][tile - first][k] for tiles [first, first + count)
  void transform(const Kernels& kernels, int64_t first, int64_t count, float* v, int64_t v_xi,
                 float* d, int64_t d_xi) const {
    tiles.for_each<kPatch>(first, count, x, shape.pad_h, shape.pad_w, zeros,
                           [&](const float** patch, const float** next, int64_t i) {
                             kernels.transform_input(patch, next, shape.c, v + i * v_row, v_xi);
                           });
    tiles.for_each<kTile>(first, count, dy, 0, 0, zeros,
                          [&](const float** tile, const float** next, int64_t i) {
                            kernels.transform_gradient(tile, next, shape.k, d + i * d_row, d_xi);
                          });
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
  const int64_t v_xi = padded(kTilesAtOnce * problem.v_row);
  const int64_t d_xi = padded(kTilesAtOnce * problem.d_row);
  const int64_t own_floats = kPoints * (v_xi + d_xi + m_xi);
  const int64_t weights = s.k * s.c * kTaps;

  const memory::Scratch own_memory(float_bytes(threads * own_floats));
  const memory::Scratch slice_memory(float_bytes(slices > 1 ? slices * weights : 0));
  float* sums = slices > 1 ? slice_memory.as<float>() : dw;

  run_tasks(threads, slices, [&](int thread, int64_t slice) {
    float* v = own_memory.as<float>() + thread * own_floats;
    float* d = v + kPoints * v_xi;
    float* m = d + kPoints * d_xi;
    const int64_t begin = problem.tiles.count * slice / slices;
    const int64_t end = problem.tiles.count * (slice + 1) / slices;
    for (int64_t first = begin; first < end; first += kTilesAtOnce) {
      const int64_t count = std::min(kTilesAtOnce, end - first);
      problem.transform(kernels, first, count, v, v_xi, d, d_xi);
      for (int64_t xi = 0; xi < kPoints; ++xi) {
        kernels.multiply_transposed({.a = d + xi * d_xi,
                                     .a_stride = problem.d_row,
                                     .b = v + xi * v_xi,
                                     .b_stride = problem.v_row,
                                     .m = m + xi * m_xi,
                                     .m_stride = m_row,
                                     .rows = s.k,
                                     .columns = m_row,
                                     .depth = count,
                                     .add = first > begin});
      }
    }
    for (int64_t k = 0; k < s.k; ++k) {
      kernels.transform_weight_gradient(m + k * m_row, m_xi, s.c, false,
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
  constexpr int64_t kBlock = 64;
  constexpr int64_t kMaxFloats = 4 << 20;  // of V and D together
  const Shape& s = problem.shape;
  const int64_t fitting = kMaxFloats / (kPoints * (problem.v_row + problem.d_row));
  const int64_t at_once = std::min(std::max<int64_t>(fitting, 32), problem.tiles.count);
  const int64_t v_xi = padded(at_once * problem.v_row), d_xi = padded(at_once * problem.d_row);
  const int64_t m_xi = padded(kBlock * kBlock);
  const int64_t blocks_c = divide_up(s.c, kBlock), blocks_k = divide_up(s.k, kBlock);

  const memory::Scratch shared_memory(float_bytes(kPoints * (v_xi + d_xi)));
  const memory::Scratch own_memory(float_bytes(threads * kPoints * m_xi));
  float* v = shared_memory.as<float>();
  float* d = v + kPoints * v_xi;

  for (int64_t begin = 0; begin < problem.tiles.count; begin += at_once) {
    const int64_t count = std::min(at_once, problem.tiles.count - begin);
    constexpr int64_t kTilesPerTask = 4;
    run_tasks(threads, divide_up(count, kTilesPerTask), [&](int, int64_t task) {
      const int64_t first = task * kTilesPerTask;
      problem.transform(kernels, begin + first, std::min(kTilesPerTask, count - first),
                        v + first * problem.v_row, v_xi, d + first * problem.d_row, d_xi);
    });
    run_tasks(threads, blocks_c * blocks_k, [&](int thread, int64_t task) {
      float* m = own_memory.as<float>() + thread * kPoints * m_xi;
      const int64_t c = task % blocks_c * kBlock, k = task / blocks_c * kBlock;
      const int64_t cs = std::min(kBlock, s.c - c), ks = std::min(kBlock, s.k - k);
      for (int64_t xi = 0; xi < kPoints; ++xi) {
        kernels.multiply_transposed({.a = d + xi * d_xi + k,
                                     .a_stride = problem.d_row,
                                     .b = v + xi * v_xi + c,
                                     .b_stride = problem.v_row,
                                     .m = m + xi * m_xi,
                                     .m_stride = kBlock,
                                     .rows = ks,
                                     .columns = round_up(cs, kernels.lanes),
                                     .depth = count,
                                     .add = false});
      }
      for (int64_t i = 0; i < ks; ++i) {
        kernels.transform_weight_gradient(m + i * kBlock, m_xi, cs, begin > 0,
                                          dw + ((k + i) * s.c + c) * kTaps);
      }
    });
  }
}

}  // namespace

void backward_weights(const Shape& s, const float* x, const float* dy, float* dw,
                      bool deterministic, Isa isa) {
  check("winograd::backward_weights", s);
  const Kernels& kernels = kernels_for(isa);
  const int threads = num_threads();
  const int64_t channels = std::max(s.c, s.k);
  const memory::Scratch zeros(float_bytes(channels));
  std::memset(zeros.as<float>(), 0, float_bytes(channels));
  const WeightGradient problem(s, x, dy, zeros.as<float>(), kernels.lanes);
  if (problem.tiles.count == 0) {
    std::memset(dw, 0, float_bytes(s.k * s.c * kTaps));
    return;
  }

  constexpr int64_t kMaxOwnWeights = 128 * 128;  // M of so many fits near a core: 2.4 MB
  if (s.c * s.k > kMaxOwnWeights) {
    sum_by_weights(kernels, problem, threads, dw);
    return;
  }
  constexpr int64_t kTilesPerSlice = 64;
  const int64_t most = divide_up(problem.tiles.count, kTilesPerSlice);
  const int64_t slices =
      deterministic ? std::min<int64_t>(most, 16) : std::min<int64_t>(most, threads);
  sum_by_tiles(kernels, problem, threads, slices, dw);
}

}  // namespace tern::kernels::winograd
