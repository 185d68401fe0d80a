// SPDX-License-Identifier: Apache-2.0
// The product of matrices that other kernels are made of.
#pragma once

#include <cstdint>

#include "../../core/internal/cpu.h"

namespace tern::kernels {

/// c = op(a) op(b), added to c if `add`: op(a) is m by k, op(b) k by n, and op transposes if told
/// to. Rows of a, b and c are `a_step`, `b_step` and `c_step` elements apart.
struct Product {
  int64_t m, n, k;
  bool transpose_a = false, transpose_b = false, add = false;
};

/// On the calling thread, for float and double. An element's bits depend on nothing but its row of
/// op(a), its column of op(b), its old value if `add`, the instruction set, and whether c is a
/// single row or column: not on its place, nor on what else is computed.
template <class T>
void multiply(const Product& product, const T* a, int64_t a_step, const T* b, int64_t b_step, T* c,
              int64_t c_step, cpu::Isa isa = cpu::isa());

}  // namespace tern::kernels
