// SPDX-License-Identifier: Apache-2.0
// The float32 loops of layer norm that batch norm has not: rows with statistics of their own, whose
// columns have a weight each. One set per instruction set, with the same bits (batch_norm_loops.h).
#pragma once

#include "batch_norm_loops.h"

namespace tern::kernels::norm {

using batch_norm::Channel;

struct Loops {
  /// y = ((x - center) * scale + shift) * weight + bias
  void (*row_forward)(int64_t count, const float* x, const Channel& row, const float* weight,
                      const float* bias, float* y);
  /// Adds to sum_g and sum_gx those of g = dy * weight and g * (x - center).
  void (*row_sums)(int64_t count, const float* x, const float* dy, const float* weight,
                   float center, double& sum_g, double& sum_gx);
  /// dx = g * from_g + (x - center) * from_x + constant, and unless null dweight += dy * ((x -
  /// center) * scale + shift) and dbias += dy, for consecutive rows. dx may be null.
  void (*rows_backward)(int64_t rows, int64_t count, const float* x, const float* dy,
                        const float* weight, const Channel* row, float* dx, float* dweight,
                        float* dbias);
};

}  // namespace tern::kernels::norm
