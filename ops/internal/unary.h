// SPDX-License-Identifier: Apache-2.0
// What all elementwise functions of one tensor are called by.
#pragma once

#include "../../core/tensor.h"
#include "../kernels/unary_functions.h"

namespace tern {

Tensor unary(kernels::Unary function, const Tensor& x, kernels::Numbers numbers);
Tensor unary_backward(kernels::Unary function, const Tensor& dy, const Tensor& saved,
                      kernels::Numbers numbers);

/// f(x), recorded: unary<kernels::LeakyRelu>(x, {slope}).
template <class F>
Tensor unary(const Tensor& x, kernels::Numbers numbers = {}) {
  return unary(kernels::UnaryFunctions::place_of<F>(), x, numbers);
}

/// x = f(x); not recorded, and not counted as a change. Throws Error naming `op` before anything
/// changes.
void unary_into(const char* op, kernels::Unary function, const Tensor& x, kernels::Numbers numbers);
template <class F>
void unary_into(const char* op, const Tensor& x, kernels::Numbers numbers) {
  unary_into(op, kernels::UnaryFunctions::place_of<F>(), x, numbers);
}

/// dy * f', given what f saves. Differentiable: one fused loop in a plain backward pass, made of
/// recorded operations under create_graph.
template <class F>
Tensor unary_backward(const Tensor& dy, const Tensor& saved, kernels::Numbers numbers = {}) {
  return unary_backward(kernels::UnaryFunctions::place_of<F>(), dy, saved, numbers);
}

/// Throws Error naming `op` unless `value` is an element of `dtype`: integers take whole numbers.
void check_scalar(const char* op, DType dtype, double value);

}  // namespace tern
