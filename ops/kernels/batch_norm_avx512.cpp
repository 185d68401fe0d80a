// SPDX-License-Identifier: Apache-2.0
// Batch norm's loops for AVX-512. The pragma below holds for this file's own functions, so headers
// of others come first.
#include <cstdint>
#include <type_traits>

#include "batch_norm_loops.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")

namespace tern::kernels::batch_norm {
namespace {
using Vec = float __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;
}  // namespace
}  // namespace tern::kernels::batch_norm

#include "batch_norm_simd.h"

namespace tern::kernels::batch_norm {
const Loops& avx512_loops() { return kLoops; }
}  // namespace tern::kernels::batch_norm
#endif
