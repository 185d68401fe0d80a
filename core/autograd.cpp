// SPDX-License-Identifier: Apache-2.0
#include "autograd.h"

#include <algorithm>
#include <atomic>

#include "error.h"
#include "internal/pass.h"
#include "op_scope.h"

namespace tern {

namespace {

thread_local bool grad_mode = true;

}  // namespace

bool grad_enabled() { return grad_mode; }
NoGrad::NoGrad() : before_(grad_mode) { grad_mode = false; }
NoGrad::~NoGrad() { grad_mode = before_; }
GradMode::GradMode(bool enabled) : before_(grad_mode) { grad_mode = enabled; }
GradMode::~GradMode() { grad_mode = before_; }

bool recording(std::initializer_list<detail::TensorRef> inputs) {
  return grad_mode && std::any_of(inputs.begin(), inputs.end(),
                                  [](detail::TensorRef x) { return x->requires_grad(); });
}
bool recording(const std::vector<Tensor>& inputs) {
  return grad_mode && std::any_of(inputs.begin(), inputs.end(),
                                  [](const Tensor& x) { return x.requires_grad(); });
}

uint64_t detail::next_number() {
  static std::atomic<uint64_t> counter{0};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

Node::Node() : number_(detail::next_number()) {}

Node::~Node() {
  // Destroying a chain must not recurse: the first destructor on a thread works off the list that
  // the ones it causes fill.
  thread_local std::vector<Edge>* pending = nullptr;
  if (pending) {
    for (Edge& input : inputs_) {
      if (input) pending->push_back(std::move(input));
    }
    return;
  }
  std::vector<Edge> list = std::move(inputs_);
  pending = &list;
  while (!list.empty()) {
    const Edge edge = std::move(list.back());
    list.pop_back();
  }
  pending = nullptr;
}

Gradients Node::backward(const Tensor&) {
  fail(name(), "has no backward function: override Node::backward(const Tensor& dy), or ",
       "backward(std::span<const Tensor> dys) if it has several results");
}

Gradients Node::backward(std::span<const Tensor> dys) {
  if (dys.size() != 1) {
    fail(name(), "has ", dys.size(),
         " results: override Node::backward(std::span<const Tensor> dys)");
  }
  return backward(dys[0]);
}

bool Node::add_gradient(const Tensor&, const Tensor&) { return false; }

std::shared_ptr<const Recipe> Node::recipe() const { return nullptr; }

void Node::describe_outputs(std::span<const Tensor> ys) {
  first_ = {ys[0].shape(), ys[0].dtype()};
  output_count_ = static_cast<uint32_t>(ys.size());
  if (ys.size() == 1) return;
  others_ = std::make_unique<Output[]>(ys.size() - 1);
  for (size_t i = 1; i < ys.size(); ++i) others_[i - 1] = {ys[i].shape(), ys[i].dtype()};
}

detail::Watched& Node::watched(size_t output) {
  if (!watched_) watched_ = std::make_unique<detail::Watched[]>(output_count_);
  return watched_[output];
}

void detail::attach(std::shared_ptr<Node> node, std::span<const Tensor> ys,
                    std::span<const TensorRef> inputs) {
  for (const Tensor& y : ys) {
    if (y.requires_grad()) {
      fail(node->name(), "its result ", y, " is recorded already: record a fresh tensor");
    }
  }
  node->describe_outputs(ys);
  if (OpScope::listened()) node->module_ = std::make_unique<const std::string>(OpScope::module());
  node->inputs_.reserve(inputs.size());
  for (const TensorRef x : inputs) node->inputs_.push_back(x->defined() ? x->edge() : Edge());
  for (uint32_t i = 0; i + 1 < ys.size(); ++i) ys[i].set_node(node, i);
  ys.back().set_node(std::move(node), static_cast<uint32_t>(ys.size() - 1));
}

Tensor attach(std::shared_ptr<Node> node, const Tensor& y, const Tensor* inputs, size_t count) {
  const std::vector<detail::TensorRef> refs(inputs, inputs + count);
  detail::attach(std::move(node), {&y, 1}, refs);
  return y;
}

}  // namespace tern
