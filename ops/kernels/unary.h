// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one tensor and up to two numbers.
#pragma once

#include <array>
#include <cstdint>

#include "dispatch.h"

namespace tern::kernels {

/// A function: its place in the list at the end of unary_functions.h.
enum class Unary : uint8_t {};
/// Its parameters, as many as it has.
using Numbers = std::array<double, 2>;

void unary_fast(Unary function, Numbers numbers, int64_t count, const float* x, float* y);
/// Integers (int64_t, uint8_t) wrap around.
template <class T>
void unary_reference(Unary function, Numbers numbers, int64_t count, const T* x, T* y);
template <class T>
void unary(Unary function, Numbers numbers, int64_t count, const T* x, T* y) {
  dispatch(unary_fast, unary_reference<T>, function, numbers, count, x, y);
}

/// dx = dy * f', given what f saves; dx may be dy.
void unary_backward_fast(Unary function, Numbers numbers, int64_t count, const float* saved,
                         const float* dy, float* dx);
template <class T>
void unary_backward_reference(Unary function, Numbers numbers, int64_t count, const T* saved,
                              const T* dy, T* dx);
template <class T>
void unary_backward(Unary function, Numbers numbers, int64_t count, const T* saved, const T* dy,
                    T* dx) {
  dispatch(unary_backward_fast, unary_backward_reference<T>, function, numbers, count, saved, dy,
           dx);
}

}  // namespace tern::kernels
