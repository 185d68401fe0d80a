// SPDX-License-Identifier: Apache-2.0
// How the kernels of rnn.h go over steps and rows. What they compute on the way, products and
// cells, is each kernel's own.
#pragma once

#include "../../core/internal/parallel.h"
#include "rnn.h"
#include "rnn_cells.h"

namespace tern::kernels::rnn {

/// How a step is computed for rows [begin, end) of the batch.
template <class T>
struct StepKernels {
  using Rows = FunctionRef<void(int64_t begin, int64_t end)>;
  /// A product of these rows of `a`, which follow each other, with a matrix of weights: to `y`,
  /// whose rows (of the whole batch) are y_stride apart.
  struct Product {
    FunctionRef<void(const T* a, int64_t begin, int64_t end)> run;
    T* y;
    int64_t y_stride;
  };
  const Cells<T>& cells;
  Product hidden;      ///< forward: h w_hh^T; backward: dhidden w_hh
  Product projection;  ///< forward: raw w_hr^T; backward: dh w_hr
  FunctionRef<void(int64_t begin, int64_t end, Rows)> for_rows;
};

/// All steps of rows [begin, end).
template <class T>
void forward_rows(const Layer<T>& layer, const Forward<T>& tensors, const StepKernels<T>& kernels,
                  int64_t begin, int64_t end);
template <class T>
void backward_rows(const Layer<T>& layer, const Backward<T>& tensors, const StepKernels<T>& kernels,
                   int64_t begin, int64_t end);

/// All rows step by step: a product of all rows, then their cells.
template <class T>
void forward_by_step(const Layer<T>& layer, const Forward<T>& tensors, const Cells<T>& cells);
template <class T>
void backward_by_step(const Layer<T>& layer, const Backward<T>& tensors, const Cells<T>& cells);

}  // namespace tern::kernels::rnn
