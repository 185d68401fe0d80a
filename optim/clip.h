// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "../core/tensor.h"

namespace tern::optim {

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)), in place, where norm is the
/// norm_type-norm of all gradients as one vector (HUGE_VAL: the largest magnitude). Returns norm.
/// As torch.nn.utils.clip_grad_norm_: a NaN in one gradient makes all of them NaN; with
/// error_if_nonfinite it throws Error instead, before any change. Sums are accumulated in double,
/// in the same order for every number of threads.
double clip_grad_norm_(const std::vector<Tensor>& params, double max_norm, double norm_type = 2.0,
                       bool error_if_nonfinite = false);

/// Clamps every element of every gradient to [-clip_value, clip_value], in place; NaN stays NaN.
void clip_grad_value_(const std::vector<Tensor>& params, double clip_value);

}  // namespace tern::optim
