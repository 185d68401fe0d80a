// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "tensor.h"

namespace tern {

/// Note [The tape]
/// Every recorded operation is a Node; a tensor that requires a gradient points at the node that
/// made it (a leaf points at a Leaf node, where its gradient accumulates). A node has one output,
/// and an edge to the node of each input that requires a gradient. Numbers given at creation order
/// the nodes, so backward runs them by descending number, without recursion. A node's backward is
/// written with operations; while a backward pass with create_graph runs they are recorded too,
/// which gives gradients of gradients.

class Node;

/// Note [Computed anew]
/// Where a result takes little time to compute again from what its node keeps anyway (batch norm
/// with ReLU, from its input), the node gives a Recipe to those who would have to keep it, and the
/// result itself is freed with its last user. A residual net trains in a fifth less memory, as fast
/// as before.
class Recipe {
 public:
  virtual ~Recipe() = default;
  Recipe(const Recipe&) = delete;
  Recipe& operator=(const Recipe&) = delete;
  /// The result once more, the same bits.
  virtual Tensor compute() const = 0;

 protected:
  /// `x` is what operation `op` made the result from.
  Recipe(const char* op, const Tensor& x);
  /// x, without a graph. Throws Error if it was changed in place since.
  Tensor x() const;

 private:
  const char* op_;
  Tensor x_;
  uint64_t version_;
};

/// A tensor that a node keeps for its backward pass: a typed member of the node, constructed with
/// `this`. It remembers the version the tensor had; `get` throws Error if the tensor was changed in
/// place since, or if the graph was freed. It keeps a Recipe instead where there is one, and `get`
/// gives the tensor as it was.
class Saved {
 public:
  /// What the tensor is to its node.
  enum class Role : uint8_t { input, output };
  /// Saves an input (or any other tensor) of the operation, or its output.
  Saved(Node* owner, const Tensor& x, Role role = Role::input);
  Saved(const Saved&) = delete;
  Saved& operator=(const Saved&) = delete;

  bool defined() const { return defined_; }  ///< whether there is a tensor at all
  /// The tensor, connected to the graph as it was when it was saved.
  Tensor get() const;
  /// The tensor by itself, if it is kept and unchanged; else an undefined one.
  Tensor kept() const;

 private:
  friend class Node;
  Node* owner_;
  Saved* next_;  // the owner's list of what to free
  const Node* source_ = nullptr;
  Tensor detached_;  // or, instead, how to make it:
  std::shared_ptr<const Recipe> recipe_;
  uint64_t version_ = 0;
  bool defined_ = false;
};

/// The gradients with respect to a node's inputs, in the order of the inputs. An undefined tensor
/// where needs(i) is false (or where the gradient is zero).
using Gradients = std::vector<Tensor>;

/// A recorded operation. Derive a small final class with Saved members and plain values:
///
///     class Square final : public Node {
///      public:
///       explicit Square(const Tensor& x) : x_(this, x) {}
///       const char* name() const override { return "square"; }
///       Gradients backward(const Tensor& dy) override { return {2.0 * x_.get() * dy}; }
///      private:
///       Saved x_;
///     };
///     Tensor square(const Tensor& x) {
///       Tensor y = ...;                        // computed without recording
///       return record<Square>(y, {x}, x);      // (result, inputs, constructor arguments)
///     }
class Node : public std::enable_shared_from_this<Node> {
 public:
  Node();
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// The operation's name, for messages.
  virtual const char* name() const = 0;
  /// dy has the shape and dtype of the output (its memory order may differ). Where
  /// dy.is_unshared(), a gradient may be written over it.
  virtual Gradients backward(const Tensor& dy) = 0;
  /// How to compute the output anew (Note [Computed anew]), or null if it is better kept.
  virtual std::shared_ptr<const Recipe> recipe() const { return nullptr; }

  uint64_t number() const { return number_; }  ///< creation order
  /// The nodes that made the inputs; null where an input wants no gradient.
  const std::vector<std::shared_ptr<Node>>& inputs() const { return inputs_; }

 protected:
  /// Whether the i-th input wants a gradient in this backward pass.
  bool needs(size_t i) const { return inputs_[i] != nullptr && (wanted_ >> i & 1) != 0; }

 private:
  friend class Saved;
  friend class Engine;
  friend class Tensor;
  friend Tensor attach(std::shared_ptr<Node> node, const Tensor& y, const Tensor* inputs,
                       size_t count);
  friend class Leaf;
  void describe_output(const Tensor& y);
  void free_saved();

  uint64_t number_;
  std::vector<std::shared_ptr<Node>> inputs_;
  Saved* saved_ = nullptr;
  bool freed_ = false;
  uint64_t wanted_ = ~uint64_t{0};
  Shape shape_;  // of the output
  DType dtype_ = DType::f32;
  Order order_ = Order::row_major;
  Tensor grad_;  // of a leaf, or of an output with retain_grad
  bool retain_grad_ = false;
};

/// Whether operations on this thread are recorded.
bool grad_enabled();

/// Nothing is recorded on this thread while it lives.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

/// Recording is on (or off) on this thread while it lives.
class GradMode {
 public:
  /// Switches recording on or off.
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// Whether an operation on these inputs has to be recorded.
bool recording(std::initializer_list<Tensor> inputs);
/// As above.
bool recording(const std::vector<Tensor>& inputs);

/// Makes `node` the origin of `y`, with edges to the inputs. Use record.
Tensor attach(std::shared_ptr<Node> node, const Tensor& y, const Tensor* inputs, size_t count);

/// Records that `N(args...)` made `y` from `inputs`, if recording(inputs); returns y. `y` must be a
/// fresh tensor, not one of the inputs.
template <class N, class... Args>
Tensor record(const Tensor& y, std::initializer_list<Tensor> inputs, Args&&... args) {
  if (!recording(inputs)) return y;
  return attach(std::make_shared<N>(std::forward<Args>(args)...), y, inputs.begin(), inputs.size());
}
/// As above.
template <class N, class... Args>
Tensor record(const Tensor& y, const std::vector<Tensor>& inputs, Args&&... args) {
  if (!recording(inputs)) return y;
  return attach(std::make_shared<N>(std::forward<Args>(args)...), y, inputs.data(), inputs.size());
}

/// What `grad` keeps, records and accepts.
struct GradOptions {
  /// Record the computation of the gradients, so that they can be differentiated.
  bool create_graph = false;
  /// Keep the saved tensors for another pass. create_graph implies it.
  bool retain_graph = false;
  /// Return an undefined tensor for an input that the output does not depend on, rather than throw.
  bool allow_unused = false;
  /// The cotangent; may be left out for one-element outputs.
  Tensor grad_output = {};
};

/// The gradients of `output` with respect to `inputs`; leaves every .grad() alone.
std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                         GradOptions options = {});

}  // namespace tern
