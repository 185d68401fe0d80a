// SPDX-License-Identifier: Apache-2.0
// Transposes of small blocks in registers, over the vectors of simd.h.

namespace tern::kernels {
namespace {

/// to[j][i] = from[i][j] (+ to[j][i] if add) for 8 x 8 floats; rows are `stride` floats apart.
inline void transpose_8x8(const float* from, int64_t from_stride, float* to, int64_t to_stride,
                          bool add) {
  using Row = Lanes<8>::Float;
  Row a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) __builtin_memcpy(&a[i], from + i * from_stride, sizeof(Row));
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    b[i + 4] = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    float* row = to + i * to_stride;
    if (add) {
      __builtin_memcpy(&a[i], row, sizeof(Row));
      b[i] = a[i] + b[i];
    }
    store(row, b[i]);
  }
}

/// to[j][i] = from[i][j] for i < rows, j < columns.
inline void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns,
                      float* to, int64_t to_stride) {
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    const float* row = from + i * from_stride;
    int64_t j = 0;
    for (; j + 8 <= columns; j += 8) {
      transpose_8x8(row + j, from_stride, to + j * to_stride + i, to_stride, false);
    }
    for (; j < columns; ++j) {
      for (int64_t lane = 0; lane < 8; ++lane) {
        to[j * to_stride + i + lane] = row[lane * from_stride + j];
      }
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}
inline void transpose(const double* from, int64_t from_stride, int64_t rows, int64_t columns,
                      double* to, int64_t to_stride) {
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

}  // namespace
}  // namespace tern::kernels
