// SPDX-License-Identifier: Apache-2.0
// How Python writes constructor arguments, for Module::extra_repr.
#pragma once

#include <algorithm>
#include <cstdint>
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

/// Throws Error unless all sizes are at least `least`, and less than 2^31, as operations want them.
inline void require_at_least(const char* op, const char* name, Size3d size, int64_t least,
                             const std::string& text) {
  const auto [smallest, largest] = std::minmax({size.d, size.h, size.w});
  if (smallest >= least && largest <= INT32_MAX) return;
  fail(op, name, " is ", text, ", want at least ", least, " and less than 2^31");
}
inline void require_at_least(const char* op, const char* name, int64_t size, int64_t least) {
  require_at_least(op, name, Size3d(size), least, std::to_string(size));
}
inline void require_at_least(const char* op, const char* name, Size2d size, int64_t least) {
  require_at_least(op, name, {size.h, size.h, size.w}, least, repr(size));
}
inline void require_at_least(const char* op, const char* name, Size3d size, int64_t least) {
  require_at_least(op, name, size, least, repr(size));
}

/// Throws Error unless so many layers are a net that a machine could hold.
inline void require_layers(const char* op, int64_t count) {
  if (count < 1 || count > 65536) fail(op, "num_layers is ", count, ", want 1 to 65536");
}

}  // namespace tern::nn
