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

// Multiplications that are worth more than one thread, and worth all of them.
constexpr int64_t kAlone = 1 << 18;
constexpr int64_t kShared = 1 << 22;
// Rows of the result that a task of the loop over small products computes.
constexpr int64_t kRows = 256;

// `rows` rows of y, from row `row`.
void multiply(const MatmulShape& s, int64_t row, int64_t rows, const float* a, const float* b,
              const float* bias, float* y) {
  a += s.transpose_a ? row : row * s.k;
  y += row * s.n;
  if (bias) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(bias, s.n, y + i * s.n);
  }
  const auto status = dnnl::sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', rows, s.n,
                                  s.k, 1.0f, a, s.transpose_a ? s.m : s.k, b,
                                  s.transpose_b ? s.k : s.n, bias ? 1.0f : 0.0f, y, s.n);
  if (status != dnnl::status::success) {
    fail("matmul", "oneDNN refused (status ", static_cast<int>(status), ")");
  }
}

}  // namespace

void matmul_onednn(const MatmulShape& s, const float* a, const float* b, const float* bias,
                   float* y) {
  const int64_t work = s.m * s.n * s.k;
  const auto matrix = [&](int64_t i, int64_t row, int64_t rows) {
    multiply(s, row, rows, a + (s.repeat_a ? 0 : i * s.m * s.k),
             b + (s.repeat_b ? 0 : i * s.k * s.n), bias, y + i * s.m * s.n);
  };
  // sgemm divides long sums among threads, so in deterministic mode each call gets one. So does
  // each of many small products, which are spread over the threads instead.
  if (!deterministic() && (s.batch == 1 || work > kShared)) {
    const OpenMPThreads threads(work > kAlone ? num_threads() : 1);
    for (int64_t i = 0; i < s.batch; ++i) matrix(i, 0, s.m);
    return;
  }
  const int64_t blocks = (s.m + kRows - 1) / kRows;
  const int64_t grain = std::max<int64_t>(1, kAlone / (std::min(s.m, kRows) * s.n * s.k));
  parallel_for(s.batch * blocks, grain, [&](int64_t begin, int64_t end) {
    const OpenMPThreads one(1);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task % blocks * kRows;
      matrix(task / blocks, row, std::min(kRows, s.m - row));
    }
  });
}

}  // namespace tern::kernels
