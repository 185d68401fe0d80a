// SPDX-License-Identifier: Apache-2.0
// Pooling's loops for AVX-512. The pragma below holds for this file's own functions, so headers of
// others come first.
#include <cstdint>
#include <type_traits>

#include "pool_loops.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")

namespace tern::kernels::pool {
namespace {
constexpr int kLanes = 16;
}  // namespace
}  // namespace tern::kernels::pool

#include "pool_simd.h"

namespace tern::kernels::pool {
const Loops& avx512_loops() { return kLoops; }
}  // namespace tern::kernels::pool
#endif
