// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../core/state_dict.h"

namespace tern::io {

/// Options of load_pytorch.
struct LoadPytorchOptions {
  /// Where in a checkpoint the weights are, "ema" or "models.generator"; empty: under "state_dict",
  /// "model_state_dict", "model", "net", "model_state" or "module", else under the only key that
  /// has tensors, else everything with tensors but the state of optimizers.
  std::string key = {};
};

/// Reads what torch.save has written: a state dict, a checkpoint with one under a key, nested dicts
/// and lists (whose names are joined by dots), a whole module, or a TorchScript archive; zip
/// archives and the format before PyTorch 1.6. The names are those of state_dict(), in its order.
/// float16 and bfloat16 become f32, the integers besides uint8 become i64, bool stays bool;
/// strides, offsets, shared storages and big-endian files are read as PyTorch does. Tensors that
/// are one in the file (tied weights) are one tensor.
///
/// The file is read as data: nothing in it is imported or called. Tensors that Tern has no dtype
/// for (complex, quantized, float8) are left out; asking the dict for one throws Error. Throws
/// Error that names the file and the position if it is truncated, damaged, or has no tensors.
StateDict load_pytorch(const std::string& path, const LoadPytorchOptions& options = {});

/// Writes a file for torch.load(path, weights_only=True) and, in C++, torch::pickle_load: a dict of
/// row-major tensors.
/// Names that share a tensor share it in PyTorch. The same dict gives the same bytes. Throws Error
/// for undefined tensors, names with control characters, and a path that cannot be written.
void save_pytorch(const StateDict& dict, const std::string& path);

}  // namespace tern::io
