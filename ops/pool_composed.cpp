// SPDX-License-Identifier: Apache-2.0
// Pooling that is made of pool.cpp's: of signals, and maxima over bins.
#include <vector>

#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "gather.h"
#include "internal/movement.h"
#include "internal/op.h"
#include "pool.h"

namespace tern {

static std::vector<OpAttribute> attributes_of(const MaxPool1dOptions& options) {
  return {stride_attribute(options.stride),
          {"padding", options.padding},
          {"dilation", options.dilation},
          {"ceil_mode", options.ceil_mode}};
}

static std::vector<OpAttribute> attributes_of(const AvgPool1dOptions& options) {
  return {stride_attribute(options.stride),
          {"padding", options.padding},
          {"ceil_mode", options.ceil_mode},
          {"count_include_pad", options.count_include_pad}};
}

namespace {

// Applies f, written for N,C,H,W, to x [N,C,L] as images with a height of 1.
template <class F>
Tensor as_image(const char* op, const Tensor& x, const F& f) {
  if (x.dim() != 3) fail(op, "x is ", x, ", want 3 axes");
  const Shape& s = x.shape();
  const Tensor y = f(view_as(x, {s[0], s[1], 1, s[2]}));
  return view_as(y, {s[0], s[1], y.size(3)});
}

std::optional<Size2d> stride_along(const std::optional<int64_t>& stride) {
  if (!stride) return std::nullopt;
  return Size2d{1, *stride};
}

// The maximum over the bins of one axis of N,C,H,W, the first of equal ones.
Tensor bin_maxima(const Tensor& x, int axis, int64_t output) {
  const int64_t size = x.size(axis);
  const auto maxima = [&](int64_t length, int64_t stride) {
    return axis == 2 ? max_pool2d(x, {length, 1}, {.stride = Size2d{stride, 1}})
                     : max_pool2d(x, {1, length}, {.stride = Size2d{1, stride}});
  };
  if (size % output == 0) return maxima(size / output, size / output);
  // Bins have two or three lengths: all maxima of each length, and of those the ones at the bins'
  // first elements.
  const Tensor places = empty({output}, DType::i64);
  int64_t* at = places.raw<int64_t>();
  std::vector<Tensor> of_lengths;
  int64_t first = 0;
  for (int64_t length = size / output; length <= size / output + 2; ++length) {
    bool any = false;
    for (int64_t i = 0; i < output; ++i) {
      const int64_t begin = i * size / output;
      if (divide_up((i + 1) * size, output) - begin != length) continue;
      at[i] = first + begin;
      any = true;
    }
    if (!any) continue;
    of_lengths.push_back(maxima(length, 1));
    first += of_lengths.back().size(axis);
  }
  return index_select(cat(of_lengths, axis), axis, places);
}

Tensor adaptive_maxima(const char* op, const Tensor& x, Size2d output) {
  check_window(op, "output_size", output, 1);
  check_pixels(op, x, {x.size(2), x.size(3)});
  if (x.numel() == 0) return adaptive_avg_pool2d(x, output);           // nothing either
  (void)empty({x.size(0), x.size(1), output.h, output.w}, x.dtype());  // throws before work is done
  // Columns first: of equal maxima in a bin, the first one of the first row is found.
  return bin_maxima(bin_maxima(x, 3, output.w), 2, output.h);
}

}  // namespace

Tensor adaptive_max_pool2d(const Tensor& x, Size2d output_size, DataFormat data_format) {
  const OpScope scope("adaptive_max_pool2d", x, "output_size", output_size, "data_format",
                      data_format);
  if (x.dim() != 4) fail("adaptive_max_pool2d", "x is ", x, ", want 4 axes");
  check_floating("adaptive_max_pool2d", "x", x);
  return scope.result(in_format(data_format, x, [&](const Tensor& nchw) {
    return adaptive_maxima("adaptive_max_pool2d", nchw, output_size);
  }));
}

Tensor max_pool1d(const Tensor& x, int64_t kernel, const MaxPool1dOptions& options) {
  const OpScope scope("max_pool1d", x, "kernel", kernel, options);
  return scope.result(as_image("max_pool1d", x, [&](const Tensor& image) {
    return max_pool2d(image, {1, kernel},
                      {.stride = stride_along(options.stride),
                       .padding = {0, options.padding},
                       .dilation = {1, options.dilation},
                       .ceil_mode = options.ceil_mode});
  }));
}

Tensor avg_pool1d(const Tensor& x, int64_t kernel, const AvgPool1dOptions& options) {
  const OpScope scope("avg_pool1d", x, "kernel", kernel, options);
  return scope.result(as_image("avg_pool1d", x, [&](const Tensor& image) {
    return avg_pool2d(image, {1, kernel},
                      {.stride = stride_along(options.stride),
                       .padding = {0, options.padding},
                       .ceil_mode = options.ceil_mode,
                       .count_include_pad = options.count_include_pad});
  }));
}

Tensor adaptive_avg_pool1d(const Tensor& x, int64_t output_size) {
  const OpScope scope("adaptive_avg_pool1d", x, "output_size", output_size);
  return scope.result(as_image("adaptive_avg_pool1d", x, [&](const Tensor& image) {
    return adaptive_avg_pool2d(image, {1, output_size});
  }));
}

Tensor adaptive_max_pool1d(const Tensor& x, int64_t output_size) {
  const OpScope scope("adaptive_max_pool1d", x, "output_size", output_size);
  return scope.result(as_image("adaptive_max_pool1d", x, [&](const Tensor& image) {
    check_floating("adaptive_max_pool1d", "x", image);
    return adaptive_maxima("adaptive_max_pool1d", image, {1, output_size});
  }));
}

}  // namespace tern
