// SPDX-License-Identifier: Apache-2.0
// The header of .npy files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "elements.h"

namespace tern::io {

constexpr std::string_view kNpyMagic = "\x93NUMPY";

struct NpyHeader {
  FileDType dtype = FileDType::f32;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  uint64_t bytes = 0;  ///< of the header, up to the first byte of data
  /// Why the array, although well-formed, cannot be a tensor; empty if it can.
  std::string unreadable;
};

/// Parses the header at the beginning of a file of `size` bytes, of which `begin` has the first
/// ones, all of them or at least kMostNpyHeader, and checks it against the size. Throws Error that
/// begins with `where`.
NpyHeader parse_npy_header(const char* op, std::string_view begin, uint64_t size,
                           const std::string& where);

/// No header is longer.
constexpr uint64_t kMostNpyHeader = 1 << 16;

/// The header for a row-major tensor.
std::string format_npy_header(DType dtype, const Shape& shape);

}  // namespace tern::io
