// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>
#include <algorithm>

#include "../../core/internal/parallel.h"
#include "matmul.h"

namespace tern::kernels {

namespace {

// Rows of the result that are computed at a time. Fixed, so that the result is the same for every
// number of threads.
constexpr int64_t kRows = 64;

template <class T>
using View = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

}  // namespace

template <class T>
void matmul_reference(const MatmulShape& s, const T* a, const T* b, const T* bias, T* y) {
  const int64_t blocks = divide_up(s.m, kRows);
  const int64_t grain = std::max<int64_t>(1, (1 << 16) / (std::min(s.m, kRows) * s.n * s.k));
  parallel_for(s.batch * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t i = task / blocks;
      const int64_t row = task % blocks * kRows;
      const int64_t rows = std::min(kRows, s.m - row);
      const T* left = a + (s.repeat_a ? 0 : i * s.m * s.k);
      const T* right = b + (s.repeat_b ? 0 : i * s.k * s.n);
      Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> out(
          y + (i * s.m + row) * s.n, rows, s.n);
      const auto multiply = [&](const auto& x) {
        if (s.transpose_b) {
          out.noalias() = x * View<T>(right, s.n, s.k).transpose();
        } else {
          out.noalias() = x * View<T>(right, s.k, s.n);
        }
      };
      if (s.transpose_a) {
        multiply(View<T>(left, s.k, s.m).middleCols(row, rows).transpose());
      } else {
        multiply(View<T>(left, s.m, s.k).middleRows(row, rows));
      }
      if (bias) out.rowwise() += View<T>(bias, 1, s.n).row(0);
    }
  });
}

template void matmul_reference(const MatmulShape&, const float*, const float*, const float*,
                               float*);
template void matmul_reference(const MatmulShape&, const double*, const double*, const double*,
                               double*);

}  // namespace tern::kernels
