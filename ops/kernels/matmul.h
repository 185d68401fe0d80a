// SPDX-License-Identifier: Apache-2.0
// The kernels of matmul and linear, on row-major memory.
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace tern::kernels {

/// y[i] = op(a[i]) op(b[i]) + bias for `batch` matrices, where op transposes if told to:
/// op(a[i]) is m by k, op(b[i]) k by n. No size is zero.
struct MatmulShape {
  int64_t batch, m, n, k;
  bool transpose_a, transpose_b;
  bool repeat_a, repeat_b;  ///< there is one matrix only, used for the whole batch
};

/// `bias` [n] is added to every row, and may be null.
template <class T>
void matmul_fast(const MatmulShape& shape, const T* a, const T* b, const T* bias, T* y);
template <class T>
void matmul_reference(const MatmulShape& shape, const T* a, const T* b, const T* bias, T* y);
template <class T>
void matmul(const MatmulShape& shape, const T* a, const T* b, const T* bias, T* y) {
  dispatch(matmul_fast<T>, matmul_reference<T>, shape, a, b, bias, y);
}

}  // namespace tern::kernels
