// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../core/shape.h"

namespace tern::data {

/// An array of bytes as IDX files hold it.
struct Idx {
  Shape shape;                 ///< sizes of the array
  std::vector<uint8_t> bytes;  ///< its elements, row-major
};

/// Reads an IDX file (http://yann.lecun.com/exdb/mnist) of unsigned bytes, plain or compressed with
/// gzip. Throws Error that names the file if it is missing, truncated, damaged, longer than its
/// header says, or of another kind.
Idx read_idx(const std::string& path);

/// The whole contents of a file, decompressed if it is a gzip file.
std::vector<uint8_t> read_gz(const std::string& path);

}  // namespace tern::data
