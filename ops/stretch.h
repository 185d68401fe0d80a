// SPDX-License-Identifier: Apache-2.0
// Shapes of the same numbers, for writers of operations. Private: not installed.
#pragma once

#include "../core/tensor.h"

namespace tern {

/// x under another shape of as many elements: what reshape does once the sizes are known.
Tensor view_as(const Tensor& x, const Shape& shape);

/// x stretched to `shape` by broadcasting, in the given memory order. The adjoint of sum_to.
Tensor stretch(const Tensor& x, const Shape& shape, Order order);

}  // namespace tern
