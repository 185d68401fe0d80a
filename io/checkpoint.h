// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "../core/random.h"
#include "../core/state_dict.h"

namespace tern::io {

/// Everything needed to resume a training exactly where it was interrupted:
///
///     io::save_checkpoint(path, {.model = net.state_dict(),
///                                .optimizer = sgd.state_dict(),
///                                .scheduler = schedule.state_dict(),
///                                .loader = loader.state_dict(),
///                                .random = default_generator().state(),
///                                .epoch = epoch});
///     io::Checkpoint c = io::load_checkpoint(path);
///     net.load_state_dict(c.model);
///     sgd.load_state_dict(c.optimizer);
///     ...
struct Checkpoint {
  StateDict model = {};                         ///< from Module::state_dict
  StateDict optimizer = {};                     ///< from Optimizer::state_dict
  StateDict scheduler = {};                     ///< from LRScheduler::state_dict
  StateDict loader = {};                        ///< from DataLoader::state_dict
  StateDict extra = {};                         ///< what else the program wants to keep
  std::optional<Generator::State> random = {};  ///< from Generator::state
  int64_t epoch = 0;                            ///< number of finished epochs
};

/// Writes one safetensors file with names "model.conv.weight", "optimizer.state.0.step"...; it
/// replaces an existing file only once it is complete. Throws Error as save_safetensors does.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);

/// Reads a checkpoint. Throws Error as load_safetensors does, and for a file that is not one.
Checkpoint load_checkpoint(const std::string& path);

}  // namespace tern::io
