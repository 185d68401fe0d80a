// SPDX-License-Identifier: Apache-2.0
// Sums and maxima along axes.
#pragma once

#include <type_traits>

#include "dispatch.h"
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
  /// Over the rows of a matrix.
  static ReducePlan over_rows(int64_t rows, int64_t columns);
  int64_t input_count() const;
  int64_t output_count() const;
  /// Loops over x: operand 0 is x, operand 1 the result.
  LoopNest nest() const;

 private:
  ReducePlan() = default;
};

/// y = sum / divisor. In float32 the terms are added in blocks of a size fixed by the plan, in
/// float within a block and in double between blocks, so that the result does not depend on the
/// number of threads.
void sum_fast(const ReducePlan& plan, const float* x, double divisor, float* y);
/// T to T for floating types, any integer to int64_t.
template <class T>
using SumOf = std::conditional_t<std::is_floating_point_v<T>, T, int64_t>;
template <class T>
void sum_reference(const ReducePlan& plan, const T* x, double divisor, SumOf<T>* y);
template <class T>
void sum(const ReducePlan& plan, const T* x, double divisor, SumOf<T>* y) {
  dispatch(sum_fast, sum_reference<T>, plan, x, divisor, y);
}

/// The largest or the smallest element, NaN if there is one.
enum class Extreme { largest, smallest };
void extreme_fast(const ReducePlan& plan, Extreme which, const float* x, float* y);
template <class T>
void extreme_reference(const ReducePlan& plan, Extreme which, const T* x, T* y);
template <class T>
void extreme(const ReducePlan& plan, Extreme which, const T* x, T* y) {
  dispatch(extreme_fast, extreme_reference<T>, plan, which, x, y);
}

/// @name Places of extremes, and running sums
/// One set of loops for every dtype, held to plain ones by the tests.
/// @{

/// The index of the first extreme (or NaN) of each of outer * inner columns of `length` elements,
/// x[outer][length][inner].
template <class T>
void arg_extreme(Extreme which, const T* x, int64_t outer, int64_t length, int64_t inner,
                 int64_t* y);

/// weights = 1 where x is the extreme y, over the number of such places if `shared`, else at the
/// first of them only; 0 elsewhere.
template <class T>
void extreme_weights(const ReducePlan& plan, const T* x, const T* y, bool shared, T* weights);

/// y[o][i][j] = sum of x[o][k][j] over k <= i, or over k >= i if `reverse`; floats in double.
template <class T>
void cumsum(const T* x, int64_t outer, int64_t length, int64_t inner, bool reverse, T* y);
/// @}

}  // namespace tern::kernels
