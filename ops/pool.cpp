// SPDX-License-Identifier: Apache-2.0
#include "pool.h"

#include <algorithm>
#include <limits>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "backend.h"
#include "kernels/pool.h"
#include "movement.h"

namespace tern {

namespace {

using kernels::AverageBins;
using kernels::Bin;
using kernels::MaxWindows;
using kernels::PoolImages;

PoolImages images_of(const Shape& shape, Order order) {
  if (order == Order::channels_last) return {shape[0], shape[2], shape[3], shape[1]};
  return {shape[0] * shape[1], shape[2], shape[3], 1};
}

// Whether the kernels that are vectorized over channels compute it.
bool use_fast(const Tensor& x, const PoolImages& images) {
  return use_onednn(x) && images.channels > 1;
}

// ---- checks

void check_input(const char* op, const Tensor& x) {
  if (!x.defined()) fail(op, "x is undefined");
  if (x.dim() != 4) fail(op, "x has ", x.dim(), " axes, 4 expected (x ", x, ")");
  if (!is_floating(x.dtype())) fail(op, "x is ", x.dtype(), ", f32 or f64 expected (x ", x, ")");
}

void check_sizes(const char* op, const char* what, Size2d value, int64_t smallest) {
  if (std::min(value.h, value.w) < smallest || std::max(value.h, value.w) > INT32_MAX) {
    fail(op, what, " is {", value.h, ",", value.w, "}, at least ", smallest,
         " and below 2^31 expected");
  }
}

// The number of windows along an axis.
int64_t window_count(const char* op, const char* axis, const Tensor& x, int64_t size,
                     int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                     bool ceil_mode) {
  const int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  if (size < 1 || room < 0) {
    fail(op, "kernel covers ", dilation * (kernel - 1) + 1, " pixels along ", axis,
         ", the padded input has ", size + 2 * padding, " (x ", x, ")");
  }
  int64_t count = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  // A window starts inside the image or the padding before it.
  if (ceil_mode && (count - 1) * stride >= size + padding) --count;
  return count;
}

// The windows that max_pool2d and avg_pool2d share; x is N,C,H,W.
MaxWindows windows_of(const char* op, const Tensor& x, Size2d kernel,
                      const std::optional<Size2d>& given_stride, Size2d padding, Size2d dilation,
                      bool ceil_mode) {
  const Size2d stride = given_stride.value_or(kernel);
  check_sizes(op, "kernel", kernel, 1);
  check_sizes(op, "stride", stride, 1);
  check_sizes(op, "padding", padding, 0);
  check_sizes(op, "dilation", dilation, 1);
  if (2 * padding.h > kernel.h || 2 * padding.w > kernel.w) {
    fail(op, "padding is {", padding.h, ",", padding.w, "}, at most half of the kernel {", kernel.h,
         ",", kernel.w, "} expected");
  }
  const Shape& shape = x.shape();
  return {window_count(op, "H", x, shape[2], kernel.h, stride.h, padding.h, dilation.h, ceil_mode),
          window_count(op, "W", x, shape[3], kernel.w, stride.w, padding.w, dilation.w, ceil_mode),
          kernel,
          stride,
          padding,
          dilation};
}

// Applies f, written for N,C,H,W, to x in its data format.
template <class F>
Tensor in_format(DataFormat format, const Tensor& x, F&& f) {
  if (format == DataFormat::NCHW) return f(x);
  return permute(f(permute(x, {0, 3, 1, 2})), {0, 2, 3, 1});
}

// ---- maximum

// A maximum over windows, as its nodes know it. The index of every place of the result lies in the
// result's memory order, and decides in which order the gradients are computed.
struct MaxPool {
  MaxWindows windows;
  Shape x_shape, y_shape;
};

// Calls f(element of the dtype, element of the index).
template <class F>
void visit_index(const Tensor& index, DType dtype, F&& f) {
  visit_floating(dtype, [&](auto element) {
    if (index.dtype() == DType::u8) {
      f(element, uint8_t{});
    } else {
      f(element, int64_t{});
    }
  });
}

Tensor gather(const MaxPool& pool, const Tensor& x, const Tensor& index);

class MaxPoolScatter final : public Node {
 public:
  MaxPoolScatter(const MaxPool& pool, const Tensor& index) : pool_(pool), index_(this, index) {}
  const char* name() const override { return "max_pool2d_backward"; }
  Gradients backward(const Tensor& v) override { return {gather(pool_, v, index_.get())}; }

 private:
  MaxPool pool_;
  Saved index_;
};

// The gradient of x: dy goes to where the maxima were.
Tensor scatter(const MaxPool& pool, const Tensor& dy, const Tensor& index) {
  const Tensor ordered = to_order(dy, index.order());
  const Tensor dx = empty(pool.x_shape, dy.dtype(), index.order());
  const PoolImages images = images_of(pool.x_shape, index.order());
  if (use_fast(dy, images) && index.dtype() == DType::u8) {
    kernels::max_pool_scatter_fast(images, pool.windows, ordered.raw<float>(), index.raw<uint8_t>(),
                                   dx.raw<float>());
  } else {
    visit_index(index, dy.dtype(), [&]<class T, class Index>(T, Index) {
      kernels::max_pool_scatter(images, pool.windows, ordered.raw<T>(), index.raw<Index>(),
                                dx.raw<T>());
    });
  }
  return record<MaxPoolScatter>(dx, {dy}, pool, index);
}

class MaxPoolGather final : public Node {
 public:
  MaxPoolGather(const MaxPool& pool, const Tensor& index) : pool_(pool), index_(this, index) {}
  const char* name() const override { return "max_pool2d_gather"; }
  Gradients backward(const Tensor& dy) override { return {scatter(pool_, dy, index_.get())}; }

 private:
  MaxPool pool_;
  Saved index_;
};

Tensor gather(const MaxPool& pool, const Tensor& x, const Tensor& index) {
  const Tensor ordered = to_order(x, index.order());
  const Tensor y = empty(pool.y_shape, x.dtype(), index.order());
  visit_index(index, x.dtype(), [&]<class T, class Index>(T, Index) {
    kernels::max_pool_gather(images_of(pool.x_shape, index.order()), pool.windows, ordered.raw<T>(),
                             index.raw<Index>(), y.raw<T>());
  });
  return record<MaxPoolGather>(y, {x}, pool, index);
}

class MaxPool2d final : public Node {
 public:
  MaxPool2d(const MaxPool& pool, const Tensor& index) : pool_(pool), index_(this, index) {}
  const char* name() const override { return "max_pool2d"; }
  Gradients backward(const Tensor& dy) override { return {scatter(pool_, dy, index_.get())}; }

 private:
  MaxPool pool_;
  Saved index_;
};

// ---- average

struct AveragePool {
  AverageBins bins;
  Shape x_shape, y_shape;
};

Tensor average_adjoint(const AveragePool& pool, const Tensor& dy);

class AverageNode final : public Node {
 public:
  explicit AverageNode(const AveragePool& pool) : pool_(pool) {}
  const char* name() const override { return "avg_pool2d"; }
  Gradients backward(const Tensor& dy) override { return {average_adjoint(pool_, dy)}; }

 private:
  AveragePool pool_;
};

Tensor average(const AveragePool& pool, const Tensor& x) {
  const Tensor y = empty(pool.y_shape, x.dtype(), x.order());
  const PoolImages images = images_of(pool.x_shape, x.order());
  if (use_fast(x, images)) {
    kernels::average_forward_fast(images, pool.bins, x.raw<float>(), y.raw<float>());
  } else {
    visit_floating(x.dtype(), [&]<class T>(T) {
      kernels::average_forward(images, pool.bins, x.raw<T>(), y.raw<T>());
    });
  }
  return record<AverageNode>(y, {x}, pool);
}

class AverageAdjointNode final : public Node {
 public:
  explicit AverageAdjointNode(const AveragePool& pool) : pool_(pool) {}
  const char* name() const override { return "avg_pool2d_backward"; }
  Gradients backward(const Tensor& v) override { return {average(pool_, v)}; }

 private:
  AveragePool pool_;
};

Tensor average_adjoint(const AveragePool& pool, const Tensor& dy) {
  const Tensor dx = empty(pool.x_shape, dy.dtype(), dy.order());
  const PoolImages images = images_of(pool.x_shape, dy.order());
  if (use_fast(dy, images)) {
    kernels::average_backward_fast(images, pool.bins, dy.raw<float>(), dx.raw<float>());
  } else {
    visit_floating(dy.dtype(), [&]<class T>(T) {
      kernels::average_backward(images, pool.bins, dy.raw<T>(), dx.raw<T>());
    });
  }
  return record<AverageAdjointNode>(dx, {dy}, pool);
}

AveragePool average_pool(const Shape& x_shape, AverageBins bins) {
  const Shape y_shape{x_shape[0], x_shape[1], static_cast<int64_t>(bins.rows.size()),
                      static_cast<int64_t>(bins.columns.size())};
  return {std::move(bins), x_shape, y_shape};
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
    const int64_t end = ((i + 1) * size + output - 1) / output;
    bins.push_back({begin, end, end - begin});
  }
  return bins;
}

}  // namespace

Tensor max_pool2d(const Tensor& input, Size2d kernel, const MaxPool2dParams& params) {
  const ProfilerRange range("max_pool2d", input);
  check_input("max_pool2d", input);
  check_sizes("max_pool2d", "kernel", kernel, 1);
  if (kernel.h * kernel.w > INT32_MAX) {
    fail("max_pool2d", "kernel has ", kernel.h * kernel.w, " places, below 2^31 expected");
  }
  return in_format(params.data_format, input, [&](const Tensor& x) {
    const MaxWindows windows = windows_of("max_pool2d", x, kernel, params.stride, params.padding,
                                          params.dilation, params.ceil_mode);
    const MaxPool pool{
        windows, x.shape(), {x.shape()[0], x.shape()[1], windows.out_h, windows.out_w}};
    const Tensor y = empty(pool.y_shape, x.dtype(), x.order());
    // Positions in the window, and one value more for an empty window.
    const bool small = kernel.h * kernel.w <= std::numeric_limits<uint8_t>::max();
    const Tensor index = empty(pool.y_shape, small ? DType::u8 : DType::i64, x.order());
    const PoolImages images = images_of(x.shape(), x.order());
    if (use_fast(x, images) && small) {
      kernels::max_pool_forward_fast(images, windows, x.raw<float>(), y.raw<float>(),
                                     index.raw<uint8_t>());
    } else {
      visit_index(index, x.dtype(), [&]<class T, class Index>(T, Index) {
        kernels::max_pool_forward(images, windows, x.raw<T>(), y.raw<T>(), index.raw<Index>());
      });
    }
    return record<MaxPool2d>(y, {x}, pool, index);
  });
}

Tensor avg_pool2d(const Tensor& input, Size2d kernel, const AvgPool2dParams& params) {
  const ProfilerRange range("avg_pool2d", input);
  check_input("avg_pool2d", input);
  return in_format(params.data_format, input, [&](const Tensor& x) {
    const MaxWindows s =
        windows_of("avg_pool2d", x, kernel, params.stride, params.padding, 1, params.ceil_mode);
    const bool count_padding = params.count_include_pad;
    AverageBins bins{
        window_bins(s.out_h, x.shape()[2], kernel.h, s.stride.h, s.padding.h, count_padding),
        window_bins(s.out_w, x.shape()[3], kernel.w, s.stride.w, s.padding.w, count_padding)};
    return average(average_pool(x.shape(), std::move(bins)), x);
  });
}

Tensor adaptive_avg_pool2d(const Tensor& input, Size2d output_size, DataFormat data_format) {
  const ProfilerRange range("adaptive_avg_pool2d", input);
  check_input("adaptive_avg_pool2d", input);
  check_sizes("adaptive_avg_pool2d", "output_size", output_size, 1);
  return in_format(data_format, input, [&](const Tensor& x) {
    if (x.shape()[2] < 1 || x.shape()[3] < 1) {
      fail("adaptive_avg_pool2d", "x has no pixels to average (x ", input, ")");
    }
    AverageBins bins{adaptive_bins(x.shape()[2], output_size.h),
                     adaptive_bins(x.shape()[3], output_size.w)};
    return average(average_pool(x.shape(), std::move(bins)), x);
  });
}

}  // namespace tern
