// SPDX-License-Identifier: Apache-2.0
// Functions of float32 numbers for every machine.
#include <cstdint>
#include <limits>

#include "functions.h"

namespace tern::kernels {
namespace {
constexpr int64_t kLanes = 4;
using Vec = float __attribute__((vector_size(16)));
using IntVec = int32_t __attribute__((vector_size(16)));
}  // namespace
}  // namespace tern::kernels

#include "functions_simd.h"

namespace tern::kernels {
const Functions& baseline_functions() { return kFunctions; }
}  // namespace tern::kernels
