// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two tensors. Private: not installed.
#pragma once

#include "strided.h"

namespace tern::kernels {

enum class Binary : uint8_t { add, sub, mul, div, pow, add_relu };
enum class Compare : uint8_t { eq, ne, lt, le, gt, ge };

/// y = a op b over a nest whose operands are y, a and b; y is dense. Only rounding separates these
/// loops from mathematics, so that every dtype takes the same ones. Integers wrap around; div, pow
/// and add_relu are for floating types.
void binary(Binary kind, DType dtype, const LoopNest& nest, const void* a, const void* b, void* y);
/// y = 1 where a op b holds, 0 elsewhere.
void compare(Compare kind, DType dtype, const LoopNest& nest, const void* a, const void* b,
             uint8_t* y);

/// y = a where the condition is not 0, b elsewhere; a null pointer stands for zeros. All alike.
void where(DType dtype, int64_t count, const uint8_t* condition, const void* a, const void* b,
           void* y);

}  // namespace tern::kernels
