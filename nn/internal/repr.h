// SPDX-License-Identifier: Apache-2.0
// How Python writes constructor arguments, for Module::extra_repr.
#pragma once

#include <string>
#include <vector>

#include "../../core/error.h"
#include "../../ops/window.h"

namespace tern::nn {

inline std::string repr(int64_t value) { return std::to_string(value); }
inline std::string repr(bool value) { return value ? "True" : "False"; }
inline std::string repr(double value) {
  const std::string text = detail::text(value);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}
/// "(3, 5, 2)", "(3,)"
inline std::string repr(const std::vector<int64_t>& sizes) {
  std::string text;
  for (const int64_t size : sizes) text.append(text.empty() ? "(" : ", ").append(repr(size));
  return text.append(sizes.size() == 1 ? ",)" : ")");
}
inline std::string repr(Size2d size) { return repr(std::vector<int64_t>{size.h, size.w}); }
inline std::string repr(Size3d size) { return repr(std::vector<int64_t>{size.d, size.h, size.w}); }
/// As PyTorch prints what it stores as a tuple, for a single size as well: "(3,)".
inline std::string tuple_repr(int64_t size) { return repr(std::vector<int64_t>{size}); }
inline std::string tuple_repr(Size2d size) { return repr(size); }
inline std::string tuple_repr(Size3d size) { return repr(size); }
/// "3" where height and width are equal, as pooling layers print what they were given.
inline std::string short_repr(int64_t size) { return repr(size); }
inline std::string short_repr(Size2d size) { return size.h == size.w ? repr(size.h) : repr(size); }
inline std::string short_repr(Size3d size) {
  return size == Size3d(size.d) ? repr(size.d) : repr(size);
}

/// Throws Error unless all sizes are at least `least`.
inline void require_at_least(const char* op, const char* name, int64_t size, int64_t least) {
  if (size < least) fail(op, name, " is ", size, ", want at least ", least);
}
inline void require_at_least(const char* op, const char* name, Size2d size, int64_t least) {
  if (size.h >= least && size.w >= least) return;
  fail(op, name, " is ", repr(size), ", want at least ", least);
}

inline void require_at_least(const char* op, const char* name, Size3d size, int64_t least) {
  if (size.d >= least && size.h >= least && size.w >= least) return;
  fail(op, name, " is ", repr(size), ", want at least ", least);
}

}  // namespace tern::nn
