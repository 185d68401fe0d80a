// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of float32: functions.h for those that take many instructions, plain loops,
// which the compiler vectorises, for those that wait for memory anyway.
#include "functions.h"
#include "strided.h"
#include "unary.h"
#include "unary_functions.h"

namespace tern::kernels {

namespace {

/// Elements of a function of functions.h that are worth another thread.
constexpr int64_t kCostlyGrain = kGrain / 2;

using Function = void (*)(int64_t, const float*, float*);
using Derivative = void (*)(int64_t, const float*, const float*, float*);

void exp_of(int64_t n, const float* x, float* y) { functions().exp(n, x, 0, y); }

/// Null for what a plain loop does.
Function function_of(Unary kind) {
  switch (kind) {
    case Unary::exp:
      return exp_of;
    case Unary::log:
      return functions().log;
    case Unary::erf:
      return functions().erf;
    case Unary::sigmoid:
      return functions().logistic;
    case Unary::tanh:
      return functions().tanh;
    case Unary::gelu:
      return functions().gelu;
    case Unary::silu:
      return functions().silu;
    default:
      return nullptr;
  }
}

Derivative derivative_of(Unary kind) {
  switch (kind) {
    case Unary::gelu:
      return functions().gelu_backward;
    case Unary::silu:
      return functions().silu_backward;
    default:
      return nullptr;
  }
}

}  // namespace

void unary_f32(Unary kind, double alpha, int64_t count, const float* x, float* y) {
  if (const Function f = function_of(kind)) {
    parallel_for(count, kCostlyGrain,
                 [&](int64_t begin, int64_t end) { f(end - begin, x + begin, y + begin); });
    return;
  }
  with_function<float>(kind, static_cast<float>(alpha), [&](const auto& f) {
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
    });
  });
}

void unary_backward_f32(Unary kind, double alpha, int64_t count, const float* saved,
                        const float* dy, float* dx) {
  if (const Derivative f = derivative_of(kind)) {
    parallel_for(count, kCostlyGrain, [&](int64_t begin, int64_t end) {
      f(end - begin, saved + begin, dy + begin, dx + begin);
    });
    return;
  }
  with_derivative<float>(kind, static_cast<float>(alpha), [&](const auto& f) {
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) dx[i] = f(saved[i], dy[i]);
    });
  });
}

}  // namespace tern::kernels
