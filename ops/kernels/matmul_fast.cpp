// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "../../core/internal/cpu.h"
#include "../../core/internal/parallel.h"
#include "matmul.h"
#include "product.h"

namespace tern::kernels {

namespace {

// Multiplications that are worth a thread.
constexpr int64_t kAlone = 1 << 18;
// Rows or columns of the result: a thread's piece has a multiple of this many, and the rest.
constexpr int64_t kBlock = 16;

struct Piece {
  int64_t row, rows, column, columns;
};

/// y = op(a) op(b) + bias for a piece of y.
template <class T>
void multiply_piece(const MatmulShape& s, const Piece& p, const T* a, const T* b, const T* bias,
                    T* y) {
  a += s.transpose_a ? p.row : p.row * s.k;
  b += s.transpose_b ? p.column * s.k : p.column;
  y += p.row * s.n + p.column;
  if (bias) {
    for (int64_t i = 0; i < p.rows; ++i) std::copy_n(bias + p.column, p.columns, y + i * s.n);
  }
  multiply({.m = p.rows,
            .n = p.columns,
            .k = s.k,
            .transpose_a = s.transpose_a,
            .transpose_b = s.transpose_b,
            .add = bias != nullptr},
           a, s.transpose_a ? s.m : s.k, b, s.transpose_b ? s.k : s.n, y, s.n);
}

}  // namespace

template <class T>
void matmul_fast(const MatmulShape& s, const T* a, const T* b, const T* bias, T* y) {
  OpScope::implementation(cpu::loops_name());
  // Pieces of the longer side. None has a single row or column unless all of y does: such a product
  // may be rounded differently, and bits must not depend on the number of threads.
  const bool by_rows = s.m >= s.n;
  const int64_t side = by_rows ? s.m : s.n, other_side = by_rows ? s.n : s.m;
  const int64_t blocks = std::max<int64_t>(1, side / kBlock);
  const int64_t work = std::min(side, kBlock) * other_side * s.k;
  parallel_for(s.batch * blocks, std::max<int64_t>(1, kAlone / work),
               [&](int64_t begin, int64_t end) {
                 while (begin < end) {
                   const int64_t i = begin / blocks, first = begin % blocks;
                   const int64_t last = std::min(first + end - begin, blocks);
                   begin += last - first;
                   const int64_t from = first * kBlock, to = last == blocks ? side : last * kBlock;
                   const Piece piece =
                       by_rows ? Piece{from, to - from, 0, s.n} : Piece{0, s.m, from, to - from};
                   multiply_piece(s, piece, a + (s.repeat_a ? 0 : i * s.m * s.k),
                                  b + (s.repeat_b ? 0 : i * s.k * s.n), bias, y + i * s.m * s.n);
                 }
               });
}

template void matmul_fast(const MatmulShape&, const float*, const float*, const float*, float*);
template void matmul_fast(const MatmulShape&, const double*, const double*, const double*, double*);

}  // namespace tern::kernels
