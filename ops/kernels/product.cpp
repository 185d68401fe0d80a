// SPDX-License-Identifier: Apache-2.0
#include "product.h"

#include <algorithm>
#include <type_traits>

#include "../../core/internal/memory.h"
#include "../../core/internal/parallel.h"
#include "isa.h"
#include "product_kernels.h"

namespace tern::kernels {

namespace {

// Products that are summed in registers before they are added to the result: the panel of b stays
// in the first-level cache, and the rounding error stays flat as k grows. An element's bits depend
// on it, so it is the same for all.
constexpr int64_t kDepth = 128;
// Rows of a that stay in the second-level cache while all of b passes.
constexpr int64_t kRows = 256;
// Rows that go through a buffer, where the result does not take whole vectors.
constexpr int64_t kBufferedRows = 32;
// So few rows do not pay for packing b.
constexpr int64_t kFewRows = 8;
constexpr int64_t kPanelBytes = 256;  // the widest
// Elements that lie so far apart fall into the same few lines of the caches.
constexpr int64_t kLongStep = 512;

template <class T>
const product::Kernels<T>& product_kernels(cpu::Isa isa) {
  if constexpr (std::is_same_v<T, float>) {
    return *kernels_of(isa).product;
  } else {
    return *kernels_of(isa).product_f64;
  }
}

/// Element (i, j) of the result lies at c + i * row_step + j * column_step.
template <class T>
struct Result {
  T* c;
  int64_t row_step, column_step;
};

template <class T>
void multiply_tiles(const product::Kernels<T>& kernels, bool transposed,
                    const product::Tiles<T>& tiles) {
  (transposed ? kernels.multiply_transposed : kernels.multiply)(tiles);
}

/// The product of `tiles`, whose m is not set.
template <class T>
void multiply_buffered(const product::Kernels<T>& kernels, bool transposed,
                       const product::Tiles<T>& tiles, const Result<T>& to) {
  alignas(64) T buffer[kBufferedRows * kPanelBytes / sizeof(T)];
  for (int64_t row = 0; row < tiles.rows; row += kBufferedRows) {
    product::Tiles<T> part = tiles;
    part.a += row * (transposed ? 1 : tiles.a_stride);
    part.m = buffer;
    part.m_stride = kernels.panel;
    part.rows = std::min(kBufferedRows, tiles.rows - row);
    part.add = false;
    multiply_tiles(kernels, transposed, part);
    for (int64_t i = 0; i < part.rows; ++i) {
      T* c = to.c + (row + i) * to.row_step;
      const T* sums = buffer + i * part.m_stride;
      for (int64_t j = 0; j < tiles.columns; ++j) {
        T& element = c[j * to.column_step];
        element = tiles.add ? element + sums[j] : sums[j];
      }
    }
  }
}

template <class T>
void multiply_into(const product::Kernels<T>& kernels, const Product& p, const T* a, int64_t a_step,
                   const T* b, int64_t b_step, const Result<T>& result) {
  if (p.m == 1 && p.transpose_b && !p.transpose_a) {
    kernels.multiply_row({.a = a,
                          .a_stride = a_step,
                          .b = b,
                          .b_stride = b_step,
                          .m = result.c,
                          .m_stride = result.column_step,
                          .rows = 1,
                          .columns = p.n,
                          .depth = p.k,
                          .add = p.add});
    return;
  }
  const bool turn_a = p.transpose_a && a_step >= kLongStep && p.n > kernels.panel;
  const bool transposed = p.transpose_a && !turn_a && !(p.m == 1 && a_step == 1);
  // One row reads b once, and fastest as it lies, by the kernel that stops at the end of a row.
  const bool as_it_lies = p.m == 1 && !transposed && !p.transpose_b && result.column_step == 1;
  const int64_t most_columns = as_it_lies ? p.n : kernels.panel;
  const memory::Scratch turned(turn_a ? sizeof(T) * kRows * kDepth : 0);
  alignas(64) T packed[kDepth * kPanelBytes / sizeof(T)];
  for (int64_t row = 0; row < p.m; row += kRows) {
    const int64_t rows = std::min(kRows, p.m - row);
    for (int64_t k = 0; k < p.k; k += kDepth) {
      const int64_t depth = std::min(kDepth, p.k - k);
      const T* left = a + (p.transpose_a ? k * a_step + row : row * a_step + k);
      int64_t left_step = a_step;
      if (turn_a) {
        kernels.pack_transposed(left, a_step, rows, depth, turned.as<T>(), depth);
        left = turned.as<T>();
        left_step = depth;
      }
      for (int64_t column = 0; column < p.n; column += most_columns) {
        const int64_t columns = std::min(most_columns, p.n - column);
        const int64_t width = divide_up(columns, kernels.lanes) * kernels.lanes;
        const T* panel = b + (p.transpose_b ? column * b_step + k : k * b_step + column);
        int64_t panel_step = b_step;
        if (!as_it_lies && (p.transpose_b || columns < width || p.m > kFewRows)) {
          (p.transpose_b ? kernels.pack_transposed : kernels.pack)(panel, b_step, depth, columns,
                                                                   packed, width);
          panel = packed;
          panel_step = width;
        }
        const Result<T> to = {result.c + row * result.row_step + column * result.column_step,
                              result.row_step, result.column_step};
        const product::Tiles<T> tiles = {.a = left,
                                         .a_stride = left_step,
                                         .b = panel,
                                         .b_stride = panel_step,
                                         .m = to.c,
                                         .m_stride = to.row_step,
                                         .rows = rows,
                                         .columns = columns,
                                         .depth = depth,
                                         .add = p.add || k > 0};
        if (to.column_step == 1) {
          multiply_tiles(kernels, transposed, tiles);
        } else {
          multiply_buffered(kernels, transposed, tiles, to);
        }
      }
    }
  }
}

}  // namespace

template <class T>
void multiply(const Product& p, const T* a, int64_t a_step, const T* b, int64_t b_step, T* c,
              int64_t c_step, cpu::Isa isa) {
  const product::Kernels<T>& kernels = product_kernels<T>(isa);
  // Columns fill vectors, so a product with few of them is computed as its transpose.
  const int64_t lanes = kernels.lanes;
  if (2 * p.n * divide_up(p.m, lanes) <= p.m * divide_up(p.n, lanes)) {
    multiply_into<T>(kernels,
                     {.m = p.n,
                      .n = p.m,
                      .k = p.k,
                      .transpose_a = !p.transpose_b,
                      .transpose_b = !p.transpose_a,
                      .add = p.add},
                     b, b_step, a, a_step, {c, 1, c_step});
  } else {
    multiply_into<T>(kernels, p, a, a_step, b, b_step, {c, c_step, 1});
  }
}

template void multiply(const Product&, const float*, int64_t, const float*, int64_t, float*,
                       int64_t, cpu::Isa);
template void multiply(const Product&, const double*, int64_t, const double*, int64_t, double*,
                       int64_t, cpu::Isa);

}  // namespace tern::kernels
