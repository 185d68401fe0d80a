// SPDX-License-Identifier: Apache-2.0
// Everything that is compiled for AVX-512: Note [Instruction sets]
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
#pragma clang attribute push(                                                      \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prfchw"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prfchw")
#endif

namespace tern::kernels {
namespace {
constexpr int kLanes = 16;
}  // namespace
}  // namespace tern::kernels

#include "simd.h"

namespace tern::kernels {
namespace {

inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>((1u << static_cast<unsigned>(count)) - 1u);
}
inline Vec load_first(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
inline void store_first(float* p, int64_t count, Vec v) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}
inline DoubleVec load_first(const double* p, int64_t count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>(first_lanes(count)), p);
}
inline void store_first(double* p, int64_t count, DoubleVec v) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(count)), v);
}
inline Vec multiply_add(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline DoubleVec multiply_add(DoubleVec a, DoubleVec b, DoubleVec c) {
  return _mm512_fmadd_pd(a, b, c);
}
inline void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }
inline void drain() { _mm_sfence(); }
// A select that reads memory under its mask is several times slower than a load and a select.
inline void in_register(Vec& v) { asm("" : "+v"(v)); }

// Micro tiles of products: rows x vectors of columns, for 32 registers.
constexpr int kMaxColumns = 4;
constexpr int micro_rows(int columns) { return columns >= 3 ? 4 : 8; }
constexpr int kTilesAtOnce = 16;  // a multiple of micro_rows

}  // namespace
}  // namespace tern::kernels

#include "isa_loops.h"

namespace tern::kernels {
const IsaKernels avx512_kernels = kIsaKernels;
}  // namespace tern::kernels

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
