// SPDX-License-Identifier: Apache-2.0
// Sums and maxima along axes. Private: not installed.
#pragma once

#include "strided.h"

namespace tern::kernels {

/// The axes of a tensor in the order of its memory, neighbours of the same kind joined: kept and
/// reduced ones take turns. Results are laid out as the kept axes lie in x.
struct ReducePlan {
  int rank = 0;
  int64_t sizes[Shape::kMaxRank + 1] = {};
  bool reduced[Shape::kMaxRank + 1] = {};

  /// Bit i of `axes` says that axis i is reduced.
  ReducePlan(const Tensor& x, uint32_t axes);
  int64_t input_count() const;
  int64_t output_count() const;
  /// Loops over x: operand 0 is x, operand 1 the result.
  LoopNest nest() const;
};

/// y = sum / divisor. In float32 the terms are added in blocks of a size fixed by the plan, in
/// float within a block and in double between blocks, so that the result does not depend on the
/// number of threads.
void sum_f32(const ReducePlan& plan, const float* x, double divisor, float* y);
/// T to T for floating types, any integer to int64_t.
template <class T, class R>
void sum_eigen(const ReducePlan& plan, const T* x, double divisor, R* y);

/// The largest element, NaN if there is one.
void max_f32(const ReducePlan& plan, const float* x, float* y);
template <class T>
void max_eigen(const ReducePlan& plan, const T* x, T* y);

/// The index of the first maximum (or NaN) of each of outer * inner columns of `length` elements,
/// x[outer][length][inner].
template <class T>
void argmax(const T* x, int64_t outer, int64_t length, int64_t inner, int64_t* y);

/// weights = 1 where x is the maximum y, over the number of such places if `shared`, else at the
/// first of them only; 0 elsewhere.
template <class T>
void max_weights(const ReducePlan& plan, const T* x, const T* y, bool shared, T* weights);

}  // namespace tern::kernels
