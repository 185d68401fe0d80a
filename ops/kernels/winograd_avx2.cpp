// SPDX-License-Identifier: Apache-2.0
// Winograd kernels for AVX2 with FMA. No compiler flag: the pragma below holds for this file's own
// functions, so headers of others come first.
#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#include "winograd_kernels.h"

#pragma GCC target("avx2,fma,prfchw")

namespace tern::kernels::winograd {
namespace {

using Vec = __m256;
constexpr int kLanes = 8;

inline __m256i first_lanes(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}
inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load_first(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, first_lanes(count));
}
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline void store_first(float* p, int64_t count, Vec v) {
  _mm256_maskstore_ps(p, first_lanes(count), v);
}
inline Vec multiply_add(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

// Micro tiles of the matrix product: rows x vectors of columns, for 16 registers.
constexpr int kMaxColumns = 2;
constexpr int micro_rows(int columns) { return columns == 2 ? 6 : 8; }
constexpr int kTilesAtOnce = 24;  // a multiple of micro_rows

}  // namespace
}  // namespace tern::kernels::winograd

#include "winograd_simd.h"

namespace tern::kernels::winograd {
const Kernels& avx2_kernels() { return kKernels; }
}  // namespace tern::kernels::winograd
