// SPDX-License-Identifier: Apache-2.0
// Batch norm's loops for every machine.
#include <cstdint>
#include <type_traits>

#include "batch_norm_loops.h"

namespace tern::kernels::batch_norm {
namespace {
using Vec = float __attribute__((vector_size(16)));
constexpr int64_t kLanes = 4;
inline void stream(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
inline void drain() {}
inline void in_register(const Vec&) {}
}  // namespace
}  // namespace tern::kernels::batch_norm

#include "batch_norm_simd.h"

namespace tern::kernels::batch_norm {
const Loops& baseline_loops() { return kLoops; }
}  // namespace tern::kernels::batch_norm
