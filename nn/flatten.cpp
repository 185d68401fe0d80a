// SPDX-License-Identifier: Apache-2.0
#include "flatten.h"

#include "../ops/movement.h"
#include "repr.h"

namespace tern::nn {

Tensor Flatten::forward(const Tensor& x) { return flatten(x, start_axis_, end_axis_); }
std::string Flatten::extra_repr() const {
  return "start_dim=" + repr(start_axis_) + ", end_dim=" + repr(end_axis_);
}

}  // namespace tern::nn
