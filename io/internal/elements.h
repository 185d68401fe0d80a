// SPDX-License-Identifier: Apache-2.0
// Numbers as weight files hold them, and the tensors that they become.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "../../core/tensor.h"

namespace tern::io {

/// The element types of files.
enum class FileDType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean
};

/// Bytes of an element.
size_t size_of(FileDType dtype);
/// The dtype in which Tern loads it: f32 for f16 and bf16, i64 for the integers besides u8.
DType loaded_dtype(FileDType dtype);
/// Whether the bytes of a file are those of the tensor.
bool is_stored_as_is(FileDType dtype);

/// The strides, in elements, of a row-major or a column-major array.
std::vector<int64_t> row_major_strides(const Shape& shape);
std::vector<int64_t> column_major_strides(const Shape& shape);

/// Fills `to`, which has loaded_dtype, with the elements whose first is at `from`, at these strides
/// (in elements, at least 0), most significant byte first if `big_endian`. False if a number does
/// not fit into i64.
bool read_elements(FileDType dtype, const char* from, std::span<const int64_t> strides,
                   bool big_endian, const Tensor& to);

/// The shape of these sizes; false if it has too many axes or elements (of at most 8 bytes each) to
/// exist.
bool make_shape(std::span<const uint64_t> sizes, Shape& shape);

/// The little-endian number at `bytes`.
template <class T>
T little_endian(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Appends a number, little-endian.
template <class T>
void append_number(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace tern::io
