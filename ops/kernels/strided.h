// SPDX-License-Identifier: Apache-2.0
// Loops over tensors that lie in memory differently.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "../../core/internal/parallel.h"
#include "../../core/tensor.h"

namespace tern::kernels {

/// Distances in elements, one for each axis of a shape.
struct Strides {
  int64_t at[Shape::kMaxRank] = {};
};

Strides strides_of(const Shape& shape, MemoryFormat order);
/// The strides with which x is read as if it had the shape `to`: 0 along axes that stretch.
Strides broadcast_strides(const Tensor& x, const Shape& to);

/// Nested loops over the elements of a shape with up to three operands, the innermost loop last.
/// Axes that can be walked as one are joined, so that tensors which lie alike give one flat loop.
struct LoopNest {
  static constexpr int kMaxOperands = 3;

  int rank = 1;
  int64_t sizes[Shape::kMaxRank] = {};
  int64_t strides[kMaxOperands][Shape::kMaxRank] = {};

  static LoopNest flat(int64_t count) {
    LoopNest nest;
    nest.sizes[0] = count;
    for (auto& operand : nest.strides) operand[0] = 1;
    return nest;
  }
  /// Loops in the order of the first operand's memory.
  static LoopNest over(const Shape& shape, std::initializer_list<Strides> operands);

  int64_t run_length() const { return sizes[rank - 1]; }
  int64_t run_stride(int operand) const { return strides[operand][rank - 1]; }
  /// 0 for a nest without elements, however long its outer loops are.
  int64_t run_count() const {
    int64_t count = run_length() > 0 ? 1 : 0;
    for (int d = 0; d + 1 < rank; ++d) count *= sizes[d];
    return count;
  }
};

/// Calls body(offset0, offset1, offset2) for the innermost loops number begin to end - 1.
template <class Body>
void visit_runs(const LoopNest& nest, int64_t begin, int64_t end, const Body& body) {
  if (begin >= end) return;
  int64_t index[Shape::kMaxRank] = {};
  int64_t offset[LoopNest::kMaxOperands] = {};
  const int outer = nest.rank - 1;
  int64_t rest = begin;
  for (int d = outer - 1; d >= 0; --d) {
    index[d] = rest % nest.sizes[d];
    rest /= nest.sizes[d];
    for (int k = 0; k < LoopNest::kMaxOperands; ++k) offset[k] += index[d] * nest.strides[k][d];
  }
  for (int64_t run = begin; run < end; ++run) {
    body(offset[0], offset[1], offset[2]);
    for (int d = outer - 1; d >= 0; --d) {
      for (int k = 0; k < LoopNest::kMaxOperands; ++k) offset[k] += nest.strides[k][d];
      if (++index[d] < nest.sizes[d]) break;
      for (int k = 0; k < LoopNest::kMaxOperands; ++k)
        offset[k] -= nest.strides[k][d] * nest.sizes[d];
      index[d] = 0;
    }
  }
}

/// Calls body(offset0, offset1, offset2, length) for stretches of the innermost loop that cover
/// the nest, on several threads when it is long. No two calls may write to the same place.
void parallel_runs(const LoopNest& nest,
                   FunctionRef<void(int64_t, int64_t, int64_t, int64_t)> body);

/// Copies every element of a shape from `source` to `target`.
void copy_strided(DType dtype, const Shape& shape, const void* source,
                  const Strides& source_strides, void* target, const Strides& target_strides);

}  // namespace tern::kernels
