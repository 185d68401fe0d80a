// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include "batch_norm.h"
#include "conv.h"
#include "linear.h"
#include "module.h"

namespace tern::nn {

/// One layer that computes batch_norm(layer(x)) in evaluation, with
/// a = gamma / sqrt(running_var + eps): weight' = a weight per output channel, and
/// bias' = (bias - running_mean) a + beta. The given layers stay as they are. Throws Error in
/// training mode, where batch norm is not a fixed function; for batch norms that normalize with the
/// batch's statistics in evaluation too; and for layers that do not fit each other. A Linear's
/// output is taken to have the shape [N,C].
Conv2d fold_batch_norm(const Conv2d& conv, const BatchNorm2d& batch_norm);
/// As above.
Linear fold_batch_norm(const Linear& linear, const BatchNorm1d& batch_norm);

/// Replaces, in every Sequential in `model`, each Conv2d + BatchNorm2d and Linear + BatchNorm1d by
/// the folded layer and an Identity, so that all others keep their names. Returns how many pairs
/// there were. Throws Error, before anything changes, if a batch norm in the model is in training
/// mode. Batch norms outside of Sequentials, and those without running statistics, stay.
int64_t fold_batch_norm_(Module& model);

/// A deep copy of `model`, folded.
template <std::derived_from<Module> M>
[[nodiscard]] M fold_batch_norm(const M& model) {
  M folded = nn::clone(model);
  fold_batch_norm_(folded);
  return folded;
}

}  // namespace tern::nn
