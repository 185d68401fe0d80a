// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "dtype.h"
#include "module_scope.h"
#include "shape.h"

namespace tern {

/// Everything that Tern throws. The message reads "[op] what was found, what is wanted, what to
/// do", and names the module that was running, if any: "... (in layer1.0.bn)".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
inline std::string text(std::string_view s) { return std::string(s); }
inline std::string text(const char* s) { return s; }
inline std::string text(const std::string& s) { return s; }
inline std::string text(const Shape& s) { return to_string(s); }
inline std::string text(DType d) { return to_string(d); }
inline std::string text(MemoryFormat o) { return to_string(o); }
inline std::string text(DataFormat f) { return to_string(f); }
std::string text(double value);
template <class T>
requires std::is_integral_v<T> std::string text(T value) { return std::to_string(value); }
/// What is defined above this header (tensors) has a function error_text beside it.
template <class T>
requires requires(const T& x) { error_text(x); }
std::string text(const T& x) { return error_text(x); }

/// A part of a message, which becomes text where it is thrown: call sites stay small.
class MessagePart {
 public:
  MessagePart(const char* s)
      : part_(s), text_([](const void* p) { return text(static_cast<const char*>(p)); }) {}
  template <class T>
  MessagePart(const T& value)
      : part_(&value),
        text_([](const void* p) { return detail::text(*static_cast<const T*>(p)); }) {}
  std::string operator()() const { return text_(part_); }

 private:
  const void* part_;
  std::string (*text_)(const void*);
};

[[noreturn, gnu::cold]] void throw_error(std::string_view op,
                                         std::initializer_list<MessagePart> parts);
}  // namespace detail

/// Throws Error "[op] parts...". Parts may be strings, numbers, shapes, dtypes and tensors (which
/// print as "f32[2,3]"). Guard it with the condition that is wrong: `if (bad) fail("conv2d", ...)`.
template <class... Parts>
[[noreturn]] void fail(std::string_view op, const Parts&... parts) {
  detail::throw_error(op, {detail::MessagePart(parts)...});
}

}  // namespace tern
