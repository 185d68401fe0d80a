// SPDX-License-Identifier: Apache-2.0
// ONNX's convolutions, pooling and resizing.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/conv.h"
#include "../ops/internal/conv_batch_norm.h"
#include "../ops/interpolate.h"
#include "../ops/math.h"
#include "../ops/matmul.h"
#include "../ops/movement.h"
#include "../ops/pool.h"
#include "../ops/reduce.h"
#include "internal/onnx_run.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

/// The windows of a convolution or a pooling over the spatial axes of x.
struct Windows {
  Sizes kernel, stride, dilation, begin, end;  // begin, end: padding
  bool ceil = false;

  size_t axes() const { return kernel.size(); }
  bool symmetric() const { return begin == end; }
  int64_t reach(size_t d) const { return dilation[d] * (kernel[d] - 1) + 1; }
};

Windows windows_of(const OnnxCallIn& in, const Tensor& x, Sizes kernel) {
  Windows w;
  const auto axes = static_cast<size_t>(std::max<int64_t>(0, x.dim() - 2));
  w.kernel = std::move(kernel);
  w.stride = in.integers("strides");
  w.dilation = in.integers("dilations");
  if (w.stride.empty()) w.stride.assign(axes, 1);
  if (w.dilation.empty()) w.dilation.assign(axes, 1);
  Sizes pads = in.integers("pads");
  if (pads.empty()) pads.assign(2 * axes, 0);
  if (axes < 1 || axes > 3 || w.kernel.size() != axes || w.stride.size() != axes ||
      w.dilation.size() != axes || pads.size() != 2 * axes) {
    in.refuse("has windows of another number of axes than x " + error_text(x) +
              ", or more than three");
  }
  constexpr int64_t kMost = INT32_MAX;
  for (size_t d = 0; d < axes; ++d) {
    for (const int64_t number : {w.kernel[d], w.stride[d], w.dilation[d]}) {
      if (number < 1 || number > kMost) in.refuse("has a window of " + std::to_string(number));
    }
    if (pads[d] < 0 || pads[d] > kMost || pads[axes + d] < 0 || pads[axes + d] > kMost) {
      in.refuse("has a padding that is negative or too large");
    }
  }
  w.begin.assign(pads.begin(), pads.begin() + static_cast<int64_t>(axes));
  w.end.assign(pads.begin() + static_cast<int64_t>(axes), pads.end());
  const std::string automatic = in.text("auto_pad", "NOTSET");
  if (automatic != "NOTSET" && !automatic.empty()) {
    for (size_t d = 0; d < axes; ++d) {
      w.begin[d] = w.end[d] = 0;
      if (automatic == "VALID") continue;
      const int64_t size = x.size(static_cast<int64_t>(d) + 2);
      const int64_t out = (size + w.stride[d] - 1) / w.stride[d];
      const int64_t total = std::max<int64_t>(0, (out - 1) * w.stride[d] + w.reach(d) - size);
      w.begin[d] = automatic == "SAME_LOWER" ? total - total / 2 : total / 2;
      w.end[d] = total - w.begin[d];
    }
  }
  w.ceil = in.integer("ceil_mode", 0) != 0;
  return w;
}

Tensor padded(const Tensor& x, const Sizes& begin, const Sizes& end, double value) {
  Sizes amounts;
  for (size_t d = begin.size(); d-- > 0;) {
    amounts.push_back(begin[d]);
    amounts.push_back(end[d]);
  }
  return pad(x, amounts, {.value = value});
}

Size2d two(const Sizes& s) { return {s[0], s[1]}; }
Size3d three(const Sizes& s) { return {s[0], s[1], s[2]}; }

// ---- Convolution

/// A Conv node: x with what padding Tern's convolutions do not do themselves, and its windows.
struct Convolution {
  Tensor x, weight, bias;
  Windows windows;
  int64_t groups;

  Conv2dOptions options() const {
    return {.stride = two(windows.stride),
            .padding = two(windows.begin),
            .dilation = two(windows.dilation),
            .groups = groups};
  }
};
Convolution convolution_of(const OnnxCallIn& in) {
  const Tensor &x = in.x(0), &weight = in.x(1);
  if (weight.dim() != x.dim() || x.dim() < 3) {
    in.refuse("has x " + error_text(x) + " and weight " + error_text(weight));
  }
  Convolution c{x, weight, in.optional(2),
                windows_of(in, x, Sizes(weight.shape().begin() + 2, weight.shape().end())),
                in.integer("group", 1)};
  if (!c.windows.symmetric()) {
    c.x = padded(x, c.windows.begin, c.windows.end, 0);
    c.windows.begin.assign(c.windows.axes(), 0);
  }
  return c;
}

OnnxResults conv(const OnnxCallIn& in) {
  const Convolution c = convolution_of(in);
  const Windows& w = c.windows;
  if (w.axes() == 1) {
    return {conv1d(c.x, c.weight, c.bias,
                   {.stride = w.stride[0],
                    .padding = w.begin[0],
                    .dilation = w.dilation[0],
                    .groups = c.groups})};
  }
  if (w.axes() == 2) return {conv2d(c.x, c.weight, c.bias, c.options())};
  return {conv3d(c.x, c.weight, c.bias,
                 {.stride = three(w.stride),
                  .padding = three(w.begin),
                  .dilation = three(w.dilation),
                  .groups = c.groups})};
}

OnnxResults conv_transpose(const OnnxCallIn& in) {
  const Tensor &x = in.x(0), &weight = in.x(1), bias = in.optional(2);
  if (weight.dim() != x.dim() || x.dim() < 3 || x.dim() > 4) {
    in.refuse("has x " + error_text(x) + " and weight " + error_text(weight) +
              ", want signals or images");
  }
  Windows w = windows_of(in, x, Sizes(weight.shape().begin() + 2, weight.shape().end()));
  Sizes extra = in.integers("output_padding"), wanted = in.integers("output_shape");
  if (extra.empty()) extra.assign(w.axes(), 0);
  if (extra.size() != w.axes() || (!wanted.empty() && wanted.size() < w.axes())) {
    in.refuse("has output_padding or output_shape of another number of axes");
  }
  const std::string automatic = in.text("auto_pad", "NOTSET");
  Sizes lengths;
  for (size_t d = 0; d < w.axes(); ++d) {
    const int64_t size = x.size(static_cast<int64_t>(d) + 2);
    const int64_t whole = w.stride[d] * (size - 1) + w.reach(d) + extra[d];
    int64_t length = whole - w.begin[d] - w.end[d];
    const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
    if (!wanted.empty() || same) {
      length = wanted.empty() ? size * w.stride[d] : wanted[wanted.size() - w.axes() + d];
      const int64_t total = std::max<int64_t>(0, whole - length);
      w.begin[d] =
          automatic == "SAME_UPPER" || automatic == "NOTSET" ? total / 2 : total - total / 2;
      w.end[d] = total - w.begin[d];
    }
    lengths.push_back(length);
  }
  const bool direct = w.symmetric() && wanted.empty() && automatic == "NOTSET";
  const Sizes padding = direct ? w.begin : Sizes(w.axes(), 0);
  const Sizes output = direct ? extra : Sizes(w.axes(), 0);
  const int64_t groups = in.integer("group", 1);
  Tensor y = w.axes() == 1 ? conv_transpose1d(x, weight, bias,
                                              {.stride = w.stride[0],
                                               .padding = padding[0],
                                               .output_padding = output[0],
                                               .dilation = w.dilation[0],
                                               .groups = groups})
                           : conv_transpose2d(x, weight, bias,
                                              {.stride = two(w.stride),
                                               .padding = two(padding),
                                               .output_padding = two(output),
                                               .dilation = two(w.dilation),
                                               .groups = groups});
  for (size_t d = 0; !direct && d < w.axes(); ++d) {
    // What lies beyond the last window is the bias alone.
    const auto axis = static_cast<int64_t>(d) + 2;
    const int64_t there = y.size(axis) - w.begin[d], missing = lengths[d] - there;
    if (missing > 0) {
      if (bias.defined()) in.refuse("has a bias, and results that no window reaches");
      Sizes amounts(2 * (w.axes() - d), 0);
      amounts.back() = missing;
      y = pad(y, amounts);
    }
    y = narrow(y, axis, w.begin[d], lengths[d]);
  }
  return {y};
}

// ---- Pooling

Tensor max_windows(const Tensor& x, const Windows& w) {
  if (w.axes() == 1) {
    return max_pool1d(x, w.kernel[0],
                      {.stride = w.stride[0],
                       .padding = w.begin[0],
                       .dilation = w.dilation[0],
                       .ceil_mode = w.ceil});
  }
  if (w.axes() == 2) {
    return max_pool2d(x, two(w.kernel),
                      {.stride = two(w.stride),
                       .padding = two(w.begin),
                       .dilation = two(w.dilation),
                       .ceil_mode = w.ceil});
  }
  return max_pool3d(x, three(w.kernel),
                    {.stride = three(w.stride),
                     .padding = three(w.begin),
                     .dilation = three(w.dilation),
                     .ceil_mode = w.ceil});
}
Tensor average_windows(const Tensor& x, const Windows& w, bool count) {
  if (w.axes() == 1) {
    return avg_pool1d(x, w.kernel[0],
                      {.stride = w.stride[0],
                       .padding = w.begin[0],
                       .ceil_mode = w.ceil,
                       .count_include_pad = count});
  }
  if (w.axes() == 2) {
    return avg_pool2d(x, two(w.kernel),
                      {.stride = two(w.stride),
                       .padding = two(w.begin),
                       .ceil_mode = w.ceil,
                       .count_include_pad = count});
  }
  return avg_pool3d(x, three(w.kernel),
                    {.stride = three(w.stride),
                     .padding = three(w.begin),
                     .ceil_mode = w.ceil,
                     .count_include_pad = count});
}

Windows pooling_windows(const OnnxCallIn& in) {
  Windows w = windows_of(in, in.x(), in.integers("kernel_shape"));
  for (size_t d = 0; d < w.axes(); ++d) {
    if (std::max(w.begin[d], w.end[d]) >= w.reach(d)) in.refuse("has windows of padding alone");
  }
  return w;
}

// Tern pads both sides alike, by half the window at most.
bool is_native(const Windows& w) {
  for (size_t d = 0; d < w.axes(); ++d) {
    if (w.begin[d] != w.end[d] || w.begin[d] > w.kernel[d] / 2) return false;
  }
  return true;
}

OnnxResults max_pool(const OnnxCallIn& in) {
  Tensor x = in.x();
  if (in.wants(1)) in.refuse("gives the places of the maxima");
  Windows w = pooling_windows(in);
  const DType dtype = x.dtype();
  if (!is_floating(dtype)) x = x.to(DType::f64);
  if (!is_native(w)) {
    x = padded(x, w.begin, w.end, -std::numeric_limits<double>::infinity());
    w.begin.assign(w.axes(), 0);
  }
  return {max_windows(x, w).to(dtype)};
}

OnnxResults average_pool(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Windows w = pooling_windows(in);
  const bool count = in.integer("count_include_pad", 0) != 0;
  if (std::any_of(w.dilation.begin(), w.dilation.end(), [](int64_t d) { return d != 1; })) {
    in.refuse("averages windows with holes (dilations)");
  }
  if (is_native(w)) return {average_windows(x, w, count)};
  const Tensor whole = padded(x, w.begin, w.end, 0);
  Windows inner = w;
  inner.begin.assign(w.axes(), 0);
  if (count) return {average_windows(whole, inner, true)};
  // The share of a window that is image.
  Sizes one(x.shape().begin(), x.shape().end());
  one[0] = one[1] = 1;
  const Tensor image = padded(full(Shape(one), 1, x.dtype()), w.begin, w.end, 0);
  return {average_windows(whole, inner, true) / average_windows(image, inner, true)};
}

OnnxResults global_average_pool(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  if (x.dim() == 3) return {adaptive_avg_pool1d(x, 1)};
  if (x.dim() == 4) return {adaptive_avg_pool2d(x, 1)};
  return {adaptive_avg_pool3d(x, 1)};
}
OnnxResults global_max_pool(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes axes;
  for (int64_t d = 2; d < x.dim(); ++d) axes.push_back(d);
  return {max(x, axes, true)};
}

// ---- Resize. Along each axis a matrix of weights, but for what `interpolate` computes.

struct Resizing {
  std::string mode, coordinates, nearest;
  double cubic = -0.75;
  bool exclude_outside = false;
};

double source_of(const Resizing& r, int64_t i, int64_t from, int64_t to, double scale) {
  const auto x = static_cast<double>(i);
  if (r.coordinates == "asymmetric") return x / scale;
  if (r.coordinates == "align_corners") {
    return to == 1 ? 0 : x * static_cast<double>(from - 1) / static_cast<double>(to - 1);
  }
  if (r.coordinates == "pytorch_half_pixel" && to == 1) return 0;
  if (r.coordinates == "tf_half_pixel_for_nn") return (x + 0.5) / scale;
  return (x + 0.5) / scale - 0.5;
}

int64_t nearest_of(const Resizing& r, double x) {
  if (r.nearest == "floor") return static_cast<int64_t>(std::floor(x));
  if (r.nearest == "ceil") return static_cast<int64_t>(std::ceil(x));
  const double down = std::floor(x);
  if (x - down == 0.5) return static_cast<int64_t>(down) + (r.nearest == "round_prefer_ceil");
  return static_cast<int64_t>(std::round(x));
}

double cubic_weight(double a, double x) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

Tensor weights_of(const Resizing& r, int64_t from, int64_t to, double scale) {
  std::vector<double> values(static_cast<size_t>(from * to), 0.0);
  for (int64_t i = 0; i < to; ++i) {
    const double x = source_of(r, i, from, to, scale);
    const auto at = [&](int64_t k) -> double& {
      return values[static_cast<size_t>(std::clamp<int64_t>(k, 0, from - 1) * to + i)];
    };
    if (r.mode == "nearest") {
      at(nearest_of(r, x)) = 1;
      continue;
    }
    const double down = std::floor(x), rest = x - down;
    const auto first = static_cast<int64_t>(down);
    if (r.mode == "linear") {
      at(first) += 1 - rest;
      at(first + 1) += rest;
      continue;
    }
    double total = 0;
    for (int64_t k = -1; k <= 2; ++k) {
      const bool outside = first + k < 0 || first + k >= from;
      const double weight = cubic_weight(r.cubic, rest - static_cast<double>(k));
      if (r.exclude_outside && outside) continue;
      at(first + k) += weight;
      total += weight;
    }
    for (int64_t k = 0; r.exclude_outside && k < from; ++k) {
      values[static_cast<size_t>(k * to + i)] /= total;
    }
  }
  return tensor(values, {from, to});
}

// Whether `interpolate` says it, of images.
bool is_native(const Resizing& r, const Sizes& sizes) {
  if (r.mode == "nearest") return r.coordinates == "asymmetric" && r.nearest == "floor";
  return r.mode == "linear" && (r.coordinates == "align_corners" || r.coordinates == "half_pixel" ||
                                (r.coordinates == "pytorch_half_pixel" &&
                                 std::count(sizes.begin() + 2, sizes.end(), 1) == 0));
}

Tensor resized(const OnnxCallIn& in, const Tensor& x, const Resizing& r, const Sizes& sizes,
               const std::vector<double>& scales, bool by_scale) {
  const auto rank = static_cast<size_t>(x.dim());
  const bool keeps = rank >= 3 && sizes[0] == x.size(0) && sizes[1] == x.size(1);
  if (keeps && is_native(r, sizes) && (rank == 3 || rank == 4)) {
    InterpolateOptions options;
    options.mode = r.mode == "nearest" ? Interpolation::nearest : Interpolation::bilinear;
    options.align_corners = r.coordinates == "align_corners";
    const Size2d size{rank == 3 ? 1 : sizes[2], sizes[rank - 1]};
    const Scale2d scale{rank == 3 ? 1 : scales[2], scales[rank - 1]};
    by_scale ? void(options.scale_factor = scale) : void(options.size = size);
    return interpolate(x, options);
  }
  Tensor y = x;
  for (size_t d = 0; d < rank; ++d) {
    const int64_t from = x.size(static_cast<int64_t>(d));
    if (sizes[d] == from && scales[d] == 1) continue;
    if (from == 0 || sizes[d] < 1) in.refuse("has no pixels");
    const Tensor weights = weights_of(r, from, sizes[d], scales[d]).to(x.dtype());
    const auto axis = static_cast<int64_t>(d);
    y = transpose(matmul(transpose(y, axis, -1), weights), axis, -1);
  }
  return y;
}

OnnxResults resize(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const bool upsample = std::string(in.op()) == "Upsample", old = upsample || in.opset() < 11;
  Resizing r{in.text("mode", "nearest"), in.text("coordinate_transformation_mode", "half_pixel"),
             in.text("nearest_mode", "round_prefer_floor"), in.number("cubic_coeff_a", -0.75),
             in.integer("exclude_outside", 0) != 0};
  if (old) r.coordinates = "asymmetric", r.nearest = "floor";
  if (r.mode == "bilinear") r.mode = "linear";
  if (r.coordinates == "tf_crop_and_resize" || r.coordinates == "half_pixel_symmetric" ||
      in.integer("antialias", 0) != 0 ||
      in.text("keep_aspect_ratio_policy", "stretch") != "stretch") {
    in.refuse("crops, smooths or keeps the aspect ratio");
  }
  const size_t scales_input = old ? 1 : 2;
  std::vector<double> scales;
  if (upsample && in.opset() < 9) {
    if (const OnnxAttribute* given = in.attribute("scales")) scales = given->reals;
  } else if (in.has(scales_input) && in.x(scales_input).numel() > 0) {
    scales = in.x(scales_input).to(DType::f64).to_vector<double>();
  }
  const auto rank = static_cast<size_t>(x.dim());
  const bool by_scale = !scales.empty();
  const Sizes given = by_scale ? Sizes() : in.has(size_t{3}) ? in.integers(3) : Sizes();
  const Sizes axes = in.integers("axes");
  const size_t count = by_scale ? scales.size() : given.size();
  if (count != (axes.empty() ? rank : axes.size())) {
    in.refuse("has neither scales nor sizes for the axes of x " + error_text(x));
  }
  Sizes sizes(x.shape().begin(), x.shape().end());
  std::vector<double> all(rank, 1.0);
  for (size_t i = 0; i < count; ++i) {
    const auto d =
        axes.empty() ? i : static_cast<size_t>(resolve_axis(in.op(), axes[i], x.shape()));
    const auto from = static_cast<double>(sizes[d]);
    const double length = by_scale ? std::floor(from * scales[i]) : static_cast<double>(given[i]);
    if (!(length >= 0) || length > INT32_MAX) in.refuse("has a result that is too large");
    all[d] = by_scale ? scales[i] : length / from;
    sizes[d] = static_cast<int64_t>(length);
  }
  return {resized(in, x, r, sizes, all, by_scale)};
}

}  // namespace

Tensor onnx_conv_relu(const OnnxCallIn& conv) {
  if (conv.x(0).dim() != 4) return {};
  const Convolution c = convolution_of(conv);
  return conv2d_relu(c.x, c.weight, c.bias, c.options());
}

Tensor onnx_conv_batch_norm(const OnnxCallIn& conv, const OnnxCallIn& norm, bool relu) {
  const Tensor &weight = norm.x(1), &bias = norm.x(2);
  if (norm.trains() || norm.wants(1) || conv.x(0).dim() != 4 ||
      recording({conv.x(0), conv.x(1), conv.optional(2), weight, bias})) {
    return {};
  }
  const Convolution c = convolution_of(conv);
  return conv2d_batch_norm(c.x, c.weight, c.bias,
                           {.running_mean = norm.x(3),
                            .running_var = norm.x(4),
                            .weight = weight,
                            .bias = bias,
                            .eps = norm.number("epsilon", 1e-5),
                            .relu = relu},
                           c.options());
}

const OnnxKernels& image_kernels() {
  static const OnnxKernels table = {{"Conv", conv},
                                    {"ConvTranspose", conv_transpose},
                                    {"MaxPool", max_pool},
                                    {"AveragePool", average_pool},
                                    {"GlobalAveragePool", global_average_pool},
                                    {"GlobalMaxPool", global_max_pool},
                                    {"Resize", resize},
                                    {"Upsample", resize}};
  return table;
}

}  // namespace tern::io
