// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "../core/state_dict.h"

namespace tern::io {

/// Writes tensors in the safetensors format, which PyTorch, JAX, MLX and others read (see
/// https://huggingface.co/docs/safetensors): row-major, f32, f64, i64, u8 or bool. The same dict
/// gives the same bytes. The file appears by rename, complete or not at all. `metadata` may hold
/// any strings. Throws Error for undefined tensors, names with control characters, and a path that
/// cannot be written.
void save_safetensors(const StateDict& dict, const std::string& path,
                      const std::map<std::string, std::string>& metadata = {});

/// Options of load_safetensors.
struct LoadSafetensorsOptions {
  /// Map files of at least 1 MB into memory instead of reading them: loading takes no time and no
  /// memory until a tensor is used, and processes that load the same file share it. Changing such a
  /// tensor in place changes this process's copy of the page, never the file. The mapping lives as
  /// long as any tensor of the file. Replacing or deleting the file meanwhile is safe, as
  /// save_safetensors does it (the mapping keeps the old one); truncating or overwriting the same
  /// file is not: the tensors change, or reading them ends the process (SIGBUS). With false, all
  /// data are read at once and the file is closed.
  bool map = true;
  /// Only these tensors, if any are named: the others are not read. Throws Error for a name that
  /// the file does not have, or has in a dtype that Tern does not read.
  std::vector<std::string> names = {};
};

/// Reads a safetensors file, in the order of its header. F16 and BF16 become f32, BOOL becomes
/// bool, I8, I16, I32, U16, U32 and U64 become i64. Tensors of other dtypes (F8_E4M3...) are left
/// out; asking the dict for one throws Error, as for U64 above 2^63 - 1. Throws Error that names
/// the file if it is missing, truncated, or has an invalid header: the whole header is checked
/// before any memory is allocated, so hostile files do no harm.
///
/// The index of a model in several files (model.safetensors.index.json, as Hugging Face writes) is
/// loaded as one dict; those of the files beside it that have wanted tensors have to be there.
StateDict load_safetensors(const std::string& path, const LoadSafetensorsOptions& options = {});

/// The metadata of a safetensors file.
std::map<std::string, std::string> load_safetensors_metadata(const std::string& path);

}  // namespace tern::io
