// SPDX-License-Identifier: Apache-2.0
#include "fused_node.h"

#include <memory>
#include <utility>

#include "internal/tensor_impl.h"

namespace tern {

namespace {

/// A tensor under another name, so that grad() finds where a composition begins: the graph behind
/// it is out of sight until it is joined.
class AliasNode final : public Node {
 public:
  const char* name() const override { return "alias"; }
  Gradients backward(const Tensor& dy) override { return {Tensor(), dy}; }

  static Tensor of(const Tensor& x, std::shared_ptr<AliasNode>& node) {
    node = std::make_shared<AliasNode>();
    const Tensor nothing;  // an edge to nowhere: the node of a leaf has none
    return attach(node, detail::without_graph(x), &nothing, 1);
  }
  static void join(const std::shared_ptr<AliasNode>& node, const Tensor& x) {
    attach(node, detail::without_graph(x), &x, 1);
  }
};

/// A pass begins at one tensor: this is the one that several results, with a gradient each, lead
/// to.
class JoinNode final : public Node {
 public:
  explicit JoinNode(std::span<const Tensor> dys) : dys_(dys.begin(), dys.end()) {}
  const char* name() const override { return "join"; }
  Gradients backward(const Tensor&) override { return dys_; }

  static Tensor of(const std::vector<Tensor>& ys, std::span<const Tensor> dys) {
    const Tensor joined = zeros({}, ys[0].dtype());
    return attach(std::make_shared<JoinNode>(dys), joined, ys.data(), ys.size());
  }

 private:
  std::vector<Tensor> dys_;
};

/// The gradients of `loss`, what a composition of aliases of `values` comes to, with respect to the
/// first `count` of them where `asked`.
template <class Asked, class Loss>
Gradients differentiate(size_t count, const std::vector<Tensor>& values, const Asked& asked,
                        const Loss& loss) {
  std::vector<Tensor> aliases = values, wanted;
  std::vector<std::shared_ptr<AliasNode>> nodes(values.size());
  std::vector<size_t> places;
  for (size_t i = 0; i < values.size(); ++i) {
    const bool is_asked = i < count && asked(i);
    if (!values[i].defined() || !(is_asked || values[i].requires_grad())) continue;
    aliases[i] = AliasNode::of(values[i], nodes[i]);
    if (!is_asked) continue;
    wanted.push_back(aliases[i]);
    places.push_back(i);
  }
  const auto [y, dy] = loss(aliases);
  const std::vector<Tensor> found =
      grad(y, wanted, {.create_graph = true, .allow_unused = true, .grad_output = dy});
  for (size_t i = 0; i < values.size(); ++i) {
    if (nodes[i]) AliasNode::join(nodes[i], values[i]);
  }
  Gradients gradients(count);
  for (size_t k = 0; k < found.size(); ++k) gradients[places[k]] = found[k];
  return gradients;
}

}  // namespace

Gradients FusedNode::backward(const Tensor& dy) {
  if (!grad_enabled()) return fused(dy);
  return differentiate(
      inputs().size(), saved(), [&](size_t i) { return needs(i); },
      [&](const std::vector<Tensor>& x) { return std::pair(compose(x), dy); });
}

Gradients FusedMultiNode::backward(std::span<const Tensor> dys) {
  if (!grad_enabled()) return fused(dys);
  return differentiate(
      inputs().size(), saved(), [&](size_t i) { return needs(i); },
      [&](const std::vector<Tensor>& x) {
        return std::pair(JoinNode::of(compose(x), dys), Tensor());
      });
}

}  // namespace tern
