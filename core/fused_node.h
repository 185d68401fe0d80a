// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "autograd.h"

namespace tern {

/// The node of a fused operation: one whose gradients a kernel computes at once. `compose` says
/// what the operation is, out of differentiable operations. A backward pass that is recorded
/// (create_graph) differentiates that, so that derivatives of every order follow from one
/// definition; a plain one runs `fused`.
///
///     class SquareNode final : public FusedNode {
///      public:
///       explicit SquareNode(const Tensor& x) : x_(this, x) {}
///       const char* name() const override { return "square"; }
///
///      private:
///       Gradients fused(const Tensor& dy) override { return {2.0 * x_.get() * dy}; }
///       std::vector<Tensor> saved() override { return {x_.get()}; }
///       Tensor compose(const std::vector<Tensor>& x) override { return x[0] * x[0]; }
///       Saved x_;
///     };
class FusedNode : public Node {
 public:
  /// fused(dy), or when it is recorded the gradients of compose(saved()).
  Gradients backward(const Tensor& dy) final;

 protected:
  /// The gradients as Node::backward returns them. Nothing is recorded.
  virtual Gradients fused(const Tensor& dy) = 0;
  /// What compose takes: the operation's inputs, as Saved::get gives them and in the order of
  /// record's, then whatever else of what was saved. For an input that was not saved, zeros of its
  /// shape: a change of it, that compose is a function of. So softmax, which keeps its result, is
  /// y * exp(change) / sum(y * exp(change)).
  virtual std::vector<Tensor> saved() = 0;
  /// The operation's result. What is wanted of it are its derivatives, wherever the values of
  /// saved() are.
  virtual Tensor compose(const std::vector<Tensor>& saved) = 0;
};

/// The same for an operation with several results.
class FusedMultiNode : public Node {
 public:
  /// fused(dys), or when it is recorded the gradients of compose(saved()).
  Gradients backward(std::span<const Tensor> dys) final;

 protected:
  /// The gradients as Node::backward returns them; of a result that nothing depends on, `dys` has
  /// an undefined one. Nothing is recorded.
  virtual Gradients fused(std::span<const Tensor> dys) = 0;
  /// As FusedNode::saved.
  virtual std::vector<Tensor> saved() = 0;
  /// As FusedNode::compose: the results in their order.
  virtual std::vector<Tensor> compose(const std::vector<Tensor>& saved) = 0;
};

}  // namespace tern
