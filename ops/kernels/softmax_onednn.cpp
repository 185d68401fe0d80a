// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "../../core/onednn.h"
#include "softmax.h"
#include "strided.h"
#include "vector_math.h"

namespace tern::kernels {

namespace {

namespace compat = onednn::compat;

/// Below this many elements oneDNN's call costs more than the loop. It has generated code for dense
/// columns only.
constexpr int64_t kFew = 4096;

bool takes_loops(const SoftmaxShape& shape) { return shape.numel() < kFew || shape.inner != 1; }

constexpr int64_t kColumns = 256;

/// Calls body(offset, columns) for groups of neighbouring columns, one column if they are dense.
template <class Body>
void for_columns(const SoftmaxShape& shape, const Body& body) {
  const int64_t width = std::min(kColumns, shape.inner);
  const int64_t groups = (shape.inner + width - 1) / width;
  const int64_t grain = std::max<int64_t>(1, kGrain / 4 / (shape.length * width));
  parallel_for(shape.outer * groups, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % groups * width;
      body(i / groups * shape.length * shape.inner + first, std::min(width, shape.inner - first));
    }
  });
}

void softmax_loops(const SoftmaxShape& shape, const float* from, float* to) {
  for_columns(shape, [&](int64_t offset, int64_t columns) {
    const float* x = from + offset;
    float* y = to + offset;
    float largest[kColumns], total[kColumns] = {};
    std::copy(x, x + columns, largest);
    const auto each = [&](const auto& f) {
      for (int64_t k = 0; k < shape.length; ++k) {
        const int64_t row = k * shape.inner;
        for (int64_t j = 0; j < columns; ++j) f(row + j, j);
      }
    };
    each([&](int64_t i, int64_t j) { largest[j] = largest[j] < x[i] ? x[i] : largest[j]; });
    if (shape.logarithm) {
      each([&](int64_t i, int64_t j) {
        y[i] = x[i] - largest[j];
        total[j] += exp_f32(y[i]);
      });
      for (int64_t j = 0; j < columns; ++j) total[j] = std::log(total[j]);
      each([&](int64_t i, int64_t j) { y[i] -= total[j]; });
    } else {
      each([&](int64_t i, int64_t j) { y[i] = exp_f32(x[i] - largest[j]); });
      each([&](int64_t i, int64_t j) { total[j] += y[i]; });
      for (int64_t j = 0; j < columns; ++j) total[j] = 1 / total[j];
      each([&](int64_t i, int64_t j) { y[i] *= total[j]; });
    }
  });
}

void softmax_backward_loops(const SoftmaxShape& shape, const float* out, const float* dout,
                            float* din) {
  for_columns(shape, [&](int64_t offset, int64_t columns) {
    const float* y = out + offset;
    const float* dy = dout + offset;
    float* dx = din + offset;
    float total[kColumns] = {};
    const auto each = [&](const auto& f) {
      for (int64_t k = 0; k < shape.length; ++k) {
        const int64_t row = k * shape.inner;
        for (int64_t j = 0; j < columns; ++j) f(row + j, j);
      }
    };
    if (shape.logarithm) {
      each([&](int64_t i, int64_t j) { total[j] += dy[i]; });
      each([&](int64_t i, int64_t j) { dx[i] = dy[i] - exp_f32(y[i]) * total[j]; });
    } else {
      each([&](int64_t i, int64_t j) { total[j] += dy[i] * y[i]; });
      each([&](int64_t i, int64_t j) { dx[i] = y[i] * (dy[i] - total[j]); });
    }
  });
}

dnnl::algorithm algorithm_of(const SoftmaxShape& shape) {
  return shape.logarithm ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate;
}

dnnl::memory::desc layout_of(const SoftmaxShape& shape) {
  return onednn::describe({shape.outer, shape.length});
}

onednn::Key key_of(const char* op, const SoftmaxShape& shape) {
  return onednn::Key(op).add(int64_t{shape.logarithm}).add(shape.outer).add(shape.length);
}

auto forward_desc(const SoftmaxShape& shape) {
  return compat::make<compat::softmax_forward>(
      onednn::engine(), onednn::attributes(), dnnl::prop_kind::forward_training,
      algorithm_of(shape), layout_of(shape), layout_of(shape), 1);
}

}  // namespace

void softmax_f32(const SoftmaxShape& shape, const float* x, float* y) {
  if (takes_loops(shape)) return softmax_loops(shape, x, y);
  onednn::guarded("softmax", [&] {
    const auto primitive = onednn::cached(key_of("softmax", shape), [&] {
      const auto layout = layout_of(shape);
      return onednn::Primitive::make<compat::softmax_forward>(
          forward_desc(shape), {{DNNL_ARG_SRC, layout}, {DNNL_ARG_DST, layout}});
    });
    primitive->execute({{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
  });
}

void softmax_backward_f32(const SoftmaxShape& shape, const float* y, const float* dy, float* dx) {
  if (takes_loops(shape)) return softmax_backward_loops(shape, y, dy, dx);
  onednn::guarded("softmax_backward", [&] {
    const auto primitive = onednn::cached(key_of("softmax_backward", shape), [&] {
      const auto layout = layout_of(shape);
      const auto desc = compat::make_backward<compat::softmax_backward>(
          onednn::engine(), onednn::attributes(), forward_desc(shape), algorithm_of(shape), layout,
          layout, layout, 1);
      return onednn::Primitive::make<compat::softmax_backward>(
          desc, {{DNNL_ARG_DST, layout}, {DNNL_ARG_DIFF_DST, layout}, {DNNL_ARG_DIFF_SRC, layout}});
    });
    primitive->execute({{DNNL_ARG_DST, y}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, dx}});
  });
}

}  // namespace tern::kernels
