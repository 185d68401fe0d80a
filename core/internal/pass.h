// SPDX-License-Identifier: Apache-2.0
// A backward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "../autograd.h"
#include "checkpoint.h"
#include "tensor_impl.h"

namespace tern::detail {

/// The next number of a node.
uint64_t next_number();

/// One backward pass: which nodes take part, the gradients that have arrived at them, and what is
/// wanted. Nothing of it is kept in the nodes.
class Pass {
 public:
  Pass(const Tensor& output, bool create_graph, bool retain_graph);

  /// Restricts the pass to what leads to `targets`, and keeps their gradients.
  void aim_at(const std::vector<Tensor>& targets);
  /// From gradient `dy` of the output to the leaves, whose grad() it changes if `to_leaves`.
  void run(Tensor dy, bool to_leaves);
  /// What has arrived at a target.
  Tensor gradient_of(const Tensor& target);

  /// Whether the i-th input of `node` is wanted by the pass that runs its backward on this thread.
  static bool wants(const Node& node, size_t i);
  /// What the pass that runs on this thread has computed again, or null if none does.
  static std::vector<Recomputed>* recomputed_here();

 private:
  struct Slot {  // of a node
    Node* node;
    uint32_t first_edge;    // in targets_, one for each input
    uint32_t first_output;  // in arrived_
    uint32_t waiting = 0;   // edges to it from nodes that have not run
    bool wanted = true;     // leads to something that was asked for
    bool is_leaf = false;
  };
  struct Arrived {  // at an output of a node
    Tensor grad = {};
    bool target = false;  // was asked for
  };
  struct Delivery {
    Tensor to, grad;
  };
  struct Step {  // the node whose backward runs on this thread
    Pass* pass;
    const Slot* slot;
    Step* outer;
  };
  class Running;
  static constexpr uint32_t kNowhere = ~uint32_t{0};
  static thread_local Step* innermost_;

  void collect(Node* root);
  void add(Node* node);
  Slot* find(const Node* node);
  bool leads_somewhere(const Slot& slot) const;
  void step(Slot& slot);
  void passed(const Slot& slot);
  void complete(Slot& leaf);
  Gradients backward(const Slot& slot);
  /// The sum of what has arrived at an input of a node.
  Tensor& arrived_at(const Slot& from, size_t input);
  void arrive(const Slot& from, size_t input, Tensor grad);
  void watch(const Node& node, size_t output, Tensor& grad);

  bool create_graph_;
  bool retain_graph_;
  bool to_leaves_ = false;
  uint32_t root_output_;
  std::vector<Slot> slots_;        // operations, then leaves, each by descending number
  size_t inner_count_ = 0;         // how many are operations (or the root)
  std::vector<uint32_t> targets_;  // slots that edges lead to
  std::vector<Arrived> arrived_;
  std::vector<Delivery> deliveries_;  // made when the pass is over
  std::vector<Recomputed> recomputed_;
};

}  // namespace tern::detail
