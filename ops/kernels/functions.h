// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh and the like of n float32 numbers, with the widest vectors that the CPU has and
// the same bits whatever they are.
#pragma once

#include <cstdint>

#include "isa.h"

namespace tern::kernels {

/// y may be x or any other of the arguments.
struct Functions {
  /// y = exp(x - shift); 0 for -inf, inf from 88.73 on, subnormal results included
  void (*exp)(int64_t n, const float* x, float shift, float* y);
  void (*exp_of)(int64_t n, const float* x, float* y);
  /// y[i] = exp(x[i] - shifts[i])
  void (*exp_difference)(int64_t n, const float* x, const float* shifts, float* y);
  void (*log)(int64_t n, const float* x, float* y);
  void (*logistic)(int64_t n, const float* x, float* y);
  void (*tanh)(int64_t n, const float* x, float* y);
  void (*erf)(int64_t n, const float* x, float* y);
  void (*silu)(int64_t n, const float* x, float* y);
  void (*gelu)(int64_t n, const float* x, float* y);
  void (*gelu_tanh)(int64_t n, const float* x, float* y);
  /// dx = dy * silu'(x)
  void (*silu_backward)(int64_t n, const float* x, const float* dy, float* dx);
  void (*gelu_backward)(int64_t n, const float* x, const float* dy, float* dx);
  void (*gelu_tanh_backward)(int64_t n, const float* x, const float* dy, float* dx);
  /// dx = dy - exp(y) * total
  void (*log_softmax_backward)(int64_t n, const float* y, const float* dy, float total, float* dx);
};

/// Those of this CPU.
inline const Functions& functions() { return *isa_kernels().functions; }

}  // namespace tern::kernels
