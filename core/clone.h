// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace tern {

/// While it lives, copying handles on this thread copies what is behind them: every tensor and
/// every Shared object is duplicated at its first copy, and later copies of the same one give the
/// same duplicate, so that what was shared stays shared. This is how modules are cloned: plain copy
/// construction of the outermost one. Scopes inside a scope belong to it.
///
/// A duplicated tensor has memory of its own, no gradient and no history; a leaf that requires a
/// gradient goes on requiring it.
class CloneScope {
 public:
  CloneScope();
  ~CloneScope();
  CloneScope(const CloneScope&) = delete;
  CloneScope& operator=(const CloneScope&) = delete;

  /// Whether one lives on this thread.
  static bool active();
  /// The duplicate that `original` has got in this scope, or null; and how it gets one.
  static std::shared_ptr<void> find(const void* original);
  /// Makes `duplicate` what find(original) returns.
  static void insert(std::shared_ptr<const void> original, std::shared_ptr<void> duplicate);

 private:
  bool outermost_;
};

namespace detail {

/// How many CloneScopes live, on any thread.
extern std::atomic<int> clone_scopes;

/// Makes `object` its duplicate if a CloneScope lives on this thread. A type that is duplicated
/// otherwise than by its copy constructor has an overload (Tensor's is in clone.cpp).
template <class T>
void duplicate_in_scope(std::shared_ptr<T>& object) {
  if (!CloneScope::active() || !object) return;
  auto known = CloneScope::find(object.get());
  if (!known) {
    known = std::make_shared<T>(*object);
    CloneScope::insert(object, known);
  }
  object = std::static_pointer_cast<T>(std::move(known));
}

/// What every handle of Tern holds, tensors included: a shared_ptr whose copies in a CloneScope are
/// handles of the duplicate.
template <class T>
class Handle {
 public:
  Handle() = default;
  explicit Handle(std::shared_ptr<T> object) : object_(std::move(object)) {}
  Handle(const Handle& other) : object_(other.object_) { copied(); }
  Handle(Handle&& other) noexcept = default;
  Handle& operator=(const Handle& other) {
    object_ = other.object_;
    copied();
    return *this;
  }
  Handle& operator=(Handle&& other) noexcept = default;
  ~Handle() = default;

  T& operator*() const { return *object_; }
  T* operator->() const { return object_.get(); }
  const std::shared_ptr<T>& shared() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  bool operator==(const Handle& other) const { return object_ == other.object_; }
  long use_count() const { return object_.use_count(); }

 private:
  void copied() {
    if (clone_scopes.load(std::memory_order_relaxed) != 0) [[unlikely]]
      duplicate_in_scope(object_);
  }

  std::shared_ptr<T> object_;
};

}  // namespace detail

/// A handle to a T that all copies of the handle share, and that a CloneScope duplicates with T's
/// copy constructor: for what a module changes after its construction.
template <class T>
class Shared {
 public:
  Shared() : object_(std::make_shared<T>()) {}
  explicit Shared(T value) : object_(std::make_shared<T>(std::move(value))) {}  ///< a new object

  Shared(const Shared&) = default;                 ///< the same object, or its duplicate
  Shared& operator=(const Shared&) = default;      ///< the same object, or its duplicate
  T& operator*() const { return *object_; }        ///< the object
  T* operator->() const { return &*object_; }      ///< the object
  bool operator==(const Shared&) const = default;  ///< whether both mean the same object

 private:
  detail::Handle<T> object_;
};

}  // namespace tern
