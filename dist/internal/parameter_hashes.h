// SPDX-License-Identifier: Apache-2.0
// Whether ranks still have the same parameters.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../communicator.h"

namespace tern::dist {

/// Throws the same Error on every rank unless all parameters are the same bits everywhere; it names
/// the first one that is not, and the ranks that differ from most.
void check_parameters_agree(const Communicator& world,
                            const std::vector<std::pair<std::string, Tensor>>& parameters,
                            int64_t step);

}  // namespace tern::dist
