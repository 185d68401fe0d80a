// SPDX-License-Identifier: Apache-2.0
// What reductions of every dtype share: the plan, places of extremes, running sums.
#include "reduce.h"

#include "../../core/internal/memory.h"

namespace tern::kernels {

ReducePlan::ReducePlan(const Tensor& x, uint32_t axes) {
  static constexpr int kChannelsLast[] = {0, 2, 3, 1};
  bool any = false;
  for (int i = 0; i < x.shape().size(); ++i) {
    const int axis = x.memory_format() == MemoryFormat::channels_last ? kChannelsLast[i] : i;
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

ReducePlan ReducePlan::over_rows(int64_t rows, int64_t columns) {
  ReducePlan plan;
  plan.rank = 2;
  plan.sizes[0] = rows;
  plan.sizes[1] = columns;
  plan.reduced[0] = true;
  return plan;
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

namespace {

template <class T, class Better>
void first_best(const T* x, int64_t outer, int64_t length, int64_t inner, int64_t* y,
                const Better& better) {
  const int64_t work = std::max<int64_t>(1, length * inner);
  parallel_for(outer, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t j = 0; j < inner; ++j) {
        const T* column = x + o * length * inner + j;
        int64_t best = 0;
        for (int64_t i = 1; i < length; ++i) {
          const T v = column[i * inner], m = column[best * inner];
          if (better(v, m) || (v != v && m == m)) best = i;
        }
        y[o * inner + j] = best;
      }
    }
  });
}

}  // namespace

template <class T>
void arg_extreme(Extreme which, const T* x, int64_t outer, int64_t length, int64_t inner,
                 int64_t* y) {
  if (which == Extreme::largest) {
    first_best(x, outer, length, inner, y, [](T v, T m) { return v > m; });
  } else {
    first_best(x, outer, length, inner, y, [](T v, T m) { return v < m; });
  }
}

template <class T>
void cumsum(const T* x, int64_t outer, int64_t length, int64_t inner, bool reverse, T* y) {
  using Accumulator = std::conditional_t<std::is_floating_point_v<T>, double, T>;
  constexpr int64_t kColumns = 256;
  const int64_t chunks = divide_up(inner, kColumns);
  const int64_t work = std::max<int64_t>(1, length * std::min(inner, kColumns));
  const int64_t step = reverse ? -inner : inner;
  parallel_for(
      outer * chunks, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int64_t first = task % chunks * kColumns;
          const int64_t columns = std::min(kColumns, inner - first);
          int64_t place = (task / chunks * length + (reverse ? length - 1 : 0)) * inner + first;
          Accumulator total[kColumns] = {};
          for (int64_t i = 0; i < length; ++i, place += step) {
            for (int64_t j = 0; j < columns; ++j) {
              if constexpr (std::is_integral_v<T>) {
                __builtin_add_overflow(total[j], x[place + j], &total[j]);  // wraps around
              } else {
                total[j] += static_cast<Accumulator>(x[place + j]);
              }
              y[place + j] = static_cast<T>(total[j]);
            }
          }
        }
      });
}

template <class T>
void extreme_weights(const ReducePlan& plan, const T* x, const T* y, bool shared, T* weights) {
  const LoopNest nest = plan.nest();
  const int64_t outputs = plan.output_count();
  const memory::Scratch scratch(static_cast<size_t>(outputs) * sizeof(int64_t));
  int64_t* seen = scratch.as<int64_t>();
  std::fill(seen, seen + outputs, int64_t{0});
  const auto for_extremes = [&](const auto& found) {
    visit_runs(nest, 0, nest.run_count(), [&](int64_t px, int64_t py, int64_t) {
      const int64_t step = nest.run_stride(1);
      for (int64_t i = 0; i < nest.run_length(); ++i) {
        const T v = x[px + i], m = y[py + i * step];
        weights[px + i] = v == m || (v != v && m != m) ? found(seen[py + i * step]) : T{0};
      }
    });
  };
  if (!shared) {
    for_extremes([](int64_t& count) { return static_cast<T>(count++ == 0); });
    return;
  }
  for_extremes([](int64_t& count) { return static_cast<T>(++count); });
  for_extremes([](int64_t& count) { return T{1} / static_cast<T>(count); });
}

template void arg_extreme(Extreme, const float*, int64_t, int64_t, int64_t, int64_t*);
template void arg_extreme(Extreme, const double*, int64_t, int64_t, int64_t, int64_t*);
template void arg_extreme(Extreme, const int64_t*, int64_t, int64_t, int64_t, int64_t*);
template void arg_extreme(Extreme, const uint8_t*, int64_t, int64_t, int64_t, int64_t*);
template void cumsum(const float*, int64_t, int64_t, int64_t, bool, float*);
template void cumsum(const double*, int64_t, int64_t, int64_t, bool, double*);
template void cumsum(const int64_t*, int64_t, int64_t, int64_t, bool, int64_t*);
template void extreme_weights(const ReducePlan&, const float*, const float*, bool, float*);
template void extreme_weights(const ReducePlan&, const double*, const double*, bool, double*);

}  // namespace tern::kernels
