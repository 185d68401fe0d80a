// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../../core/tensor.h"
#include "../kernels/binary.h"

namespace tern {

/// a op b, broadcast, not recorded; in the memory of `a` if that has the result's shape and dtype
/// and may be `reused`.
Tensor binary(const char* op, kernels::Binary kind, const Tensor& a, const Tensor& b,
              bool reused = false);

/// a = a op b, of a's shape and dtype; not recorded, and not counted as a change. Throws Error
/// naming `op` before anything changes.
void binary_into(const char* op, kernels::Binary kind, const Tensor& a, const Tensor& b);

}  // namespace tern
