// SPDX-License-Identifier: Apache-2.0
// What the front-ends of several operations have in common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "../../core/autograd.h"
#include "../../core/error.h"
#include "../../core/op_scope.h"
#include "../../core/tensor.h"
#include "../movement.h"
#include "../window.h"

namespace tern {

/// x, for a node to save, if a gradient that needs it can be asked for: that of `other`.
inline Tensor needed_by(const Tensor& other, const Tensor& x) {
  return other.requires_grad() ? x : Tensor();
}

/// Whether x may choose elements: bool, as comparisons give it, or u8.
inline bool is_mask(const Tensor& x) {
  return x.dtype() == DType::boolean || x.dtype() == DType::u8;
}

/// Throws Error naming `op` unless the argument called `name` is f32 or f64.
inline void check_floating(const char* op, const char* name, const Tensor& x) {
  if (is_floating(x.dtype())) return;
  fail(op, name, " is ", x, ", want f32 or f64: convert with .to(DType::f32)");
}

/// Throws Error naming `op` unless both are tensors of one floating dtype.
void check_operands(const char* op, const char* a_name, const Tensor& a, const char* b_name,
                    const Tensor& b);

/// Throws Error naming `op` if running statistics ask for a gradient, which they do not get, while
/// it would be recorded: they change in place.
inline void check_statistic(const char* op, const char* name, const Tensor& v) {
  if (!v.defined() || !v.requires_grad() || !grad_enabled()) return;
  fail(op, name, " ", v, " requires a gradient, which there is none for running statistics: give ",
       name, ".detach()");
}

/// As OpScope takes it.
inline AttributeValue attribute_of(int64_t size) { return std::vector<int64_t>{size}; }
inline AttributeValue attribute_of(Size2d size) { return std::vector<int64_t>{size.h, size.w}; }
inline AttributeValue attribute_of(Size3d size) {
  return std::vector<int64_t>{size.d, size.h, size.w};
}

/// A pooling's stride; none is given where it is the kernel's size.
template <class Size>
OpAttribute stride_attribute(const std::optional<Size>& stride) {
  return {"stride", stride ? attribute_of(*stride) : std::vector<int64_t>{}};
}

/// Throws Error naming `op` unless both sizes of an option called `what` are `smallest` or more.
inline void check_window(const char* op, const char* what, Size2d value, int64_t smallest) {
  if (std::min(value.h, value.w) < smallest || std::max(value.h, value.w) > INT32_MAX) {
    fail(op, what, " is {", value.h, ",", value.w, "}, want at least ", smallest,
         " and less than 2^31");
  }
}

/// Throws Error naming `op` unless images have pixels, and few enough for products of two sizes.
inline void check_pixels(const char* op, const Tensor& x, Size2d size) {
  if (size.h < 1 || size.w < 1) fail(op, "x has no pixels (x ", x, ")");
  if (std::max(size.h, size.w) > INT32_MAX) fail(op, "x is ", x, ", want axes shorter than 2^31");
}

/// Applies f, written for N,C,H,W, to x in its data format.
template <class F>
Tensor in_format(DataFormat format, const Tensor& x, const F& f) {
  if (format == DataFormat::NCHW) return f(x);
  return permute(f(permute(x, {0, 3, 1, 2})), {0, 2, 3, 1});
}

}  // namespace tern
