// SPDX-License-Identifier: Apache-2.0
#include "flatten.h"

#include "../ops/movement.h"
#include "internal/repr.h"

namespace tern::nn {

Tensor Flatten::forward(const Tensor& x) { return flatten(x, start_axis_, end_axis_); }
std::string Flatten::extra_repr() const {
  return "start_dim=" + repr(start_axis_) + ", end_dim=" + repr(end_axis_);
}

Tensor Unflatten::forward(const Tensor& x) { return unflatten(x, axis_, sizes_); }
std::string Unflatten::extra_repr() const {
  return "dim=" + repr(axis_) + ", unflattened_size=" + repr(sizes());
}

}  // namespace tern::nn
