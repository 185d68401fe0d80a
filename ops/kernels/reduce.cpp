// SPDX-License-Identifier: Apache-2.0
// What reductions of every dtype share: the plan, and the places of maxima.
#include "reduce.h"

#include "../../core/memory.h"

namespace tern::kernels {

ReducePlan::ReducePlan(const Tensor& x, uint32_t axes) {
  static constexpr int kChannelsLast[] = {0, 2, 3, 1};
  bool any = false;
  for (int i = 0; i < x.shape().size(); ++i) {
    const int axis = x.order() == Order::channels_last ? kChannelsLast[i] : i;
    const bool is_reduced = axes >> axis & 1;
    const int64_t size = x.shape()[axis];
    if (size == 1) continue;
    any |= is_reduced;
    if (rank > 0 && reduced[rank - 1] == is_reduced) {
      sizes[rank - 1] *= size;
    } else {
      sizes[rank] = size;
      reduced[rank++] = is_reduced;
    }
  }
  if (!any) {
    sizes[rank] = 1;
    reduced[rank++] = true;
  }
}

int64_t ReducePlan::input_count() const {
  int64_t count = 1;
  for (int d = 0; d < rank; ++d) count *= sizes[d];
  return count;
}

int64_t ReducePlan::output_count() const {
  int64_t count = 1;
  for (int d = 0; d < rank; ++d) {
    if (!reduced[d]) count *= sizes[d];
  }
  return count;
}

LoopNest ReducePlan::nest() const {
  LoopNest nest;
  nest.rank = std::min(rank, Shape::kMaxRank);
  // Nine groups do not fit, but then one of them is the single element that stands for "none".
  int64_t x_stride = 1, y_stride = 1;
  for (int d = nest.rank - 1; d >= 0; --d) {
    nest.sizes[d] = sizes[d];
    nest.strides[0][d] = x_stride;
    nest.strides[1][d] = reduced[d] ? 0 : y_stride;
    x_stride *= sizes[d];
    if (!reduced[d]) y_stride *= sizes[d];
  }
  return nest;
}

template <class T>
void argmax(const T* x, int64_t outer, int64_t length, int64_t inner, int64_t* y) {
  const int64_t work = std::max<int64_t>(1, length * inner);
  parallel_for(outer, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t j = 0; j < inner; ++j) {
        const T* column = x + o * length * inner + j;
        int64_t best = 0;
        for (int64_t i = 1; i < length; ++i) {
          const T v = column[i * inner], m = column[best * inner];
          if (v > m || (v != v && m == m)) best = i;
        }
        y[o * inner + j] = best;
      }
    }
  });
}

template <class T>
void max_weights(const ReducePlan& plan, const T* x, const T* y, bool shared, T* weights) {
  const LoopNest nest = plan.nest();
  const int64_t outputs = plan.output_count();
  const memory::Scratch scratch(static_cast<size_t>(outputs) * sizeof(int64_t));
  int64_t* seen = scratch.as<int64_t>();
  std::fill(seen, seen + outputs, int64_t{0});
  const auto for_maxima = [&](const auto& found) {
    visit_runs(nest, 0, nest.run_count(), [&](int64_t px, int64_t py, int64_t) {
      const int64_t step = nest.run_stride(1);
      for (int64_t i = 0; i < nest.run_length(); ++i) {
        const T v = x[px + i], m = y[py + i * step];
        weights[px + i] = v == m || (v != v && m != m) ? found(seen[py + i * step]) : T{0};
      }
    });
  };
  if (!shared) {
    for_maxima([](int64_t& count) { return static_cast<T>(count++ == 0); });
    return;
  }
  for_maxima([](int64_t& count) { return static_cast<T>(++count); });
  for_maxima([](int64_t& count) { return T{1} / static_cast<T>(count); });
}

template void argmax(const float*, int64_t, int64_t, int64_t, int64_t*);
template void argmax(const double*, int64_t, int64_t, int64_t, int64_t*);
template void argmax(const int64_t*, int64_t, int64_t, int64_t, int64_t*);
template void argmax(const uint8_t*, int64_t, int64_t, int64_t, int64_t*);
template void max_weights(const ReducePlan&, const float*, const float*, bool, float*);
template void max_weights(const ReducePlan&, const double*, const double*, bool, double*);

}  // namespace tern::kernels
