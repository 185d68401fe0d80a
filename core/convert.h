// SPDX-License-Identifier: Apache-2.0
// Conversion of numbers between element types. Private: not installed.
#pragma once

#include <limits>
#include <type_traits>

namespace tern {

/// `value` as a T. Floating numbers that an integer type does not hold saturate, and NaN becomes 0
/// (the language leaves both undefined).
template <class T, class U>
T convert(U value) {
  if constexpr (std::is_integral_v<T> && std::is_floating_point_v<U> && !std::is_same_v<T, bool>) {
    if (value != value) return 0;
    if (value <= static_cast<U>(std::numeric_limits<T>::min())) {
      return std::numeric_limits<T>::min();
    }
    if (value >= static_cast<U>(std::numeric_limits<T>::max())) {
      return std::numeric_limits<T>::max();
    }
  }
  return static_cast<T>(value);
}

}  // namespace tern
