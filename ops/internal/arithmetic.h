// SPDX-License-Identifier: Apache-2.0
// Arithmetic of gradients that may meet a pole.
#pragma once

#include "../../core/tensor.h"

namespace tern {

/// dy * factor and dy / divisor, broadcasting, but 0 where dy is 0: where nothing flows back
/// nothing does, not 0 times infinity. Floating dtypes; differentiable.
Tensor product(const Tensor& dy, const Tensor& factor);
Tensor quotient(const Tensor& dy, const Tensor& divisor);

}  // namespace tern
