// SPDX-License-Identifier: Apache-2.0
// What all elementwise functions of one tensor share. Private: not installed.
#pragma once

#include "../core/tensor.h"
#include "kernels/unary.h"

namespace tern {

/// f(x), recorded. `name` is a string literal.
Tensor unary(const char* name, kernels::Unary kind, const Tensor& x, double alpha = 0);

/// dy * f', given what f saved (kernels::saves_output). Differentiable: one fused loop in a plain
/// backward pass, made of recorded operations under create_graph.
Tensor unary_backward(kernels::Unary kind, double alpha, const Tensor& dy, const Tensor& saved);

/// Throws Error naming `op` unless `value` is an element of `dtype`: integers take whole numbers.
void check_scalar(const char* op, DType dtype, double value);

}  // namespace tern
