// SPDX-License-Identifier: Apache-2.0
// Everything that is compiled for AVX2 with FMA: Note [Instruction sets]
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "batch_norm_loops.h"
#include "functions.h"
#include "isa.h"
#include "norm_loops.h"
#include "pool_loops.h"
#include "product_kernels.h"
#include "rnn_cells.h"
#include "winograd_kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,prfchw"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,prfchw")
#endif

namespace tern::kernels {
namespace {
constexpr int kLanes = 8;
}  // namespace
}  // namespace tern::kernels

#include "simd.h"

namespace tern::kernels {
namespace {

inline __m256i first_lanes(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}
inline Vec load_first(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, first_lanes(count));
}
inline void store_first(float* p, int64_t count, Vec v) {
  _mm256_maskstore_ps(p, first_lanes(count), v);
}
inline __m256i first_doubles(int64_t count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
inline DoubleVec load_first(const double* p, int64_t count) {
  return _mm256_maskload_pd(p, first_doubles(count));
}
inline void store_first(double* p, int64_t count, DoubleVec v) {
  _mm256_maskstore_pd(p, first_doubles(count), v);
}
inline Vec multiply_add(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline DoubleVec multiply_add(DoubleVec a, DoubleVec b, DoubleVec c) {
  return _mm256_fmadd_pd(a, b, c);
}
inline void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }
inline void drain() { _mm_sfence(); }
inline void in_register(const Vec&) {}

// Micro tiles of products: rows x vectors of columns, for 16 registers.
constexpr int kMaxColumns = 2;
constexpr int micro_rows(int columns) { return columns == 2 ? 6 : 8; }
constexpr int kTilesAtOnce = 24;  // a multiple of micro_rows

}  // namespace
}  // namespace tern::kernels

#include "isa_loops.h"

namespace tern::kernels {
const IsaKernels avx2_kernels = kIsaKernels;
}  // namespace tern::kernels

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
