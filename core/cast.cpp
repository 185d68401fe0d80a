// SPDX-License-Identifier: Apache-2.0
// Tensors in another dtype.
#include <atomic>

#include "autograd.h"
#include "error.h"
#include "internal/convert.h"
#include "internal/parallel.h"
#include "op_scope.h"
#include "tensor.h"

namespace tern {

namespace {

class ConvertNode final : public Node {
 public:
  explicit ConvertNode(DType from) : from_(from) {}
  const char* name() const override { return "to"; }
  Gradients backward(const Tensor& dy) override { return {dy.to(from_)}; }

 private:
  DType from_;
};

// Converts count elements; the first that does not fit is an Error.
template <class From, class To>
void convert_elements(int64_t count, const From* source, To* values, DType target) {
  std::atomic<bool> all_fit = true;
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    bool fit = true;
    for (int64_t i = begin; i < end; ++i) {
      fit &= fits<To>(source[i]);
      values[i] = convert<To>(source[i]);
    }
    if (!fit) all_fit = false;
  });
  for (int64_t i = 0; !all_fit && i < count; ++i) {
    if (!fits<To>(source[i])) fail_conversion("to", source[i], target);
  }
}

}  // namespace

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  if (target == DType::bf16) fail("to", "dtype bf16 exists in files only: use f32");
  const OpScope scope("to", *this, "dtype", target);
  Tensor y = empty(shape(), target, memory_format());
  visit(dtype(), [&]<class From>(From) {
    const From* source = raw<From>();
    if (target == DType::boolean) return convert_elements(numel(), source, y.raw<bool>(), target);
    visit(target, [&]<class To>(To) { convert_elements(numel(), source, y.raw<To>(), target); });
  });
  if (!is_floating(target)) return scope.result(std::move(y));
  return scope.result(record<ConvertNode>(y, {*this}, dtype()));
}

}  // namespace tern
