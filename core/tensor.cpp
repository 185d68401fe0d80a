// SPDX-License-Identifier: Apache-2.0
#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autograd.h"
#include "error.h"
#include "internal/convert.h"
#include "internal/fill.h"
#include "internal/parallel.h"
#include "internal/storage.h"
#include "internal/tensor_impl.h"
#include "op_scope.h"

namespace tern {

namespace {

void require_recordable(const char* op, const Tensor& x) {
  if (x.requires_grad() && grad_enabled()) {
    fail(op, "changes ", x, " in place, which requires a gradient: do it inside a NoGrad scope");
  }
}

class CloneNode final : public Node {
 public:
  const char* name() const override { return "clone"; }
  Gradients backward(const Tensor& dy) override { return {dy}; }
};

}  // namespace

Tensor::Tensor(const Shape& shape, DType dtype, MemoryFormat order,
               std::shared_ptr<Storage> storage)
    : impl_(std::make_shared<Impl>(shape, dtype, order, std::move(storage))) {}

const Tensor::Impl& Tensor::impl() const {
  if (!impl_) fail("tensor", "is undefined (default-constructed or absent), want a tensor");
  return *impl_;
}

std::string error_text(const Tensor& x) {
  if (!x.defined()) return "undefined";
  return std::string(to_string(x.dtype())) + to_string(x.shape());
}

const Shape& Tensor::shape() const { return impl().shape; }
DType Tensor::dtype() const { return impl().dtype; }
MemoryFormat Tensor::memory_format() const { return impl().format; }
int64_t Tensor::size(int64_t axis) const { return shape()[resolve_axis("size", axis, shape())]; }
void* Tensor::raw_data() const { return impl().storage->data(); }
uint64_t Tensor::version() const { return impl().storage->version(); }
void Tensor::bump_version() const { impl().storage->bump_version(); }
const std::shared_ptr<Storage>& Tensor::storage() const { return impl().storage; }
bool Tensor::is_unshared() const {
  return use_count() == 1 && storage().use_count() == 1 && storage()->is_ours();
}

void* Tensor::checked_data(DType wanted) const {
  OpScope::shows(*this);
  const bool byte_of_bool = wanted == DType::u8 && dtype() == DType::boolean;
  if (dtype() != wanted && !byte_of_bool) {
    fail("data", "tensor is ", *this, ", elements of type ", wanted,
         " were asked for: convert with .to(DType::", wanted, ")");
  }
  if (memory_format() != MemoryFormat::row_major && !same_in_both_formats(shape())) {
    fail("data", "tensor ", *this, " lies channels-last: call contiguous(x) first");
  }
  return raw_data();
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  OpScope::shows(*this);
  const NoGrad no_grad;
  const Tensor plain = contiguous(*this);
  const auto values = plain.data<T>();
  return {values.begin(), values.end()};
}

template <class T>
T Tensor::item() const {
  if (numel() != 1) fail("item", "tensor ", *this, " has ", numel(), " elements, want 1");
  OpScope::shows(*this);
  return visit(dtype(), [&]<class U>(U) {
    const U value = *raw<U>();
    if (!fits<T>(value))
      fail("item", "the value is ", value, ", which the type asked for cannot hold");
    return convert<T>(value);
  });
}

template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int64_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;
template std::vector<bool> Tensor::to_vector() const;
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
  const OpScope scope("copy_", *this, source);
  OpScope::writes(*this);
  OpScope::reads_only(source.numel() * static_cast<int64_t>(size_of(source.dtype())));
  {
    const NoGrad no_grad;
    const Tensor plain = to_memory_format(source.to(dtype()), memory_format());
    std::memcpy(raw_data(), plain.raw_data(), element_count() * size_of(dtype()));
  }
  bump_version();
  scope.result(*this);
}

void Tensor::fill_(double value) const {
  require_recordable("fill_", *this);
  const OpScope scope("fill_", *this, "value", value);
  OpScope::writes(*this);
  OpScope::reads_only(0);
  fill_values("fill_", *this, value);
  bump_version();
  scope.result(*this);
}

Tensor Tensor::detach() const {
  const OpScope scope("detach", *this);
  return scope.result(detail::without_graph(*this));
}

Tensor detail::without_graph(const Tensor& x) {
  return {x.shape(), x.dtype(), x.memory_format(), x.storage()};
}

Tensor Tensor::clone() const {
  const OpScope scope("clone", *this);
  Tensor copy = empty_like(*this);
  std::memcpy(copy.raw_data(), raw_data(), element_count() * size_of(dtype()));
  return scope.result(record<CloneNode>(copy, {*this}));
}

void Tensor::replace_data(const Tensor& source) const {
  impl();
  if (!is_leaf()) fail("replace_data", "a recorded operation made ", *this, ": only leaves can be");
  if (requires_grad() && !is_floating(source.dtype())) {
    fail("replace_data", "source is ", source, ", but ", *this, " requires a gradient");
  }
  impl_->shape = source.shape();
  impl_->dtype = source.dtype();
  impl_->format = source.memory_format();
  impl_->storage = source.storage();
  if (!impl_->grad) return;
  set_grad({});
  if (impl_->grad->leaf) impl_->grad->leaf->describe(*this);
}

}  // namespace tern
