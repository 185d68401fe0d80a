// SPDX-License-Identifier: Apache-2.0
// The kernels of product_kernels.h, over the vectors of simd.h. multiply_add, kMaxColumns and
// micro_rows are the including source's.
//
// An element's sum is one chain of multiply_add whatever tile it falls into, so its bits depend on
// nothing but its factors.

namespace tern::kernels::product {
namespace {

template <class T>
constexpr int kLanesOf = static_cast<int>(sizeof(VecOf<T>) / sizeof(T));

/// kRows x (kColumns vectors) of the product, summed in registers over the whole depth.
template <class T, bool kTransposed, int kRows, int kColumns>
inline void multiply_micro(const Tiles<T>& p, int64_t row, int64_t column) {
  using V = VecOf<T>;
  const int64_t row_stride = kTransposed ? 1 : p.a_stride;
  const int64_t depth_stride = kTransposed ? p.a_stride : 1;
  const T* a = p.a + row * row_stride;
  const T* b = p.b + column;
  T* m = p.m + row * p.m_stride + column;
  V sum[kRows][kColumns];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) sum[i][j] = V{};
  }
  for (int64_t k = 0; k < p.depth; ++k, a += depth_stride, b += p.b_stride) {
    V line[kColumns];
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) line[j] = load<V>(b + j * kLanesOf<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const V factor = a[i * row_stride] - V{};
#pragma GCC unroll 8
      for (int j = 0; j < kColumns; ++j) sum[i][j] = multiply_add(factor, line[j], sum[i][j]);
    }
  }
  const int64_t left = p.columns - column - (kColumns - 1) * kLanesOf<T>;  // in the last vector
  const auto whole = [=](int j) { return j < kColumns - 1 || left >= kLanesOf<T>; };
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    T* row_of_m = m + i * p.m_stride;
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j, row_of_m += kLanesOf<T>) {
      const V before = !p.add ? V{} : whole(j) ? load<V>(row_of_m) : load_first(row_of_m, left);
      const V after = p.add ? before + sum[i][j] : sum[i][j];
      if (whole(j)) {
        store(row_of_m, after);
      } else {
        store_first(row_of_m, left, after);
      }
    }
  }
}

/// Rows [row, p.rows) in micro tiles of kRows, then what is left in smaller ones.
template <class T, bool kTransposed, int kRows, int kColumns>
inline void multiply_rows(const Tiles<T>& p, int64_t row, int64_t column) {
  for (; row + kRows <= p.rows; row += kRows) {
    multiply_micro<T, kTransposed, kRows, kColumns>(p, row, column);
  }
  if constexpr (kRows > 1) {
    if (row < p.rows) multiply_rows<T, kTransposed, kRows / 2, kColumns>(p, row, column);
  }
}

/// A single row, kDepth rows of b at a time to its end: the sums wait in memory, so that b is read
/// as it lies.
template <class T, int kDepth>
inline void add_rows(const Tiles<T>& p, int64_t k, int64_t column, int64_t count, T* sums) {
  using V = VecOf<T>;
  const T* b = p.b + k * p.b_stride + column;
  V factor[kDepth];
#pragma GCC unroll 4
  for (int i = 0; i < kDepth; ++i) factor[i] = p.a[k + i] - V{};
  const auto add = [&](int64_t j, auto load_line) {
    V sum = load<V>(sums + j);
#pragma GCC unroll 4
    for (int i = 0; i < kDepth; ++i) {
      sum = multiply_add(factor[i], load_line(b + i * p.b_stride + j), sum);
    }
    store(sums + j, sum);
  };
  int64_t j = 0;
  for (; j + kLanesOf<T> <= count; j += kLanesOf<T>) {
    add(j, [&](const T* line) { return load<V>(line); });
  }
  if (j < count) add(j, [=](const T* line) { return load_first(line, count - j); });
}
template <class T>
inline void multiply_single(const Tiles<T>& p) {
  constexpr int64_t kSums = 2048 / sizeof(T);
  alignas(64) T sums[kSums];
  for (int64_t column = 0; column < p.columns; column += kSums) {
    const int64_t count = p.columns - column < kSums ? p.columns - column : kSums;
    for (int64_t j = 0; j < count; j += kLanesOf<T>) store(sums + j, VecOf<T>{});
    int64_t k = 0;
    for (; k + 4 <= p.depth; k += 4) add_rows<T, 4>(p, k, column, count, sums);
    for (; k < p.depth; ++k) add_rows<T, 1>(p, k, column, count, sums);
    for (int64_t j = 0; j < count; ++j) {
      T& m = p.m[column + j];
      m = p.add ? m + sums[j] : sums[j];
    }
  }
}

/// Columns [column, p.columns), kColumns vectors at a time, then what is left fewer at a time.
template <class T, bool kTransposed, int kColumns>
inline void multiply_columns(const Tiles<T>& p, int64_t column) {
  for (; column + (kColumns - 1) * kLanesOf<T> < p.columns; column += kColumns * kLanesOf<T>) {
    multiply_rows<T, kTransposed, micro_rows(kColumns), kColumns>(p, 0, column);
  }
  if constexpr (kColumns > 1) {
    if (column < p.columns) multiply_columns<T, kTransposed, kColumns - 1>(p, column);
  }
}

template <class T>
void multiply(const Tiles<T>& p) {
  if (p.rows == 1) return multiply_single(p);
  multiply_columns<T, false, kMaxColumns>(p, 0);
}
template <class T>
void multiply_transposed(const Tiles<T>& p) {
  multiply_columns<T, true, kMaxColumns>(p, 0);
}

/// kColumns sums of products, each of two chains that are as wide as vectors.
template <class T, int kColumns>
inline void multiply_row_micro(const Tiles<T>& p, int64_t column) {
  using V = VecOf<T>;
  constexpr int64_t kStep = 2 * kLanesOf<T>;
  const T* b = p.b + column * p.b_stride;
  V sum[kColumns][2];
#pragma GCC unroll 8
  for (int j = 0; j < kColumns; ++j) sum[j][0] = sum[j][1] = V{};
  int64_t k = 0;
  for (; k + kStep <= p.depth; k += kStep) {
    const V first = load<V>(p.a + k), second = load<V>(p.a + k + kLanesOf<T>);
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      const T* row = b + j * p.b_stride + k;
      sum[j][0] = multiply_add(first, load<V>(row), sum[j][0]);
      sum[j][1] = multiply_add(second, load<V>(row + kLanesOf<T>), sum[j][1]);
    }
  }
  for (int j = 0; j < kColumns; ++j) {
    T parts[kLanesOf<T>];
    store(parts, sum[j][0] + sum[j][1]);
    for (int half = kLanesOf<T> / 2; half > 0; half /= 2) {
      for (int lane = 0; lane < half; ++lane) parts[lane] += parts[lane + half];
    }
    const T* row = b + j * p.b_stride;
    for (int64_t rest = k; rest < p.depth; ++rest) parts[0] += p.a[rest] * row[rest];
    T& m = p.m[(column + j) * p.m_stride];
    m = p.add ? m + parts[0] : parts[0];
  }
}
template <class T>
void multiply_row(const Tiles<T>& p) {
  int64_t column = 0;
  for (; column + 4 <= p.columns; column += 4) multiply_row_micro<T, 4>(p, column);
  for (; column < p.columns; ++column) multiply_row_micro<T, 1>(p, column);
}

template <class T>
void pack(const T* b, int64_t b_stride, int64_t depth, int64_t columns, T* to, int64_t width) {
  for (int64_t k = 0; k < depth; ++k, b += b_stride, to += width) {
    int64_t j = 0;
    for (; j + kLanesOf<T> <= columns; j += kLanesOf<T>) store(to + j, load<VecOf<T>>(b + j));
    if (j < columns) store(to + j, load_first(b + j, columns - j));
  }
}
template <class T>
void pack_transposed(const T* b, int64_t b_stride, int64_t depth, int64_t columns, T* to,
                     int64_t width) {
  transpose(b, b_stride, columns, depth, to, width);
  if (columns == width) return;
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t j = columns; j < width; ++j) to[k * width + j] = 0;
  }
}

template <class T>
constexpr Kernels<T> kKernels = {.lanes = kLanesOf<T>,
                                 .panel = kMaxColumns* kLanesOf<T>,
                                 .multiply = multiply<T>,
                                 .multiply_transposed = multiply_transposed<T>,
                                 .multiply_row = multiply_row<T>,
                                 .pack = pack<T>,
                                 .pack_transposed = pack_transposed<T>};

}  // namespace
}  // namespace tern::kernels::product
