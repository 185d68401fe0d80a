// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "../core/state_dict.h"

namespace tern::nn {

/// What Module::load_state_dict takes for an error.
struct LoadOptions {
  bool strict = true;  ///< throw if anything is missing, unexpected or of the wrong shape
  /// Taken off the dict's names first: "module." (DataParallel), "_orig_mod." (torch.compile),
  /// "model." (Lightning). Names that do not begin with it count as unexpected.
  std::string prefix = {};
  /// Then put before them: "backbone." to load a trunk's weights into a whole net.
  std::string add_prefix = {};
  /// Entries under names that the module lacks are for the names that the dict lacks, one after the
  /// other. Throws Error, also if not strict, unless there are as many and all their shapes fit.
  bool by_order = false;
};

/// What load_state_dict found.
struct LoadReport {
  std::vector<std::string> missing = {};     ///< names of the module that the dict lacks
  std::vector<std::string> unexpected = {};  ///< names of the dict that the module lacks
  /// "fc.weight (f32[10,5], wanted f32[10,4])": shapes or kinds of numbers that do not fit.
  std::vector<std::string> mismatched = {};

  /// Whether everything was found and fitted.
  bool ok() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
};

/// "everything fits", or the lists.
std::string to_string(const LoadReport& report);

}  // namespace tern::nn
