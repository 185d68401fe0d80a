// SPDX-License-Identifier: Apache-2.0
// The JSON header of safetensors files. Private: not installed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "../core/shape.h"

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
constexpr size_t kMaxNameBytes = 4096;
constexpr std::string_view kMetadataName = "__metadata__";

/// Bytes of an element, or 0 for a dtype that Tern does not read.
uint64_t bytes_of_safetensors_dtype(std::string_view dtype);

/// Whether a tensor may have this name: no control characters, not too long, not reserved.
bool is_valid_name(std::string_view name);
/// `text` in quotes, cut short, and with control characters made visible: fit for a message.
std::string in_quotes(std::string_view text);

/// Parses and checks a header whose file has `data_bytes` bytes after it: dtypes known, sizes equal
/// to shape times dtype, the tensors covering the data without overlap or hole. Throws Error naming
/// `path`.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path);

/// The header with its padding, a multiple of 8 bytes.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace tern::io
