// SPDX-License-Identifier: Apache-2.0
// Columns in order, x[outer][length][inner].
#pragma once

#include <cstdint>

namespace tern::kernels {

/// Sizes of the columns of a tensor, and how many of their elements are wanted.
struct Columns {
  int64_t outer, length, inner, count;
};

/// places[outer][count][inner]: those of the first `count` elements in order. NaN counts as the
/// largest, equal elements keep their order.
template <class T>
void sort_places(const Columns& columns, bool descending, const T* x, int64_t* places);

}  // namespace tern::kernels
