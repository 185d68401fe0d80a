// SPDX-License-Identifier: Apache-2.0
// Pooling's loops for every machine.
#include <cstdint>
#include <type_traits>

#include "pool_loops.h"

namespace tern::kernels::pool {
namespace {
constexpr int kLanes = 4;
}  // namespace
}  // namespace tern::kernels::pool

#include "pool_simd.h"

namespace tern::kernels::pool {
const Loops& baseline_loops() { return kLoops; }
}  // namespace tern::kernels::pool
