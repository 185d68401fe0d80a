// SPDX-License-Identifier: Apache-2.0
// Functions of float32 numbers for AVX-512. The pragma below holds for this file's own functions,
// so headers of others come first.
#include <cstdint>
#include <limits>

#include "functions.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")

namespace tern::kernels {
namespace {
constexpr int64_t kLanes = 16;
using Vec = float __attribute__((vector_size(64)));
using IntVec = int32_t __attribute__((vector_size(64)));
}  // namespace
}  // namespace tern::kernels

#include "functions_simd.h"

namespace tern::kernels {
const Functions& avx512_functions() { return kFunctions; }
}  // namespace tern::kernels
#endif
