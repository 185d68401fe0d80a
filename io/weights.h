// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "../core/state_dict.h"

namespace tern::io {

/// Reads weights from a file of any format that Tern knows, told by its first bytes whatever its
/// name is: safetensors (one file or an index of several; of a Checkpoint the model), PyTorch's
/// files, MindSpore's checkpoints, .npz, and .npy (called as the file, without the ending). As
/// load_safetensors, load_pytorch, load_mindspore, load_npz and load_npy with their defaults.
///
///     net.load_state_dict(io::load_weights("resnet18.pth"));
///
/// Throws Error for files of other formats, which says what they are.
StateDict load_weights(const std::string& path);

/// A rule of rename: what to look for, and what takes its place.
struct Renaming {
  std::string pattern;      ///< a POSIX extended regular expression: "^module\\.", "gamma$"
  std::string replacement;  ///< "\\1" stands for what the first parentheses match
};

/// The dict with other names: the rules apply in their order, each to every place of a name that
/// its pattern matches. Tensors and their order stay.
///
///     io::rename(dict, {{"^module\\.", ""}, {"\\.gamma$", ".weight"}})
///
/// Throws Error for a pattern that is no regular expression, and if two names become one.
StateDict rename(const StateDict& dict, const std::vector<Renaming>& rules);

/// The entries whose names begin with `prefix`, without it: pick(dict, "backbone."). Throws Error
/// if there are none.
StateDict pick(const StateDict& dict, const std::string& prefix);

}  // namespace tern::io
