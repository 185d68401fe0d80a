// SPDX-License-Identifier: Apache-2.0
// The node of a tensor that no operation made. Private: not installed.
#pragma once

#include "autograd.h"

namespace tern {

/// Where the gradient of a leaf accumulates (in Node::grad_).
class Leaf final : public Node {
 public:
  explicit Leaf(const Tensor& x) { describe_output(x); }
  const char* name() const override { return "leaf"; }
  Gradients backward(const Tensor&) override { return {}; }
};

}  // namespace tern
