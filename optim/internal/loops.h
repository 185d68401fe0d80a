// SPDX-License-Identifier: Apache-2.0
// Helpers shared by the optimizers.
#pragma once

#include <cmath>
#include <optional>

#include "../../core/error.h"
#include "../../core/internal/parallel.h"
#include "../../core/tensor.h"

namespace tern::optim {

/// The gradient of a parameter that is trained. A frozen one keeps the gradient it has, which
/// counts for nothing: the result is then undefined.
inline Tensor gradient_to_use(const Tensor& param) {
  return param.requires_grad() ? param.grad() : Tensor();
}

/// Runs body(begin, end, T{}) over ranges of the elements of `param`, with its element type.
template <class Body>
void for_elements(const Tensor& param, const Body& body) {
  visit_floating(param.dtype(), [&](auto t) {
    parallel_for(param.numel(), kGrain, [&](int64_t begin, int64_t end) { body(begin, end, t); });
  });
}

/// Throws Error unless 0 <= value (< below).
inline void check_option(const char* op, const char* option, double value,
                         double below = HUGE_VAL) {
  if (value >= 0 && value < below) return;
  if (below == HUGE_VAL) fail(op, option, " is ", value, ", want a finite number of at least 0");
  fail(op, option, " is ", value, ", want [0, ", below, ")");
}

/// The number in `x`, a count that was saved; nothing unless it is whole and in [0, 2^53].
inline std::optional<int64_t> whole_number(const Tensor& x) {
  if (!x.defined() || x.numel() != 1) return {};
  const auto value = x.item<double>();
  if (!(value >= 0 && value <= 0x1p53) || value != std::floor(value)) return {};
  return static_cast<int64_t>(value);
}

}  // namespace tern::optim
