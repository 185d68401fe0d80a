// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <algorithm>
#include <limits>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "internal/op.h"
#include "kernels/pool.h"

namespace tern {

static std::vector<OpAttribute> attributes_of(const MaxPool2dOptions& options) {
  return {stride_attribute(options.stride),
          {"padding", attribute_of(options.padding)},
          {"dilation", attribute_of(options.dilation)},
          {"ceil_mode", options.ceil_mode},
          {"data_format", to_string(options.data_format)}};
}

static std::vector<OpAttribute> attributes_of(const AvgPool2dOptions& options) {
  return {stride_attribute(options.stride),
          {"padding", attribute_of(options.padding)},
          {"ceil_mode", options.ceil_mode},
          {"count_include_pad", options.count_include_pad},
          {"data_format", to_string(options.data_format)}};
}

namespace {

using kernels::AverageBins;
using kernels::Bin;
using kernels::MaxWindows;
using kernels::PoolImages;

PoolImages images_of(const Shape& shape, MemoryFormat order) {
  if (order == MemoryFormat::channels_last) return {shape[0], shape[2], shape[3], shape[1]};
  return {shape[0] * shape[1], shape[2], shape[3], 1};
}

// ---- Checks -------------------------------------------------------------------------------------

void check_input(const char* op, const Tensor& x) {
  if (x.dim() != 4) fail(op, "x is ", x, ", want 4 axes");
  check_floating(op, "x", x);
}

// The number of windows along an axis.
int64_t window_count(const char* op, const char* axis, const Tensor& x, int64_t size,
                     int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                     bool ceil_mode) {
  if (size < 1 || size > INT64_MAX / 2) {
    fail(op, "x is ", x, ", want at least 1 pixel along ", axis, " and fewer than 2^62");
  }
  const int64_t reach = dilation * (kernel - 1) + 1;
  // From the first window's start to the last one's, if all end in the padded image.
  const int64_t span = size + 2 * padding - reach;
  const int64_t over_the_edge = ceil_mode ? stride - 1 : 0;
  if (span + over_the_edge < 0) {
    fail(op, "kernel covers ", reach, " pixels along ", axis, ", want 1 to ",
         size + 2 * padding + over_the_edge, " (x ", x, ")");
  }
  int64_t count = (span + over_the_edge) / stride + 1;
  // A window starts inside the image or the padding before it.
  if (ceil_mode && (count - 1) * stride >= size + padding) --count;
  return count;
}

// The windows that max_pool2d and avg_pool2d share; x is N,C,H,W.
MaxWindows windows_of(const char* op, const Tensor& x, Size2d kernel,
                      const std::optional<Size2d>& given_stride, Size2d padding, Size2d dilation,
                      bool ceil_mode) {
  const Size2d stride = given_stride.value_or(kernel);
  check_window(op, "kernel", kernel, 1);
  check_window(op, "stride", stride, 1);
  check_window(op, "padding", padding, 0);
  check_window(op, "dilation", dilation, 1);
  if (2 * padding.h > kernel.h || 2 * padding.w > kernel.w) {
    fail(op, "padding is {", padding.h, ",", padding.w, "}, want at most half of the kernel {",
         kernel.h, ",", kernel.w, "}");
  }
  const Shape& shape = x.shape();
  return {window_count(op, "H", x, shape[2], kernel.h, stride.h, padding.h, dilation.h, ceil_mode),
          window_count(op, "W", x, shape[3], kernel.w, stride.w, padding.w, dilation.w, ceil_mode),
          kernel,
          stride,
          padding,
          dilation};
}

// ---- Maximum ------------------------------------------------------------------------------------

// A maximum over windows, as its nodes know it. The index of every place of the result lies in the
// result's memory format, and decides in which order the gradients are computed.
struct MaxPool {
  MaxWindows windows;
  Shape x_shape, y_shape;
};

// Calls f(element of the dtype, element of the index), if there are elements.
template <class F>
void visit_index(const Tensor& index, DType dtype, F&& f) {
  if (index.numel() == 0) return;  // however long its axes are
  visit_floating(dtype, [&](auto element) {
    if (index.dtype() == DType::u8) {
      f(element, uint8_t{});
    } else {
      f(element, int64_t{});
    }
  });
}

Tensor gather(const MaxPool& pool, const Tensor& x, const Tensor& index);

class MaxPoolScatterNode final : public Node {
 public:
  MaxPoolScatterNode(const MaxPool& pool, const Tensor& index) : pool_(pool), index_(this, index) {}
  const char* name() const override { return "max_pool2d_backward"; }
  Gradients backward(const Tensor& v) override { return {gather(pool_, v, index_.get())}; }

 private:
  MaxPool pool_;
  Saved index_;
};

// The gradient of x: dy goes to where the maxima were.
Tensor scatter(const MaxPool& pool, const Tensor& dy, const Tensor& index) {
  const Tensor ordered = to_memory_format(dy, index.memory_format());
  const Tensor dx = empty(pool.x_shape, dy.dtype(), index.memory_format());
  const PoolImages images = images_of(pool.x_shape, index.memory_format());
  visit_index(index, dy.dtype(), [&]<class T, class Index>(T, Index) {
    kernels::max_pool_scatter(images, pool.windows, ordered.raw<T>(), index.raw<Index>(),
                              dx.raw<T>());
  });
  return record<MaxPoolScatterNode>(dx, {dy}, pool, index);
}

class MaxPoolGatherNode final : public Node {
 public:
  MaxPoolGatherNode(const MaxPool& pool, const Tensor& index) : pool_(pool), index_(this, index) {}
  const char* name() const override { return "max_pool2d_gather"; }
  Gradients backward(const Tensor& dy) override { return {scatter(pool_, dy, index_.get())}; }

 private:
  MaxPool pool_;
  Saved index_;
};

Tensor gather(const MaxPool& pool, const Tensor& x, const Tensor& index) {
  const Tensor ordered = to_memory_format(x, index.memory_format());
  const Tensor y = empty(pool.y_shape, x.dtype(), index.memory_format());
  visit_index(index, x.dtype(), [&]<class T, class Index>(T, Index) {
    kernels::max_pool_gather(images_of(pool.x_shape, index.memory_format()), pool.windows,
                             ordered.raw<T>(), index.raw<Index>(), y.raw<T>());
  });
  return record<MaxPoolGatherNode>(y, {x}, pool, index);
}

class MaxPool2dNode final : public Node {
 public:
  MaxPool2dNode(const MaxPool& pool, const Tensor& index) : pool_(pool), index_(this, index) {}
  const char* name() const override { return "max_pool2d"; }
  Gradients backward(const Tensor& dy) override { return {scatter(pool_, dy, index_.get())}; }

 private:
  MaxPool pool_;
  Saved index_;
};

// ---- Average ------------------------------------------------------------------------------------

struct AveragePool {
  AverageBins bins;
  Shape x_shape, y_shape;
};

Tensor average_adjoint(const AveragePool& pool, const Tensor& dy);

class AvgPool2dNode final : public Node {
 public:
  explicit AvgPool2dNode(const AveragePool& pool) : pool_(pool) {}
  const char* name() const override { return "avg_pool2d"; }
  Gradients backward(const Tensor& dy) override { return {average_adjoint(pool_, dy)}; }

 private:
  AveragePool pool_;
};

Tensor average(const AveragePool& pool, const Tensor& x) {
  const Tensor y = empty(pool.y_shape, x.dtype(), x.memory_format());
  const PoolImages images = images_of(pool.x_shape, x.memory_format());
  visit_floating(x.dtype(), [&]<class T>(T) {
    kernels::average_forward(images, pool.bins, x.raw<T>(), y.raw<T>());
  });
  return record<AvgPool2dNode>(y, {x}, pool);
}

class AvgPool2dBackwardNode final : public Node {
 public:
  explicit AvgPool2dBackwardNode(const AveragePool& pool) : pool_(pool) {}
  const char* name() const override { return "avg_pool2d_backward"; }
  Gradients backward(const Tensor& v) override { return {average(pool_, v)}; }

 private:
  AveragePool pool_;
};

Tensor average_adjoint(const AveragePool& pool, const Tensor& dy) {
  const Tensor dx = empty(pool.x_shape, dy.dtype(), dy.memory_format());
  const PoolImages images = images_of(pool.x_shape, dy.memory_format());
  visit_floating(dy.dtype(), [&]<class T>(T) {
    kernels::average_backward(images, pool.bins, dy.raw<T>(), dx.raw<T>());
  });
  return record<AvgPool2dBackwardNode>(dx, {dy}, pool);
}

// The average over `size` bins of N,C,H,W. No number makes it ask for memory that the result would
// not fit into, or that nobody needs.
template <class F>
Tensor average_over(const Tensor& x, Size2d size, const F& bins) {
  AveragePool pool{{}, x.shape(), {x.shape()[0], x.shape()[1], size.h, size.w}};
  if (pool.y_shape.numel() > 0) {
    (void)empty(pool.y_shape, x.dtype());  // the next one takes its memory
    pool.bins = bins();
  }
  return average(pool, x);
}

std::vector<Bin> window_bins(int64_t windows, int64_t size, int64_t kernel, int64_t stride,
                             int64_t padding, bool count_padding) {
  std::vector<Bin> bins;
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t start = i * stride - padding;
    const int64_t padded_end = std::min(start + kernel, size + padding);
    const int64_t begin = std::max<int64_t>(start, 0);
    const int64_t end = std::max(begin, std::min(padded_end, size));
    // A window that lies in the padding alone has the average 0.
    const int64_t count = count_padding ? padded_end - start : std::max<int64_t>(1, end - begin);
    bins.push_back({begin, end, count});
  }
  return bins;
}

std::vector<Bin> adaptive_bins(int64_t size, int64_t output) {
  std::vector<Bin> bins;
  for (int64_t i = 0; i < output; ++i) {
    const int64_t begin = i * size / output;
    const int64_t end = divide_up((i + 1) * size, output);
    bins.push_back({begin, end, end - begin});
  }
  return bins;
}

}  // namespace

Tensor max_pool2d(const Tensor& input, Size2d kernel, const MaxPool2dOptions& options) {
  const OpScope scope("max_pool2d", input, "kernel", kernel, options);
  check_input("max_pool2d", input);
  check_window("max_pool2d", "kernel", kernel, 1);
  if (kernel.h * kernel.w > INT32_MAX) {
    fail("max_pool2d", "kernel has ", kernel.h * kernel.w, " places, want fewer than 2^31");
  }
  return scope.result(in_format(options.data_format, input, [&](const Tensor& x) {
    const MaxWindows windows = windows_of("max_pool2d", x, kernel, options.stride, options.padding,
                                          options.dilation, options.ceil_mode);
    const MaxPool pool{
        windows, x.shape(), {x.shape()[0], x.shape()[1], windows.out_h, windows.out_w}};
    const Tensor y = empty(pool.y_shape, x.dtype(), x.memory_format());
    // Positions in the window, and one value more for an empty window.
    const bool small = kernel.h * kernel.w <= std::numeric_limits<uint8_t>::max();
    const Tensor index = empty(pool.y_shape, small ? DType::u8 : DType::i64, x.memory_format());
    const PoolImages images = images_of(x.shape(), x.memory_format());
    visit_index(index, x.dtype(), [&]<class T, class Index>(T, Index) {
      kernels::max_pool_forward(images, windows, x.raw<T>(), y.raw<T>(), index.raw<Index>());
    });
    return record<MaxPool2dNode>(y, {x}, pool, index);
  }));
}

Tensor avg_pool2d(const Tensor& input, Size2d kernel, const AvgPool2dOptions& options) {
  const OpScope scope("avg_pool2d", input, "kernel", kernel, options);
  check_input("avg_pool2d", input);
  return scope.result(in_format(options.data_format, input, [&](const Tensor& x) {
    const MaxWindows s =
        windows_of("avg_pool2d", x, kernel, options.stride, options.padding, 1, options.ceil_mode);
    const bool count_padding = options.count_include_pad;
    return average_over(x, {s.out_h, s.out_w}, [&] {
      return AverageBins{
          window_bins(s.out_h, x.shape()[2], kernel.h, s.stride.h, s.padding.h, count_padding),
          window_bins(s.out_w, x.shape()[3], kernel.w, s.stride.w, s.padding.w, count_padding)};
    });
  }));
}

Tensor adaptive_avg_pool2d(const Tensor& input, Size2d output_size, DataFormat data_format) {
  const OpScope scope("adaptive_avg_pool2d", input, "output_size", output_size, "data_format",
                      data_format);
  check_input("adaptive_avg_pool2d", input);
  check_window("adaptive_avg_pool2d", "output_size", output_size, 1);
  return scope.result(in_format(data_format, input, [&](const Tensor& x) {
    check_pixels("adaptive_avg_pool2d", input, {x.shape()[2], x.shape()[3]});
    return average_over(x, output_size, [&] {
      return AverageBins{adaptive_bins(x.shape()[2], output_size.h),
                         adaptive_bins(x.shape()[3], output_size.w)};
    });
  }));
}

}  // namespace tern
