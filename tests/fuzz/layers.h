// SPDX-License-Identifier: Apache-2.0
// What is done with every module.
#pragma once

#include "calls.h"

namespace tern::fuzz {

using Sizes = std::vector<int64_t>;

/// Some of a state, or one that does not fit.
inline StateDict damaged(Draw& d, const StateDict& dict) {
  StateDict other;
  for (const auto& [name, x] : dict) {
    if (d.chance(0.1)) continue;
    const bool same = !x.defined() || d.chance(0.7);
    other.set(d.chance(0.1) ? d.text("weight") : name,
              same ? x : d.tensor({x.shape().begin(), x.shape().end()}, x.dtype()));
  }
  return other;
}

/// What is done with every module: it runs, in either mode, as itself or as its clone, with its own
/// or another state.
template <class M, class... Args>
Results use(Draw& d, M module, const Args&... args) {
  module.train(d.flag());
  if (d.chance(0.2)) module = nn::clone(module);
  if (d.chance(0.1)) module.requires_grad_(d.flag());
  if (d.chance(0.1)) module.to(d.floating().dtype());
  if (d.chance(0.2)) module.load_state_dict(damaged(d, module.state_dict()), {.strict = d.flag()});
  (void)nn::to_string(module);
  Results results = module(args...);
  if (d.chance(0.2)) results = module(args...);
  return results;
}

/// Modules of modules and of sequences.
void add_sequence_layers(Calls& calls);

}  // namespace tern::fuzz
