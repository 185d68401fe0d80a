// SPDX-License-Identifier: Apache-2.0
#include "error.h"

#include <charconv>
#include <cmath>

namespace tern {

namespace detail {

std::string text(double value) {
  if (std::isnan(value)) return "nan";  // whatever its sign
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return std::string(digits, end);
}

void throw_error(std::string_view op, std::initializer_list<MessagePart> parts) {
  std::string full = "[";
  full.append(op).append("] ");
  for (const MessagePart& part : parts) full += part();
  if (const std::string path = ModuleScope::path(); !path.empty()) full += " (in " + path + ")";
  throw Error(full);
}

}  // namespace detail
}  // namespace tern
