// SPDX-License-Identifier: Apache-2.0
#include "conv.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/error.h"
#include "init.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

Size2d pair(int64_t size) { return {1, size}; }
Size2d pair(Size2d size) { return size; }

Size2d pair(Size3d size) { return {size.h, size.w}; }

bool is_same(int64_t padding) { return padding == kSame; }
bool is_same(Size2d padding) { return is_same(padding.h) && is_same(padding.w); }
bool is_same(Size3d) { return false; }

Shape weight_shape(int64_t first, int64_t second, int64_t kernel) {
  return {first, second, kernel};
}
Shape weight_shape(int64_t first, int64_t second, Size2d kernel) {
  return {first, second, kernel.h, kernel.w};
}
Shape weight_shape(int64_t first, int64_t second, Size3d kernel) {
  return {first, second, kernel.d, kernel.h, kernel.w};
}

template <class Options>
constexpr bool is_transposed = requires(Options options) {
  options.output_padding;
};

// ---- Padding ------------------------------------------------------------------------------------

// What a convolution pads along an axis of the input, in front and behind.
std::vector<int64_t> amounts(int64_t padding, int64_t kernel, int64_t dilation) {
  const int64_t both = padding == kSame ? dilation * (kernel - 1) : 2 * padding;
  return {both / 2, both - both / 2};
}

Tensor padded(const Tensor& x, int64_t kernel, const Conv1dOptions& options) {
  if (options.padding_mode == PadMode::zeros || x.dim() != 3) return x;
  return pad(x, amounts(options.padding, kernel, options.dilation), {.mode = options.padding_mode});
}

Tensor padded(const Tensor& x, Size2d kernel, const Conv2dOptions& options) {
  if (options.padding_mode == PadMode::zeros || x.dim() != 4) return x;
  std::vector<int64_t> all;
  if (options.data_format == DataFormat::NHWC) all.assign(2, 0);  // of the channels
  for (const auto& some : {amounts(options.padding.w, kernel.w, options.dilation.w),
                           amounts(options.padding.h, kernel.h, options.dilation.h)}) {
    for (const int64_t amount : some) all.push_back(amount);
  }
  return pad(x, all, {.mode = options.padding_mode});
}

// The output_padding that gives `output` along an axis.
int64_t output_padding(const char* name, int64_t output, int64_t size, int64_t kernel,
                       int64_t stride, int64_t padding, int64_t dilation) {
  if (size > INT32_MAX) return 0;  // which the operation refuses
  const int64_t least = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1;
  if (output < least || output >= least + stride) {
    fail(name, "output_size is ", output, " along an axis, want ", least, " to ",
         least + stride - 1, ", which a stride of ", stride, " takes to ", size);
  }
  return output - least;
}

// What does not depend on the number of axes is compiled once.
void check_channels(const char* name, int64_t in, int64_t out, int64_t groups) {
  if (in < 1 || out < 1) {
    fail(name, "it has ", in, " input and ", out, " output channels, want at least 1 of each");
  }
  if (groups < 1 || in % groups || out % groups) {
    fail(name, "groups is ", groups, ", want a divisor of the ", in, " input and ", out,
         " output channels");
  }
}

[[noreturn]] void fail_same(const char* name, const std::string& stride) {
  fail(name, "padding is kSame and stride ", stride, ", want stride 1");
}

void reset(const Tensor& weight, const Tensor& bias) {
  const int64_t fan_in = weight.numel() / weight.size(0);
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  init::uniform_(weight, -bound, bound);
  if (bias.defined()) init::uniform_(bias, -bound, bound);
}

void append(std::string& text, const char* name, const std::string& value) {
  text += std::string(", ") + name + "=" + value;
}

}  // namespace

// ---- What they share ----------------------------------------------------------------------------

template <class Derived, class Size, class Options>
Convolution<Derived, Size, Options>::Convolution(const char* name, int64_t in_channels,
                                                 int64_t out_channels, Size kernel_size,
                                                 Options options)
    : in_channels_(in_channels),
      out_channels_(out_channels),
      kernel_size_(kernel_size),
      options_(options) {
  check_channels(name, in_channels, out_channels, options.groups);
  require_at_least(name, "kernel_size", kernel_size, 1);
  require_at_least(name, "stride", options.stride, 1);
  require_at_least(name, "dilation", options.dilation, 1);
  if constexpr (is_transposed<Options>) {
    require_at_least(name, "padding", options.padding, 0);
    require_at_least(name, "output_padding", options.output_padding, 0);
    weight_ = this->register_parameter(
        "weight", zeros(weight_shape(in_channels, out_channels / options.groups, kernel_size)));
  } else {
    if (!is_same(options.padding)) {
      require_at_least(name, "padding", options.padding, 0);
    } else if (pair(options.stride) != Size2d(1)) {
      fail_same(name, tuple_repr(options.stride));
    }
    weight_ = this->register_parameter(
        "weight", zeros(weight_shape(out_channels, in_channels / options.groups, kernel_size)));
  }
  bias_ = this->register_parameter("bias", options.bias ? zeros({out_channels}) : Tensor());
  reset_parameters();
}

template <class Derived, class Size, class Options>
void Convolution<Derived, Size, Options>::reset_parameters() {
  reset(weight_, bias_);
}

template <class Derived, class Size, class Options>
std::string Convolution<Derived, Size, Options>::extra_repr() const {
  std::string text = repr(in_channels_) + ", " + repr(out_channels_);
  append(text, "kernel_size", tuple_repr(kernel_size_));
  append(text, "stride", tuple_repr(options_.stride));
  if (is_same(options_.padding)) {
    append(text, "padding", "same");
  } else if (options_.padding != Size(0)) {
    append(text, "padding", tuple_repr(options_.padding));
  }
  if (options_.dilation != Size(1)) append(text, "dilation", tuple_repr(options_.dilation));
  if constexpr (is_transposed<Options>) {
    if (options_.output_padding != Size(0)) {
      append(text, "output_padding", tuple_repr(options_.output_padding));
    }
  }
  if (options_.groups != 1) append(text, "groups", repr(options_.groups));
  if (!options_.bias) append(text, "bias", "False");
  if constexpr (requires { options_.padding_mode; }) {
    if (options_.padding_mode != PadMode::zeros) {
      append(text, "padding_mode", to_string(options_.padding_mode));
    }
  }
  if constexpr (requires { options_.data_format; }) {
    if (options_.data_format == DataFormat::NHWC) append(text, "data_format", "NHWC");
    if (options_.algorithm == ConvAlgorithm::direct) append(text, "algorithm", "direct");
  }
  return text;
}

template class Convolution<Conv1d, int64_t, Conv1dOptions>;
template class Convolution<Conv2d, Size2d, Conv2dOptions>;
template class Convolution<Conv3d, Size3d, Conv3dOptions>;
template class Convolution<ConvTranspose1d, int64_t, ConvTranspose1dOptions>;
template class Convolution<ConvTranspose2d, Size2d, ConvTranspose2dOptions>;

// ---- Forward ------------------------------------------------------------------------------------

Tensor Conv1d::forward(const Tensor& x) {
  const Conv1dOptions& o = options();
  return conv1d(padded(x, kernel_size(), o), weight(), bias(),
                {.stride = o.stride,
                 .padding = o.padding_mode == PadMode::zeros ? o.padding : 0,
                 .dilation = o.dilation,
                 .groups = o.groups});
}

Tensor Conv2d::forward(const Tensor& x) {
  return conv2d(padded(x, kernel_size(), options()), weight(), bias(), op_options());
}

Tensor Conv2d::forward_relu(const Tensor& x) {
  if (has_hooks()) return Module::forward_relu(x);
  const Running running(*this);
  return conv2d_relu(padded(x, kernel_size(), options()), weight(), bias(), op_options());
}

tern::Conv2dOptions Conv2d::op_options() const {
  const Conv2dOptions& o = options();
  return {.stride = o.stride,
          .padding = o.padding_mode == PadMode::zeros ? o.padding : 0,
          .dilation = o.dilation,
          .groups = o.groups,
          .data_format = o.data_format,
          .algorithm = o.algorithm};
}

Tensor Conv3d::forward(const Tensor& x) {
  const Conv3dOptions& o = options();
  return conv3d(
      x, weight(), bias(),
      {.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups});
}

static tern::ConvTranspose1dOptions op_options(const ConvTranspose1dOptions& o) {
  return {.stride = o.stride,
          .padding = o.padding,
          .output_padding = o.output_padding,
          .dilation = o.dilation,
          .groups = o.groups};
}

Tensor ConvTranspose1d::forward(const Tensor& x) {
  return conv_transpose1d(x, weight(), bias(), op_options(options()));
}

Tensor ConvTranspose1d::forward(const Tensor& x, int64_t output_size) {
  tern::ConvTranspose1dOptions o = op_options(options());
  if (x.dim() == 3) {
    o.output_padding = output_padding("ConvTranspose1d", output_size, x.size(2), kernel_size(),
                                      o.stride, o.padding, o.dilation);
  }
  return conv_transpose1d(x, weight(), bias(), o);
}

static tern::ConvTranspose2dOptions op_options(const ConvTranspose2dOptions& o) {
  return {.stride = o.stride,
          .padding = o.padding,
          .output_padding = o.output_padding,
          .dilation = o.dilation,
          .groups = o.groups,
          .data_format = o.data_format,
          .algorithm = o.algorithm};
}

Tensor ConvTranspose2d::forward(const Tensor& x) {
  return conv_transpose2d(x, weight(), bias(), op_options(options()));
}

Tensor ConvTranspose2d::forward(const Tensor& x, Size2d output_size) {
  tern::ConvTranspose2dOptions o = op_options(options());
  if (x.dim() == 4) {
    const int height = o.data_format == DataFormat::NCHW ? 2 : 1;
    const Size2d kernel = kernel_size();
    o.output_padding = {output_padding("ConvTranspose2d", output_size.h, x.size(height), kernel.h,
                                       o.stride.h, o.padding.h, o.dilation.h),
                        output_padding("ConvTranspose2d", output_size.w, x.size(height + 1),
                                       kernel.w, o.stride.w, o.padding.w, o.dilation.w)};
  }
  return conv_transpose2d(x, weight(), bias(), o);
}

}  // namespace tern::nn
