// SPDX-License-Identifier: Apache-2.0
// The tensors in what torch.save pickled.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "elements.h"
#include "pickle.h"

namespace tern::io {

/// Memory that tensors share, as the pickle describes it.
struct PytorchStorage {
  std::string key = {};
  uint64_t elements = 0;
  size_t element_bytes = 1;
  std::optional<FileDType> dtype = {};  ///< none if only the tensors say, or Tern does not read it
  uint64_t view_offset = 0;             ///< in elements, where the tensors begin to count

  uint64_t bytes() const { return elements * element_bytes; }
};

/// A tensor as the pickle describes it: all of it lies within the storage.
struct PytorchTensor {
  std::string name = {};
  PytorchStorage storage = {};
  FileDType dtype = FileDType::f32;
  Shape shape = {};
  std::vector<int64_t> strides = {};  ///< in elements, not negative
  uint64_t offset = 0;                ///< in elements, from the beginning of the storage
};

struct PytorchTensors {
  std::vector<PytorchTensor> tensors;
  std::vector<std::pair<std::string, std::string>> refused;  ///< names and reasons
};

/// The tensors of a state dict, a module, a TorchScript module, or a checkpoint that has one of
/// these under a key; `key` ("ema.model"; empty: the customary ones) says which. Throws Error that
/// begins with `where` if there are none, or one does not lie in its storage.
PytorchTensors find_pytorch_tensors(const char* op, const PickleValue& root, const std::string& key,
                                    const std::string& where);

/// The storage that a persistent id stands for, or none if it is something else.
std::optional<PytorchStorage> pytorch_storage(const char* op, const PickleValue& value,
                                              const std::string& where);

}  // namespace tern::io
