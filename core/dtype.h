// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern {

/// Element types. float32 runs on oneDNN and float64 on Eigen; i64 and u8 carry classes and raw
/// data; bf16 exists in files only (loading converts it to f32).
enum class DType : uint8_t { f32, f64, bf16, i64, u8 };

/// "f32", "f64", "bf16", "i64", "u8"
const char* to_string(DType dtype);
/// Bytes of an element.
size_t size_of(DType dtype);
/// Whether it is f32 or f64.
inline bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

/// How the elements of a tensor lie in memory: row-major, or (rank 4 only) channels-last: shape
/// N,C,H,W with memory running N,H,W,C. Never padded, never changed in place.
enum class Order : uint8_t { row_major, channels_last };

/// What the axes of an image batch mean. The memory order is a separate matter (see Order).
enum class DataFormat : uint8_t { NCHW, NHWC };

/// "row-major", "channels-last"
const char* to_string(Order order);
/// "NCHW", "NHWC"
const char* to_string(DataFormat format);

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
/// @endcond

/// As visit, but instantiates f for float and double only, and expects that the caller has checked
/// the dtype.
template <class F>
decltype(auto) visit_floating(DType dtype, F&& f) {
  return dtype == DType::f64 ? f(double{}) : f(float{});
}
/// Calls f with a value of the element type of `dtype`: `visit(x.dtype(), [&](auto t) { using T =
/// decltype(t); ... })`.
template <class F>
decltype(auto) visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64:
      return f(double{});
    case DType::i64:
      return f(int64_t{});
    case DType::u8:
      return f(uint8_t{});
    default:
      return f(float{});
  }
}

}  // namespace tern
