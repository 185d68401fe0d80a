// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "clone.h"
#include "dtype.h"
#include "hooks.h"
#include "shape.h"

namespace tern {

class Index;
class Indexed;
class Node;
class Storage;
class Tensor;
struct Edge;

/// Gets a gradient when it is complete, and may return another one in its place, or an undefined
/// tensor to leave it.
using GradHook = std::function<Tensor(const Tensor& grad)>;

namespace detail {
class WeakTensor;
struct GradState;
void add_to_grad(const Tensor& x, Tensor gradient);
}  // namespace detail

/// What `backward` keeps and records.
struct BackwardOptions {
  /// Keep the saved tensors, so that backward can run through the same graph again.
  bool retain_graph = false;
  /// Record the backward pass, so that its results can be differentiated. Implies retain_graph.
  bool create_graph = false;
};

/// A handle to a shape, a dtype, a memory format and memory. Copies share the memory and the
/// identity (a copied parameter is the same parameter). A default-constructed tensor is undefined:
/// it stands for "none" wherever a tensor is optional.
///
/// There are no general strides. `reshape` of row-major memory shares it; everything else copies.
class Tensor {
 public:
  Tensor() = default;

  bool defined() const { return static_cast<bool>(impl_); }  ///< whether there is a tensor
  const Shape& shape() const;                                ///< the sizes of its axes
  /// The number of axes.
  int64_t dim() const { return shape().rank(); }
  /// The length of axis `axis`, counted from the end when negative.
  int64_t size(int64_t axis) const;
  int64_t numel() const { return shape().numel(); }  ///< the number of elements
  DType dtype() const;                               ///< the type of its elements
  MemoryFormat memory_format() const;                ///< how they lie in memory
  /// The old name of memory_format().
  MemoryFormat order() const { return memory_format(); }

  /// @name Values
  /// @{

  /// The elements in memory. Throws Error if T is not the dtype (uint8_t also reads bool), or if
  /// the tensor is channels-last (call contiguous(x) first). Writing through it is not seen by
  /// autograd: a tensor that was saved for backward must be changed with copy_, fill_ or through
  /// mutable_data, which are.
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
  /// A row-major copy of the elements. Throws Error if T is not the dtype (uint8_t also reads
  /// bool).
  template <class T>
  std::vector<T> to_vector() const;
  /// The only element, converted to T as `to` does. Throws Error if there is more than one.
  template <class T>
  T item() const;

  /// Changes the elements in place: to those of `source` (same shape; converts the dtype), to one
  /// value, to zero. Throws Error where autograd would lose track: on a tensor that requires a
  /// gradient while recording (use NoGrad).
  void copy_(const Tensor& source) const;
  void fill_(double value) const;     ///< as copy_
  void zero_() const { fill_(0.0); }  ///< as copy_
  /// @}

  /// @name Indexing
  /// Include <tern/ops/indexing.h> to use it.
  /// @{

  /// x[i], x[Range(2, 5)], x[mask], x[numbers]: the elements at an index of the first axis, or of
  /// as many as the mask has. `x[i] = y` writes there; both are functions, index and index_put_.
  Indexed operator[](const Index& index) const;
  /// x[{1, Range(), numbers}]: with an index for each of the first axes.
  Indexed operator[](std::initializer_list<Index> indices) const;
  /// @}

  /// @name Gradients
  /// @{

  /// Whether backward passes compute a gradient for it.
  bool requires_grad() const;
  /// Makes this tensor a leaf whose gradient `backward` leaves in grad(). Floating dtypes only.
  /// Switched off, it keeps its gradient, and nothing is added to that until it is on again.
  const Tensor& set_requires_grad(bool requires_grad = true) const;
  /// The same, as PyTorch and Module call it.
  const Tensor& requires_grad_(bool requires_grad = true) const {
    return set_requires_grad(requires_grad);
  }
  /// True for tensors that no recorded operation made.
  bool is_leaf() const;
  /// The gradient that backward passes have accumulated, or an undefined tensor. It has the
  /// tensor's own shape, dtype and memory format.
  Tensor grad() const;
  /// Replaces it: by `grad` itself if nobody else has that (`set_grad(std::move(g))`), else by a
  /// copy, since in-place changes of one tensor's gradient must not reach another's.
  void set_grad(Tensor grad) const;
  /// Keep the gradient of this non-leaf in grad() as well.
  void retain_grad() const;
  /// Calls hook(gradient) in every backward pass that computes this tensor's gradient, as soon as
  /// that is complete and before it goes on. The hook returns nothing, or the gradient to go on
  /// with (same shape and dtype; an undefined tensor: leave it). Hooks run in the order of their
  /// registration, recorded under create_graph. To be registered while no pass runs.
  ///
  ///     HookHandle handle = h.register_hook([](const Tensor& dy) { return dy * 0.5; });
  ///     handle.remove();
  template <class Hook>
  HookHandle register_hook(Hook hook) const {
    if constexpr (std::is_void_v<std::invoke_result_t<Hook&, const Tensor&>>) {
      return add_hook([hook = std::move(hook)](const Tensor& grad) mutable {
        hook(grad);
        return Tensor();
      });
    } else {
      return add_hook(std::move(hook));
    }
  }
  /// Calls hook(leaf) in every backward() as soon as this leaf's gradient is complete and in
  /// grad(), while the pass goes on: to step an optimizer and free the gradient, or to send it to
  /// other machines meanwhile. If the pass fails later, the gradient stays.
  HookHandle register_post_accumulate_grad_hook(std::function<void(const Tensor&)> hook) const;
  /// Reverse-mode differentiation: adds d(this)/d(leaf), contracted with `dy`, to grad() of every
  /// leaf. `dy` defaults to 1 and may be left out for one-element tensors only.
  void backward(const Tensor& dy = {}, BackwardOptions options = {}) const;
  /// The same memory, cut off from the graph.
  Tensor detach() const;
  /// @}

  /// The same values in another dtype (or this very tensor); integers drop what is behind the
  /// point, bool is whether a value is not 0 (NaN is not). Differentiable between f32 and f64.
  /// Throws Error for a value that an integer dtype cannot hold.
  Tensor to(DType dtype) const;
  /// A deep copy with memory of its own. Differentiable: the gradient of the copy is one of this
  /// tensor, too. `x.detach().clone()` is cut off from the graph.
  Tensor clone() const;
  /// Whether both handles mean the same tensor.
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  /// @name For writers of operations
  /// @{

  /// Memory without regard to the format, and the recorded operation that made this tensor.
  template <class T>
  T* raw() const {
    return static_cast<T*>(raw_data());
  }
  void* raw_data() const;
  const std::shared_ptr<Node>& node() const;
  const Edge& edge() const;
  void set_node(std::shared_ptr<Node> node, uint32_t output = 0) const;
  /// How many handles share this tensor.
  long use_count() const { return impl_.use_count(); }
  /// Whether this handle is the only one, and no other tensor has the same memory: what it holds
  /// may then be overwritten by who drops it next.
  bool is_unshared() const;
  uint64_t version() const;
  void bump_version() const;
  const std::shared_ptr<Storage>& storage() const;
  /// Replaces shape, dtype, format and memory behind every handle of this tensor, keeping identity
  /// and requires_grad (what Module::to(DType) does to parameters). Drops the gradient.
  void replace_data(const Tensor& source) const;
  /// A tensor over existing memory; `storage` must hold shape.numel() elements.
  Tensor(const Shape& shape, DType dtype, MemoryFormat format, std::shared_ptr<Storage> storage);
  /// @}

 private:
  friend class detail::WeakTensor;
  friend void detail::add_to_grad(const Tensor& x, Tensor gradient);
  struct Impl;
  const Impl& impl() const;
  friend void duplicate_in_scope(std::shared_ptr<Impl>& impl);
  detail::GradState& grad_state() const;
  HookHandle add_hook(GradHook hook) const;
  void* checked_data(DType dtype) const;
  size_t element_count() const { return static_cast<size_t>(numel()); }

  detail::Handle<Impl> impl_;
};

/// @name Creation
/// Shapes from braces: zeros({2, 3}). All tensors are row-major.
/// @{

/// Memory that holds whatever was there.
Tensor empty(const Shape& shape, DType dtype = DType::f32,
             MemoryFormat format = MemoryFormat::row_major);
/// As above: without it, empty(sizes) of a vector would be std::empty.
template <class Allocator>
Tensor empty(const std::vector<int64_t, Allocator>& sizes, DType dtype = DType::f32,
             MemoryFormat format = MemoryFormat::row_major) {
  return empty(Shape(sizes), dtype, format);
}
Tensor zeros(const Shape& shape, DType dtype = DType::f32);  ///< 0 everywhere
Tensor ones(const Shape& shape, DType dtype = DType::f32);   ///< 1 everywhere
/// `value` everywhere, converted as Tensor::to does.
Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
/// `count` numbers from `start` to `end`, both included, in equal steps: the first and the last are
/// those very numbers, and rounding errors do not add up. As torch.linspace.
Tensor linspace(double start, double end, int64_t count, DType dtype = DType::f32);
/// 1 on the diagonal of a matrix, 0 elsewhere.
Tensor eye(int64_t rows, int64_t columns, DType dtype = DType::f32);
Tensor eye(int64_t n, DType dtype = DType::f32);  ///< n by n
/// Uniform in [0, 1).
Tensor rand(const Shape& shape, DType dtype = DType::f32);
/// Normal with mean 0 and variance 1.
Tensor randn(const Shape& shape, DType dtype = DType::f32);
/// Whole numbers from `low` to `high` - 1, all equally likely. Throws Error if there is none, or
/// `dtype` cannot hold them.
Tensor randint(int64_t low, int64_t high, const Shape& shape, DType dtype = DType::i64);
/// Whole numbers from 0 to `high` - 1.
Tensor randint(int64_t high, const Shape& shape, DType dtype = DType::i64);
/// 0 to n - 1 in random order (i64).
Tensor randperm(int64_t n);
/// 0, 1, ... below `end`, i64 unless told otherwise.
Tensor arange(double end, DType dtype = DType::i64);
/// start, start + step, ... below `end`, i64 unless told otherwise.
Tensor arange(double start, double end, double step = 1.0, DType dtype = DType::i64);
/// A copy of `values`, which must have shape.numel() elements.
Tensor tensor(const std::vector<float>& values, const Shape& shape);
Tensor tensor(const std::vector<double>& values, const Shape& shape);   ///< f64
Tensor tensor(const std::vector<int64_t>& values, const Shape& shape);  ///< i64
Tensor tensor(const std::vector<uint8_t>& values, const Shape& shape);  ///< u8
Tensor tensor(const std::vector<bool>& values, const Shape& shape);     ///< bool
/// As above, from braces: tensor({1.f, 2.f}, {2}) is f32, tensor({1.0, 2.0}, {2}) f64, tensor({1,
/// 2}, {2}) i64.
template <class T>
requires(std::is_same_v<T, int> || requires { DTypeOf<T>::value; }) Tensor
    tensor(std::initializer_list<T> values, const Shape& shape) {
  using Element = std::conditional_t<std::is_same_v<T, int>, int64_t, T>;
  return tensor(std::vector<Element>(values.begin(), values.end()), shape);
}
/// A tensor of one axis, as long as there are values.
template <class T>
requires(std::is_same_v<T, int> || requires { DTypeOf<T>::value; }) Tensor
    tensor(std::initializer_list<T> values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}
/// As above.
template <class T>
requires(requires { DTypeOf<T>::value; }) Tensor tensor(const std::vector<T>& values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}
/// A tensor over memory that is not Tern's: `data` points at shape.numel() elements of `dtype`,
/// row-major. Nothing is copied: reading the tensor reads that memory, and changing the tensor in
/// place changes it. The memory has to stay valid until the last tensor that shares it is gone:
/// handles, detach(), reshape(), modules, and graphs that saved it. `release(data)`, if given, is
/// called then, on the thread that drops that tensor. Results have the same bits as with Tern's own
/// memory, which is aligned to 64 bytes; only f64 sums may differ in the last bit. Throws Error,
/// without calling release, if `data` is null (and there are elements) or not aligned to an
/// element.
///
///     std::vector<float> pixels(3 * 32 * 32);
///     Tensor view = from_blob(pixels.data(), {3, 32, 32});          // pixels must live on
///     Tensor copy = from_blob(pixels.data(), {3, 32, 32}).clone();  // need not
Tensor from_blob(void* data, const Shape& shape, DType dtype,
                 std::function<void(void*)> release = {});
/// As above, with the dtype of T.
template <class T>
requires(!std::is_void_v<T>) Tensor
    from_blob(T* data, const Shape& shape, std::function<void(void*)> release = {}) {
  static_assert(!std::is_const_v<T>,
                "from_blob shares memory that in-place operations may change: copy constant data "
                "with tensor(values, shape)");
  return from_blob(static_cast<void*>(data), shape, DTypeOf<T>::value, std::move(release));
}
/// Tensors like another one: its shape, dtype and memory format.
Tensor empty_like(const Tensor& x);
Tensor zeros_like(const Tensor& x);               ///< 0 everywhere
Tensor ones_like(const Tensor& x);                ///< 1 everywhere
Tensor full_like(const Tensor& x, double value);  ///< `value` everywhere
/// As rand and randn: the same numbers in either memory format.
Tensor rand_like(const Tensor& x);
Tensor randn_like(const Tensor& x);  ///< as rand_like
/// @}

/// @name Memory format
/// @{

/// The same tensor in the given format: itself if it already lies so (also when both formats are
/// the same bytes, as for one channel or 1x1 images), else a copy. channels_last needs rank 4.
/// Differentiable.
Tensor to_memory_format(const Tensor& x, MemoryFormat format);
/// The old name of to_memory_format.
inline Tensor to_order(const Tensor& x, MemoryFormat format) { return to_memory_format(x, format); }
/// to_memory_format(x, MemoryFormat::row_major)
Tensor contiguous(const Tensor& x);
/// @}

/// Values as PyTorch prints them, large tensors abbreviated, and what else is known:
/// "tensor([[1., 2.], [3., 4.]], f32[2,2])".
std::string to_string(const Tensor& x);
/// "f32[64,3,32,32]", or "undefined": how messages name a tensor.
std::string error_text(const Tensor& x);
/// Writes to_string(x).
std::ostream& operator<<(std::ostream& out, const Tensor& x);

}  // namespace tern
