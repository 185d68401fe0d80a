// SPDX-License-Identifier: Apache-2.0
// float32 batch norm on Tern's own loops. docs/batch_norm.md has the formulas, and the measurements
// that decided against oneDNN's primitive.
#include <algorithm>
#include <cmath>

#include "../../core/op_scope.h"
#include "batch_norm.h"
#include "batch_norm_loops.h"
#include "batch_norm_walk.h"
#include "isa.h"

namespace tern::kernels::batch_norm {

namespace {

const Loops& loops() { return *isa_kernels().batch_norm; }

float median(float a, float b, float c) {
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

/// A value near most of channel c: the median of three medians of three values spread over the
/// channel. One that is far off, as the first value may be, would cost the digits that the shift is
/// there to save.
float pivot(const Layout& layout, const float* x, int64_t c) {
  const auto value = [&](int64_t i) {
    const int64_t element = i * (layout.count() - 1) / 8;
    const int64_t outer = element / layout.inner, inner = element % layout.inner;
    return x[(outer * layout.channels + c) * layout.inner + inner];
  };
  const float p = median(median(value(0), value(3), value(6)), median(value(1), value(4), value(7)),
                         median(value(2), value(5), value(8)));
  return std::isfinite(p) ? p : 0.0f;
}

/// Whether a result is best written around the caches, because it would be evicted before it is
/// read.
bool outgrows_caches(const Layout& layout) {
  constexpr int64_t kLargest = int64_t{12} << 20;
  return layout.count() * layout.channels * static_cast<int64_t>(sizeof(float)) > kLargest;
}

/// The constants of y = (x - center) * scale + shift. The mean's rounding to float goes into the
/// shift, which keeps y exact where the mean is large.
void set_forward(const Problem<float>& p, const Statistics& statistics, int64_t c,
                 const Channels& constants) {
  const double mean = statistics.mean[c];
  const double inverse = inverse_std(statistics.var[c], p.eps, statistics.of_batch);
  const double scale = (p.weight ? static_cast<double>(p.weight[c]) : 1.0) * inverse;
  const float center = static_cast<float>(mean);
  const double rest = std::isfinite(mean) ? mean - static_cast<double>(center) : 0.0;
  constants.center[c] = center;
  constants.scale[c] = static_cast<float>(scale);
  constants.shift[c] =
      static_cast<float>((p.bias ? static_cast<double>(p.bias[c]) : 0.0) - scale * rest);
}

// y may be null where map is false.
void map_forward(const Walk& walk, const Problem<float>& p, const Constants& constants, bool sum,
                 bool map, Pass::Finish finish, float* y) {
  OpScope::implementation(cpu::loops_name());
  const bool stream = outgrows_caches(p.layout);
  if (walk.by_columns()) {
    const Channels& columns = constants.columns();
    walk.run_columns(
        sum, map, constants,
        [&](const Matrix& m, int64_t offset, int64_t column, double* s, double* q) {
          loops().column_moments(m, p.x + offset, columns.center + column, s, q);
        },
        finish,
        [&](Matrix m, int64_t offset, int64_t column) {
          m.stream = stream;
          loops().column_forward(m, p.x + offset, columns.from(column), p.relu, y + offset);
        });
  } else {
    walk.run_planes(
        sum, map,
        [&](int64_t count, int64_t offset, int64_t c, double& s, double& q) {
          loops().run_moments(count, p.x + offset, constants.channels().center[c], s, q);
        },
        finish,
        [&](int64_t count, int64_t offset, int64_t c) {
          loops().run_forward(count, p.x + offset, constants.at(c), p.relu, stream, y + offset);
        });
  }
}

}  // namespace

double inverse_std(double var, double eps, bool of_batch) {
  if (of_batch && var == 0 && eps == 0) return 0;
  return 1 / std::sqrt(var + eps);
}

namespace {

void run_training(const Problem<float>& p, bool map, double* mean, double* var, float* y) {
  const Walk walk(p.layout, 1);
  const Constants constants(p.layout, walk.columns());
  const Channels& channels = constants.channels();
  const double n = static_cast<double>(p.layout.count());
  for (int64_t c = 0; c < p.layout.channels; ++c) channels.center[c] = pivot(p.layout, p.x, c);
  const auto finish = [&](int64_t begin, int64_t end, const double* sum, const double* square) {
    for (int64_t c = begin; c < end; ++c) {
      const double off = sum[c] / n, v = square[c] / n - off * off;
      mean[c] = static_cast<double>(channels.center[c]) + off;
      var[c] = v < 0 ? 0 : v;
      set_forward(p, {mean, var, true}, c, channels);
    }
  };
  map_forward(walk, p, constants, true, map, finish, y);
}

// Whether oneDNN's primitives compute it: asked to, and with the mask that they left forward.
bool by_primitives(const Problem<float>& p) {
  return p.primitive_images > 0 && (p.workspace || onednn::workspace_bytes(p) == 0);
}

}  // namespace

size_t workspace_bytes_fast(const Problem<float>& p) {
  return p.primitive_images > 0 ? onednn::workspace_bytes(p) : 0;
}

void forward_training_fast(const Problem<float>& p, double* mean, double* var, float* y) {
  const bool primitives = by_primitives(p);
  run_training(p, !primitives, mean, var, y);
  if (primitives) onednn::forward(p, {mean, var, true}, y);
}

void forward_fast(const Problem<float>& p, const Statistics& statistics, float* y) {
  if (by_primitives(p)) return onednn::forward(p, statistics, y);
  const Walk walk(p.layout, 1);
  const Constants constants(p.layout, walk.columns());
  const auto finish = [&](int64_t begin, int64_t end, const double*, const double*) {
    for (int64_t c = begin; c < end; ++c) set_forward(p, statistics, c, constants.channels());
  };
  map_forward(walk, p, constants, false, true, finish, y);
}

void constants_of(const Problem<float>& p, const Statistics& statistics, float* center,
                  float* scale, float* shift) {
  const Channels constants{center, scale, shift, nullptr, nullptr, nullptr};
  for (int64_t c = 0; c < p.layout.channels; ++c) set_forward(p, statistics, c, constants);
}

void backward_fast(const Problem<float>& p, const Statistics& statistics, const float* dy,
                   const Gradients<float>& gradients) {
  if (by_primitives(p)) return onednn::backward(p, statistics, dy, gradients);
  OpScope::implementation(cpu::loops_name());
  const Walk walk(p.layout, 2);
  const Constants constants(p.layout, walk.columns());
  const Channels& channels = constants.channels();
  const double n = static_cast<double>(p.layout.count());
  const bool through = statistics.of_batch;
  const bool map = gradients.dx != nullptr, stream = outgrows_caches(p.layout);
  const bool sum = (map && through) || gradients.dweight || gradients.dbias;
  for (int64_t c = 0; c < p.layout.channels; ++c) set_forward(p, statistics, c, channels);

  const auto finish = [&](int64_t begin, int64_t end, const double* sum_g, const double* sum_gx) {
    for (int64_t c = begin; c < end; ++c) {
      const double inverse = inverse_std(statistics.var[c], p.eps, through);
      const double scale = (p.weight ? static_cast<double>(p.weight[c]) : 1.0) * inverse;
      channels.from_g[c] = static_cast<float>(scale);
      if (!sum) continue;
      const double rest = statistics.mean[c] - static_cast<double>(channels.center[c]);
      const double dweight = (sum_gx[c] - rest * sum_g[c]) * inverse, dbias = sum_g[c];
      if (gradients.dweight) gradients.dweight[c] = static_cast<float>(dweight);
      if (gradients.dbias) gradients.dbias[c] = static_cast<float>(dbias);
      const double from_x = -scale * inverse * dweight / n;
      channels.from_x[c] = static_cast<float>(from_x);
      channels.constant[c] = static_cast<float>(-scale * dbias / n - from_x * rest);
    }
  };
  if (walk.by_columns()) {
    const Channels& columns = constants.columns();
    walk.run_columns(
        sum, map, constants,
        [&](const Matrix& m, int64_t offset, int64_t column, double* s, double* q) {
          loops().column_sums(m, p.x + offset, dy + offset, columns.from(column), p.relu, s, q);
        },
        finish,
        [&](Matrix m, int64_t offset, int64_t column) {
          m.stream = stream;
          loops().column_backward(m, p.x + offset, dy + offset, columns.from(column), p.relu,
                                  through, gradients.dx + offset);
        });
  } else {
    walk.run_planes(
        sum, map,
        [&](int64_t count, int64_t offset, int64_t c, double& s, double& q) {
          loops().run_sums(count, p.x + offset, dy + offset, constants.at(c), p.relu, s, q);
        },
        finish,
        [&](int64_t count, int64_t offset, int64_t c) {
          loops().run_backward(count, p.x + offset, dy + offset, constants.at(c), p.relu, through,
                               stream, gradients.dx + offset);
        });
  }
}

}  // namespace tern::kernels::batch_norm
