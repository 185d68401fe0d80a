// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/shape.h"

namespace tern::data {

/// The contents of an IDX file.
struct Idx {
  Shape shape;                 ///< shape of the array
  std::vector<uint8_t> bytes;  ///< its elements, row-major
};

/// Reads an IDX file (http://yann.lecun.com/exdb/mnist) of unsigned bytes, plain or gzipped. Throws
/// Error that names the file if it is missing, truncated, damaged, longer than its header says, or
/// not an IDX file.
Idx read_idx(const std::string& path);

/// The contents of a file, decompressed if it is gzipped. Throws Error if it cannot be read.
std::vector<uint8_t> read_gz(const std::string& path);

}  // namespace tern::data
