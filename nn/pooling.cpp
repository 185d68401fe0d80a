// SPDX-License-Identifier: Apache-2.0
#include "pooling.h"

#include "../core/error.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

bool exceeds_half(int64_t padding, int64_t kernel) { return padding > kernel / 2; }
bool exceeds_half(Size2d padding, Size2d kernel) {
  return exceeds_half(padding.h, kernel.h) || exceeds_half(padding.w, kernel.w);
}
bool exceeds_half(Size3d padding, Size3d kernel) {
  return exceeds_half(padding.d, kernel.d) ||
         exceeds_half(Size2d{padding.h, padding.w}, Size2d{kernel.h, kernel.w});
}

std::string data_format_repr(DataFormat format) {
  return format == DataFormat::NHWC ? ", data_format=NHWC" : "";
}

}  // namespace

// ---- Windows ------------------------------------------------------------------------------------

template <class Derived, class Size, class Options>
Pooling<Derived, Size, Options>::Pooling(const char* name, Size kernel_size, Options options)
    : kernel_size_(kernel_size), options_(options) {
  require_at_least(name, "kernel_size", kernel_size, 1);
  require_at_least(name, "stride", options.stride.value_or(kernel_size), 1);
  require_at_least(name, "padding", options.padding, 0);
  if (exceeds_half(options.padding, kernel_size)) {
    fail(name, "padding is ", repr(options.padding), ", want at most half the kernel of ",
         repr(kernel_size));
  }
  if constexpr (requires { options.dilation; }) {
    require_at_least(name, "dilation", options.dilation, 1);
  }
}

template <class Derived, class Size, class Options>
std::string Pooling<Derived, Size, Options>::extra_repr() const {
  const Size stride = options_.stride.value_or(kernel_size_);
  constexpr bool kIsMax = requires { options_.dilation; };
  const auto text_of = [](Size size) {
    // PyTorch stores those of AvgPool1d as tuples.
    return !kIsMax && std::same_as<Size, int64_t> ? tuple_repr(size) : short_repr(size);
  };
  std::string text = "kernel_size=" + text_of(kernel_size_) + ", stride=" + text_of(stride) +
                     ", padding=" + text_of(options_.padding);
  if constexpr (kIsMax) {
    text += ", dilation=" + text_of(options_.dilation) + ", ceil_mode=" + repr(options_.ceil_mode);
  }
  if constexpr (requires { options_.data_format; }) text += data_format_repr(options_.data_format);
  return text;
}

template class Pooling<MaxPool1d, int64_t, MaxPool1dOptions>;
template class Pooling<MaxPool2d, Size2d, MaxPool2dOptions>;
template class Pooling<MaxPool3d, Size3d, MaxPool3dOptions>;
template class Pooling<AvgPool1d, int64_t, AvgPool1dOptions>;
template class Pooling<AvgPool2d, Size2d, AvgPool2dOptions>;
template class Pooling<AvgPool3d, Size3d, AvgPool3dOptions>;

Tensor MaxPool1d::forward(const Tensor& x) { return max_pool1d(x, kernel_size(), options()); }
Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, kernel_size(), options()); }
Tensor MaxPool3d::forward(const Tensor& x) { return max_pool3d(x, kernel_size(), options()); }
Tensor AvgPool1d::forward(const Tensor& x) { return avg_pool1d(x, kernel_size(), options()); }
Tensor AvgPool2d::forward(const Tensor& x) { return avg_pool2d(x, kernel_size(), options()); }
Tensor AvgPool3d::forward(const Tensor& x) { return avg_pool3d(x, kernel_size(), options()); }

// ---- Given sizes --------------------------------------------------------------------------------

template <class Derived, class Size>
AdaptivePooling<Derived, Size>::AdaptivePooling(const char* name, Size output_size,
                                                DataFormat data_format)
    : output_size_(output_size), data_format_(data_format) {
  require_at_least(name, "output_size", output_size, 1);
}

template <class Derived, class Size>
std::string AdaptivePooling<Derived, Size>::extra_repr() const {
  return "output_size=" + short_repr(output_size_) + data_format_repr(data_format_);
}

template class AdaptivePooling<AdaptiveAvgPool1d, int64_t>;
template class AdaptivePooling<AdaptiveAvgPool2d, Size2d>;
template class AdaptivePooling<AdaptiveAvgPool3d, Size3d>;
template class AdaptivePooling<AdaptiveMaxPool1d, int64_t>;
template class AdaptivePooling<AdaptiveMaxPool2d, Size2d>;

Tensor AdaptiveAvgPool1d::forward(const Tensor& x) { return adaptive_avg_pool1d(x, output_size()); }
Tensor AdaptiveAvgPool2d::forward(const Tensor& x) {
  return adaptive_avg_pool2d(x, output_size(), data_format());
}
Tensor AdaptiveAvgPool3d::forward(const Tensor& x) { return adaptive_avg_pool3d(x, output_size()); }
Tensor AdaptiveMaxPool1d::forward(const Tensor& x) { return adaptive_max_pool1d(x, output_size()); }
Tensor AdaptiveMaxPool2d::forward(const Tensor& x) {
  return adaptive_max_pool2d(x, output_size(), data_format());
}

}  // namespace tern::nn
