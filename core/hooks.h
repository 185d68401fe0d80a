// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace tern {

/// What registering a hook returns: removes that hook. Dropping the handle leaves the hook in
/// place; copies remove the same hook.
class HookHandle {
 public:
  HookHandle() = default;  ///< of no hook
  /// `remove` is called at most once.
  explicit HookHandle(std::function<void()> remove) : remove_(std::move(remove)) {}
  /// Removes the hook. Does nothing the second time, or once what it was registered with is gone.
  void remove() {
    if (const auto remove = std::exchange(remove_, nullptr)) remove();
  }

 private:
  std::function<void()> remove_;
};

/// The hooks of a tensor or a module: functions of type F in the order of their registration.
template <class F>
class HookList {
 public:
  HookList() = default;
  HookList(HookList&&) noexcept = default;             ///< leaves the other one empty
  HookList& operator=(HookList&&) noexcept = default;  ///< leaves the other one empty
  /// Appends a hook.
  HookHandle add(F hook) {
    if (!hooks_) hooks_ = std::make_shared<std::vector<std::shared_ptr<const F>>>();
    const auto entry = std::make_shared<const F>(std::move(hook));
    hooks_->push_back(entry);
    return HookHandle([list = std::weak_ptr(hooks_), gone = std::weak_ptr(entry)] {
      if (const auto hooks = list.lock()) std::erase(*hooks, gone.lock());
    });
  }
  bool empty() const { return !hooks_ || hooks_->empty(); }  ///< whether there is none
  /// A copy of the list, so that a hook may remove hooks while they run.
  std::vector<std::shared_ptr<const F>> hooks() const {
    return hooks_ ? *hooks_ : std::vector<std::shared_ptr<const F>>();
  }

 private:
  std::shared_ptr<std::vector<std::shared_ptr<const F>>> hooks_;
};

}  // namespace tern
