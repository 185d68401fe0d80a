// SPDX-License-Identifier: Apache-2.0
// Reductions written to be read: one loop over x, each element goes to its place in y.
#include <Eigen/Core>
#include <type_traits>

#include "reduce.h"

namespace tern::kernels {

template <class T>
void sum_reference(const ReducePlan& plan, const T* x, double divisor, SumOf<T>* y) {
  using R = SumOf<T>;
  // Integers wrap around, as unsigned ones do.
  using Accumulator = std::conditional_t<std::is_floating_point_v<R>, double, uint64_t>;
  Eigen::ArrayX<Accumulator> total(plan.output_count());
  const LoopNest nest = plan.nest();
  const int64_t step = nest.run_stride(1);
  const auto add_up = [&](Accumulator factor) {
    total.setZero();
    visit_runs(nest, 0, nest.run_count(), [&](int64_t px, int64_t py, int64_t) {
      for (int64_t i = 0; i < nest.run_length(); ++i)
        total[py + i * step] += static_cast<Accumulator>(x[px + i]) * factor;
    });
  };
  add_up(1);
  if constexpr (std::is_floating_point_v<R>) {
    // Of doubles, parts of a sum may be too large where the result is not: once more, scaled down.
    double factor = 1;
    if (std::is_same_v<R, double> && plan.input_count() > 0 && !total.isFinite().all()) {
      while (factor * static_cast<double>(plan.input_count()) > 1) factor /= 2;
      add_up(factor);
    }
    // A power of two: exact. In this order, since 1 / factor may be what makes it too large.
    total = total / divisor / factor;
  }
  Eigen::Map<Eigen::ArrayX<R>>(y, plan.output_count()) = total.template cast<R>();
}

template <class T>
void extreme_reference(const ReducePlan& plan, Extreme which, const T* x, T* y) {
  const LoopNest nest = plan.nest();
  const int64_t step = nest.run_stride(1);
  Eigen::ArrayX<uint8_t> begun = Eigen::ArrayX<uint8_t>::Zero(plan.output_count());
  visit_runs(nest, 0, nest.run_count(), [&](int64_t px, int64_t py, int64_t) {
    for (int64_t i = 0; i < nest.run_length(); ++i) {
      const T v = x[px + i];
      T& m = y[py + i * step];
      const bool better = which == Extreme::largest ? v > m : v < m;
      if (!begun[py + i * step] || better || v != v) m = v;
      begun[py + i * step] = 1;
    }
  });
}

template void sum_reference(const ReducePlan&, const float*, double, float*);
template void sum_reference(const ReducePlan&, const double*, double, double*);
template void sum_reference(const ReducePlan&, const int64_t*, double, int64_t*);
template void sum_reference(const ReducePlan&, const uint8_t*, double, int64_t*);
template void extreme_reference(const ReducePlan&, Extreme, const float*, float*);
template void extreme_reference(const ReducePlan&, Extreme, const double*, double*);
template void extreme_reference(const ReducePlan&, Extreme, const int64_t*, int64_t*);
template void extreme_reference(const ReducePlan&, Extreme, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
