// SPDX-License-Identifier: Apache-2.0
#include "clone.h"

#include <unordered_map>

#include "tensor.h"

namespace tern {

namespace {

struct Duplicate {
  std::shared_ptr<const void> original;  // kept alive, so that nothing else gets its address
  std::shared_ptr<void> copy;
};
using Duplicates = std::unordered_map<const void*, Duplicate>;

thread_local Duplicates* current = nullptr;

// Making a tensor's duplicate copies handles too, and those mean the originals.
struct Suspended {
  Duplicates* before = current;
  Suspended() { current = nullptr; }
  ~Suspended() { current = before; }
  Suspended(const Suspended&) = delete;
  Suspended& operator=(const Suspended&) = delete;
};

}  // namespace

namespace detail {
std::atomic<int> clone_scopes{0};
}

CloneScope::CloneScope() : outermost_(current == nullptr) {
  if (!outermost_) return;
  current = new Duplicates;
  detail::clone_scopes.fetch_add(1, std::memory_order_relaxed);
}

CloneScope::~CloneScope() {
  if (!outermost_) return;
  detail::clone_scopes.fetch_sub(1, std::memory_order_relaxed);
  delete current;
  current = nullptr;
}

bool CloneScope::active() { return current != nullptr; }

std::shared_ptr<void> CloneScope::find(const void* original) {
  const auto found = current->find(original);
  return found == current->end() ? nullptr : found->second.copy;
}

void CloneScope::insert(std::shared_ptr<const void> original, std::shared_ptr<void> duplicate) {
  const void* key = original.get();
  current->emplace(key, Duplicate{std::move(original), std::move(duplicate)});
}

void duplicate_in_scope(std::shared_ptr<Tensor::Impl>& impl) {
  if (!CloneScope::active() || !impl) return;
  auto known = CloneScope::find(impl.get());
  if (!known) {
    Tensor original, duplicate;
    original.impl_ = detail::Handle(impl);
    {
      const Suspended suspended;
      duplicate = original.detach().clone();
      if (original.is_leaf() && original.requires_grad()) duplicate.set_requires_grad();
    }
    known = duplicate.impl_.shared();
    CloneScope::insert(impl, known);
  }
  impl = std::static_pointer_cast<Tensor::Impl>(std::move(known));
}

}  // namespace tern
