// SPDX-License-Identifier: Apache-2.0
// float32 layer, RMS, group and instance norm: a part is read from memory once in each direction,
// and again from the cache. What is summed over images (dweight, dbias) is summed in chunks that
// the shape fixes: Note [Sums fixed by the shape].
#include <algorithm>
#include <cmath>

#include "../../core/internal/memory.h"
#include "../../core/internal/parallel.h"
#include "../../core/op_scope.h"
#include "batch_norm.h"
#include "batch_norm_loops.h"
#include "isa.h"
#include "norm.h"
#include "norm_loops.h"

namespace tern::kernels::norm {

namespace {

using batch_norm::Channels;
using batch_norm::Matrix;

const Loops& row_loops() { return *isa_kernels().norm; }
const batch_norm::Loops& loops() { return *isa_kernels().batch_norm; }

/// Consecutive floats, all `value`.
memory::Scratch filled(int64_t count, float value) {
  memory::Scratch scratch(static_cast<size_t>(count) * sizeof(float));
  std::fill_n(scratch.as<float>(), count, value);
  return scratch;
}

float float_of(const float* values, int64_t i, float otherwise) {
  return values ? values[i] : otherwise;
}

/// A part's constants, for weight 1 and bias 0. The mean's rounding to float goes into the shift.
struct Part {
  double inverse, rest;
  Channel channel;

  Part(double mean, double var, double eps)
      : inverse(batch_norm::inverse_std(var, eps, true)), rest(0) {
    channel.center = static_cast<float>(mean);
    if (std::isfinite(mean)) rest = mean - static_cast<double>(channel.center);
    channel.scale = static_cast<float>(inverse);
    channel.shift = static_cast<float>(-rest * inverse);
  }

  /// What dx is computed with, given the sums of g = dy * weight and g * (x - center).
  void set_backward(double sum_g, double sum_gx, double n, bool centered) {
    const double along = (sum_gx - rest * sum_g) * inverse;  // of g * (x - mean) / deviation
    const double from_x = -inverse * inverse * along / n;
    channel.from_g = static_cast<float>(inverse);
    channel.from_x = static_cast<float>(from_x);
    channel.constant = static_cast<float>((centered ? -inverse * sum_g / n : 0.0) - from_x * rest);
  }

  /// The same for a channel with a weight and a bias.
  Channel with(float weight, float bias) const {
    Channel c = channel;
    c.scale = static_cast<float>(inverse * static_cast<double>(weight));
    c.shift = static_cast<float>(static_cast<double>(bias) -
                                 rest * inverse * static_cast<double>(weight));
    c.from_g =
        static_cast<float>(static_cast<double>(channel.from_g) * static_cast<double>(weight));
    return c;
  }
};

/// The mean and variance of n numbers in a row: the mean first, so that the squares are of small
/// numbers however large it is.
void measure(int64_t n, const float* x, bool centered, double& mean, double& var) {
  const double count = static_cast<double>(n);
  double sum = 0, square = 0;
  loops().run_moments(n, x, 0, sum, square);
  mean = centered ? sum / count : 0;
  if (centered) {
    const float center = static_cast<float>(mean);
    sum = square = 0;
    loops().run_moments(n, x, center, sum, square);
    const double off = sum / count;
    mean = static_cast<double>(center) + off;
    square -= count * off * off;
  }
  var = square < 0 ? 0 : square / count;
}

int64_t grain_of(int64_t elements) {
  return std::max<int64_t>(1, kGrain / 4 / std::max<int64_t>(1, elements));
}

// ---- A weight for each element of a part: inner == 1 --------------------------------------------

void forward_rows(const Problem<float>& p, double* mean, double* var, float* y) {
  const int64_t n = p.layout.channels, all = p.layout.all_channels();
  const memory::Scratch ones = filled(p.weight ? 0 : all, 1), zeros = filled(p.bias ? 0 : all, 0);
  const float* weight = p.weight ? p.weight : ones.as<float>();
  const float* bias = p.bias ? p.bias : zeros.as<float>();
  parallel_for(p.layout.parts(), grain_of(n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* x = p.x + i * n;
      measure(n, x, p.centered, mean[i], var[i]);
      const int64_t column = i % p.layout.groups * n;
      row_loops().row_forward(n, x, Part(mean[i], var[i], p.eps).channel, weight + column,
                              bias + column, y + i * n);
    }
  });
}

void backward_rows(const Problem<float>& p, const double* mean, const double* var, const float* dy,
                   const Gradients<float>& gradients) {
  const int64_t n = p.layout.channels, groups = p.layout.groups, images = p.layout.images;
  const int64_t all = p.layout.all_channels();
  const memory::Scratch ones = filled(p.weight ? 0 : all, 1);
  const float* weight = p.weight ? p.weight : ones.as<float>();
  const bool parameters = gradients.dweight || gradients.dbias;

  // Rows of one group are summed in blocks in float, in chunks of blocks and then in all in double.
  constexpr int64_t kLargestBlock = 64, kMostChunks = 64;
  const int64_t block = std::clamp<int64_t>(kGrain / n, 4, kLargestBlock);
  const int64_t blocks = divide_up(images, block);
  const int64_t chunk_blocks = divide_up(blocks, kMostChunks);
  const int64_t chunks = divide_up(blocks, chunk_blocks);
  const memory::Scratch sums(parameters ? static_cast<size_t>(chunks * 2 * all) * sizeof(double)
                                        : 0);

  parallel_for(
      chunks * groups, grain_of(chunk_blocks * block * n), [&](int64_t begin, int64_t end) {
        const memory::Scratch floats = filled(parameters ? 2 * n : 0, 0);
        float* dweight = parameters ? floats.as<float>() : nullptr;
        float* dbias = parameters ? dweight + n : nullptr;
        Channel rows[kLargestBlock];
        for (int64_t task = begin; task < end; ++task) {
          const int64_t chunk = task / groups, group = task % groups;
          double* total =
              parameters ? sums.as<double>() + chunk * 2 * all + 2 * group * n : nullptr;
          if (parameters) std::fill_n(total, 2 * n, 0.0);
          const int64_t last = std::min(images, (chunk + 1) * chunk_blocks * block);
          for (int64_t first = chunk * chunk_blocks * block; first < last; first += block) {
            const int64_t count = std::min(block, last - first);
            if (parameters) std::fill_n(dweight, 2 * n, 0.0f);
            for (int64_t r = 0; r < count; ++r) {
              const int64_t part = (first + r) * groups + group;
              Part constants(mean[part], var[part], p.eps);
              double sum_g = 0, sum_gx = 0;
              if (gradients.dx) {
                row_loops().row_sums(n, p.x + part * n, dy + part * n, weight + group * n,
                                     constants.channel.center, sum_g, sum_gx);
              }
              constants.set_backward(sum_g, sum_gx, static_cast<double>(n), p.centered);
              rows[r] = constants.channel;
              // Rows of one group lie side by side only if there is one: then several go at once.
              if (groups > 1 || r % 4 == 3 || r + 1 == count) {
                const int64_t some = groups > 1 ? 1 : r % 4 + 1;
                const int64_t offset = (part - (some - 1)) * n;
                row_loops().rows_backward(
                    some, n, p.x + offset, dy + offset, weight + group * n, rows + r - (some - 1),
                    gradients.dx ? gradients.dx + offset : nullptr, dweight, dbias);
              }
            }
            for (int64_t j = 0; parameters && j < 2 * n; ++j)
              total[j] += static_cast<double>(dweight[j]);
          }
        }
      });

  if (!parameters) return;
  parallel_for(all, grain_of(chunks), [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t column = 2 * (j / n) * n + j % n;
      double dweight = 0, dbias = 0;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        dweight += sums.as<double>()[chunk * 2 * all + column];
        dbias += sums.as<double>()[chunk * 2 * all + column + n];
      }
      if (gradients.dweight) gradients.dweight[j] = static_cast<float>(dweight);
      if (gradients.dbias) gradients.dbias[j] = static_cast<float>(dbias);
    }
  });
}

// ---- Channels of several elements ---------------------------------------------------------------

/// Constants of all channels of some groups, as columns.
class Columns {
 public:
  explicit Columns(int64_t count)
      : memory_(static_cast<size_t>(6 * count) * sizeof(float)), channels_{at(0, count),
                                                                           at(1, count),
                                                                           at(2, count),
                                                                           at(3, count),
                                                                           at(4, count),
                                                                           at(5, count)} {
    std::fill_n(channels_.center, 6 * count, 0.0f);
  }
  const Channels& channels() const { return channels_; }
  void set(int64_t j, const Channel& c) const {
    channels_.center[j] = c.center;
    channels_.scale[j] = c.scale;
    channels_.shift[j] = c.shift;
    channels_.from_g[j] = c.from_g;
    channels_.from_x[j] = c.from_x;
    channels_.constant[j] = c.constant;
  }

 private:
  float* at(int64_t i, int64_t count) const { return memory_.as<float>() + i * count; }

  memory::Scratch memory_;
  Channels channels_;
};

/// Calls f(Matrix, offset, first column) for pieces of the columns [begin, end) of an image, of a
/// width that sums can have.
template <class F>
void for_columns(const Layout& layout, int64_t image, int64_t begin, int64_t end, const F& f) {
  const int64_t all = layout.all_channels();
  for (int64_t column = begin; column < end; column += batch_norm::kMaxColumns) {
    f(Matrix{layout.inner, all, std::min(batch_norm::kMaxColumns, end - column)},
      image * layout.inner * all + column, column - begin);
  }
}

/// Calls f(image, first group, end of the groups) for each group of a row-major image, and for
/// lines of groups of a channels-last one that are as wide as loops over columns need to run well.
template <class F>
void for_lines(const Layout& layout, const F& f) {
  const int64_t groups =
      layout.channels_last ? std::min(layout.groups, divide_up(64, layout.channels)) : 1;
  const int64_t per_image = divide_up(layout.groups, groups);
  parallel_for(layout.images * per_image, grain_of(groups * layout.count()),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t first = i % per_image * groups;
                   f(i / per_image, first, std::min(first + groups, layout.groups));
                 }
               });
}

void forward_planes(const Problem<float>& p, double* mean, double* var, float* y) {
  const Layout& layout = p.layout;
  for_lines(layout, [&](int64_t image, int64_t group, int64_t) {
    const int64_t part = image * layout.groups + group, n = layout.count();
    measure(n, p.x + part * n, p.centered, mean[part], var[part]);
    const Part constants(mean[part], var[part], p.eps);
    for (int64_t k = 0; k < layout.channels; ++k) {
      const int64_t c = group * layout.channels + k, offset = part * n + k * layout.inner;
      loops().run_forward(layout.inner, p.x + offset,
                          constants.with(float_of(p.weight, c, 1), float_of(p.bias, c, 0)), false,
                          false, y + offset);
    }
  });
}

void forward_columns(const Problem<float>& p, double* mean, double* var, float* y) {
  const Layout& layout = p.layout;
  for_lines(layout, [&](int64_t image, int64_t group, int64_t groups_end) {
    const int64_t begin = group * layout.channels, end = groups_end * layout.channels;
    const int64_t width = end - begin;
    const double n = static_cast<double>(layout.count());
    const Columns columns(width);
    const memory::Scratch scratch(static_cast<size_t>(2 * width) * sizeof(double));
    double *sum = scratch.as<double>(), *square = sum + width;
    const auto sum_columns = [&] {
      std::fill_n(sum, 2 * width, 0.0);
      for_columns(layout, image, begin, end, [&](const Matrix& m, int64_t offset, int64_t j) {
        loops().column_moments(m, p.x + offset, columns.channels().center + j, sum + j, square + j);
      });
    };
    const auto for_groups = [&](const auto& f) {
      for (int64_t g = group; g < groups_end; ++g) {
        double s = 0, q = 0;
        const int64_t first = (g - group) * layout.channels;
        for (int64_t j = first; j < first + layout.channels; ++j) s += sum[j], q += square[j];
        f(image * layout.groups + g, first, s, q);
      }
    };
    sum_columns();
    if (p.centered) {  // as measure() does
      for_groups([&](int64_t, int64_t first, double s, double) {
        std::fill_n(columns.channels().center + first, layout.channels, static_cast<float>(s / n));
      });
      sum_columns();
    }
    for_groups([&](int64_t part, int64_t first, double s, double q) {
      const double off = p.centered ? s / n : 0;
      mean[part] = static_cast<double>(columns.channels().center[first]) + off;
      const double v = q / n - off * off;
      var[part] = v < 0 ? 0 : v;
      const Part constants(mean[part], var[part], p.eps);
      for (int64_t j = first; j < first + layout.channels; ++j) {
        columns.set(
            j, constants.with(float_of(p.weight, begin + j, 1), float_of(p.bias, begin + j, 0)));
      }
    });
    for_columns(layout, image, begin, end, [&](const Matrix& m, int64_t offset, int64_t j) {
      loops().column_forward(m, p.x + offset, columns.channels().from(j), false, y + offset);
    });
  });
}

/// The gradients of images whose channels have several elements. `sums` and `map` go over the
/// channels [begin, end) of an image, which are whole groups.
template <class Sums, class Map>
void backward_channels(const Problem<float>& p, const double* mean, const double* var,
                       const Gradients<float>& gradients, const Sums& sums, const Map& map) {
  const Layout& layout = p.layout;
  const int64_t all = layout.all_channels();
  const double n = static_cast<double>(layout.count());
  // dbias and dweight of each image: sum_g, and once a part is done those of its normalized x.
  const memory::Scratch scratch(static_cast<size_t>(2 * layout.images * all) * sizeof(double));
  double *all_g = scratch.as<double>(), *all_gx = all_g + layout.images * all;
  std::fill_n(all_g, 2 * layout.images * all, 0.0);
  for_lines(layout, [&](int64_t image, int64_t group, int64_t groups_end) {
    const int64_t begin = group * layout.channels, end = groups_end * layout.channels;
    double *sum_g = all_g + image * all + begin, *sum_gx = all_gx + image * all + begin;
    const Columns columns(end - begin);
    for (int64_t c = begin; c < end; ++c) {
      const int64_t part = image * layout.groups + c / layout.channels;
      columns.set(c - begin, Part(mean[part], var[part], p.eps).channel);
    }
    sums(image, begin, end, columns.channels(), sum_g, sum_gx);
    for (int64_t g = group; g < groups_end; ++g) {
      const int64_t part = image * layout.groups + g, first = (g - group) * layout.channels;
      Part constants(mean[part], var[part], p.eps);
      double total_g = 0, total_gx = 0;
      for (int64_t j = first; j < first + layout.channels; ++j) {
        const double weight = static_cast<double>(float_of(p.weight, begin + j, 1));
        total_g += weight * sum_g[j];
        total_gx += weight * sum_gx[j];
        sum_gx[j] = (sum_gx[j] - constants.rest * sum_g[j]) * constants.inverse;
      }
      constants.set_backward(total_g, total_gx, n, p.centered);
      for (int64_t j = first; j < first + layout.channels; ++j)
        columns.set(j, constants.with(float_of(p.weight, begin + j, 1), 0));
    }
    if (gradients.dx) map(image, begin, end, columns.channels());
  });
  if (!gradients.dweight && !gradients.dbias) return;
  parallel_for(all, grain_of(layout.images), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      double dweight = 0, dbias = 0;
      for (int64_t image = 0; image < layout.images; ++image) {
        dbias += all_g[image * all + c];
        dweight += all_gx[image * all + c];
      }
      if (gradients.dweight) gradients.dweight[c] = static_cast<float>(dweight);
      if (gradients.dbias) gradients.dbias[c] = static_cast<float>(dbias);
    }
  });
}

Channel channel_of(const Channels& columns, int64_t j) {
  return {columns.center[j], columns.scale[j],  columns.shift[j],
          columns.from_g[j], columns.from_x[j], columns.constant[j]};
}

void backward_planes(const Problem<float>& p, const double* mean, const double* var,
                     const float* dy, const Gradients<float>& gradients) {
  const int64_t all = p.layout.all_channels(), inner = p.layout.inner;
  backward_channels(
      p, mean, var, gradients,
      [&](int64_t image, int64_t begin, int64_t end, const Channels& columns, double* sum_g,
          double* sum_gx) {
        for (int64_t c = begin; c < end; ++c) {
          const int64_t offset = (image * all + c) * inner;
          loops().run_sums(inner, p.x + offset, dy + offset, channel_of(columns, c - begin), false,
                           sum_g[c - begin], sum_gx[c - begin]);
        }
      },
      [&](int64_t image, int64_t begin, int64_t end, const Channels& columns) {
        for (int64_t c = begin; c < end; ++c) {
          const int64_t offset = (image * all + c) * inner;
          loops().run_backward(inner, p.x + offset, dy + offset, channel_of(columns, c - begin),
                               false, true, false, gradients.dx + offset);
        }
      });
}

void backward_columns(const Problem<float>& p, const double* mean, const double* var,
                      const float* dy, const Gradients<float>& gradients) {
  backward_channels(
      p, mean, var, gradients,
      [&](int64_t image, int64_t begin, int64_t end, const Channels& columns, double* sum_g,
          double* sum_gx) {
        for_columns(p.layout, image, begin, end, [&](const Matrix& m, int64_t offset, int64_t j) {
          loops().column_sums(m, p.x + offset, dy + offset, columns.from(j), false, sum_g + j,
                              sum_gx + j);
        });
      },
      [&](int64_t image, int64_t begin, int64_t end, const Channels& columns) {
        for_columns(p.layout, image, begin, end, [&](const Matrix& m, int64_t offset, int64_t j) {
          loops().column_backward(m, p.x + offset, dy + offset, columns.from(j), false, true,
                                  gradients.dx + offset);
        });
      });
}

}  // namespace

void forward_fast(const Problem<float>& p, double* mean, double* var, float* y) {
  OpScope::implementation(cpu::loops_name());
  if (p.layout.inner == 1) return forward_rows(p, mean, var, y);
  if (p.layout.channels_last) return forward_columns(p, mean, var, y);
  forward_planes(p, mean, var, y);
}

void backward_fast(const Problem<float>& p, const double* mean, const double* var, const float* dy,
                   const Gradients<float>& gradients) {
  OpScope::implementation(cpu::loops_name());
  if (p.layout.inner == 1) return backward_rows(p, mean, var, dy, gradients);
  if (p.layout.channels_last) return backward_columns(p, mean, var, dy, gradients);
  backward_planes(p, mean, var, dy, gradients);
}

}  // namespace tern::kernels::norm
