// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two tensors.
#pragma once

#include "dispatch.h"
#include "strided.h"

namespace tern::kernels {

/// The last two are mul and div of gradients: 0 where a is 0, whatever b is.
enum class Binary : uint8_t {
  add,
  sub,
  mul,
  minimum,
  maximum,
  remainder,
  div,
  pow,
  add_relu,
  product,
  quotient
};
enum class Compare : uint8_t { eq, ne, lt, le, gt, ge };

/// y = a op b over a nest whose operands are y, a and b; y is dense, and may be a. Integers wrap
/// around; those up to remainder are for integers too. The remainder has the sign of b, which is no
/// integer 0.
template <class T>
void binary_fast(Binary kind, const LoopNest& nest, const T* a, const T* b, T* y);
template <class T>
void binary_reference(Binary kind, const LoopNest& nest, const T* a, const T* b, T* y);
template <class T>
void binary(Binary kind, const LoopNest& nest, const T* a, const T* b, T* y) {
  dispatch(binary_fast<T>, binary_reference<T>, kind, nest, a, b, y);
}

/// y = 1 where a op b holds, 0 elsewhere.
template <class T>
void compare_fast(Compare kind, const LoopNest& nest, const T* a, const T* b, uint8_t* y);
template <class T>
void compare_reference(Compare kind, const LoopNest& nest, const T* a, const T* b, uint8_t* y);
template <class T>
void compare(Compare kind, const LoopNest& nest, const T* a, const T* b, uint8_t* y) {
  dispatch(compare_fast<T>, compare_reference<T>, kind, nest, a, b, y);
}

/// What `where` chooses from: an element for each of the result's, one for all, or (null) zeros.
struct Choice {
  const void* elements = nullptr;
  bool is_one = false;
};

/// y = a where the condition is not 0, b elsewhere. Copies, which need no second kernel.
void where(DType dtype, int64_t count, const uint8_t* condition, Choice a, Choice b, void* y);

}  // namespace tern::kernels
