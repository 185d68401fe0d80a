// SPDX-License-Identifier: Apache-2.0
#include "conv.h"

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "batch_norm.h"
#include "internal/conv.h"
#include "internal/conv_batch_norm.h"
#include "internal/movement.h"
#include "internal/op.h"

namespace tern {

const char* to_string(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::direct ? "direct" : "automatic";
}

static std::vector<OpAttribute> attributes_of(const Conv2dOptions& options) {
  return {
      {"stride", attribute_of(options.stride)},        {"padding", attribute_of(options.padding)},
      {"dilation", attribute_of(options.dilation)},    {"groups", options.groups},
      {"data_format", to_string(options.data_format)}, {"algorithm", to_string(options.algorithm)}};
}

static std::vector<OpAttribute> attributes_of(const Conv1dOptions& options) {
  return {{"stride", options.stride},
          {"padding", options.padding},
          {"dilation", options.dilation},
          {"groups", options.groups}};
}

// ---- Checks -------------------------------------------------------------------------------------

Shape as_images(const Shape& shape) {
  return shape.rank() == 3 ? Shape{shape[0], shape[1], 1, shape[2]} : shape;
}

void check_conv_operands(const char* op, const Tensor& x, const Tensor& weight, int rank) {
  if (!weight.defined()) {
    fail(op, "x is ", x, " and weight is ", weight, ", want two tensors");
  }
  if (x.dim() != rank || weight.dim() != rank) {
    fail(op, "x is ", x, " and weight is ", weight, ", want ", rank, " axes each");
  }
  check_floating(op, "x", x);
  if (weight.dtype() != x.dtype()) {
    fail(op, "weight is ", weight.dtype(), ", x is ", x.dtype(), ": convert one with .to(dtype)");
  }
}

void check_conv_bias(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     int64_t channels) {
  if (bias.defined() && (bias.shape() != Shape{channels} || bias.dtype() != x.dtype())) {
    fail(op, "bias is ", bias, ", want ", x.dtype(), Shape{channels}, " (weight ", weight, ")");
  }
}

namespace {

// What a convolution is along an axis; both sizes are written here.
struct Axis {
  const char* name;
  int64_t size, kernel, stride, dilation;
  int64_t &padding, &output;
};

void resolve(const char* op, const Axis& a, const Tensor& x, const Tensor& weight) {
  if (a.size < 1 || a.kernel < 1 || std::max(a.size, a.kernel) > INT32_MAX) {
    fail(op, "x is ", x, ", weight ", weight, ", want at least 1 pixel of each along ", a.name,
         ", and fewer than 2^31");
  }
  const int64_t reach = a.dilation * (a.kernel - 1) + 1;
  if (a.padding == kSame) {
    if (a.stride != 1) {
      fail(op, "padding is kSame and stride ", a.stride, " along ", a.name, ", want stride 1");
    }
    a.padding = (reach - 1) / 2;
    a.output = a.size;
    return;
  }
  const int64_t padded = a.size + 2 * a.padding;
  if (padded < reach) {
    fail(op, "kernel covers ", reach, " pixels along ", a.name, ", want 1 to ", padded,
         ", as many as the padded input has (x ", x, ", weight ", weight, ")");
  }
  a.output = (padded - reach) / a.stride + 1;
}

Conv checked(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
             const Conv2dOptions& p, int rank = 4) {
  check_conv_operands(op, x, weight, rank);
  check_window(op, "stride", p.stride, 1);
  const Size2d padding{p.padding.h == kSame ? 0 : p.padding.h,
                       p.padding.w == kSame ? 0 : p.padding.w};
  check_window(op, "padding", padding, 0);
  check_window(op, "dilation", p.dilation, 1);
  const bool nchw = p.data_format == DataFormat::NCHW;
  const Shape xs = as_images(x.shape()), ws = as_images(weight.shape());
  Conv conv{{xs[0], xs[nchw ? 1 : 3], xs[nchw ? 2 : 1], xs[nchw ? 3 : 2], ws[0], ws[2], ws[3], 0, 0,
             p.stride, p.padding, p.dilation, p.groups, p.algorithm == ConvAlgorithm::direct}};
  if (p.groups < 1 || conv.c % p.groups != 0 || conv.k % p.groups != 0) {
    fail(op, "groups is ", p.groups, ", want a divisor of ", conv.c, " input and ", conv.k,
         " output channels (x ", x, ", weight ", weight, ", ", p.data_format, ")");
  }
  if (ws[1] * p.groups != conv.c) {
    fail(op, "weight expects ", ws[1] * p.groups, " input channels, x has ", conv.c, " (x ", x,
         ", weight ", weight, ", groups ", p.groups, ", ", p.data_format, ")");
  }
  if (conv.c < 1 || conv.k < 1) {
    fail(op, "x is ", x, " and weight is ", weight,
         ", want at least one input and one output channel");
  }
  resolve(op, {"H", conv.h, conv.r, p.stride.h, p.dilation.h, conv.padding.h, conv.out_h}, x,
          weight);
  resolve(
      op,
      {rank == 3 ? "L" : "W", conv.w, conv.s, p.stride.w, p.dilation.w, conv.padding.w, conv.out_w},
      x, weight);
  check_conv_bias(op, x, weight, bias, conv.k);
  return conv;
}

// Whether a tensor is what batch_norm takes; it says what is wrong.
bool fits(const Tensor& v, const Shape& channels) {
  return v.defined() && v.shape() == channels && v.dtype() == DType::f32;
}

Tensor run(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
           const Conv2dOptions& options, bool relu) {
  const OpScope scope(op, x, weight, bias, options);
  Conv conv = checked(op, x, weight, bias, options);
  conv.relu = relu;
  return scope.result(in_format(options.data_format, x, [&](const Tensor& nchw) {
    // Converted once, so that the backward pass finds it in the right format.
    return convolve(conv, to_memory_format(nchw, kernels::conv_format(x.dtype())), weight, bias);
  }));
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dOptions& options) {
  return run("conv2d", x, weight, bias, options, false);
}

Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                   const Conv2dOptions& options) {
  return run("conv2d_relu", x, weight, bias, options, true);
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv1dOptions& options) {
  const OpScope scope("conv1d", x, weight, bias, options);
  const Conv conv = checked("conv1d", x, weight, bias,
                            {.stride = {1, options.stride},
                             .padding = {0, options.padding},
                             .dilation = {1, options.dilation},
                             .groups = options.groups},
                            3);
  const Tensor image =
      to_memory_format(view_as(x, conv.x_shape()), kernels::conv_format(x.dtype()));
  const Tensor y = convolve(conv, image, view_as(weight, conv.weight_shape()), bias);
  return scope.result(view_as(y, {conv.n, conv.k, conv.out_w}));
}

Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const FixedBatchNorm& norm, const Conv2dOptions& options) {
  const OpScope scope("conv2d_batch_norm", x, weight, bias, norm.running_mean, norm.running_var,
                      norm.weight, norm.bias, "eps", norm.eps, "relu", norm.relu, options);
  if (recording({x, weight, bias, norm.weight, norm.bias})) {
    fail("conv2d_batch_norm", "is not differentiable: call it under NoGrad, or use batch_norm");
  }
  const Conv conv = checked("conv2d_batch_norm", x, weight, bias, options);
  const Shape channels{conv.k};
  const bool in_place = options.data_format == DataFormat::NCHW && conv.n > 0 &&
                        kernels::fast_kernels(x.dtype()) && norm.eps >= 0 &&
                        fits(norm.running_mean, channels) && fits(norm.running_var, channels) &&
                        (!norm.weight.defined() || fits(norm.weight, channels)) &&
                        (!norm.bias.defined() || fits(norm.bias, channels));
  if (!in_place) {
    const auto function = norm.relu ? batch_norm_relu : batch_norm;
    return scope.result(function(conv2d(x, weight, bias, options), norm.running_mean,
                                 norm.running_var, norm.weight, norm.bias,
                                 {.eps = norm.eps, .data_format = options.data_format}));
  }
  OpScope::flops(conv.flops());
  const Tensor input = to_memory_format(x, MemoryFormat::channels_last), w = contiguous(weight);
  const Tensor y = empty(conv.y_shape(), x.dtype(), MemoryFormat::channels_last);
  const auto raw = [](const Tensor& t) { return t.defined() ? t.raw<float>() : nullptr; };
  const auto mean = norm.running_mean.to(DType::f64).to_vector<double>();
  const auto var = norm.running_var.to(DType::f64).to_vector<double>();
  kernels::conv_batch_norm_fast(conv, raw(input), raw(w), raw(bias),
                                {.layout = {conv.n * conv.out_h * conv.out_w, conv.k, 1},
                                 .x = raw(y),
                                 .weight = raw(norm.weight),
                                 .bias = raw(norm.bias),
                                 .eps = norm.eps,
                                 .relu = norm.relu},
                                {mean.data(), var.data(), false}, raw(y));
  return scope.result(y);
}

}  // namespace tern
