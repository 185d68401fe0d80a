// SPDX-License-Identifier: Apache-2.0
#include "clone.h"

#include <atomic>
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

// Making a duplicate copies handles too, and those mean the originals.
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

std::shared_ptr<Tensor::Impl> Tensor::copied(const Tensor& other) {
  if (!CloneScope::active() || !other.defined()) return other.impl_;
  if (auto known = CloneScope::find(other.impl_.get())) {
    return std::static_pointer_cast<Impl>(known);
  }
  Tensor duplicate;
  {
    Suspended suspended;
    duplicate = other.clone();
    if (other.is_leaf() && other.requires_grad()) duplicate.set_requires_grad();
  }
  CloneScope::insert(other.impl_, duplicate.impl_);
  return duplicate.impl_;
}

}  // namespace tern
