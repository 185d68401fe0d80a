// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "../core/random.h"
#include "../core/state_dict.h"

namespace tern::io {

/// What a training needs to go on exactly where it stood:
///
///     io::save_checkpoint(path, {.model = net.state_dict(),
///                                .optimizer = sgd.state_dict(),
///                                .scheduler = schedule.state_dict(),
///                                .random = default_generator().state(),
///                                .epoch = epoch});
///     io::Checkpoint c = io::load_checkpoint(path);
///     net.load_state_dict(c.model);
///     sgd.load_state_dict(c.optimizer);
///     ...
struct Checkpoint {
  StateDict model = {};                         ///< of Module::state_dict
  StateDict optimizer = {};                     ///< of Optimizer::state_dict
  StateDict scheduler = {};                     ///< of LRScheduler::state_dict
  std::optional<Generator::State> random = {};  ///< of Generator::state
  int64_t epoch = 0;                            ///< how many epochs are done
};

/// One safetensors file with names "model.conv.weight", "optimizer.state.0.step"...; it replaces
/// the one before only when it is whole. Throws Error as save_safetensors does.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);

/// Throws Error as load_safetensors does, and for a file that is not a checkpoint.
Checkpoint load_checkpoint(const std::string& path);

}  // namespace tern::io
