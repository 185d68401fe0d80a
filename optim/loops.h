// SPDX-License-Identifier: Apache-2.0
// Helpers of the optimizers. Private: not installed.
#pragma once

#include <cmath>

#include "../core/error.h"
#include "../core/parallel.h"
#include "../core/tensor.h"

namespace tern::optim {

/// Fewer elements than this are not worth waking a thread.
constexpr int64_t kGrain = 32768;

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
  if (below == HUGE_VAL) fail(op, option, " is ", value, ", it must be finite and 0 or more");
  fail(op, option, " is ", value, ", it must be in [0, ", below, ")");
}

}  // namespace tern::optim
