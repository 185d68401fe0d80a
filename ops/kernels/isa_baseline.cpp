// SPDX-License-Identifier: Apache-2.0
// What every machine runs, without intrinsics: Note [Instruction sets]
#include "batch_norm_loops.h"
#include "functions.h"
#include "isa.h"
#include "norm_loops.h"
#include "pool_loops.h"
#include "product_kernels.h"
#include "rnn_cells.h"
#include "vectors.h"
#include "winograd_kernels.h"

namespace tern::kernels {
namespace {
inline void stream(float* p, Vec v) { store(p, v); }
inline void drain() {}
inline void in_register(const Vec&) {}
inline DoubleVec load_first(const double* p, int64_t count) {
  DoubleVec v{};
  __builtin_memcpy(&v, p, static_cast<uint64_t>(count) * sizeof(double));
  return v;
}
inline void store_first(double* p, int64_t count, DoubleVec v) {
  __builtin_memcpy(p, &v, static_cast<uint64_t>(count) * sizeof(double));
}

#if defined(__aarch64__)
// Fused as written, which vectors of any width that AArch64 has do as fast as a product.
inline Vec multiply_add(Vec a, Vec b, Vec c) {
  for (int i = 0; i < kLanes; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
}
inline DoubleVec multiply_add(DoubleVec a, DoubleVec b, DoubleVec c) {
  for (int i = 0; i < kLanes / 2; ++i) c[i] = __builtin_fma(a[i], b[i], c[i]);
  return c;
}

// Micro tiles of products: rows x vectors of columns, for 32 registers.
constexpr int kMaxColumns = 3;
constexpr int micro_rows(int) { return 8; }
constexpr int kTilesAtOnce = 24;  // a multiple of micro_rows
#else
template <class V>
inline V multiply_add(V a, V b, V c) {
  return a * b + c;
}

// Micro tiles of products: rows x vectors of columns, for 16 registers.
constexpr int kMaxColumns = 2;
constexpr int micro_rows(int) { return 4; }
#endif
}  // namespace
}  // namespace tern::kernels

#include "transpose_simd.h"

#include "batch_norm_simd.h"
#include "functions_simd.h"
#include "norm_simd.h"
#include "pool_simd.h"
#include "product_simd.h"
#include "rnn_simd.h"
#if defined(__aarch64__)  // x86-64's baseline has no fused multiplication and addition
#include "winograd_simd.h"
#endif

namespace tern::kernels {
const IsaKernels baseline_kernels = {
    .functions = &kFunctions,
    .batch_norm = &batch_norm::kLoops,
    .norm = &norm::kLoops,
    .pool = &pool::kLoops,
    .product = &product::kKernels<float>,
    .product_f64 = &product::kKernels<double>,
    .rnn = &rnn::kCells,
#if defined(__aarch64__)
    .winograd = &winograd::kKernels,
#else
    .winograd = nullptr,
#endif
};
}  // namespace tern::kernels
