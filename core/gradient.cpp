// SPDX-License-Identifier: Apache-2.0
// What the tape knows of a tensor: its gradient, hooks, and whether it requires one.
#include "autograd.h"
#include "error.h"
#include "internal/tensor_impl.h"

namespace tern {

detail::Leaf::Leaf(const Tensor& x) : tensor_(x) { describe(x); }

Tensor detail::WeakTensor::lock() const {
  Tensor x;
  x.impl_ = Handle(impl_.lock());
  return x;
}

void detail::add_to_grad(const Tensor& x, Tensor gradient) {
  // Note [Gradient layout contract]: a parameter's gradient lies as the parameter does, so that
  // optimizers may run over raw memory.
  gradient = to_memory_format(gradient, x.memory_format());
  GradState& state = x.grad_state();
  const std::lock_guard lock(state.mutex);
  if (state.grad.defined()) {
    state.grad = accumulate(state.grad, gradient, state.grad.is_unshared());
  } else {
    // Another tensor's gradient, or the caller's dy, would change with this one.
    state.grad = gradient.is_unshared() ? std::move(gradient) : gradient.clone();
  }
}

detail::GradState& Tensor::grad_state() const {
  impl();
  if (!impl_->grad) impl_->grad = std::make_unique<detail::GradState>();
  return *impl_->grad;
}

const Edge& Tensor::edge() const { return impl().edge; }
const std::shared_ptr<Node>& Tensor::node() const { return impl().edge.node; }
void Tensor::set_node(std::shared_ptr<Node> node, uint32_t output) const {
  impl();
  impl_->edge = {std::move(node), output};
}

bool Tensor::requires_grad() const { return impl_ && impl_->edge.node; }
bool Tensor::is_leaf() const { return !node() || node()->inputs().empty(); }

const Tensor& Tensor::set_requires_grad(bool requires_grad) const {
  if (requires_grad == this->requires_grad()) return *this;
  if (!requires_grad && !is_leaf()) {
    fail("set_requires_grad", "a recorded operation made ", *this, ": use detach()");
  }
  if (requires_grad && !is_floating(dtype())) {
    fail("set_requires_grad", "tensor is ", *this, ", only f32 and f64 can have gradients");
  }
  auto& leaf = grad_state().leaf;
  if (!leaf) leaf = std::make_shared<detail::Leaf>(*this);
  set_node(requires_grad ? leaf : nullptr);
  return *this;
}

Tensor Tensor::grad() const {
  if (!impl().grad) return {};
  const std::lock_guard lock(impl_->grad->mutex);
  return impl_->grad->grad;
}

void Tensor::set_grad(Tensor grad) const {
  if (!grad.defined()) {
    if (!impl().grad) return;
    const std::lock_guard lock(impl_->grad->mutex);
    impl_->grad->grad = Tensor();
    return;
  }
  if (!requires_grad()) fail("set_grad", "tensor ", *this, " does not require a gradient");
  if (grad.shape() != shape() || grad.dtype() != dtype()) {
    fail("set_grad", "gradient is ", grad, ", want shape and dtype of ", *this);
  }
  const NoGrad no_grad;
  grad = to_memory_format(grad, memory_format());
  if (grad.use_count() > 1 || grad.storage().use_count() > 1) grad = grad.clone();
  detail::GradState& state = grad_state();
  const std::lock_guard lock(state.mutex);
  state.grad = std::move(grad);
}

void Tensor::retain_grad() const {
  if (!requires_grad()) fail("retain_grad", "tensor ", *this, " does not require a gradient");
  if (is_leaf()) return;
  node()->watched(edge().output).retained = detail::WeakTensor(*this);
}

HookHandle Tensor::add_hook(GradHook hook) const {
  if (!requires_grad()) fail("register_hook", "tensor ", *this, " does not require a gradient");
  return node()->watched(edge().output).hooks.add(std::move(hook));
}

HookHandle Tensor::register_post_accumulate_grad_hook(
    std::function<void(const Tensor&)> hook) const {
  if (!requires_grad() || !is_leaf()) {
    fail("register_post_accumulate_grad_hook", "tensor ", *this,
         requires_grad() ? " is no leaf: use register_hook, or retain_grad"
                         : " does not require a gradient");
  }
  return grad_state().leaf->accumulated.add(std::move(hook));
}

}  // namespace tern
