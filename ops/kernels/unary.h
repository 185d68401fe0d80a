// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one tensor and perhaps a number. Private: not installed.
#pragma once

#include <cstdint>

namespace tern::kernels {

/// With the number alpha: x + alpha, x * alpha, x / alpha, alpha - x, alpha / x, x^alpha;
/// leaky_relu has it as its slope.
enum class Unary : uint8_t {
  add,
  mul,
  div,
  rsub,
  rdiv,
  pow,
  neg,
  abs,
  exp,
  log,
  sqrt,
  sin,
  cos,
  erf,
  relu,
  leaky_relu,
  sigmoid,
  tanh,
  gelu,
  silu
};

/// Whether the derivative is a function of the result rather than of x.
inline bool saves_output(Unary kind, double alpha) {
  return kind == Unary::exp || kind == Unary::sqrt || kind == Unary::relu ||
         kind == Unary::sigmoid || kind == Unary::tanh ||
         (kind == Unary::leaky_relu && alpha >= 0);  // then y has the sign of x
}

void unary_f32(Unary kind, double alpha, int64_t count, const float* x, float* y);
template <class T>
void unary_eigen(Unary kind, double alpha, int64_t count, const T* x, T* y);
/// add, mul, rsub, neg, abs and relu of int64_t and uint8_t; wraps around.
template <class T>
void unary_integer(Unary kind, int64_t alpha, int64_t count, const T* x, T* y);

/// dx = dy * f'(x), given x or the result as saves_output says.
void unary_backward_f32(Unary kind, double alpha, int64_t count, const float* saved,
                        const float* dy, float* dx);
template <class T>
void unary_backward_eigen(Unary kind, double alpha, int64_t count, const T* saved, const T* dy,
                          T* dx);

}  // namespace tern::kernels
