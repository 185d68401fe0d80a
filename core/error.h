// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "dtype.h"
#include "shape.h"

namespace tern {

class Tensor;

/// Everything that Tern throws. The message reads "[op] what was found, what is wanted, what to
/// do", and names the module that was running, if any: "... (in layer1.0.bn)".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Names the module that runs on this thread for as long as it lives, so that errors can say where
/// they happened. `name` must outlive the scope.
class ErrorScope {
 public:
  /// Enters the module called `name`.
  explicit ErrorScope(const std::string* name);
  ~ErrorScope();
  ErrorScope(const ErrorScope&) = delete;
  ErrorScope& operator=(const ErrorScope&) = delete;
  /// "layer1.0.bn", or "" outside of every module.
  static std::string path();

 private:
  const std::string* name_;
  ErrorScope* outer_;
};

namespace detail {
inline std::string text(std::string_view s) { return std::string(s); }
inline std::string text(const char* s) { return s; }
inline std::string text(const std::string& s) { return s; }
inline std::string text(const Shape& s) { return to_string(s); }
inline std::string text(DType d) { return to_string(d); }
inline std::string text(Order o) { return to_string(o); }
inline std::string text(DataFormat f) { return to_string(f); }
std::string text(double value);
template <class T>
requires std::is_integral_v<T> std::string text(T value) { return std::to_string(value); }
/// "f32[64,3,32,32]", or "undefined"
std::string text(const Tensor& t);

[[noreturn]] void throw_error(std::string_view op, const std::string& message);
}  // namespace detail

/// Throws Error "[op] parts...". Parts may be strings, numbers, shapes, dtypes and tensors (which
/// print as "f32[2,3]"). Guard it with the condition that is wrong: `if (bad) fail("conv2d", ...)`.
template <class... Parts>
[[noreturn]] void fail(std::string_view op, const Parts&... parts) {
  detail::throw_error(op, (detail::text(parts) + ...));
}

}  // namespace tern
