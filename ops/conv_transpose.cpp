// SPDX-License-Identifier: Apache-2.0
// Transposed convolution: the gradient of a convolution's input, see Note [Closed under
// differentiation]. The result is that convolution's x, and x its y.
#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/conv.h"
#include "internal/movement.h"
#include "internal/op.h"

namespace tern {

static std::vector<OpAttribute> attributes_of(const ConvTranspose2dOptions& options) {
  return {{"stride", attribute_of(options.stride)},
          {"padding", attribute_of(options.padding)},
          {"output_padding", attribute_of(options.output_padding)},
          {"dilation", attribute_of(options.dilation)},
          {"groups", options.groups},
          {"data_format", to_string(options.data_format)},
          {"algorithm", to_string(options.algorithm)}};
}

static std::vector<OpAttribute> attributes_of(const ConvTranspose1dOptions& options) {
  return {{"stride", options.stride},
          {"padding", options.padding},
          {"output_padding", options.output_padding},
          {"dilation", options.dilation},
          {"groups", options.groups}};
}

namespace {

// The size of the result along an axis.
int64_t output_size(const char* op, const char* axis, int64_t size, int64_t kernel, int64_t stride,
                    int64_t padding, int64_t output_padding, int64_t dilation, const Tensor& x,
                    const Tensor& weight) {
  if (size < 1 || kernel < 1 || std::max(size, kernel) > INT32_MAX) {
    fail(op, "x is ", x, ", weight ", weight, ", want at least 1 pixel of each along ", axis,
         ", and fewer than 2^31");
  }
  if (output_padding >= std::max(stride, dilation)) {
    fail(op, "output_padding is ", output_padding, " along ", axis, ", want less than stride ",
         stride, " or dilation ", dilation);
  }
  const int64_t output =
      (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1;
  if (output < 1) {
    fail(op, "the result has ", output, " pixels along ", axis, ", want at least 1: padding ",
         padding, " cuts off all (x ", x, ", weight ", weight, ")");
  }
  return output;
}

Conv checked(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
             const ConvTranspose2dOptions& p, int rank) {
  check_conv_operands(op, x, weight, rank);
  check_window(op, "stride", p.stride, 1);
  check_window(op, "padding", p.padding, 0);
  check_window(op, "output_padding", p.output_padding, 0);
  check_window(op, "dilation", p.dilation, 1);
  const bool nchw = p.data_format == DataFormat::NCHW;
  const Shape xs = as_images(x.shape()), ws = as_images(weight.shape());
  const int64_t inputs = xs[nchw ? 1 : 3], h = xs[nchw ? 2 : 1], w = xs[nchw ? 3 : 2];
  if (ws[0] != inputs || inputs < 1 || ws[1] < 1) {
    fail(op, "weight takes ", ws[0], " input channels and gives ", ws[1], " for each group, x has ",
         inputs, ", want as many and at least 1 (x ", x, ", weight ", weight, ", ", p.data_format,
         ")");
  }
  if (p.groups < 1 || inputs % p.groups != 0) {
    fail(op, "groups is ", p.groups, ", want a divisor of ", inputs, " input channels (x ", x,
         ", weight ", weight, ", ", p.data_format, ")");
  }
  const int64_t outputs = ws[1] * p.groups;
  check_conv_bias(op, x, weight, bias, outputs);
  return {{xs[0], outputs,
           output_size(op, "H", h, ws[2], p.stride.h, p.padding.h, p.output_padding.h, p.dilation.h,
                       x, weight),
           output_size(op, rank == 3 ? "L" : "W", w, ws[3], p.stride.w, p.padding.w,
                       p.output_padding.w, p.dilation.w, x, weight),
           inputs, ws[2], ws[3], h, w, p.stride, p.padding, p.dilation, p.groups,
           p.algorithm == ConvAlgorithm::direct}};
}

// x is N,C,H,W. Rows and columns that no window reaches are the bias alone: output_padding can be
// the stride or more where the window is dilated. No convolution has them.
Tensor transposed(const char* op, Conv conv, const Size2d& output_padding, const Tensor& x,
                  const Tensor& weight, const Tensor& bias) {
  // Converted once, so that the backward pass finds it in the right format.
  const Tensor image = to_memory_format(x, kernels::conv_format(x.dtype()));
  const int64_t rows = std::max<int64_t>(0, output_padding.h - conv.stride.h + 1);
  const int64_t columns = std::max<int64_t>(0, output_padding.w - conv.stride.w + 1);
  if (rows == 0 && columns == 0) return conv_backward_data(op, conv, image, weight, bias);
  conv.h -= rows;
  conv.w -= columns;
  const Tensor y = pad(conv_backward_data(op, conv, image, weight, {}), {0, columns, 0, rows});
  return bias.defined() ? y + view_as(bias, {conv.c, 1, 1}) : y;
}

}  // namespace

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dOptions& options) {
  const OpScope scope("conv_transpose2d", x, weight, bias, options);
  const Conv conv = checked("conv_transpose2d", x, weight, bias, options, 4);
  return scope.result(in_format(options.data_format, x, [&](const Tensor& nchw) {
    return transposed("conv_transpose2d", conv, options.output_padding, nchw, weight, bias);
  }));
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose1dOptions& options) {
  const OpScope scope("conv_transpose1d", x, weight, bias, options);
  const Conv conv = checked("conv_transpose1d", x, weight, bias,
                            {.stride = {1, options.stride},
                             .padding = {0, options.padding},
                             .output_padding = {0, options.output_padding},
                             .dilation = {1, options.dilation},
                             .groups = options.groups},
                            3);
  const Tensor y =
      transposed("conv_transpose1d", conv, {0, options.output_padding}, view_as(x, conv.y_shape()),
                 view_as(weight, conv.weight_shape()), bias);
  return scope.result(view_as(y, {conv.n, conv.c, conv.w}));
}

}  // namespace tern
