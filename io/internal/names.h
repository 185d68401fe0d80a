// SPDX-License-Identifier: Apache-2.0
// The names of tensors in files.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "../../core/state_dict.h"

namespace tern::io {

constexpr size_t kMaxNameBytes = 4096;
/// What a tensor of a safetensors file may not be called.
constexpr std::string_view kMetadataName = "__metadata__";

/// Whether a tensor may have this name: no control characters, not too long, not reserved.
bool is_valid_name(std::string_view name);
/// `text` in quotes, truncated, and with control characters replaced, for messages.
std::string in_quotes(std::string_view text);
/// Throws Error if a name of `dict` is not valid, or what it names is undefined.
void check_savable(const char* op, const std::string& path, const StateDict& dict);

}  // namespace tern::io
