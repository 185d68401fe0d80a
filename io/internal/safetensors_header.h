// SPDX-License-Identifier: Apache-2.0
// The JSON header of safetensors files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../../core/shape.h"
#include "elements.h"
#include "names.h"

namespace tern::io {

/// A tensor as a file describes it; `begin` and `end` count bytes from the end of the header.
struct TensorEntry {
  std::string name;
  std::string dtype;  ///< "F32", "BF16"...
  Shape shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in the order of the header
  std::map<std::string, std::string> metadata;
};

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// The dtype of that name, or none for one that Tern does not read.
std::optional<FileDType> safetensors_dtype(std::string_view name);

/// Parses and checks a header whose file has `data_bytes` bytes after it: dtypes known, sizes equal
/// to shape times dtype, the tensors covering the data without overlap or hole. Throws Error naming
/// `path`.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path);

/// The pairs of tensor and file that model.safetensors.index.json has in its weight_map. Throws
/// Error for files that are not beside it.
std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view json,
                                                                         const std::string& path);

/// The header with its padding, a multiple of 8 bytes.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace tern::io
