// SPDX-License-Identifier: Apache-2.0
#include "batch_norm_walk.h"

#include <algorithm>
#include <numeric>

namespace tern::kernels::batch_norm {

namespace {

constexpr int64_t kMapChunk = 262144;     // elements read and written in a row
constexpr int64_t kMaxChunks = 64;        // of columns
constexpr int64_t kShortPlane = 24;       // planes below that are walked as columns
constexpr int64_t kLongestLine = 4096;    // columns made of several rows
constexpr int64_t kCacheBytes = 1 << 19;  // what a core surely keeps between two passes
constexpr int64_t kPiece = 65536;         // of a very large plane

int64_t grain_for(int64_t elements_per_item) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, elements_per_item));
}

}  // namespace

Constants::Constants(const Layout& layout, int64_t columns)
    : layout_(layout),
      width_(columns),
      memory_(static_cast<size_t>(6 * (layout.channels + columns)) * sizeof(float)) {
  const auto arrays = [](float* p, int64_t n) {
    return Channels{p, p + n, p + 2 * n, p + 3 * n, p + 4 * n, p + 5 * n};
  };
  channels_ = arrays(memory_.as<float>(), layout.channels);
  const bool same = columns == 0 || columns == layout.channels;
  columns_ = same ? channels_ : arrays(memory_.as<float>() + 6 * layout.channels, columns);
}

Channel Constants::at(int64_t c) const {
  const Channels& a = channels_;
  return {a.center[c], a.scale[c], a.shift[c], a.from_g[c], a.from_x[c], a.constant[c]};
}

void Constants::expand() const {
  if (columns_.center == channels_.center) return;
  const auto copy = [&](const float* from, float* to) {
    for (int64_t j = 0; j < width_; j += layout_.inner == 1 ? layout_.channels : layout_.inner) {
      if (layout_.inner == 1) {
        std::copy_n(from, layout_.channels, to + j);
      } else {
        std::fill_n(to + j, layout_.inner, from[j / layout_.inner]);
      }
    }
  };
  copy(channels_.center, columns_.center);
  copy(channels_.scale, columns_.scale);
  copy(channels_.shift, columns_.shift);
  copy(channels_.from_g, columns_.from_g);
  copy(channels_.from_x, columns_.from_x);
  copy(channels_.constant, columns_.constant);
}

Walk::Walk(const Layout& layout, int arrays)
    : layout_(layout), arrays_(arrays), by_columns_(layout.inner < kShortPlane) {
  const int64_t channels = layout.channels;
  if (by_columns_) {
    // Several short rows are one long row, so that vectors are full whatever the channel count.
    int64_t merged = layout.inner == 1 ? 16 / std::gcd(channels, int64_t{16}) : 1;
    while (merged > 1 && merged * channels > kLongestLine) merged /= 2;
    columns_ = merged * channels * layout.inner;
    rows_ = layout.outer / merged;
    rest_ = layout.outer % merged * channels;
    tile_ = std::min(columns_, kMaxColumns);
    tiles_ = divide_up(columns_, tile_);
    const int64_t rows = std::max(divide_up(kGrain, tile_), divide_up(rows_, kMaxChunks));
    chunk_rows_ = divide_up(rows, kRowBlock) * kRowBlock;
    chunks_ = divide_up(rows_, chunk_rows_);
  } else {
    pieces_ = divide_up(layout.inner, kPiece);
    piece_ = divide_up(layout.inner, pieces_);
    units_ = layout.outer * pieces_;
    chunk_units_ = std::max(divide_up(kGrain, piece_), divide_up(units_, kMaxChunks));
    chunks_ = divide_up(units_, chunk_units_);
  }
}

// ---- Columns ------------------------------------------------------------------------------------

void Walk::sum_columns(Pass::ColumnSums sums, double* first, double* second) const {
  const int64_t channels = layout_.channels, width = columns_;
  const int64_t lines = chunks_ + (rest_ > 0 ? 1 : 0);
  const memory::Scratch memory(static_cast<size_t>(2 * lines * width) * sizeof(double));
  double* const partial = memory.as<double>();
  std::fill_n(partial, 2 * lines * width, 0.0);

  const auto sum_rows = [&](int64_t line, int64_t row, int64_t rows, int64_t begin, int64_t end) {
    sums(Matrix{rows, columns_, end - begin}, row * columns_ + begin, begin,
         partial + 2 * line * width + begin, partial + (2 * line + 1) * width + begin);
  };
  parallel_for(chunks_ * tiles_, grain_for(chunk_rows_ * tile_), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t chunk = task / tiles_, tile = task % tiles_, row = chunk * chunk_rows_;
      sum_rows(chunk, row, std::min(chunk_rows_, rows_ - row), tile * tile_,
               std::min(tile * tile_ + tile_, columns_));
    }
  });
  for (int64_t begin = 0; begin < rest_; begin += tile_) {
    sum_rows(chunks_, rows_, 1, begin, std::min(begin + tile_, rest_));
  }

  parallel_for(width, grain_for(2 * lines), [&](int64_t begin, int64_t end) {
    for (int64_t line = 1; line < lines; ++line) {
      const double* a = partial + 2 * line * width;
      for (int64_t j = begin; j < end; ++j) partial[j] += a[j];
      for (int64_t j = begin; j < end; ++j) partial[width + j] += a[width + j];
    }
  });
  std::fill_n(first, channels, 0.0);
  std::fill_n(second, channels, 0.0);
  for (int64_t j = 0; lines > 0 && j < width; ++j) {
    const int64_t c = layout_.inner == 1 ? j % channels : j / layout_.inner;
    first[c] += partial[j];
    second[c] += partial[width + j];
  }
}

void Walk::map_columns(Pass::ColumnMap mapping) const {
  // Long blocks of rows, so that memory is read in long runs, but enough of them for the threads.
  const int64_t share = divide_up(rows_, int64_t{4} * num_threads());
  const int64_t block = std::max(kRowBlock, std::min(kMapChunk / columns_, share));
  const int64_t tasks = divide_up(rows_, block) * tiles_;
  parallel_for(tasks, grain_for(block * tile_), [&](int64_t begin, int64_t end) {
    // Backwards: what the sums read last is still in the cache.
    for (int64_t task = end - 1; task >= begin; --task) {
      const int64_t row = task / tiles_ * block, column = task % tiles_ * tile_;
      mapping(Matrix{std::min(block, rows_ - row), columns_, std::min(tile_, columns_ - column)},
              row * columns_ + column, column);
    }
  });
  if (rest_ > 0) mapping(Matrix{1, columns_, rest_}, rows_ * columns_, 0);
}

void Walk::run_columns(bool sum, bool map, const Constants& constants, Pass::ColumnSums sums,
                       Pass::Finish finish, Pass::ColumnMap mapping) const {
  const int64_t channels = layout_.channels;
  const memory::Scratch memory(static_cast<size_t>(2 * channels) * sizeof(double));
  double *const first = memory.as<double>(), *const second = first + channels;
  if (sum) {
    constants.expand();
    sum_columns(sums, first, second);
  }
  finish(0, channels, first, second);
  if (!map) return;
  constants.expand();
  map_columns(mapping);
}

// ---- Planes -------------------------------------------------------------------------------------

void Walk::run_planes(bool sum, bool map, Pass::RunSums sums, Pass::Finish finish,
                      Pass::RunMap mapping) const {
  const int64_t channels = layout_.channels;
  const auto offset = [&](int64_t unit, int64_t c) {
    return (unit / pieces_ * channels + c) * layout_.inner + unit % pieces_ * piece_;
  };
  const auto length = [&](int64_t unit) {
    return std::min(piece_, layout_.inner - unit % pieces_ * piece_);
  };
  const memory::Scratch memory(static_cast<size_t>(2 * channels * (chunks_ + 1)) * sizeof(double));
  double *const first = memory.as<double>(), *const second = first + channels;
  double* const partial = second + channels;

  const auto sum_chunk = [&](int64_t chunk, int64_t begin, int64_t end) {
    double *a = partial + 2 * chunk * channels, *b = a + channels;
    for (int64_t c = begin; c < end; ++c) a[c] = b[c] = 0;
    const int64_t last = std::min(units_, (chunk + 1) * chunk_units_);
    for (int64_t unit = chunk * chunk_units_; unit < last; ++unit) {
      for (int64_t c = begin; c < end; ++c) sums(length(unit), offset(unit, c), c, a[c], b[c]);
    }
  };
  const auto add_chunks = [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) first[c] = second[c] = 0;
    for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
      const double *a = partial + 2 * chunk * channels, *b = a + channels;
      for (int64_t c = begin; c < end; ++c) first[c] += a[c], second[c] += b[c];
    }
  };
  const auto map_unit = [&](int64_t unit, int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) mapping(length(unit), offset(unit, c), c);
  };

  const int64_t channel_bytes = layout_.count() * arrays_ * static_cast<int64_t>(sizeof(float));
  const int64_t group = std::clamp<int64_t>(kCacheBytes / std::max<int64_t>(1, channel_bytes), 1,
                                            std::max<int64_t>(1, channels / 16));
  if (sum && map && channels / group >= 4 * num_threads()) {
    // Each group of channels once through memory: the second pass finds it in the cache.
    const int64_t groups = divide_up(channels, group);
    parallel_for(groups, grain_for(layout_.count() * group), [&](int64_t from, int64_t to) {
      for (int64_t g = from; g < to; ++g) {
        const int64_t begin = g * group, end = std::min(channels, begin + group);
        for (int64_t chunk = 0; chunk < chunks_; ++chunk) sum_chunk(chunk, begin, end);
        add_chunks(begin, end);
        finish(begin, end, first, second);
        for (int64_t unit = units_ - 1; unit >= 0; --unit) map_unit(unit, begin, end);
      }
    });
    return;
  }
  // Few channels: threads share them.
  if (sum) {
    parallel_for(chunks_ * channels, grain_for(chunk_units_ * piece_),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t task = begin; task < end; ++task) {
                     sum_chunk(task / channels, task % channels, task % channels + 1);
                   }
                 });
    add_chunks(0, channels);
  }
  finish(0, channels, first, second);
  if (!map) return;
  parallel_for(units_ * channels, grain_for(piece_), [&](int64_t begin, int64_t end) {
    for (int64_t task = end - 1; task >= begin; --task) {
      map_unit(task / channels, task % channels, task % channels + 1);
    }
  });
}

}  // namespace tern::kernels::batch_norm
