// SPDX-License-Identifier: Apache-2.0
// What is behind a tensor's handles.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "../autograd.h"
#include "../tensor.h"

namespace tern {

namespace detail {

class Leaf;

/// The gradient of a tensor. It belongs to the tensor, not to the graph: a gradient made with
/// create_graph leads back to the tensor's node, and a node that owned it would never be freed.
struct GradState {
  std::mutex mutex;  // several threads may add to one gradient
  Tensor grad;
  std::shared_ptr<Leaf> leaf;  // kept while requires_grad is off: earlier graphs lead to it
};

/// A tensor that its holder does not keep alive.
class WeakTensor {
 public:
  WeakTensor() = default;
  explicit WeakTensor(const Tensor& x) : impl_(x.impl_.shared()) {}
  /// The tensor, or an undefined one if its last handle is gone.
  Tensor lock() const;

 private:
  std::weak_ptr<Tensor::Impl> impl_;
};

/// The node of a tensor that no operation made.
class Leaf final : public Node {
 public:
  explicit Leaf(const Tensor& x);
  const char* name() const override { return "leaf"; }
  Gradients backward(const Tensor&) override { return {}; }
  /// After shape or dtype of the tensor have changed.
  void describe(const Tensor& x) { describe_outputs({&x, 1}); }
  Tensor tensor() const { return tensor_.lock(); }
  HookList<std::function<void(const Tensor&)>> accumulated;  // run after grad() has changed

 private:
  WeakTensor tensor_;
};

/// What is to be done with the gradient of a node's output besides passing it on.
struct Watched {
  HookList<GradHook> hooks;
  WeakTensor retained;  // retain_grad
};

/// x.detach(), but no operation that is reported: for what the tape keeps.
Tensor without_graph(const Tensor& x);

/// a + b, recorded if either is. Into a's own memory if `a_is_ours` and nothing is recorded.
Tensor accumulate(const Tensor& a, const Tensor& b, bool a_is_ours);

/// Adds to x.grad(), which never shares memory with another tensor afterwards.
void add_to_grad(const Tensor& x, Tensor gradient);

}  // namespace detail

struct Tensor::Impl {
  Impl(const Shape& s, DType d, MemoryFormat f, std::shared_ptr<Storage> memory)
      : shape(s), dtype(d), format(f), storage(std::move(memory)) {}

  Shape shape;
  DType dtype;
  MemoryFormat format;
  std::shared_ptr<Storage> storage;
  Edge edge;
  std::unique_ptr<detail::GradState> grad;
};

}  // namespace tern
