// SPDX-License-Identifier: Apache-2.0
#include "internal/names.h"

#include <algorithm>

#include "../core/error.h"

namespace tern::io {

bool is_valid_name(std::string_view name) {
  if (name.size() > kMaxNameBytes || name == kMetadataName) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return code < 0x20 || code == 0x7f;
  });
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string result = "'";
  for (const char c : text.substr(0, kMost)) {
    const auto code = static_cast<unsigned char>(c);
    result += code < 0x20 || code == 0x7f ? '?' : c;
  }
  return result + (text.size() > kMost ? "...'" : "'");
}

void check_savable(const char* op, const std::string& path, const StateDict& dict) {
  for (const auto& [name, x] : dict) {
    if (!is_valid_name(name)) {
      fail(op, "cannot write ", path, ": a tensor's name is ", in_quotes(name),
           ", want one without control characters, of at most ", kMaxNameBytes, " bytes");
    }
    if (!x.defined()) {
      fail(op, "cannot write ", path, ": ", in_quotes(name), " is undefined, want a tensor");
    }
  }
}

}  // namespace tern::io
