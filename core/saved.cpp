// SPDX-License-Identifier: Apache-2.0
// What nodes keep for their backward passes.
#include <thread>

#include "autograd.h"
#include "error.h"
#include "internal/checkpoint.h"
#include "internal/tensor_impl.h"
#include "op_scope.h"

namespace tern {

namespace {

void check_unchanged(const char* op, const Tensor& x, uint64_t version) {
  if (x.version() == version) return;
  fail(op, "the tensor ", x,
       " that backward needs was changed in place after it was saved (version ", x.version(),
       ", saved at ", version, "): change a copy, or call backward first");
}

/// One pass may read what another one frees.
class Lock {
 public:
  explicit Lock(std::atomic_flag& flag) : flag_(flag) {
    while (flag_.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  }
  ~Lock() { flag_.clear(std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  std::atomic_flag& flag_;
};

}  // namespace

Recipe::Recipe(const char* op, const Tensor& x)
    : op_(op), x_(detail::without_graph(x)), version_(x.version()) {}

Tensor Recipe::x() const {
  check_unchanged(op_, x_, version_);
  return x_;
}

detail::Kept detail::Kept::of(const Tensor& x) {
  if (CheckpointScope* scope = CheckpointScope::current()) return scope->keep(x);
  return itself(x);
}

detail::Kept detail::Kept::itself(const Tensor& x) {
  Kept kept;
  kept.version = x.version();
  const Edge& source = x.edge();
  if (source && source.output == 0 && kept.version == 0) kept.recipe = source->recipe();
  if (!kept.recipe) kept.tensor = without_graph(x);
  return kept;
}

Tensor detail::Kept::get(const char* op) const {
  if (recipe) return recipe->compute();
  check_unchanged(op, tensor, version);
  return tensor;
}

Saved::Saved(Node* owner, const Tensor& x, Role role, uint32_t output)
    : owner_(owner), next_(std::exchange(owner->saved_, this)), defined_(x.defined()) {
  if (!defined_) return;
  source_ = role == Role::output ? owner : x.node().get();
  source_output_ = role == Role::output ? output : x.edge().output;
  value_ = detail::Kept::of(x);
}

Tensor Saved::get() const {
  if (!defined_) return {};
  Tensor value;
  std::shared_ptr<const Recipe> recipe;
  bool freed = false;
  {
    const Lock lock(owner_->saved_lock_);
    value = value_.tensor;
    if (value_.recipe) recipe = value_.recipe;
    freed = owner_->freed_;
  }
  if (freed) {
    fail(owner_->name(),
         "backward has been through this graph, and its saved tensors are freed: pass "
         "{.retain_graph = true} the first time");
  }
  if (recipe) {
    value = recipe->compute();
  } else {
    check_unchanged(owner_->name(), value, value_.version);
  }
  OpScope::reads(value);
  if (!grad_enabled() || !source_) return value;
  Tensor connected = detail::without_graph(value);
  if (source_ == owner_) {
    connected.set_node(owner_->shared_from_this(), source_output_);
    return connected;
  }
  for (const Edge& input : owner_->inputs_) {
    if (input.node.get() == source_ && input.output == source_output_) {
      connected.set_node(input.node, input.output);
      return connected;
    }
  }
  fail(owner_->name(), "the saved tensor ", value,
       " requires a gradient but is no input of the operation: list it in record's inputs");
}

Tensor Saved::kept() const {
  if (!defined_) return {};
  const Lock lock(owner_->saved_lock_);
  const bool is = !owner_->freed_ && !value_.recipe && value_.tensor.version() == value_.version;
  return is ? value_.tensor : Tensor();
}

void Node::free_saved() {
  if (!saved_) return;
  const Lock lock(saved_lock_);
  for (Saved* saved = saved_; saved; saved = saved->next_) {
    saved->value_.tensor = Tensor();
    saved->value_.recipe = nullptr;
  }
  freed_ = true;
}

}  // namespace tern
