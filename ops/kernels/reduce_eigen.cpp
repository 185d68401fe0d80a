// SPDX-License-Identifier: Apache-2.0
// Reductions written to be read: one loop over x, each element goes to its place in y.
#include <Eigen/Core>
#include <type_traits>

#include "reduce.h"

namespace tern::kernels {

template <class T, class R>
void sum_eigen(const ReducePlan& plan, const T* x, double divisor, R* y) {
  using Accumulator = std::conditional_t<std::is_floating_point_v<R>, double, R>;
  Eigen::ArrayX<Accumulator> total = Eigen::ArrayX<Accumulator>::Zero(plan.output_count());
  const LoopNest nest = plan.nest();
  const int64_t step = nest.run_stride(1);
  visit_runs(nest, 0, nest.run_count(), [&](int64_t px, int64_t py, int64_t) {
    for (int64_t i = 0; i < nest.run_length(); ++i)
      total[py + i * step] += static_cast<Accumulator>(x[px + i]);
  });
  if constexpr (std::is_floating_point_v<R>) total /= divisor;
  Eigen::Map<Eigen::ArrayX<R>>(y, plan.output_count()) = total.template cast<R>();
}

template <class T>
void max_eigen(const ReducePlan& plan, const T* x, T* y) {
  const LoopNest nest = plan.nest();
  const int64_t step = nest.run_stride(1);
  Eigen::ArrayX<uint8_t> begun = Eigen::ArrayX<uint8_t>::Zero(plan.output_count());
  visit_runs(nest, 0, nest.run_count(), [&](int64_t px, int64_t py, int64_t) {
    for (int64_t i = 0; i < nest.run_length(); ++i) {
      const T v = x[px + i];
      T& m = y[py + i * step];
      if (!begun[py + i * step] || v > m || v != v) m = v;
      begun[py + i * step] = 1;
    }
  });
}

template void sum_eigen(const ReducePlan&, const float*, double, float*);
template void sum_eigen(const ReducePlan&, const double*, double, double*);
template void sum_eigen(const ReducePlan&, const int64_t*, double, int64_t*);
template void sum_eigen(const ReducePlan&, const uint8_t*, double, int64_t*);
template void max_eigen(const ReducePlan&, const float*, float*);
template void max_eigen(const ReducePlan&, const double*, double*);
template void max_eigen(const ReducePlan&, const int64_t*, int64_t*);
template void max_eigen(const ReducePlan&, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
