// SPDX-License-Identifier: Apache-2.0
// All loops that are compiled for each instruction set, and the table of them: the end of
// isa_<name>.cpp. Winograd's take multiply_add and its tile sizes from there.
#include "batch_norm_simd.h"
#include "functions_simd.h"
#include "norm_simd.h"
#include "pool_simd.h"
#include "rnn_simd.h"
#include "winograd_simd.h"

namespace tern::kernels {
namespace {
constexpr IsaKernels kIsaKernels = {&kFunctions,   &batch_norm::kLoops, &norm::kLoops,
                                    &pool::kLoops, &rnn::kCells,        &winograd::kKernels};
}  // namespace
}  // namespace tern::kernels
