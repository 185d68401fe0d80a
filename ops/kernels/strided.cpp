// SPDX-License-Identifier: Apache-2.0
#include "strided.h"

#include <cstring>

namespace tern::kernels {

Strides strides_of(const Shape& shape, MemoryFormat order) {
  Strides strides;
  if (order == MemoryFormat::channels_last) {
    strides.at[1] = 1;
    strides.at[3] = shape[1];
    strides.at[2] = shape[1] * shape[3];
    strides.at[0] = shape[1] * shape[3] * shape[2];
    return strides;
  }
  int64_t stride = 1;
  for (int d = shape.size() - 1; d >= 0; --d) {
    strides.at[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

Strides broadcast_strides(const Tensor& x, const Shape& to) {
  const Shape& shape = x.shape();
  const Strides own = strides_of(shape, x.memory_format());
  Strides strides;
  const int lead = to.size() - shape.size();
  for (int d = 0; d < shape.size(); ++d) strides.at[lead + d] = shape[d] == 1 ? 0 : own.at[d];
  return strides;
}

LoopNest LoopNest::over(const Shape& shape, std::initializer_list<Strides> operands) {
  LoopNest nest;
  if (shape.numel() == 0) return nest;
  const Strides* operand = operands.begin();
  const int count = static_cast<int>(operands.size());

  int axes[Shape::kMaxRank];
  int rank = 0;
  for (int d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    int place = rank++;
    for (; place > 0 && operand[0].at[axes[place - 1]] < operand[0].at[d]; --place)
      axes[place] = axes[place - 1];
    axes[place] = d;
  }
  if (rank == 0) return flat(1);

  nest.rank = 0;
  for (int i = 0; i < rank; ++i) {
    const int d = axes[i];
    const int last = nest.rank - 1;
    bool joins = last >= 0;
    for (int k = 0; joins && k < count; ++k)
      joins = nest.strides[k][last] == operand[k].at[d] * shape[d];
    const int place = joins ? last : nest.rank++;
    nest.sizes[place] = joins ? nest.sizes[place] * shape[d] : shape[d];
    for (int k = 0; k < count; ++k) nest.strides[k][place] = operand[k].at[d];
  }
  return nest;
}

void parallel_runs(const LoopNest& nest,
                   FunctionRef<void(int64_t, int64_t, int64_t, int64_t)> body) {
  const int64_t length = nest.run_length();
  const int64_t runs = nest.run_count();
  if (length == 0 || runs == 0) return;
  if (runs > 1) {
    parallel_for(runs, std::max<int64_t>(1, kGrain / length), [&](int64_t begin, int64_t end) {
      visit_runs(nest, begin, end, [&](int64_t a, int64_t b, int64_t c) { body(a, b, c, length); });
    });
  } else if (length <= kGrain) {
    body(0, 0, 0, length);
  } else {
    parallel_for(length, kGrain, [&](int64_t begin, int64_t end) {
      body(begin * nest.run_stride(0), begin * nest.run_stride(1), begin * nest.run_stride(2),
           end - begin);
    });
  }
}

namespace {

/// Tiles of this many elements squared keep both sides of a transposition in the first cache.
constexpr int64_t kTile = 32;

/// target[i][j] = source[j][i]: rows of the target lie apart by `target_stride`, rows of the
/// source by `source_stride`.
template <class T>
void transpose_block(const T* source, int64_t source_stride, T* target, int64_t target_stride,
                     int64_t rows, int64_t columns) {
  for (int64_t i0 = 0; i0 < rows; i0 += kTile) {
    const int64_t i1 = std::min(rows, i0 + kTile);
    for (int64_t j0 = 0; j0 < columns; j0 += kTile) {
      const int64_t j1 = std::min(columns, j0 + kTile);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t j = j0; j < j1; ++j)
          target[i * target_stride + j] = source[j * source_stride + i];
    }
  }
}

template <class T>
void copy(LoopNest nest, const T* source, T* target) {
  const int64_t ts = nest.run_stride(0);
  const int64_t ss = nest.run_stride(1);
  if (ts == 1 && ss == 1) {
    parallel_runs(nest, [&](int64_t t, int64_t s, int64_t, int64_t n) {
      std::memcpy(target + t, source + s, static_cast<size_t>(n) * sizeof(T));
    });
    return;
  }
  // A transposition: the source is dense along one of the target's outer axes.
  const int inner = nest.rank - 1;
  for (int d = 0; ts == 1 && d < inner; ++d) {
    if (nest.strides[1][d] != 1) continue;
    const int64_t rows = nest.sizes[d];
    const int64_t row_stride = nest.strides[0][d];
    const int64_t columns = nest.sizes[inner];
    // What is left are the loops around the two.
    LoopNest around = nest;
    around.rank = 0;
    for (int k = 0; k < inner; ++k) {
      if (k == d) continue;
      around.sizes[around.rank] = nest.sizes[k];
      for (int operand = 0; operand < 2; ++operand)
        around.strides[operand][around.rank] = nest.strides[operand][k];
      ++around.rank;
    }
    // One more axis cuts the rows into bands, so that a single matrix has work for all threads.
    const int64_t bands = divide_up(rows, kTile);
    around.sizes[around.rank] = bands;
    around.strides[0][around.rank] = kTile * row_stride;
    around.strides[1][around.rank] = kTile;
    around.strides[2][around.rank] = kTile;
    ++around.rank;
    around.sizes[around.rank] = 1;  // the run that visit_runs leaves to its body
    ++around.rank;
    parallel_for(around.run_count(), std::max<int64_t>(1, kGrain / (kTile * columns)),
                 [&](int64_t begin, int64_t end) {
                   visit_runs(around, begin, end, [&](int64_t t, int64_t s, int64_t first) {
                     transpose_block(source + s, ss, target + t, row_stride,
                                     std::min(kTile, rows - first), columns);
                   });
                 });
    return;
  }
  parallel_runs(nest, [&](int64_t t, int64_t s, int64_t, int64_t n) {
    T* to = target + t;
    const T* from = source + s;
    if (ss == 0 && ts == 1) {
      std::fill(to, to + n, *from);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i * ts] = from[i * ss];
    }
  });
}

}  // namespace

void copy_strided(DType dtype, const Shape& shape, const void* source,
                  const Strides& source_strides, void* target, const Strides& target_strides) {
  const LoopNest nest = LoopNest::over(shape, {target_strides, source_strides});
  visit(dtype, [&](auto t) {
    using T = decltype(t);
    copy(nest, static_cast<const T*>(source), static_cast<T*>(target));
  });
}

}  // namespace tern::kernels
