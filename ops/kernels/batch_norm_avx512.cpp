// SPDX-License-Identifier: Apache-2.0
// Batch norm's loops for AVX-512. The pragma below holds for this file's own functions, so headers
// of others come first.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#include "batch_norm_loops.h"

#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")

namespace tern::kernels::batch_norm {
namespace {
using Vec = __m512;
constexpr int64_t kLanes = 16;
inline void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }
inline void drain() { _mm_sfence(); }
// A select that reads memory under its mask is several times slower than a load and a select.
inline void in_register(Vec& v) { asm("" : "+v"(v)); }
}  // namespace
}  // namespace tern::kernels::batch_norm

#include "batch_norm_simd.h"

namespace tern::kernels::batch_norm {
const Loops& avx512_loops() { return kLoops; }
}  // namespace tern::kernels::batch_norm
#endif
