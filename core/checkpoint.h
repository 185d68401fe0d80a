// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "tensor.h"

namespace tern {

/// f(inputs), without what its operations save for backward: a backward pass runs f again when it
/// first needs one of those tensors, and frees them when it has passed f. Takes the time of another
/// forward pass, and for memory, of f, only its inputs. Everything else is as if f had been called:
/// the same bits (random numbers are drawn again from where the generator stood), gradients of
/// every order, also of parameters that f uses, and any number of backward passes. Checkpoints may
/// lie inside of each other.
///
///     Tensor h = checkpoint(block, x);  // block is a module, or [&](const Tensor& x) {...}
///
/// f is kept until the graph is freed, and must do the same when it runs again: what it captures by
/// reference has to live that long. Where it changes something besides its result, it asks
/// recomputing(), as batch norm does, whose running statistics change once. Backward throws Error
/// if f saves other tensors than the first time, or if one that it uses was changed in place since.
///
/// Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.
Tensor checkpoint(std::function<Tensor(const Tensor&)> f, const Tensor& x);
/// As above, of several inputs.
Tensor checkpoint(std::function<Tensor(const std::vector<Tensor>&)> f,
                  const std::vector<Tensor>& inputs);
/// As above, with several results.
std::vector<Tensor> checkpoint(std::function<std::vector<Tensor>(const std::vector<Tensor>&)> f,
                               const std::vector<Tensor>& inputs);

/// Whether a backward pass runs the function of a checkpoint again on this thread.
bool recomputing();

}  // namespace tern
