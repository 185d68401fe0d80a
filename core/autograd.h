// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor.h"

namespace tern {

class Node;
class Recipe;
class Saved;

namespace detail {
class Leaf;
class Pass;
struct Watched;

/// A tensor in a list, without a handle of its own.
struct TensorRef {
  TensorRef(const Tensor& x) : tensor(&x) {}  // NOLINT: implicit on purpose, lists are {x, y}
  const Tensor* operator->() const { return tensor; }
  const Tensor* tensor;
};

void attach(std::shared_ptr<Node> node, std::span<const Tensor> ys,
            std::span<const TensorRef> inputs);

/// A tensor without its graph, or how to compute it again.
struct Kept {
  Tensor tensor;
  std::shared_ptr<const Recipe> recipe;
  uint64_t version = 0;

  /// What is kept of x: nothing but a recipe inside a checkpoint.
  static Kept of(const Tensor& x);
  /// As if there were no checkpoint.
  static Kept itself(const Tensor& x);
  /// The tensor. Throws Error, naming `op`, if it was changed in place since.
  Tensor get(const char* op) const;
};
}  // namespace detail

/// Note [The tape]
/// Every recorded operation is a Node. A tensor that requires a gradient has an Edge to the output
/// of the node that made it; a leaf has one to a node of its own. A node has an edge for each of
/// its inputs. Numbers given at creation order the nodes, so backward runs them by descending
/// number, without recursion. A node's backward is written with operations; while a backward pass
/// with create_graph runs they are recorded too, which gives gradients of gradients.
///
/// A gradient belongs to its tensor: nodes do not own tensors, so a gradient that has a graph
/// (create_graph) is freed with its tensor. What a pass wants, and what has arrived where, belongs
/// to the pass: several may run over one graph at once, on several threads or one inside another.
///
/// A gradient is complete as soon as everything that uses the tensor has run; hooks run then. What
/// is complete is added to grad() at the end of the pass, so that a pass that throws leaves no
/// gradient behind - except at leaves with post-accumulate hooks, which are served at once: they
/// keep what they have got.

/// An output of a node: the recorded operation that made a tensor, and which of its results the
/// tensor is.
struct Edge {
  std::shared_ptr<Node> node;  ///< null where nothing was recorded
  uint32_t output = 0;         ///< the number of the result

  explicit operator bool() const { return node != nullptr; }  ///< whether there is a node
  Node* operator->() const { return node.get(); }             ///< the node
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
///
/// An operation with several results overrides the other backward, and records all of them at once:
/// `std::vector<Tensor> ys = ...; return record<Split>(ys, {x}, sizes);`.
class Node : public std::enable_shared_from_this<Node> {
 public:
  Node();
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// The operation's name, for messages.
  virtual const char* name() const = 0;
  /// dy has the shape and dtype of the result (its memory format may differ). Where
  /// dy.is_unshared(), a gradient may be written over it. Called by several threads at once if
  /// several run backward over one graph: it changes no members.
  virtual Gradients backward(const Tensor& dy);
  /// Of an operation with several results: a gradient for each, undefined where none has arrived.
  virtual Gradients backward(std::span<const Tensor> dys);
  /// Of an operation with one input and one result, whose gradient is mostly zeros (slice): adds
  /// that to `sum`, the gradients that have arrived at the input already, and returns true. So many
  /// slices of one tensor take one pass over memory together. Called in place of backward, which
  /// returns the first one, when nothing is recorded.
  virtual bool add_gradient(const Tensor& dy, const Tensor& sum);
  /// How to compute the (first) result again (Note [Computed again]), or null if it is better kept.
  virtual std::shared_ptr<const Recipe> recipe() const;

  uint64_t number() const { return number_; }                  ///< creation order
  const std::vector<Edge>& inputs() const { return inputs_; }  ///< null where no gradient is wanted
  size_t outputs() const { return output_count_; }             ///< how many results it has
  /// The module that recorded it, "layer1.0.conv1", if an OpListener was there then; else "".
  std::string module() const { return module_ ? *module_ : std::string(); }

 protected:
  /// Whether the i-th input wants a gradient in the backward pass that runs on this thread.
  bool needs(size_t i) const;

 private:
  friend class Saved;
  friend class detail::Leaf;
  friend class detail::Pass;
  friend class Tensor;
  friend void detail::attach(std::shared_ptr<Node> node, std::span<const Tensor> ys,
                             std::span<const detail::TensorRef> inputs);
  /// What a gradient of a result has to be.
  struct Output {
    Shape shape;
    DType dtype = DType::f32;
  };
  const Output& output(size_t i) const { return i == 0 ? first_ : others_[i - 1]; }
  void describe_outputs(std::span<const Tensor> ys);
  detail::Watched& watched(size_t output);
  void free_saved();

  uint64_t number_;
  std::vector<Edge> inputs_;
  Saved* saved_ = nullptr;
  std::atomic_flag saved_lock_;
  bool freed_ = false;
  uint32_t output_count_ = 1;
  Output first_;
  std::unique_ptr<Output[]> others_;
  std::unique_ptr<detail::Watched[]> watched_;  // hooks, by output; null where there are none
  std::unique_ptr<const std::string> module_;
};

/// A tensor that a node keeps for its backward pass: a typed member of the node, constructed with
/// `this`. It remembers the version the tensor had; `get` throws Error if the tensor was changed in
/// place since, or if the graph was freed. It keeps a Recipe instead where there is one, and `get`
/// gives the tensor as it was.
class Saved {
 public:
  /// What the tensor is to its node.
  enum class Role : uint8_t { input, output };
  /// Saves an input (or any other tensor) of the operation, or its output with the number `output`.
  Saved(Node* owner, const Tensor& x, Role role = Role::input, uint32_t output = 0);
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
  uint32_t source_output_ = 0;
  bool defined_ = false;
  detail::Kept value_;
};

/// Note [Computed again]
/// Where a result takes little time to compute again from what its node keeps anyway (batch norm
/// with ReLU, from its input), the node gives a Recipe to those who would have to keep it, and the
/// result itself is freed with its last user. A residual net trains in a fifth less memory, as fast
/// as before. checkpoint() does the same for everything that a function saves.
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
  Recipe() = default;  ///< from anything else
  /// x, without a graph. Throws Error if it was changed in place since.
  Tensor x() const;

 private:
  const char* op_ = "";
  Tensor x_;
  uint64_t version_ = 0;
};

/// Whether operations on this thread are recorded.
bool grad_enabled();

/// Nothing is recorded on this thread while it lives.
class NoGrad {
 public:
  [[nodiscard]] NoGrad();
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
  [[nodiscard]] explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// Whether an operation on these inputs has to be recorded.
bool recording(std::initializer_list<detail::TensorRef> inputs);
/// As above.
bool recording(const std::vector<Tensor>& inputs);

/// Makes `node` the origin of `y`, with edges to the inputs. Use record.
Tensor attach(std::shared_ptr<Node> node, const Tensor& y, const Tensor* inputs, size_t count);

/// Records that `N(args...)` made `y` from `inputs`, if recording(inputs); returns y. `y` must be a
/// fresh tensor, not one of the inputs.
template <class N, class... Args>
Tensor record(const Tensor& y, std::initializer_list<detail::TensorRef> inputs, Args&&... args) {
  if (recording(inputs)) {
    detail::attach(std::make_shared<N>(std::forward<Args>(args)...), {&y, 1}, inputs);
  }
  return y;
}
/// As above.
template <class N, class... Args>
Tensor record(const Tensor& y, const std::vector<Tensor>& inputs, Args&&... args) {
  if (!recording(inputs)) return y;
  return attach(std::make_shared<N>(std::forward<Args>(args)...), y, inputs.data(), inputs.size());
}
/// Records that `N(args...)` made all of `ys`, its outputs number 0, 1, ..., from `inputs`.
template <class N, class... Args>
std::vector<Tensor> record(std::vector<Tensor> ys, std::initializer_list<detail::TensorRef> inputs,
                           Args&&... args) {
  if (!ys.empty() && recording(inputs)) {
    detail::attach(std::make_shared<N>(std::forward<Args>(args)...), ys, inputs);
  }
  return ys;
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

/// The gradients of `output` with respect to `inputs`; leaves every .grad() alone. Each is a tensor
/// of its own. Hooks of the tensors that it passes run.
std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                         GradOptions options = {});

}  // namespace tern
