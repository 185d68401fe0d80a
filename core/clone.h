// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// A handle to a T that all copies of the handle share, and that a CloneScope duplicates with T's
/// copy constructor: for what a module changes after its construction.
template <class T>
class Shared {
 public:
  Shared() : object_(std::make_shared<T>()) {}
  explicit Shared(T value) : object_(std::make_shared<T>(std::move(value))) {}  ///< a new object
  Shared(const Shared& other) : object_(other.copied()) {}  ///< the same object, or its duplicate
  /// The same object, or its duplicate.
  Shared& operator=(const Shared& other) {
    object_ = other.copied();
    return *this;
  }

  T& operator*() const { return *object_; }        ///< the object
  T* operator->() const { return object_.get(); }  ///< the object
  /// Whether both mean the same object.
  bool operator==(const Shared& other) const { return object_ == other.object_; }

 private:
  std::shared_ptr<T> copied() const {
    if (!CloneScope::active()) return object_;
    if (auto known = CloneScope::find(object_.get())) return std::static_pointer_cast<T>(known);
    auto duplicate = std::make_shared<T>(*object_);
    CloneScope::insert(object_, duplicate);
    return duplicate;
  }

  std::shared_ptr<T> object_;
};

}  // namespace tern
