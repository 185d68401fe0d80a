// SPDX-License-Identifier: Apache-2.0
// Conversion of numbers between element types.
#pragma once

#include <limits>
#include <type_traits>
#include <utility>

#include "../error.h"

namespace tern {

/// Whether a T can hold `value`, without what is behind the point. bool takes every number (whether
/// it is 0), floating types take every number (inf where it is too large).
template <class T, class U>
constexpr bool fits(U value) {
  if constexpr (!std::is_integral_v<T> || std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_integral_v<U>) {
    return std::in_range<T>(value);
  } else {
    // Both bounds are numbers of U, or round to one that no T reaches.
    constexpr U above = static_cast<U>(std::numeric_limits<T>::max()) + U{1};
    constexpr U least = static_cast<U>(std::numeric_limits<T>::min());
    return (value > least - U{1} || value == least) && value < above;
  }
}

/// `value` as a T; 0 where it does not fit.
template <class T, class U>
constexpr T convert(U value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != U{0};
  } else {
    return fits<T>(value) ? static_cast<T>(value) : T{0};
  }
}

template <class U>
[[noreturn]] void fail_conversion(const char* op, U value, DType dtype) {
  fail(op, "the value is ", value, ", which ", dtype,
       " cannot hold: choose another dtype, or bring values into its range first");
}

/// Whether both memory formats of a shape with four axes are the same bytes: one channel, one
/// pixel, no elements.
inline bool same_in_both_formats(const Shape& shape) {
  return shape[1] == 1 || shape[2] * shape[3] == 1 || shape.numel() == 0;
}

}  // namespace tern
