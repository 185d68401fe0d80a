// SPDX-License-Identifier: Apache-2.0
// What an instruction set provides for products of matrices.
#pragma once

#include <cstdint>

namespace tern::kernels::product {

/// m[rows][columns] (+)= sum over depth of a[row][depth] * b[depth][column], in the order of depth.
/// Strides in elements; columns of b and m are contiguous, and the rows of b can be read to the end
/// of the last vector, unless there is only one row of a.
template <class T>
struct Tiles {
  const T* a;
  int64_t a_stride;  // from row to row in multiply, from depth to depth in multiply_transposed
  const T* b;
  int64_t b_stride;
  T* m;
  int64_t m_stride;
  int64_t rows, columns, depth;
  bool add;  // to m; otherwise m is overwritten
};

template <class T>
struct Kernels {
  int64_t lanes;                                       // of a vector
  int64_t panel;                                       // columns that `multiply` takes at a time
  void (*multiply)(const Tiles<T>& tiles);             // a[row * a_stride + depth]
  void (*multiply_transposed)(const Tiles<T>& tiles);  // a[depth * a_stride + row]
  /// One row times a transposed matrix, b[column * b_stride + depth], any number of columns; not in
  /// the order of depth.
  void (*multiply_row)(const Tiles<T>& tiles);
  /// to[depth][width] = b[depth][columns], or the transpose of b[columns][depth], filled up with
  /// zeros. Rows of b are `b_stride` elements apart; `width` is `columns` rounded up to `lanes`.
  void (*pack)(const T* b, int64_t b_stride, int64_t depth, int64_t columns, T* to, int64_t width);
  void (*pack_transposed)(const T* b, int64_t b_stride, int64_t depth, int64_t columns, T* to,
                          int64_t width);
};

}  // namespace tern::kernels::product
