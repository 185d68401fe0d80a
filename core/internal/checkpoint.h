// SPDX-License-Identifier: Apache-2.0
// How Saved finds out about checkpoints.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "../autograd.h"
#include "../random.h"

namespace tern::detail {

/// A call of checkpoint: what it takes to recompute what the operations of f have saved. They are
/// known by the order in which they are saved.
class Checkpoint : public std::enable_shared_from_this<Checkpoint> {
 public:
  using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
  Checkpoint(Function f, const std::vector<Tensor>& inputs);

  /// Calls f the first time.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);
  /// Number `index` of what f has saved.
  Kept saved(size_t index) const;
  /// The number of the first node that may be f's.
  uint64_t first_node() const { return first_node_; }

 private:
  friend class CheckpointScope;
  std::vector<Kept> compute_again() const;

  struct Input {
    Kept value;
    bool defined, requires_grad;
  };
  Function f_;
  std::vector<Input> inputs_;
  Generator::State random_;
  uint64_t first_node_;
  size_t saved_count_ = 0;
  bool complete_ = false;  // f has returned: saved_count_ is final
};

/// While f of a checkpoint runs on this thread: the first time, or again.
class CheckpointScope {
 public:
  /// The first time: operations keep nothing but what to ask `checkpoint` for.
  explicit CheckpointScope(Checkpoint& checkpoint) : CheckpointScope(&checkpoint, nullptr) {}
  /// Again: what operations save goes to the end of `saved` as well.
  explicit CheckpointScope(std::vector<Kept>& saved) : CheckpointScope(nullptr, &saved) {}
  ~CheckpointScope();
  CheckpointScope(const CheckpointScope&) = delete;
  CheckpointScope& operator=(const CheckpointScope&) = delete;

  /// The innermost one of this thread, or null.
  static CheckpointScope* current();
  Kept keep(const Tensor& x);

 private:
  CheckpointScope(Checkpoint* checkpoint, std::vector<Kept>* saved);
  Checkpoint* first_;
  std::vector<Kept>* again_;
  CheckpointScope* outer_;
};

/// What a backward pass has computed again.
struct Recomputed {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<Kept> saved;
};

}  // namespace tern::detail
