// SPDX-License-Identifier: Apache-2.0
#include "pooling.h"

#include "../core/error.h"
#include "repr.h"

namespace tern::nn {

namespace {

void check_window(const char* op, Size2d kernel, Size2d stride, Size2d padding) {
  require_at_least(op, "kernel_size", kernel, 1);
  require_at_least(op, "stride", stride, 1);
  require_at_least(op, "padding", padding, 0);
  if (2 * padding.h > kernel.h || 2 * padding.w > kernel.w) {
    fail(op, "padding is ", repr(padding), ", want at most half the kernel of ", repr(kernel));
  }
}

std::string data_format_repr(DataFormat format) {
  return format == DataFormat::NHWC ? ", data_format=NHWC" : "";
}

}  // namespace

MaxPool2d::MaxPool2d(Size2d kernel_size, MaxPool2dOptions options)
    : kernel_size_(kernel_size), options_(options) {
  check_window("MaxPool2d", kernel_size, options.stride.value_or(kernel_size), options.padding);
  require_at_least("MaxPool2d", "dilation", options.dilation, 1);
}

Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, kernel_size_, options_); }

std::string MaxPool2d::extra_repr() const {
  return "kernel_size=" + short_repr(kernel_size_) +
         ", stride=" + short_repr(options_.stride.value_or(kernel_size_)) +
         ", padding=" + short_repr(options_.padding) +
         ", dilation=" + short_repr(options_.dilation) + ", ceil_mode=" + repr(options_.ceil_mode) +
         data_format_repr(options_.data_format);
}

AvgPool2d::AvgPool2d(Size2d kernel_size, AvgPool2dOptions options)
    : kernel_size_(kernel_size), options_(options) {
  check_window("AvgPool2d", kernel_size, options.stride.value_or(kernel_size), options.padding);
}

Tensor AvgPool2d::forward(const Tensor& x) { return avg_pool2d(x, kernel_size_, options_); }

std::string AvgPool2d::extra_repr() const {
  return "kernel_size=" + short_repr(kernel_size_) +
         ", stride=" + short_repr(options_.stride.value_or(kernel_size_)) +
         ", padding=" + short_repr(options_.padding) + data_format_repr(options_.data_format);
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(Size2d output_size, DataFormat data_format)
    : output_size_(output_size), data_format_(data_format) {
  require_at_least("AdaptiveAvgPool2d", "output_size", output_size, 1);
}

Tensor AdaptiveAvgPool2d::forward(const Tensor& x) {
  return adaptive_avg_pool2d(x, output_size_, data_format_);
}

std::string AdaptiveAvgPool2d::extra_repr() const {
  return "output_size=" + short_repr(output_size_) + data_format_repr(data_format_);
}

}  // namespace tern::nn
