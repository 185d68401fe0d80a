// SPDX-License-Identifier: Apache-2.0
// All loops that are compiled for each instruction set, and the table of them: the end of
// isa_<name>.cpp. Products take multiply_add and the sizes of their tiles from there.
#include "transpose_simd.h"

#include "batch_norm_simd.h"
#include "functions_simd.h"
#include "norm_simd.h"
#include "pool_simd.h"
#include "product_simd.h"
#include "rnn_simd.h"
#include "winograd_simd.h"

namespace tern::kernels {
namespace {
constexpr IsaKernels kIsaKernels = {.functions = &kFunctions,
                                    .batch_norm = &batch_norm::kLoops,
                                    .norm = &norm::kLoops,
                                    .pool = &pool::kLoops,
                                    .product = &product::kKernels<float>,
                                    .product_f64 = &product::kKernels<double>,
                                    .rnn = &rnn::kCells,
                                    .winograd = &winograd::kKernels};
}  // namespace
}  // namespace tern::kernels
