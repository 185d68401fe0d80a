// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

#include "../core/tensor.h"

namespace tern {

/// The elements along `axis` in order, and the places (i64) that they had: `auto [values, places] =
/// sort(x, 0)`. Equal elements keep their order; NaN counts as the largest. The gradient of
/// `values` goes back to those places.
std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t axis = -1, bool descending = false);
/// The places of sort.
Tensor argsort(const Tensor& x, int64_t axis = -1, bool descending = false);
/// The `count` largest elements along `axis` (smallest unless `largest`), in order, and their
/// places, as sort gives them.
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t count, int64_t axis = -1,
                               bool largest = true);

}  // namespace tern
