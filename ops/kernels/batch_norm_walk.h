// SPDX-License-Identifier: Apache-2.0
// How batch norm's loops go over a tensor, and who adds up what.
//
// Note [Sums fixed by the shape]
// A tensor is cut into chunks whose size depends on the shape alone. Within a chunk float32 sums of
// at most 64 terms per lane are added up in double; chunks are then added in their order. Threads
// decide who computes a chunk, never what is in it.
#pragma once

#include "../../core/internal/memory.h"
#include "../../core/internal/parallel.h"
#include "batch_norm.h"
#include "batch_norm_loops.h"

namespace tern::kernels::batch_norm {

/// The float constants of every channel (see Channel), and the same for every column of a walk.
class Constants {
 public:
  Constants(const Layout& layout, int64_t columns);
  const Channels& channels() const { return channels_; }
  const Channels& columns() const { return columns_; }
  Channel at(int64_t c) const;
  /// Copies the channels' constants to their columns: column j has channel j % channels (inner ==
  /// 1) or j / inner.
  void expand() const;

 private:
  Layout layout_;
  int64_t width_;
  memory::Scratch memory_;
  Channels channels_, columns_;
};

/// What a pass over a tensor does, piece by piece. `offset` is the piece's first element.
struct Pass {
  /// Sums two quantities over columns from `column` on, or over a run of one channel.
  using ColumnSums =
      FunctionRef<void(const Matrix&, int64_t offset, int64_t column, double*, double*)>;
  using RunSums =
      FunctionRef<void(int64_t count, int64_t offset, int64_t channel, double&, double&)>;
  /// Turns the sums of channels [begin, end) into constants.
  using Finish = FunctionRef<void(int64_t begin, int64_t end, const double*, const double*)>;
  /// Writes results.
  using ColumnMap = FunctionRef<void(const Matrix&, int64_t offset, int64_t column)>;
  using RunMap = FunctionRef<void(int64_t count, int64_t offset, int64_t channel)>;
};

/// Sums, finishes and maps a tensor in one of two ways: as a matrix whose columns have a channel
/// each (channels-last, or few elements per plane), or as planes of one channel each.
class Walk {
 public:
  /// `arrays` is how many tensors are read at once: how much fits in the cache.
  Walk(const Layout& layout, int arrays);

  bool by_columns() const { return by_columns_; }
  int64_t columns() const { return columns_; }

  void run_columns(bool sum, bool map, const Constants& constants, Pass::ColumnSums sums,
                   Pass::Finish finish, Pass::ColumnMap mapping) const;
  void run_planes(bool sum, bool map, Pass::RunSums sums, Pass::Finish finish,
                  Pass::RunMap mapping) const;

 private:
  void sum_columns(Pass::ColumnSums sums, double* first, double* second) const;
  void map_columns(Pass::ColumnMap mapping) const;

  Layout layout_;
  int arrays_;
  bool by_columns_;
  // Columns: `rows_` rows of columns_, then one row of rest_.
  int64_t columns_ = 0, rows_ = 0, rest_ = 0;
  int64_t tile_ = 1, tiles_ = 1, chunk_rows_ = 1;
  // Planes: units of `piece_` elements of a plane; chunk_units_ of them to a chunk.
  int64_t piece_ = 1, pieces_ = 1, units_ = 0, chunk_units_ = 1;
  int64_t chunks_ = 1;
};

}  // namespace tern::kernels::batch_norm
