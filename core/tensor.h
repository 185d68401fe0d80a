// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dtype.h"
#include "shape.h"

namespace tern {

class Node;
class Storage;
class Tensor;

namespace detail {
/// How many CloneScopes (clone.h) live, on any thread.
extern std::atomic<int> clone_scopes;
}  // namespace detail

/// What `backward` keeps and records.
struct BackwardOptions {
  /// Keep the saved tensors, so that backward can run through the same graph again.
  bool retain_graph = false;
  /// Record the backward pass, so that its results can be differentiated. Implies retain_graph.
  bool create_graph = false;
};

/// A handle to a shape, a dtype, a memory order and memory. Copies share the memory and the
/// identity (a copied parameter is the same parameter). A default-constructed tensor is undefined:
/// it stands for "none" wherever a tensor is optional.
///
/// There are no general strides. `reshape` of row-major memory shares it; everything else copies.
class Tensor {
 public:
  Tensor() = default;
  /// Another handle of the same tensor (inside a CloneScope, of its duplicate).
  Tensor(const Tensor& other)
      : impl_(detail::clone_scopes.load(std::memory_order_relaxed) == 0 ? other.impl_
                                                                        : copied(other)) {}
  Tensor(Tensor&& other) noexcept = default;  ///< leaves `other` undefined
  /// As copying; changes the handle, not the values (see copy_).
  Tensor& operator=(const Tensor& other) {
    Tensor copy(other);
    impl_.swap(copy.impl_);
    return *this;
  }
  Tensor& operator=(Tensor&& other) noexcept = default;  ///< leaves `other` undefined
  ~Tensor() = default;

  bool defined() const { return impl_ != nullptr; }  ///< whether there is a tensor
  const Shape& shape() const;                        ///< the sizes of its axes
  /// The number of axes.
  int64_t dim() const { return shape().size(); }
  /// The length of axis `axis`, counted from the end when negative.
  int64_t size(int64_t axis) const;
  int64_t numel() const { return shape().numel(); }  ///< the number of elements
  DType dtype() const;                               ///< the type of its elements
  Order order() const;                               ///< how they lie in memory

  /// @name Values
  /// @{

  /// The elements in memory. Throws Error if T is not the dtype, or if the tensor is channels-last
  /// (call contiguous(x) first). Writing through it is not seen by autograd: a tensor that was
  /// saved for backward must be changed with copy_, fill_ or through mutable_data, which are.
  template <class T>
  std::span<T> data() const {
    return {static_cast<T*>(checked_data(DTypeOf<std::remove_const_t<T>>::value)), element_count()};
  }
  /// As data(), and counts as a change: backward refuses to use the saved old value.
  template <class T>
  std::span<T> mutable_data() const {
    bump_version();
    return data<T>();
  }
  /// A row-major copy of the elements. Throws Error if T is not the dtype.
  template <class T>
  std::vector<T> to_vector() const;
  /// The only element, converted to T. Throws Error if there is more than one.
  template <class T>
  T item() const;

  /// Changes the elements in place: to those of `source` (same shape; converts the dtype), to one
  /// value, to zero. Throws Error where autograd would lose track: on a tensor that requires a
  /// gradient while recording (use NoGrad).
  void copy_(const Tensor& source) const;
  void fill_(double value) const;     ///< as copy_
  void zero_() const { fill_(0.0); }  ///< as copy_
  /// @}

  /// @name Gradients
  /// @{

  /// Whether backward passes compute a gradient for it.
  bool requires_grad() const;
  /// Makes this tensor a leaf whose gradient `backward` leaves in grad(). Floating dtypes only.
  const Tensor& set_requires_grad(bool requires_grad = true) const;
  /// True for tensors that no recorded operation made.
  bool is_leaf() const;
  /// The gradient that backward passes have accumulated, or an undefined tensor. It has the
  /// tensor's own shape, dtype and memory order.
  Tensor grad() const;
  void set_grad(const Tensor& grad) const;  ///< replaces it
  /// Keep the gradient of this non-leaf in grad() as well.
  void retain_grad() const;
  /// Reverse-mode differentiation: adds d(this)/d(leaf), contracted with `dy`, to grad() of every
  /// leaf. `dy` defaults to 1 and may be left out for one-element tensors only.
  void backward(const Tensor& dy = {}, BackwardOptions options = {}) const;
  /// The same memory, cut off from the graph.
  Tensor detach() const;
  /// @}

  /// The same values in another dtype (or this very tensor). Differentiable between f32 and f64.
  Tensor to(DType dtype) const;
  /// A deep copy with memory of its own, cut off from the graph.
  Tensor clone() const;
  /// Whether both handles mean the same tensor.
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  /// @name For writers of operations
  /// @{

  /// Memory without regard to the order, and the recorded operation that made this tensor.
  template <class T>
  T* raw() const {
    return static_cast<T*>(raw_data());
  }
  void* raw_data() const;
  const std::shared_ptr<Node>& node() const;
  void set_node(std::shared_ptr<Node> node) const;
  /// How many handles share this tensor.
  long use_count() const { return impl_.use_count(); }
  /// Whether this handle is the only one, and no other tensor has the same memory: what it holds
  /// may then be overwritten by who drops it next.
  bool is_unshared() const;
  uint64_t version() const;
  void bump_version() const;
  const std::shared_ptr<Storage>& storage() const;
  /// Replaces shape, dtype, order and memory behind every handle of this tensor, keeping identity
  /// and requires_grad (what Module::to(DType) does to parameters). Drops the gradient.
  void replace_data(const Tensor& source) const;
  /// A tensor over existing memory; `storage` must hold shape.numel() elements.
  Tensor(const Shape& shape, DType dtype, Order order, std::shared_ptr<Storage> storage);
  /// @}

 private:
  struct Impl;
  const Impl& impl() const;
  /// What a copy of `other` points at on this thread: a duplicate inside a CloneScope.
  static std::shared_ptr<Impl> copied(const Tensor& other);
  void* checked_data(DType dtype) const;
  size_t element_count() const { return static_cast<size_t>(numel()); }

  std::shared_ptr<Impl> impl_;
};

/// @name Creation
/// Shapes from braces: zeros({2, 3}). All tensors are row-major.
/// @{

/// Memory that holds whatever was there.
Tensor empty(const Shape& shape, DType dtype = DType::f32, Order order = Order::row_major);
Tensor zeros(const Shape& shape, DType dtype = DType::f32);  ///< 0 everywhere
Tensor ones(const Shape& shape, DType dtype = DType::f32);   ///< 1 everywhere
/// `value` everywhere.
Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
/// Uniform in [0, 1).
Tensor rand(const Shape& shape, DType dtype = DType::f32);
/// Normal with mean 0 and variance 1.
Tensor randn(const Shape& shape, DType dtype = DType::f32);
/// 0, 1, ... below `end`, i64 unless told otherwise.
Tensor arange(double end, DType dtype = DType::i64);
/// start, start + step, ... below `end`, i64 unless told otherwise.
Tensor arange(double start, double end, double step = 1.0, DType dtype = DType::i64);
/// A copy of `values`, which must have shape.numel() elements.
Tensor tensor(const std::vector<float>& values, const Shape& shape);
Tensor tensor(const std::vector<double>& values, const Shape& shape);   ///< f64
Tensor tensor(const std::vector<int64_t>& values, const Shape& shape);  ///< i64
Tensor tensor(const std::vector<uint8_t>& values, const Shape& shape);  ///< u8
/// Tensors like another one: its shape, dtype and memory order.
Tensor empty_like(const Tensor& x);
Tensor zeros_like(const Tensor& x);  ///< 0 everywhere
Tensor ones_like(const Tensor& x);   ///< 1 everywhere
/// @}

/// @name Memory order
/// @{

/// The same tensor in the given order: itself if it already lies so (also when both orders are the
/// same bytes, as for one channel or 1x1 images), else a copy. channels_last needs rank 4.
/// Differentiable.
Tensor to_order(const Tensor& x, Order order);
/// to_order(x, Order::row_major)
Tensor contiguous(const Tensor& x);
/// @}

/// Values as PyTorch prints them, large tensors abbreviated, and what else is known:
/// "tensor([[1., 2.], [3., 4.]], f32[2,2])".
std::string to_string(const Tensor& x);
/// Writes to_string(x).
std::ostream& operator<<(std::ostream& out, const Tensor& x);

}  // namespace tern
