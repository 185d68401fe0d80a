// SPDX-License-Identifier: Apache-2.0
#include "autograd.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "error.h"
#include "parallel.h"
#include "profiler.h"

namespace tern {

namespace {

thread_local bool grad_mode = true;

uint64_t next_number() {
  static std::atomic<uint64_t> counter{0};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

bool any_requires_grad(const Tensor* tensors, size_t count) {
  return std::any_of(tensors, tensors + count, [](const Tensor& x) { return x.requires_grad(); });
}

void check_unchanged(const char* op, const Tensor& x, uint64_t version) {
  if (x.version() == version) return;
  fail(op, "the tensor ", x,
       " that backward needs was changed in place after it was saved (version ", x.version(),
       ", saved at ", version, "): change a copy, or call backward first");
}

class SumNode final : public Node {
 public:
  const char* name() const override { return "gradient sum"; }
  Gradients backward(const Tensor& dy) override { return {dy, dy}; }
};

// target = a + b over memory that lies alike.
void add_values(const Tensor& a, const Tensor& b, const Tensor& target) {
  visit_floating(a.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* x = a.raw<T>();
    const T* y = b.raw<T>();
    T* z = target.raw<T>();
    parallel_for(a.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) z[i] = x[i] + y[i];
    });
  });
}

// a + b. Into a's own memory if nobody else can see it and the sum is not recorded.
Tensor accumulate(Tensor a, const Tensor& b, bool a_is_ours) {
  const Tensor addend = to_order(b, a.order());
  const bool in_place = a_is_ours && !recording({a, addend});
  const ProfilerRange range("gradient sum", a, addend);
  const Tensor total = in_place ? a : empty_like(a);
  if (in_place) ProfilerRange::writes(total);
  add_values(a, addend, total);
  return in_place ? total : record<SumNode>(total, {a, addend});
}

}  // namespace

bool grad_enabled() { return grad_mode; }
NoGrad::NoGrad() : before_(grad_mode) { grad_mode = false; }
NoGrad::~NoGrad() { grad_mode = before_; }
GradMode::GradMode(bool enabled) : before_(grad_mode) { grad_mode = enabled; }
GradMode::~GradMode() { grad_mode = before_; }

bool recording(std::initializer_list<Tensor> inputs) {
  return grad_mode && any_requires_grad(inputs.begin(), inputs.size());
}
bool recording(const std::vector<Tensor>& inputs) {
  return grad_mode && any_requires_grad(inputs.data(), inputs.size());
}

Recipe::Recipe(const char* op, const Tensor& x) : op_(op), x_(x.detach()), version_(x.version()) {}

Tensor Recipe::x() const {
  check_unchanged(op_, x_, version_);
  return x_;
}

Saved::Saved(Node* owner, const Tensor& x, Role role)
    : owner_(owner), next_(std::exchange(owner->saved_, this)), defined_(x.defined()) {
  if (!defined_) return;
  source_ = role == Role::output ? owner : x.node().get();
  if (source_ && source_ != owner && x.version() == 0) recipe_ = source_->recipe();
  if (recipe_) return;
  detached_ = x.detach();
  version_ = x.version();
}

Tensor Saved::get() const {
  if (!defined_) return {};
  if (owner_->freed_) {
    fail(owner_->name(),
         "backward has been through this graph, and its saved tensors are freed: pass "
         "{.retain_graph = true} the first time");
  }
  if (!recipe_) check_unchanged(owner_->name(), detached_, version_);
  const Tensor value = recipe_ ? recipe_->compute() : detached_;
  ProfilerRange::reads(value);
  if (!grad_mode || !source_) return value;
  Tensor connected = value.detach();
  if (source_ == owner_) {
    connected.set_node(owner_->shared_from_this());
    return connected;
  }
  for (const auto& input : owner_->inputs_) {
    if (input.get() == source_) {
      connected.set_node(input);
      return connected;
    }
  }
  fail(owner_->name(), "the saved tensor ", value,
       " requires a gradient but is no input of the operation: list it in record's inputs");
}

Tensor Saved::kept() const {
  const bool is = defined_ && !recipe_ && !owner_->freed_ && detached_.version() == version_;
  return is ? detached_ : Tensor();
}

Node::Node() : number_(next_number()) {}

Node::~Node() {
  // Destroying a chain must not recurse: the first destructor on a thread works off the list that
  // the ones it causes fill.
  thread_local std::vector<std::shared_ptr<Node>>* pending = nullptr;
  if (pending) {
    for (auto& input : inputs_) {
      if (input) pending->push_back(std::move(input));
    }
    return;
  }
  std::vector<std::shared_ptr<Node>> list = std::move(inputs_);
  pending = &list;
  while (!list.empty()) {
    const std::shared_ptr<Node> node = std::move(list.back());
    list.pop_back();
  }
  pending = nullptr;
}

void Node::describe_output(const Tensor& y) {
  shape_ = y.shape();
  dtype_ = y.dtype();
  order_ = y.order();
  grad_ = Tensor();
}

void Node::free_saved() {
  for (Saved* saved = saved_; saved; saved = saved->next_) {
    saved->detached_ = Tensor();
    saved->recipe_ = nullptr;
  }
  freed_ = saved_ != nullptr;
}

Tensor attach(std::shared_ptr<Node> node, const Tensor& y, const Tensor* inputs, size_t count) {
  if (count > 64) fail(node->name(), "has ", count, " inputs, at most 64 are supported");
  if (y.requires_grad()) {
    fail(node->name(), "its result ", y, " is recorded already: record a fresh tensor");
  }
  node->describe_output(y);
  node->inputs_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    node->inputs_.push_back(inputs[i].defined() ? inputs[i].node() : nullptr);
  }
  y.set_node(std::move(node));
  return y;
}

/// One backward pass: which nodes take part, and the gradients that have arrived at them.
class Engine {
 public:
  Engine(const Tensor& output, bool create_graph, bool retain_graph)
      : create_graph_(create_graph), retain_graph_(retain_graph || create_graph) {
    collect(output.node().get());
  }

  /// Restricts the pass to what leads to `targets`.
  void aim_at(const std::vector<Tensor>& targets) {
    for (Slot& slot : slots_) slot.wanted = false;
    for (const Tensor& target : targets) {
      if (Slot* slot = find(target.node().get())) slot->wanted = slot->target = true;
    }
    for (auto slot = slots_.rbegin(); slot != slots_.rend(); ++slot) {  // inputs come first
      for (const auto& input : slot->node->inputs_) {
        slot->wanted |= input && find(input.get())->wanted;
      }
    }
  }

  void run(const Tensor& dy) {
    const GradMode mode(create_graph_);
    slots_.front().grad = dy;
    for (Slot& slot : slots_) {
      if (!slot.wanted || !slot.grad.defined() || slot.node->inputs_.empty()) continue;
      step(slot);
    }
  }

  /// Adds what has arrived at the leaves (and where retain_grad was asked for) to their grad().
  void deliver() {
    const GradMode mode(create_graph_);
    for (Slot& slot : slots_) {
      Node& node = *slot.node;
      if (!slot.grad.defined() || !(node.inputs_.empty() || node.retain_grad_)) continue;
      if (node.grad_.defined()) {
        node.grad_ = accumulate(node.grad_, slot.grad, node.grad_.is_unshared());
        continue;
      }
      // Note [Gradient order contract]: a parameter's gradient lies as the parameter does, so that
      // optimizers may run over raw memory.
      Tensor grad = to_order(std::exchange(slot.grad, Tensor()), node.order_);
      const bool ours = slot.ours || grad.is_unshared();
      node.grad_ = ours || create_graph_ ? grad : grad.clone();
    }
  }

  Tensor gradient_of(const Tensor& target) {
    Slot* slot = find(target.node().get());
    return slot ? slot->grad : Tensor();
  }

 private:
  struct Slot {
    Node* node;
    Tensor grad = {};
    bool ours = false;    // grad was made by accumulation: nobody else sees it
    bool wanted = true;   // leads to something that was asked for
    bool target = false;  // was asked for
  };

  void collect(Node* root) {
    std::vector<Node*> stack{root};
    index_.emplace(root, 0);
    while (!stack.empty()) {
      Node* node = stack.back();
      stack.pop_back();
      slots_.push_back({node});
      for (const auto& input : node->inputs_) {
        if (input && index_.emplace(input.get(), 0).second) stack.push_back(input.get());
      }
    }
    // An input is always older than what was made from it.
    std::sort(slots_.begin(), slots_.end(),
              [](const Slot& a, const Slot& b) { return a.node->number_ > b.node->number_; });
    for (size_t i = 0; i < slots_.size(); ++i) index_[slots_[i].node] = i;
  }

  Slot* find(Node* node) {
    const auto found = index_.find(node);
    return found == index_.end() ? nullptr : &slots_[found->second];
  }

  void step(Slot& slot) {
    Node& node = *slot.node;
    node.wanted_ = 0;
    for (size_t i = 0; i < node.inputs_.size(); ++i) {
      const bool wanted = node.inputs_[i] && find(node.inputs_[i].get())->wanted;
      node.wanted_ |= uint64_t{wanted} << i;
    }
    if (node.wanted_ == 0) return;
    // Note [Gradients in place]: from here on, a gradient that nobody asked for belongs to the
    // node, whose backward may write over it when nobody else shares it.
    const bool kept = slot.target || node.retain_grad_;
    const Tensor grad = kept ? slot.grad : std::exchange(slot.grad, Tensor());
    const ProfilerRange range(node, grad);
    Gradients gradients = node.backward(grad);
    if (!retain_graph_) node.free_saved();
    if (gradients.size() != node.inputs_.size()) {
      fail(node.name(), "backward returned ", gradients.size(), " gradients for ",
           node.inputs_.size(), " inputs");
    }
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (node.needs(i) && gradients[i].defined()) arrive(node, i, std::move(gradients[i]));
    }
  }

  void arrive(const Node& from, size_t i, Tensor grad) {
    Slot& slot = *find(from.inputs_[i].get());
    if (grad.shape() != slot.node->shape_ || grad.dtype() != slot.node->dtype_) {
      fail(from.name(), "backward returned ", grad, " for input ", i, ", which is ",
           slot.node->dtype_, slot.node->shape_);
    }
    if (!slot.grad.defined()) {
      slot.grad = std::move(grad);
      return;
    }
    slot.grad = accumulate(std::move(slot.grad), grad, slot.ours);
    slot.ours = true;
  }

  bool create_graph_;
  bool retain_graph_;
  std::vector<Slot> slots_;                  // by descending number
  std::unordered_map<Node*, size_t> index_;  // into slots_
};

namespace {

Tensor checked_cotangent(const char* op, const Tensor& output, const Tensor& dy) {
  if (!output.requires_grad()) {
    fail(op, "output ", output,
         " does not require a gradient: no input does, or it was made under NoGrad");
  }
  if (!dy.defined()) {
    if (output.numel() != 1) {
      fail(op, "output ", output, " has ", output.numel(),
           " elements: pass the gradient to start from, or reduce it to a scalar");
    }
    return ones_like(output).detach();
  }
  if (dy.shape() != output.shape() || dy.dtype() != output.dtype()) {
    fail(op, "the gradient to start from is ", dy, ", want shape and dtype of the output ", output);
  }
  return dy;
}

}  // namespace

void Tensor::backward(const Tensor& dy, BackwardOptions options) const {
  const Tensor start = checked_cotangent("backward", *this, dy);
  Engine engine(*this, options.create_graph, options.retain_graph);
  engine.run(start);
  engine.deliver();
}

std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                         GradOptions options) {
  const Tensor start = checked_cotangent("grad", output, options.grad_output);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) {
      fail("grad", "input ", i, ", ", inputs[i], ", does not require a gradient");
    }
  }
  Engine engine(output, options.create_graph, options.retain_graph);
  engine.aim_at(inputs);
  engine.run(start);
  std::vector<Tensor> gradients;
  for (size_t i = 0; i < inputs.size(); ++i) {
    gradients.push_back(engine.gradient_of(inputs[i]));
    if (!gradients.back().defined() && !options.allow_unused) {
      fail("grad", "the output does not depend on input ", i, ", ", inputs[i],
           ": pass {.allow_unused = true} to get an undefined tensor for it");
    }
  }
  return gradients;
}

}  // namespace tern
