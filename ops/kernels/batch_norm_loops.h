// SPDX-License-Identifier: Apache-2.0
// The float32 loops of batch norm, one set per instruction set. All sets give the same bits: every
// sum has an order fixed by the shape, and no product is fused into a sum.
#pragma once

#include <cstdint>

namespace tern::kernels::batch_norm {

/// What one channel's elements are computed with: y = (x - center) * scale + shift, and
/// dx = g * from_g + (x - center) * from_x + constant, where g is dy (0 where ReLU cut y off).
struct Channel {
  float center = 0, scale = 1, shift = 0;
  float from_g = 0, from_x = 0, constant = 0;
};

/// The same for consecutive columns, each with a channel of its own.
struct Channels {
  float *center, *scale, *shift;
  float *from_g, *from_x, *constant;

  Channels from(int64_t column) const {
    return {center + column, scale + column,  shift + column,
            from_g + column, from_x + column, constant + column};
  }
};

/// A matrix of floats; x, dy, y and dx lie alike. `stream`: write around the caches (results that
/// are larger than they are).
struct Matrix {
  int64_t rows, stride, columns;
  bool stream = false;
};

/// Rows that are summed in float before double takes over.
inline constexpr int64_t kRowBlock = 64;
/// The longest line of columns that a call for sums may have.
inline constexpr int64_t kMaxColumns = 1024;

struct Loops {
  /// Adds to sum[j] and square[j] those of (x - center) and its square over column j. (In forward
  /// statistics center is a value near the data, in the rest it is the mean.)
  void (*column_moments)(const Matrix& m, const float* x, const float* center, double* sum,
                         double* square);
  void (*column_forward)(const Matrix& m, const float* x, const Channels& channels, bool relu,
                         float* y);
  /// Adds to sum_g[j] and sum_gx[j] those of g and g * (x - center) over column j.
  void (*column_sums)(const Matrix& m, const float* x, const float* dy, const Channels& channels,
                      bool relu, double* sum_g, double* sum_gx);
  /// Without `through`, the statistics are constants: dx = g * from_g.
  void (*column_backward)(const Matrix& m, const float* x, const float* dy,
                          const Channels& channels, bool relu, bool through, float* dx);

  /// The same for `count` consecutive elements of one channel.
  void (*run_moments)(int64_t count, const float* x, float center, double& sum, double& square);
  void (*run_forward)(int64_t count, const float* x, const Channel& channel, bool relu, bool stream,
                      float* y);
  void (*run_sums)(int64_t count, const float* x, const float* dy, const Channel& channel,
                   bool relu, double& sum_g, double& sum_gx);
  void (*run_backward)(int64_t count, const float* x, const float* dy, const Channel& channel,
                       bool relu, bool through, bool stream, float* dx);
};

}  // namespace tern::kernels::batch_norm
