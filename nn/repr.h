// SPDX-License-Identifier: Apache-2.0
// How Python writes constructor arguments, for Module::extra_repr. Private: not installed.
#pragma once

#include <string>

#include "../core/error.h"
#include "../ops/window.h"

namespace tern::nn {

inline std::string repr(int64_t value) { return std::to_string(value); }
inline std::string repr(bool value) { return value ? "True" : "False"; }
inline std::string repr(double value) {
  const std::string text = detail::text(value);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}
/// "(3, 5)"
inline std::string repr(Size2d size) { return "(" + repr(size.h) + ", " + repr(size.w) + ")"; }
/// "3" where height and width are equal, as pooling layers print what they were given.
inline std::string short_repr(Size2d size) { return size.h == size.w ? repr(size.h) : repr(size); }

/// Throws Error unless both sizes are at least `least`.
inline void require_at_least(const char* op, const char* name, Size2d size, int64_t least) {
  if (size.h >= least && size.w >= least) return;
  fail(op, name, " is ", repr(size), ", want at least ", least);
}

}  // namespace tern::nn
