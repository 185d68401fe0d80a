// SPDX-License-Identifier: Apache-2.0
// Rows of a tensor at places that other tensors say: reading, writing and adding.
#pragma once

#include <cstdint>
#include <vector>

#include "../../core/dtype.h"

namespace tern::kernels {

/// Rows of `length` elements of a row-major tensor that has `count` of them: those with the numbers
/// places[0] to places[size - 1], which may repeat. The place -1 is no row: it reads as zeros, and
/// what is added there is lost.
struct Rows {
  const int64_t* places;
  int64_t size;
  int64_t length;
  int64_t count;
};

// Copies, and sums whose order is that of the places: they need no second kernel.

/// y[i] = x[places[i]]
void take_rows(DType dtype, const Rows& rows, const void* x, void* y);
/// x[places[i]] = v[i], for i in ascending order.
void write_rows(DType dtype, const Rows& rows, const void* v, void* x);
/// x[places[i]] += v[i], for i in ascending order, whatever the number of threads. Integers wrap
/// around.
void add_rows(DType dtype, const Rows& rows, const void* v, void* x);
/// last[i] = whether no place after places[i] is equal.
void mark_last(const Rows& rows, uint8_t* last);

/// The rows of bags: row i belongs to bag bags[i], and counts `weights[i]` times, once if null.
struct Bags {
  Rows rows;
  const int64_t* bags;  ///< ascending
  const void* weights;
};

// Sums of bags, whose order is that of the rows in a bag.

/// y[b] = the sum of weights[i] * x[places[i]] over the rows i of bag b, for `count` bags.
void sum_bags(DType dtype, const Bags& bags, int64_t count, const void* x, void* y);
/// x[places[i]] += weights[i] * dy[bags[i]], for i in ascending order: the adjoint.
void add_bags(DType dtype, const Bags& bags, const void* dy, void* x);
/// dweights[i] = the sum of x[places[i]] * dy[bags[i]]
void weigh_bags(DType dtype, const Bags& bags, const void* x, const void* dy, void* dweights);
/// y[b][k] = the number of the element of x that is the largest of column k among the rows of bag
/// b, the first of several (or the first NaN); -1 for an empty bag.
void find_largest_of_bags(DType dtype, const Bags& bags, int64_t count, const void* x, int64_t* y);

/// The numbers of the elements that are not 0.
std::vector<int64_t> nonzero(DType dtype, int64_t count, const void* x);

}  // namespace tern::kernels
