// SPDX-License-Identifier: Apache-2.0
// Backward passes.
#include "internal/pass.h"

#include <algorithm>

#include "error.h"
#include "internal/parallel.h"
#include "op_scope.h"

namespace tern {

namespace detail {

namespace {

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
    parallel_for(a.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) z[i] = x[i] + y[i];
    });
  });
}

}  // namespace

Tensor accumulate(const Tensor& a, const Tensor& b, bool a_is_ours) {
  const Tensor addend = to_memory_format(b, a.memory_format());
  const bool in_place = a_is_ours && !recording({a, addend});
  const OpScope scope("gradient sum", a, addend);
  // Without create_graph a sum has no graph, whatever its parts have.
  const Tensor total = !in_place ? empty_like(a) : a.requires_grad() ? without_graph(a) : a;
  if (in_place) OpScope::writes(total);
  add_values(a, addend, total);
  return scope.result(record<SumNode>(total, {a, addend}));
}

thread_local Pass::Step* Pass::innermost_ = nullptr;

/// Passes may run inside each other: a node's backward may call backward.
class Pass::Running {
 public:
  Running(Pass* pass, const Slot* slot) : step_{pass, slot, std::exchange(innermost_, &step_)} {}
  ~Running() { innermost_ = step_.outer; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  Step step_;
};

Pass::Pass(const Tensor& output, bool create_graph, bool retain_graph)
    : create_graph_(create_graph),
      retain_graph_(retain_graph || create_graph),
      root_output_(output.edge().output) {
  collect(output.node().get());
}

bool Pass::wants(const Node& node, size_t i) {
  const Step* step = innermost_;
  if (!step || step->slot->node != &node) return true;
  const Pass& pass = *step->pass;
  return pass.slots_[pass.targets_[step->slot->first_edge + i]].wanted;
}

std::vector<Recomputed>* Pass::recomputed_here() {
  return innermost_ ? &innermost_->pass->recomputed_ : nullptr;
}

// An input is always older than what was made from it, so taking the youngest node first meets a
// node after everything that leads to it, and all of its edges together. Leaves come last.
void Pass::collect(Node* root) {
  struct Visit {
    uint64_t number;
    Node* node;
    uint32_t edge;  // that leads there
    bool operator<(const Visit& other) const { return number < other.number; }
  };
  std::vector<Visit> visits, leaves;
  const auto meet = [&](const Visit& visit) {
    const bool is_new = slots_.empty() || slots_.back().node != visit.node;
    if (is_new) add(visit.node);
    if (visit.edge == kNowhere) return is_new;
    targets_[visit.edge] = static_cast<uint32_t>(slots_.size() - 1);
    ++slots_.back().waiting;
    return is_new;
  };
  visits.push_back({root->number_, root, kNowhere});
  while (!visits.empty()) {
    std::pop_heap(visits.begin(), visits.end());
    const Visit visit = visits.back();
    visits.pop_back();
    if (!meet(visit)) continue;
    uint32_t edge = slots_.back().first_edge;
    for (const Edge& input : visit.node->inputs_) {
      if (input && input->inputs_.empty()) {
        leaves.push_back({input->number_, input.node.get(), edge});
      } else if (input) {
        visits.push_back({input->number_, input.node.get(), edge});
        std::push_heap(visits.begin(), visits.end());
      }
      ++edge;
    }
  }
  inner_count_ = slots_.size();
  std::sort(leaves.begin(), leaves.end(), [](const Visit& a, const Visit& b) { return b < a; });
  for (const Visit& leaf : leaves) meet(leaf);
}

void Pass::add(Node* node) {
  slots_.push_back(
      {node, static_cast<uint32_t>(targets_.size()), static_cast<uint32_t>(arrived_.size())});
  slots_.back().is_leaf = node->inputs_.empty();
  for (size_t i = 0; i < node->inputs_.size(); ++i) targets_.push_back(kNowhere);
  for (size_t i = 0; i < node->output_count_; ++i) arrived_.emplace_back();
}

Pass::Slot* Pass::find(const Node* node) {
  const auto leaves = slots_.begin() + static_cast<std::ptrdiff_t>(inner_count_);
  const bool is_leaf = node->inputs_.empty() && slots_.size() > inner_count_;
  const auto end = is_leaf ? slots_.end() : leaves;
  const auto slot =
      std::lower_bound(is_leaf ? leaves : slots_.begin(), end, node->number_,
                       [](const Slot& s, uint64_t number) { return s.node->number_ > number; });
  return slot != end && slot->node == node ? &*slot : nullptr;
}

bool Pass::leads_somewhere(const Slot& slot) const {
  const auto begin = targets_.begin() + slot.first_edge;
  return std::any_of(begin, begin + static_cast<std::ptrdiff_t>(slot.node->inputs_.size()),
                     [&](uint32_t target) { return target != kNowhere && slots_[target].wanted; });
}

void Pass::aim_at(const std::vector<Tensor>& targets) {
  for (Slot& slot : slots_) slot.wanted = false;
  for (const Tensor& target : targets) {
    if (Slot* slot = find(target.node().get())) {
      slot->wanted = true;
      arrived_[slot->first_output + target.edge().output].target = true;
    }
  }
  for (auto slot = slots_.rbegin(); slot != slots_.rend(); ++slot) {  // inputs come first
    slot->wanted = slot->wanted || leads_somewhere(*slot);
  }
}

Tensor Pass::gradient_of(const Tensor& target) {
  const Slot* slot = find(target.node().get());
  return slot ? arrived_[slot->first_output + target.edge().output].grad : Tensor();
}

void Pass::run(Tensor dy, bool to_leaves) {
  const GradMode mode(create_graph_);
  to_leaves_ = to_leaves;
  arrived_[root_output_].grad = std::move(dy);
  if (slots_.front().is_leaf) complete(slots_.front());
  for (Slot& slot : slots_) {
    if (slot.is_leaf) continue;
    if (!recomputed_.empty()) {  // of checkpoints that the pass has left
      std::erase_if(recomputed_, [&](const Recomputed& r) {
        return r.checkpoint->first_node() > slot.node->number_;
      });
    }
    if (slot.wanted) step(slot);
    passed(slot);
  }
  for (Delivery& delivery : deliveries_) add_to_grad(delivery.to, std::move(delivery.grad));
}

/// Nothing more comes from this node.
void Pass::passed(const Slot& slot) {
  for (size_t i = 0; i < slot.node->inputs_.size(); ++i) {
    const uint32_t target = targets_[slot.first_edge + i];
    if (target == kNowhere) continue;
    if (--slots_[target].waiting == 0 && slots_[target].is_leaf) complete(slots_[target]);
  }
}

void Pass::complete(Slot& slot) {
  auto& leaf = static_cast<Leaf&>(*slot.node);
  Arrived& arrived = arrived_[slot.first_output];
  if (!slot.wanted || !arrived.grad.defined()) return;
  watch(leaf, 0, arrived.grad);
  const Tensor x = to_leaves_ ? leaf.tensor() : Tensor();
  if (!x.requires_grad()) return;
  if (leaf.accumulated.empty()) {
    deliveries_.push_back({x, std::move(arrived.grad)});
    return;
  }
  add_to_grad(x, std::move(arrived.grad));
  for (const auto& hook : leaf.accumulated.hooks()) (*hook)(x);
}

void Pass::watch(const Node& node, size_t output, Tensor& grad) {
  if (!node.watched_) return;
  const Watched& watched = node.watched_[output];
  for (const auto& hook : watched.hooks.hooks()) {
    Tensor replacement = (*hook)(grad);
    if (!replacement.defined()) continue;
    const auto& want = node.output(output);
    if (replacement.shape() != want.shape || replacement.dtype() != want.dtype) {
      fail("register_hook", "the hook of ", node.name(), "'s result returned ", replacement,
           ", want the shape and dtype of the gradient, ", want.dtype, want.shape);
    }
    grad = std::move(replacement);
  }
  const Tensor retained = to_leaves_ ? watched.retained.lock() : Tensor();
  if (retained.defined()) deliveries_.push_back({retained, grad});
}

void Pass::step(Slot& slot) {
  Node& node = *slot.node;
  bool any = false;
  for (size_t i = 0; i < node.output_count_; ++i) {
    Tensor& grad = arrived_[slot.first_output + i].grad;
    if (!grad.defined()) continue;
    any = true;
    watch(node, i, grad);
  }
  if (!any || !leads_somewhere(slot)) return;
  Gradients gradients = backward(slot);
  if (!retain_graph_) node.free_saved();
  if (gradients.size() != node.inputs_.size()) {
    fail(node.name(), "backward returned ", gradients.size(), " gradients for ",
         node.inputs_.size(), " inputs");
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    const uint32_t target = targets_[slot.first_edge + i];
    if (target == kNowhere || !slots_[target].wanted || !gradients[i].defined()) continue;
    arrive(slot, i, std::move(gradients[i]));
  }
}

Gradients Pass::backward(const Slot& slot) {
  Node& node = *slot.node;
  const Running running(this, &slot);
  // Note [Gradients in place]: from here on, a gradient that was not requested belongs to the node,
  // whose backward may overwrite it if it is unshared.
  const auto take = [&](size_t i) {
    Arrived& arrived = arrived_[slot.first_output + i];
    return arrived.target ? arrived.grad : std::exchange(arrived.grad, Tensor());
  };
  if (node.output_count_ == 1) {
    const Tensor dy = take(0);
    const OpScope scope(node, {&dy, 1});
    if (!create_graph_ && node.inputs_.size() == 1) {
      const Tensor& sum = arrived_at(slot, 0);
      if (sum.defined() && sum.is_unshared() && node.add_gradient(dy, sum)) {
        return scope.results(Gradients(1));
      }
    }
    return scope.results(node.backward(std::span(&dy, 1)));
  }
  std::vector<Tensor> dys(node.output_count_);
  for (size_t i = 0; i < dys.size(); ++i) dys[i] = take(i);
  const OpScope scope(node, dys);
  return scope.results(node.backward(dys));
}

Tensor& Pass::arrived_at(const Slot& from, size_t input) {
  const Slot& to = slots_[targets_[from.first_edge + input]];
  return arrived_[to.first_output + from.node->inputs_[input].output].grad;
}

void Pass::arrive(const Slot& from, size_t input, Tensor grad) {
  const Edge& edge = from.node->inputs_[input];
  const auto& want = edge->output(edge.output);
  if (grad.shape() != want.shape || grad.dtype() != want.dtype) {
    fail(from.node->name(), "backward returned ", grad, " for input ", input, ", which is ",
         want.dtype, want.shape);
  }
  Tensor& total = arrived_at(from, input);
  if (!total.defined()) {
    total = std::move(grad);
  } else {
    total = accumulate(total, grad, total.is_unshared());
  }
}

}  // namespace detail

bool Node::needs(size_t i) const { return inputs_[i] && detail::Pass::wants(*this, i); }

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
    return ones_like(output);
  }
  if (dy.shape() != output.shape() || dy.dtype() != output.dtype()) {
    fail(op, "the gradient to start from is ", dy, ", want shape and dtype of the output ", output);
  }
  return dy;
}

}  // namespace

void Tensor::backward(const Tensor& dy, BackwardOptions options) const {
  Tensor start = checked_cotangent("backward", *this, dy);
  detail::Pass(*this, options.create_graph, options.retain_graph).run(std::move(start), true);
}

std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                         GradOptions options) {
  Tensor start = checked_cotangent("grad", output, options.grad_output);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) {
      fail("grad", "input ", i, ", ", inputs[i], ", does not require a gradient");
    }
  }
  std::vector<Tensor> gradients;
  {
    detail::Pass pass(output, options.create_graph, options.retain_graph);
    pass.aim_at(inputs);
    pass.run(std::move(start), false);
    for (size_t i = 0; i < inputs.size(); ++i) {
      gradients.push_back(pass.gradient_of(inputs[i]));
      if (!gradients.back().defined() && !options.allow_unused) {
        fail("grad", "the output does not depend on input ", i, ", ", inputs[i],
             ": pass {.allow_unused = true} to get an undefined tensor for it");
      }
    }
  }
  const GradMode mode(options.create_graph);
  for (Tensor& gradient : gradients) {
    if (gradient.defined() && !gradient.is_unshared()) gradient = gradient.clone();
  }
  return gradients;
}

}  // namespace tern
