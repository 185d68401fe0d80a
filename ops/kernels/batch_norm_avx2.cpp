// SPDX-License-Identifier: Apache-2.0
// Batch norm's loops for AVX2. The pragma below holds for this file's own functions, so headers
// of others come first.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#include "batch_norm_loops.h"

#pragma GCC target("avx2,fma")

namespace tern::kernels::batch_norm {
namespace {
using Vec = __m256;
constexpr int64_t kLanes = 8;
inline void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }
inline void drain() { _mm_sfence(); }
inline void in_register(const Vec&) {}
}  // namespace
}  // namespace tern::kernels::batch_norm

#include "batch_norm_simd.h"

namespace tern::kernels::batch_norm {
const Loops& avx2_loops() { return kLoops; }
}  // namespace tern::kernels::batch_norm
#endif
