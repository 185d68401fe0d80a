// SPDX-License-Identifier: Apache-2.0
#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autograd.h"
#include "convert.h"
#include "error.h"
#include "leaf.h"
#include "parallel.h"
#include "profiler.h"
#include "random.h"
#include "storage.h"

namespace tern {

struct Tensor::Impl {
  Shape shape;
  DType dtype;
  Order order;
  std::shared_ptr<Storage> storage;
  std::shared_ptr<Node> node = nullptr;
};

namespace {

constexpr int64_t kGrain = 1 << 15;

// A one-element or one-channel image batch has the same bytes in both orders.
bool row_major_bytes(const Shape& shape, Order order) {
  return order == Order::row_major || shape[1] == 1 || shape[2] * shape[3] == 1 ||
         shape.numel() == 0;
}

void require_recordable(const char* op, const Tensor& x) {
  if (x.requires_grad() && grad_enabled()) {
    fail(op, "changes ", x, " in place, which requires a gradient: do it inside a NoGrad scope");
  }
}

template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != shape.numel()) {
    fail("tensor", values.size(), " values do not fill shape ", shape, ", which has ",
         shape.numel(), " elements");
  }
  const Tensor x = empty(shape, DTypeOf<T>::value);
  std::copy(values.begin(), values.end(), x.raw<T>());
  return x;
}

// Fills x with f(number) of consecutive numbers of the default generator.
template <class F>
Tensor random_tensor(const char* op, const Shape& shape, DType dtype, F f) {
  if (!is_floating(dtype)) fail(op, "dtype is ", dtype, ", want f32 or f64");
  const Tensor x = empty(shape, dtype);
  Generator& generator = default_generator();
  const Generator::State state = generator.state();
  const uint64_t first = generator.reserve(x.numel());
  visit_floating(dtype, [&](auto t) {
    using T = decltype(t);
    T* values = x.raw<T>();
    parallel_for(x.numel(), 1 << 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        values[i] = f(Generator::bits_at(state, first + static_cast<uint64_t>(i)), t);
      }
    });
  });
  return x;
}

}  // namespace

Tensor::Tensor(const Shape& shape, DType dtype, Order order, std::shared_ptr<Storage> storage)
    : impl_(std::make_shared<Impl>(Impl{shape, dtype, order, std::move(storage)})) {}

const Tensor::Impl& Tensor::impl() const {
  if (!impl_) fail("tensor", "is undefined (default-constructed or absent), want a tensor");
  return *impl_;
}

const Shape& Tensor::shape() const { return impl().shape; }
DType Tensor::dtype() const { return impl().dtype; }
Order Tensor::order() const { return impl().order; }
int64_t Tensor::size(int64_t axis) const { return shape()[resolve_axis("size", axis, shape())]; }
void* Tensor::raw_data() const { return impl().storage->data(); }
const std::shared_ptr<Node>& Tensor::node() const { return impl().node; }
void Tensor::set_node(std::shared_ptr<Node> node) const {
  impl();
  impl_->node = std::move(node);
}
uint64_t Tensor::version() const { return impl().storage->version(); }
void Tensor::bump_version() const { impl().storage->bump_version(); }
const std::shared_ptr<Storage>& Tensor::storage() const { return impl().storage; }
bool Tensor::is_unshared() const { return use_count() == 1 && storage().use_count() == 1; }

void* Tensor::checked_data(DType wanted) const {
  if (dtype() != wanted) {
    fail("data", "tensor is ", *this, ", elements of type ", wanted,
         " were asked for: convert with .to(DType::", wanted, ")");
  }
  if (!row_major_bytes(shape(), order())) {
    fail("data", "tensor ", *this, " lies channels-last: call contiguous(x) first");
  }
  return raw_data();
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const NoGrad no_grad;
  const Tensor plain = contiguous(*this);
  const auto values = plain.data<T>();
  return {values.begin(), values.end()};
}

template <class T>
T Tensor::item() const {
  if (numel() != 1) fail("item", "tensor ", *this, " has ", numel(), " elements, want 1");
  return visit(dtype(), [&](auto t) { return convert<T>(*raw<decltype(t)>()); });
}

template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int64_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;
template float Tensor::item() const;
template double Tensor::item() const;
template int64_t Tensor::item() const;
template int Tensor::item() const;
template uint8_t Tensor::item() const;
template bool Tensor::item() const;

void Tensor::copy_(const Tensor& source) const {
  require_recordable("copy_", *this);
  if (source.shape() != shape()) fail("copy_", "source is ", source, ", want the shape of ", *this);
  if (is_same(source)) return;
  const ProfilerRange range("copy_", source);
  ProfilerRange::writes(*this);
  {
    const NoGrad no_grad;
    const Tensor plain = to_order(source.to(dtype()), order());
    std::memcpy(raw_data(), plain.raw_data(), element_count() * size_of(dtype()));
  }
  bump_version();
}

void Tensor::fill_(double value) const {
  require_recordable("fill_", *this);
  visit(dtype(), [&](auto t) {
    using T = decltype(t);
    T* values = raw<T>();
    const T converted = convert<T>(value);
    parallel_for(numel(), kGrain, [&](int64_t begin, int64_t end) {
      std::fill(values + begin, values + end, converted);
    });
  });
  bump_version();
}

bool Tensor::requires_grad() const { return impl_ && impl_->node; }
bool Tensor::is_leaf() const { return !node() || node()->inputs().empty(); }

const Tensor& Tensor::set_requires_grad(bool requires_grad) const {
  if (requires_grad == this->requires_grad()) return *this;
  if (!requires_grad && !is_leaf()) {
    fail("set_requires_grad", "a recorded operation made ", *this, ": use detach()");
  }
  if (requires_grad && !is_floating(dtype())) {
    fail("set_requires_grad", "tensor is ", *this, ", only f32 and f64 can have gradients");
  }
  set_node(requires_grad ? std::make_shared<Leaf>(*this) : nullptr);
  return *this;
}

Tensor Tensor::grad() const { return node() ? node()->grad_ : Tensor(); }

void Tensor::set_grad(const Tensor& grad) const {
  if (!requires_grad()) fail("set_grad", "tensor ", *this, " does not require a gradient");
  if (grad.defined() && (grad.shape() != shape() || grad.dtype() != dtype())) {
    fail("set_grad", "gradient is ", grad, ", want shape and dtype of ", *this);
  }
  const NoGrad no_grad;
  node()->grad_ = grad.defined() ? to_order(grad, order()) : grad;
}

void Tensor::retain_grad() const {
  if (!requires_grad()) fail("retain_grad", "tensor ", *this, " does not require a gradient");
  node()->retain_grad_ = true;
}

Tensor Tensor::detach() const { return {shape(), dtype(), order(), storage()}; }

Tensor Tensor::clone() const {
  const ProfilerRange range("clone", *this);
  const Tensor copy = empty_like(*this);
  std::memcpy(copy.raw_data(), raw_data(), element_count() * size_of(dtype()));
  return copy;
}

void Tensor::replace_data(const Tensor& source) const {
  impl();
  if (!is_leaf()) fail("replace_data", "a recorded operation made ", *this, ": only leaves can be");
  if (requires_grad() && !is_floating(source.dtype())) {
    fail("replace_data", "source is ", source, ", but ", *this, " requires a gradient");
  }
  impl_->shape = source.shape();
  impl_->dtype = source.dtype();
  impl_->order = source.order();
  impl_->storage = source.storage();
  if (impl_->node) impl_->node->describe_output(*this);
}

Tensor empty(const Shape& shape, DType dtype, Order order) {
  if (dtype == DType::bf16) fail("empty", "dtype bf16 exists in files only: use f32");
  if (order == Order::channels_last && shape.size() != 4) {
    fail("empty", "channels-last needs 4 axes, shape is ", shape);
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.numel()), size_of(dtype), &bytes)) {
    fail("empty", "shape ", shape, " does not fit into memory");
  }
  ProfilerRange::bytes(static_cast<int64_t>(bytes));
  return {shape, dtype, order, std::make_shared<Storage>(bytes)};
}

Tensor full(const Shape& shape, double value, DType dtype) {
  const Tensor x = empty(shape, dtype);
  x.fill_(value);
  return x;
}
Tensor zeros(const Shape& shape, DType dtype) { return full(shape, 0.0, dtype); }
Tensor ones(const Shape& shape, DType dtype) { return full(shape, 1.0, dtype); }

Tensor rand(const Shape& shape, DType dtype) {
  return random_tensor("rand", shape, dtype, [](uint64_t bits, auto t) {
    // A float keeps 24 bits: more could round up to 1.
    if constexpr (sizeof t == 4) return static_cast<float>(bits >> 40) * 0x1p-24f;
    return static_cast<decltype(t)>(Generator::to_uniform(bits));
  });
}

Tensor randn(const Shape& shape, DType dtype) {
  return random_tensor("randn", shape, dtype, [](uint64_t bits, auto t) {
    return static_cast<decltype(t)>(Generator::to_normal(bits));
  });
}

Tensor arange(double end, DType dtype) { return arange(0, end, 1, dtype); }

Tensor arange(double start, double end, double step, DType dtype) {
  const double count = std::ceil((end - start) / step);
  if (!(step != 0) || !std::isfinite(count) || count > 0x1p53) {
    fail("arange", "start ", start, ", end ", end, ", step ", step, " is not a finite range");
  }
  const Tensor x = empty({std::max<int64_t>(0, static_cast<int64_t>(count))}, dtype);
  visit(dtype, [&](auto t) {
    using T = decltype(t);
    T* values = x.raw<T>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      values[i] = convert<T>(start + static_cast<double>(i) * step);
    }
  });
  return x;
}

Tensor tensor(const std::vector<float>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<double>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<int64_t>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<uint8_t>& values, const Shape& shape) {
  return from_vector(values, shape);
}

Tensor empty_like(const Tensor& x) { return empty(x.shape(), x.dtype(), x.order()); }
Tensor zeros_like(const Tensor& x) {
  const Tensor y = empty_like(x);
  y.zero_();
  return y;
}
Tensor ones_like(const Tensor& x) {
  const Tensor y = empty_like(x);
  y.fill_(1.0);
  return y;
}

}  // namespace tern
