// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "../core/state_dict.h"

namespace tern::io {

/// Writes tensors in the safetensors format, which PyTorch, JAX, MLX and others read (see
/// https://huggingface.co/docs/safetensors): row-major, f32, f64, i64 or u8. The same dict gives
/// the same bytes. The file appears by rename, whole or not at all. `metadata` is free text under
/// free names. Throws Error for a dict that cannot be written (undefined tensors, names with
/// control characters) and for a path that cannot.
void save_safetensors(const StateDict& dict, const std::string& path,
                      const std::map<std::string, std::string>& metadata = {});

/// Reads a safetensors file, in the order of its header. F16 and BF16 become f32, BOOL becomes u8,
/// I8, I16, I32, U16 and U32 become i64. Throws Error that names the file for one that is missing,
/// truncated, or whose header is not exactly right: it is checked whole before any memory is asked
/// for, so hostile files do no harm.
StateDict load_safetensors(const std::string& path);

/// The metadata of a safetensors file.
std::map<std::string, std::string> load_safetensors_metadata(const std::string& path);

}  // namespace tern::io
