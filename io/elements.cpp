// SPDX-License-Identifier: Apache-2.0
#include "internal/elements.h"

#include <algorithm>
#include <bit>

namespace tern::io {
namespace {

static_assert(std::endian::native == std::endian::little, "weight files are little-endian");

float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float from_f16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormal numbers, multiples of 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t biased = exponent == 0x1f ? 0xffu : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (biased << 23) | (fraction << 13));
}

template <class Source, class Convert>
void convert(const char* from, const Tensor& to, const Convert& f) {
  auto* target = to.raw<decltype(f(Source{}))>();
  const int64_t count = to.numel();
  for (int64_t i = 0; i < count; ++i, from += sizeof(Source)) {
    target[i] = f(little_endian<Source>(from));
  }
}

template <class Source>
void widen(const char* from, const Tensor& to) {
  convert<Source>(from, to, [](Source value) { return static_cast<int64_t>(value); });
}

// From row-major little-endian elements.
bool convert_elements(FileDType dtype, const char* from, const Tensor& to) {
  switch (dtype) {
    case FileDType::f16:
      convert<uint16_t>(from, to, from_f16);
      break;
    case FileDType::bf16:
      convert<uint16_t>(from, to, from_bf16);
      break;
    case FileDType::i32:
      widen<int32_t>(from, to);
      break;
    case FileDType::i16:
      widen<int16_t>(from, to);
      break;
    case FileDType::i8:
      widen<int8_t>(from, to);
      break;
    case FileDType::u64: {
      widen<uint64_t>(from, to);
      const auto* values = to.raw<int64_t>();
      return std::none_of(values, values + to.numel(), [](int64_t value) { return value < 0; });
    }
    case FileDType::u32:
      widen<uint32_t>(from, to);
      break;
    case FileDType::u16:
      widen<uint16_t>(from, to);
      break;
    case FileDType::boolean:
      convert<uint8_t>(from, to, [](uint8_t value) { return uint8_t{value != 0}; });
      break;
    case FileDType::f64:
    case FileDType::f32:
    case FileDType::i64:
    case FileDType::u8:
      if (to.numel() > 0) {
        std::memcpy(to.raw_data(), from, static_cast<size_t>(to.numel()) * size_of(dtype));
      }
      break;
  }
  return true;
}

// Copies elements of `size` bytes at these strides to consecutive ones.
void gather(const char* from, size_t size, const Shape& shape, std::span<const int64_t> strides,
            char* to) {
  const int rank = shape.rank();
  const int64_t columns = rank == 0 ? 1 : shape[rank - 1];
  const size_t step = rank == 0 ? 0 : static_cast<size_t>(strides[strides.size() - 1]) * size;
  int64_t index[Shape::kMaxRank] = {};
  for (int64_t rows = columns == 0 ? 0 : shape.numel() / columns; rows > 0; --rows) {
    const char* row = from;
    for (int i = 0; i + 1 < rank; ++i) {
      row += static_cast<size_t>(index[i] * strides[static_cast<size_t>(i)]) * size;
    }
    for (int64_t i = 0; i < columns; ++i, row += step, to += size) std::memcpy(to, row, size);
    for (int i = rank - 2; i >= 0 && ++index[i] == shape[i]; --i) index[i] = 0;
  }
}

}  // namespace

size_t size_of(FileDType dtype) {
  switch (dtype) {
    case FileDType::f64:
    case FileDType::i64:
    case FileDType::u64:
      return 8;
    case FileDType::f32:
    case FileDType::i32:
    case FileDType::u32:
      return 4;
    case FileDType::f16:
    case FileDType::bf16:
    case FileDType::i16:
    case FileDType::u16:
      return 2;
    case FileDType::i8:
    case FileDType::u8:
    case FileDType::boolean:
      break;
  }
  return 1;
}

DType loaded_dtype(FileDType dtype) {
  switch (dtype) {
    case FileDType::f64:
      return DType::f64;
    case FileDType::f32:
    case FileDType::f16:
    case FileDType::bf16:
      return DType::f32;
    case FileDType::u8:
      return DType::u8;
    case FileDType::boolean:
      return DType::boolean;
    case FileDType::i64:
    case FileDType::i32:
    case FileDType::i16:
    case FileDType::i8:
    case FileDType::u64:
    case FileDType::u32:
    case FileDType::u16:
      break;
  }
  return DType::i64;
}

bool is_stored_as_is(FileDType dtype) {
  return dtype == FileDType::f32 || dtype == FileDType::f64 || dtype == FileDType::i64 ||
         dtype == FileDType::u8;
}

std::vector<int64_t> row_major_strides(const Shape& shape) {
  std::vector<int64_t> strides(static_cast<size_t>(shape.rank()));
  int64_t stride = 1;
  for (size_t i = strides.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[static_cast<int>(i)], 1);
  }
  return strides;
}

std::vector<int64_t> column_major_strides(const Shape& shape) {
  std::vector<int64_t> strides;
  int64_t stride = 1;
  for (const int64_t size : shape) {
    strides.push_back(stride);
    stride *= std::max<int64_t>(size, 1);
  }
  return strides;
}

bool read_elements(FileDType dtype, const char* from, std::span<const int64_t> strides,
                   bool big_endian, const Tensor& to) {
  const size_t size = size_of(dtype);
  const std::vector<int64_t> plain = row_major_strides(to.shape());
  if (to.numel() == 0) return true;
  if ((!big_endian || size == 1) && std::equal(strides.begin(), strides.end(), plain.begin())) {
    return convert_elements(dtype, from, to);
  }
  std::string bytes(static_cast<size_t>(to.numel()) * size, '\0');
  gather(from, size, to.shape(), strides, bytes.data());
  if (big_endian) {
    for (char* each = bytes.data(); each != bytes.data() + bytes.size(); each += size) {
      std::reverse(each, each + size);
    }
  }
  return convert_elements(dtype, bytes.data(), to);
}

bool make_shape(std::span<const uint64_t> sizes, Shape& shape) {
  constexpr uint64_t kMost = uint64_t{1} << 60;
  if (sizes.size() > size_t{Shape::kMaxRank}) return false;
  std::vector<int64_t> signed_sizes;
  uint64_t product = 1;
  for (const uint64_t size : sizes) {
    // Zeros count as ones, so that no partial product can overflow.
    const uint64_t factor = std::max<uint64_t>(size, 1);
    if (factor > kMost || product > kMost / factor) return false;
    product *= factor;
    signed_sizes.push_back(static_cast<int64_t>(size));
  }
  shape = Shape(signed_sizes);
  return true;
}

}  // namespace tern::io
