// SPDX-License-Identifier: Apache-2.0
#include "error.h"

#include <charconv>

#include "tensor.h"

namespace tern {

namespace {
thread_local ErrorScope* innermost = nullptr;
}

ErrorScope::ErrorScope(const std::string* name) : name_(name), outer_(innermost) {
  innermost = this;
}

ErrorScope::~ErrorScope() { innermost = outer_; }

std::string ErrorScope::path() {
  std::string path;
  for (const ErrorScope* scope = innermost; scope; scope = scope->outer_) {
    if (scope->name_->empty()) continue;
    path = path.empty() ? *scope->name_ : *scope->name_ + "." + path;
  }
  return path;
}

namespace detail {

std::string text(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return std::string(digits, end);
}

std::string text(const Tensor& t) {
  if (!t.defined()) return "undefined";
  return std::string(to_string(t.dtype())) + to_string(t.shape());
}

void throw_error(std::string_view op, const std::string& message) {
  std::string full = "[";
  full.append(op).append("] ").append(message);
  if (const std::string path = ErrorScope::path(); !path.empty()) full += " (in " + path + ")";
  throw Error(full);
}

}  // namespace detail
}  // namespace tern
