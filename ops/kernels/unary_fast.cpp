// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of float32: functions.h for those that take many instructions, plain loops,
// which the compiler vectorises, for those that wait for memory anyway.
#include "strided.h"
#include "unary.h"
#include "unary_functions.h"

namespace tern::kernels {

namespace {

/// Elements of a function of functions.h that are worth another thread.
constexpr int64_t kCostlyGrain = kGrain / 2;

template <class Loop>
constexpr bool kPresent = !std::is_null_pointer_v<std::remove_cvref_t<Loop>>;

}  // namespace

void unary_fast(Unary function, Numbers numbers, int64_t count, const float* x, float* y) {
  const auto a = static_cast<float>(numbers[0]), b = static_cast<float>(numbers[1]);
  UnaryFunctions::visit(function, [&]<class F>(F f) {
    if constexpr (kPresent<decltype(F::fast)>) {
      const auto loop = functions().*F::fast;
      parallel_for(count, kCostlyGrain,
                   [&](int64_t begin, int64_t end) { loop(end - begin, x + begin, y + begin); });
    } else {
      parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
        const float p = a, q = b;  // copies, which y cannot overlap
        for (int64_t i = begin; i < end; ++i) y[i] = value_of(f, x[i], p, q);
      });
    }
  });
}

void unary_backward_fast(Unary function, Numbers numbers, int64_t count, const float* saved,
                         const float* dy, float* dx) {
  const auto a = static_cast<float>(numbers[0]), b = static_cast<float>(numbers[1]);
  UnaryFunctions::visit(function, [&]<class F>(F f) {
    if constexpr (std::is_base_of_v<Linear, F>) {
      // its gradient takes no loop of its own
    } else if constexpr (kPresent<decltype(F::fast_gradient)>) {
      const auto loop = functions().*F::fast_gradient;
      parallel_for(count, kCostlyGrain, [&](int64_t begin, int64_t end) {
        loop(end - begin, saved + begin, dy + begin, dx + begin);
      });
    } else {
      parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
        const float p = a, q = b;
        for (int64_t i = begin; i < end; ++i) dx[i] = gradient_of(f, dy[i], saved[i], p, q);
      });
    }
  });
}

}  // namespace tern::kernels
