// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../core/state_dict.h"

namespace tern::io {

/// Options of load_mindspore.
struct LoadMindsporeOptions {
  /// Also what the optimizer has saved beside the weights: "moments.conv.weight", "moment1.",
  /// "moment2.", "accum." and the like before a name that is there itself, and the numbers
  /// "learning_rate", "momentum", "global_step", "epoch_num", "step_num"...
  bool optimizer_state = false;
};

/// Reads a checkpoint of MindSpore (.ckpt), of any size, in the order of the file. Float16 and
/// BFloat16 become f32, the integers besides UInt8 become i64, Bool stays bool. A checksum
/// (crc_check=True) is checked. Text and states of random generators are left out, the optimizer's
/// state as well unless it is wanted; asking the dict for one throws Error. load_state_dict knows
/// MindSpore's names of batch norm. Throws Error that names the file and the position if it is
/// truncated, damaged or encrypted.
StateDict load_mindspore(const std::string& path, const LoadMindsporeOptions& options = {});

}  // namespace tern::io
