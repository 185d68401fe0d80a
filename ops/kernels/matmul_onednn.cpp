// SPDX-License-Identifier: Apache-2.0
// oneDNN's sgemm rather than its matmul primitive: as fast on large matrices, and on small ones (a
// few layers of 64) ten times faster, since nothing is created, looked up or shared among threads.
#include <dnnl.hpp>

#include <algorithm>

#include "../../core/error.h"
#include "../../core/onednn.h"
#include "../../core/parallel.h"
#include "../backend.h"
#include "matmul.h"

namespace tern::kernels {

namespace {

// Multiplications that are worth a thread.
constexpr int64_t kAlone = 1 << 18;
// Rows or columns of the result: a thread's piece is a multiple of this many...
constexpr int64_t kBlock = 16;
// ... and in deterministic mode, where a piece must not depend on the number of threads, exactly
// this many.
constexpr int64_t kFixedPiece = 192;

struct Piece {
  int64_t row, rows, column, columns;
};

// One thread's piece of y = op(a) op(b) + bias.
void multiply(const MatmulShape& s, const Piece& p, const float* a, const float* b,
              const float* bias, float* y) {
  a += s.transpose_a ? p.row : p.row * s.k;
  b += s.transpose_b ? p.column * s.k : p.column;
  y += p.row * s.n + p.column;
  if (bias) {
    for (int64_t i = 0; i < p.rows; ++i) std::copy_n(bias + p.column, p.columns, y + i * s.n);
  }
  const OpenMPThreads one(1);
  const auto status = dnnl::sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', p.rows,
                                  p.columns, s.k, 1.0f, a, s.transpose_a ? s.m : s.k, b,
                                  s.transpose_b ? s.k : s.n, bias ? 1.0f : 0.0f, y, s.n);
  if (status != dnnl::status::success) {
    fail("matmul", "oneDNN refused (status ", static_cast<int>(status), ")");
  }
}

}  // namespace

void matmul_onednn(const MatmulShape& s, const float* a, const float* b, const float* bias,
                   float* y) {
  // sgemm would divide long sums among its threads, so it gets one thread and a piece of the longer
  // side. An element's bits depend on the piece it is in.
  const bool by_rows = s.m >= s.n, fixed = deterministic();
  const int64_t side = by_rows ? s.m : s.n, other_side = by_rows ? s.n : s.m;
  const int64_t block = std::min(side, fixed ? kFixedPiece : kBlock);
  const int64_t blocks = (side + block - 1) / block;
  const int64_t grain = std::max<int64_t>(1, kAlone / (block * other_side * s.k));
  parallel_for(s.batch * blocks, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t i = begin / blocks, first = begin % blocks;
      const int64_t last = fixed ? first + 1 : std::min(first + end - begin, blocks);
      begin += last - first;
      const int64_t from = first * block, to = std::min(last * block, side);
      const Piece piece = by_rows ? Piece{from, to - from, 0, s.n} : Piece{0, s.m, from, to - from};
      multiply(s, piece, a + (s.repeat_a ? 0 : i * s.m * s.k), b + (s.repeat_b ? 0 : i * s.k * s.n),
               bias, y + i * s.m * s.n);
    }
  });
}

}  // namespace tern::kernels
