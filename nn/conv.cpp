// SPDX-License-Identifier: Apache-2.0
#include "conv.h"

#include <cmath>

#include "../core/autograd.h"
#include "../core/error.h"
#include "init.h"
#include "repr.h"

namespace tern::nn {

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size, Conv2dOptions options)
    : in_channels_(in_channels),
      out_channels_(out_channels),
      kernel_size_(kernel_size),
      options_(options) {
  if (in_channels < 1 || out_channels < 1) {
    fail("Conv2d", "it has ", in_channels, " input and ", out_channels,
         " output channels, want at least 1 of each");
  }
  if (options.groups < 1 || in_channels % options.groups || out_channels % options.groups) {
    fail("Conv2d", "groups is ", options.groups, ", want a divisor of the ", in_channels,
         " input and ", out_channels, " output channels");
  }
  require_at_least("Conv2d", "kernel_size", kernel_size, 1);
  require_at_least("Conv2d", "stride", options.stride, 1);
  require_at_least("Conv2d", "dilation", options.dilation, 1);
  require_at_least("Conv2d", "padding", options.padding, 0);
  const int64_t inputs = in_channels / options.groups;
  weight_ =
      register_parameter("weight", zeros({out_channels, inputs, kernel_size.h, kernel_size.w}));
  bias_ = register_parameter("bias", options.bias ? zeros({out_channels}) : Tensor());
  reset_parameters();
}

void Conv2d::reset_parameters() {
  const auto fan_in = static_cast<double>(weight_.size(1) * kernel_size_.h * kernel_size_.w);
  const double bound = 1.0 / std::sqrt(fan_in);
  init::uniform_(weight_, -bound, bound);
  if (bias_.defined()) init::uniform_(bias_, -bound, bound);
}

Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight_, bias_, params()); }

Tensor Conv2d::forward_relu(const Tensor& x) {
  const Running running(*this);
  return conv2d_relu(x, weight_, bias_, params());
}

Tensor Conv2d::forward_batch_norm(const Tensor& x, BatchNorm2d& norm, bool relu) {
  const bool alike = norm.num_features() == out_channels_ &&
                     norm.options().data_format == options_.data_format &&
                     norm.options().algorithm == BatchNormAlgorithm::automatic;
  if (!alike || !norm.has_fixed_statistics() || grad_enabled()) {
    const Tensor y = (*this)(x);
    return relu ? norm.forward_relu(y) : norm(y);
  }
  const Running running(*this);
  return conv2d_batch_norm(x, weight_, bias_,
                           {.running_mean = norm.running_mean(),
                            .running_var = norm.running_var(),
                            .weight = norm.weight(),
                            .bias = norm.bias(),
                            .eps = norm.options().eps},
                           relu, params());
}

Conv2dParams Conv2d::params() const {
  return {.stride = options_.stride,
          .padding = options_.padding,
          .dilation = options_.dilation,
          .groups = options_.groups,
          .data_format = options_.data_format,
          .algorithm = options_.algorithm};
}

std::string Conv2d::extra_repr() const {
  std::string text = repr(in_channels_) + ", " + repr(out_channels_) +
                     ", kernel_size=" + repr(kernel_size_) + ", stride=" + repr(options_.stride);
  if (options_.padding != Size2d(0)) text += ", padding=" + repr(options_.padding);
  if (options_.dilation != Size2d(1)) text += ", dilation=" + repr(options_.dilation);
  if (options_.groups != 1) text += ", groups=" + repr(options_.groups);
  if (!options_.bias) text += ", bias=False";
  if (options_.data_format == DataFormat::NHWC) text += ", data_format=NHWC";
  if (options_.algorithm == ConvAlgorithm::direct) text += ", algorithm=direct";
  return text;
}

}  // namespace tern::nn
