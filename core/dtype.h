// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>

namespace tern {

/// Element types. f32 is what nets compute in, f64 what they are checked with; i64 and u8 carry
/// classes and raw data; boolean is what comparisons give, a byte of 0 or 1 per element; bf16
/// exists in files only (loading converts it to f32).
enum class DType : uint8_t { f32, f64, bf16, i64, u8, boolean };

/// "f32", "f64", "bf16", "i64", "u8", "bool"
const char* to_string(DType dtype);
/// Bytes of an element.
size_t size_of(DType dtype);
/// Whether it is f32 or f64.
inline bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

/// How the elements of a tensor lie in memory: row-major, or (rank 4 only) channels-last: shape
/// N,C,H,W with memory running N,H,W,C. Never padded, never changed in place.
enum class MemoryFormat : uint8_t { row_major, channels_last };
using Order = MemoryFormat;  ///< its old name

/// What the axes of an image batch mean. The memory format is a separate matter (see MemoryFormat).
enum class DataFormat : uint8_t { NCHW, NHWC };

/// "row-major", "channels-last"
const char* to_string(MemoryFormat format);
/// "NCHW", "NHWC"
const char* to_string(DataFormat format);
/// Writes to_string of it.
std::ostream& operator<<(std::ostream& out, DType dtype);
std::ostream& operator<<(std::ostream& out, MemoryFormat format);  ///< as above
std::ostream& operator<<(std::ostream& out, DataFormat format);    ///< as above

template <class T>
struct DTypeOf;  // only the element types of DType have one
/// @cond
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};
/// @endcond

namespace detail {
[[noreturn]] void no_elements(DType dtype, const char* wanted);
}

/// As visit, for floating types alone: calls f with a float or a double, throws Error for others.
template <class F>
decltype(auto) visit_floating(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
    case DType::i64:
    case DType::u8:
    case DType::boolean:
      break;
  }
  detail::no_elements(dtype, "f32 or f64");
}
/// Calls f with a value of the type that elements of `dtype` have in memory: `visit(x.dtype(),
/// [&]<class T>(T) { ... })`. That of boolean is uint8_t, of values 0 and 1. Throws Error for bf16.
/// The switch has no default: one that misses a dtype does not compile.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i64:
      return f(int64_t{});
    case DType::u8:
    case DType::boolean:
      return f(uint8_t{});
    case DType::bf16:
      break;
  }
  detail::no_elements(dtype, "f32, f64, i64, u8 or bool");
}

}  // namespace tern
