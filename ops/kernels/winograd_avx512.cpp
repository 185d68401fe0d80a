// SPDX-License-Identifier: Apache-2.0
// Winograd kernels for AVX-512. No compiler flag: the pragma below holds for this file's own
// functions, so headers of others come first.
#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#include "winograd_kernels.h"

#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prfchw")

namespace tern::kernels::winograd {
namespace {

using Vec = __m512;
constexpr int kLanes = 16;

inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>((1u << static_cast<unsigned>(count)) - 1u);
}
inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load_first(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline void store_first(float* p, int64_t count, Vec v) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}
inline Vec multiply_add(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }

// Micro tiles of the matrix product: rows x vectors of columns, for 32 registers.
constexpr int kMaxColumns = 4;
constexpr int micro_rows(int columns) { return columns >= 3 ? 4 : 8; }
constexpr int kTilesAtOnce = 16;  // a multiple of micro_rows

}  // namespace
}  // namespace tern::kernels::winograd

#include "winograd_simd.h"

namespace tern::kernels::winograd {
const Kernels& avx512_kernels() { return kKernels; }
}  // namespace tern::kernels::winograd
