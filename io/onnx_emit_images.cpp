// SPDX-License-Identifier: Apache-2.0
// Convolutions, pooling, resizing and the normalization of channels as ONNX's nodes.
#include <algorithm>
#include <utility>

#include "../core/error.h"
#include "../ops/conv.h"
#include "internal/onnx_emit.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

bool is_nhwc(const OnnxCall& call) {
  return call.has_attribute("data_format") && call.get<std::string>("data_format") == "NHWC";
}
// x as N,C,H,W, and back.
std::string nchw(const OnnxCall& call) {
  return is_nhwc(call) ? call.transpose(call.in(0), {0, 3, 1, 2}) : call.in(0);
}
void result_from_nchw(const OnnxCall& call, const std::string& y) {
  call.result(is_nhwc(call) ? call.transpose(y, {0, 2, 3, 1}) : y);
}
// The length of a spatial axis.
int64_t length_of(const OnnxCall& call, size_t axis) {
  return call.fixed(0, static_cast<int64_t>(axis) + (is_nhwc(call) ? 1 : 2));
}
int64_t result_length(const OnnxCall& call, size_t axis) {
  return call.result_fixed(0, static_cast<int64_t>(axis) + (is_nhwc(call) ? 1 : 2));
}

Sizes window_of(const OnnxCall& call) {  // of a weight
  Sizes window;
  for (int64_t d = 2; d < call.rank(1); ++d) window.push_back(call.fixed(1, d));
  return window;
}

std::string convolved(const OnnxCall& call) {
  const Sizes window = window_of(call), stride = call.numbers("stride");
  const Sizes padding = call.numbers("padding"), dilation = call.numbers("dilation");
  const size_t axes = window.size();
  Sizes pads(2 * axes);
  for (size_t d = 0; d < axes; ++d) {
    const int64_t same = dilation[d] * (window[d] - 1);
    pads[d] = padding[d] == kSame ? same / 2 : padding[d];
    pads[axes + d] = padding[d] == kSame ? same - same / 2 : padding[d];
  }
  return call.node(
      "Conv", {nchw(call), call.in(1), call.in(2)},
      {attribute("dilations", dilation), attribute("group", call.get<int64_t>("groups")),
       attribute("kernel_shape", window), attribute("pads", pads), attribute("strides", stride)});
}
void conv(const OnnxCall& call) { result_from_nchw(call, convolved(call)); }
void conv_relu(const OnnxCall& call) {
  result_from_nchw(call, call.node("Relu", {convolved(call)}));
}

void conv_transpose(const OnnxCall& call) {
  const Sizes padding = call.numbers("padding");
  Sizes pads = padding;
  pads.insert(pads.end(), padding.begin(), padding.end());
  result_from_nchw(
      call, call.node("ConvTranspose", {nchw(call), call.in(1), call.in(2)},
                      {attribute("dilations", call.numbers("dilation")),
                       attribute("group", call.get<int64_t>("groups")),
                       attribute("kernel_shape", window_of(call)),
                       attribute("output_padding", call.numbers("output_padding")),
                       attribute("pads", pads), attribute("strides", call.numbers("stride"))}));
}

// Never ceil_mode, which runtimes do not agree on: windows that reach over the edge get more
// padding.
struct Windows {
  Sizes kernel, stride, dilation, begin, end;

  explicit Windows(const OnnxCall& call) : kernel(call.numbers("kernel")) {
    stride = call.numbers("stride");
    if (stride.empty()) stride = kernel;
    dilation = call.has_attribute("dilation") ? call.numbers("dilation") : Sizes(kernel.size(), 1);
    begin = end = call.numbers("padding");
    if (!call.get<bool>("ceil_mode")) return;
    for (size_t d = 0; d < kernel.size(); ++d) {
      const int64_t reach = dilation[d] * (kernel[d] - 1) + 1;
      const int64_t last = (result_length(call, d) - 1) * stride[d] + reach;
      end[d] = std::max<int64_t>(0, last - length_of(call, d) - begin[d]);
    }
  }
  static Sizes joined(Sizes a, const Sizes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
};

void max_pool(const OnnxCall& call) {
  const Windows w(call);
  result_from_nchw(
      call, call.node("MaxPool", {nchw(call)},
                      {attribute("dilations", w.dilation), attribute("kernel_shape", w.kernel),
                       attribute("pads", Windows::joined(w.begin, w.end)),
                       attribute("strides", w.stride)}));
}

void avg_pool(const OnnxCall& call) {
  Windows w(call);
  std::string x = nchw(call);
  bool count = call.get<bool>("count_include_pad");
  const Sizes padding = call.numbers("padding");
  if (count && call.get<bool>("ceil_mode")) {
    // Zeros that count are part of the image; what hangs over does not count.
    const Sizes none(2, 0);
    const Sizes pads =
        Windows::joined(Windows::joined(none, padding), Windows::joined(none, padding));
    x = call.node("Pad", {x, call.integers(pads)}, {attribute("mode", "constant")});
    for (size_t d = 0; d < w.begin.size(); ++d) {
      w.begin[d] = 0;
      w.end[d] = std::max<int64_t>(0, w.end[d] - padding[d]);
    }
    count = false;
  }
  result_from_nchw(call, call.node("AveragePool", {x},
                                   {attribute("count_include_pad", int64_t{count}),
                                    attribute("kernel_shape", w.kernel),
                                    attribute("pads", Windows::joined(w.begin, w.end)),
                                    attribute("strides", w.stride)}));
}

// Part i of an axis of length `from` in `to` parts, which overlap if it does not divide.
std::pair<int64_t, int64_t> part_of(int64_t from, int64_t to, int64_t i) {
  return {i * from / to, ((i + 1) * from + to - 1) / to};
}

// Averages over the parts of an axis of length `from`: [from, to] to multiply with.
Tensor averages(int64_t from, int64_t to) {
  std::vector<double> values(static_cast<size_t>(from * to), 0.0);
  for (int64_t i = 0; i < to; ++i) {
    const auto [begin, end] = part_of(from, to, i);
    for (int64_t k = begin; k < end; ++k) {
      values[static_cast<size_t>(k * to + i)] = 1.0 / static_cast<double>(end - begin);
    }
  }
  return tensor(values, {from, to});
}

struct Adaptive {
  Sizes from, to, kernel;
  bool one = true, divides = true;

  Adaptive(const OnnxCall& call, size_t axes) {
    for (size_t d = 0; d < axes; ++d) {
      from.push_back(length_of(call, d));
      to.push_back(result_length(call, d));
      one = one && to[d] == 1;
      divides = divides && from[d] % to[d] == 0;
      kernel.push_back(from[d] / to[d]);
    }
  }
};

void adaptive_avg_pool(const OnnxCall& call) {
  const Adaptive a(call, static_cast<size_t>(call.rank(0)) - 2);
  std::string x = nchw(call);
  if (a.one) return result_from_nchw(call, call.node("GlobalAveragePool", {x}));
  if (a.divides) {
    return result_from_nchw(
        call, call.node("AveragePool", {x},
                        {attribute("kernel_shape", a.kernel), attribute("strides", a.kernel)}));
  }
  // Axis by axis, a product with a matrix of averages.
  const auto rank = static_cast<size_t>(call.rank(0));
  for (size_t d = 0; d < a.from.size(); ++d) {
    Sizes swapped;
    for (size_t i = 0; i < rank; ++i) swapped.push_back(static_cast<int64_t>(i));
    std::swap(swapped[d + 2], swapped[rank - 1]);
    const std::string matrix = call.constant(averages(a.from[d], a.to[d]).to(call.dtype(0)));
    x = call.transpose(call.binary("MatMul", call.transpose(x, swapped), matrix), swapped);
  }
  result_from_nchw(call, x);
}

// Windows of several sizes: axis by axis, each with a maximum of its own.
void adaptive_max_pool(const OnnxCall& call) {
  const Adaptive a(call, static_cast<size_t>(call.rank(0)) - 2);
  std::string x = nchw(call);
  if (a.one) return result_from_nchw(call, call.node("GlobalMaxPool", {x}));
  if (a.divides) {
    return result_from_nchw(
        call, call.node("MaxPool", {x},
                        {attribute("kernel_shape", a.kernel), attribute("strides", a.kernel)}));
  }
  for (size_t d = 0; d < a.from.size(); ++d) {
    const auto axis = static_cast<int64_t>(d) + 2;
    std::vector<std::string> maxima;
    for (int64_t i = 0; i < a.to[d]; ++i) {
      const auto [begin, end] = part_of(a.from[d], a.to[d], i);
      const std::string part = call.node(
          "Slice", {x, call.integers({begin}), call.integers({end}), call.integers({axis})});
      maxima.push_back(call.node("ReduceMax", {part}, {attribute("axes", Sizes{axis})}));
    }
    x = call.node("Concat", maxima, {attribute("axis", axis)});
  }
  result_from_nchw(call, x);
}

void interpolate(const OnnxCall& call) {
  const auto mode = call.get<std::string>("mode");
  if (mode == "area") return adaptive_avg_pool(call);
  const bool align = call.get<bool>("align_corners"), nearest = mode == "nearest";
  const char* coordinates = nearest ? "asymmetric" : align ? "align_corners" : "half_pixel";
  std::vector<OnnxAttribute> attributes = {attribute("coordinate_transformation_mode", coordinates),
                                           attribute("mode", nearest ? "nearest" : "linear")};
  if (nearest) attributes.push_back(attribute("nearest_mode", "floor"));
  TracedSizes sizes = call.result_sizes();
  if (is_nhwc(call)) sizes = {sizes[0], sizes[3], sizes[1], sizes[2]};
  const double scale_h = call.number("scale_h"), scale_w = call.number("scale_w");
  std::vector<std::string> inputs = {nchw(call), "", "", ""};
  if (scale_w != 0) {
    std::vector<float> scales = {1, 1};
    if (sizes.size() == 4) scales.push_back(static_cast<float>(scale_h));
    scales.push_back(static_cast<float>(scale_w));
    inputs[2] = call.constant(tensor(scales));
  } else {
    inputs[3] = call.sizes_value(sizes);
  }
  result_from_nchw(call, call.node("Resize", inputs, attributes));
}

// ---- Normalization of channels

std::string normalized(const OnnxCall& call, const std::string& x, size_t mean, size_t weight,
                       double weight_of_new) {
  const int64_t channels = call.fixed(mean, 0);
  return call.node("BatchNormalization",
                   {x, call.in_or(weight, {channels}, 1), call.in_or(weight + 1, {channels}, 0),
                    call.in(mean), call.in(mean + 1)},
                   {attribute("epsilon", call.number("eps")),
                    attribute("momentum", 1.0 - call.momentum(mean, weight_of_new))});
}

void batch_norm(const OnnxCall& call) {
  if (call.get<bool>("training")) {
    throw Error(
        "it normalizes with the statistics of the batch: freeze it, or let it track running "
        "statistics");
  }
  std::string y = normalized(call, nchw(call), 1, 3, call.number("weight_of_new"));
  if (call.op() == "batch_norm_relu") y = call.node("Relu", {y});
  result_from_nchw(call, y);
}

void conv2d_batch_norm(const OnnxCall& call) {
  constexpr double kUsual = 0.1;  // of statistics that no module has
  std::string y = normalized(call, convolved(call), 3, 5, kUsual);
  if (call.get<bool>("relu")) y = call.node("Relu", {y});
  result_from_nchw(call, y);
}

void instance_norm(const OnnxCall& call) {
  const int64_t channels = call.fixed(0, 1);
  if (!call.get<bool>("use_input_stats")) {
    return call.result(normalized(call, call.in(0), 1, 3, call.number("momentum")));
  }
  call.result(call.node("InstanceNormalization",
                        {call.in(0), call.in_or(3, {channels}, 1), call.in_or(4, {channels}, 0)},
                        {attribute("epsilon", call.number("eps"))}));
}

}  // namespace

const OnnxEmits& image_emits() {
  static const OnnxEmits table = {{"conv1d", conv},
                                  {"conv2d", conv},
                                  {"conv3d", conv},
                                  {"conv2d_relu", conv_relu},
                                  {"conv2d_batch_norm", conv2d_batch_norm},
                                  {"conv_transpose1d", conv_transpose},
                                  {"conv_transpose2d", conv_transpose},
                                  {"max_pool1d", max_pool},
                                  {"max_pool2d", max_pool},
                                  {"max_pool3d", max_pool},
                                  {"avg_pool1d", avg_pool},
                                  {"avg_pool2d", avg_pool},
                                  {"avg_pool3d", avg_pool},
                                  {"adaptive_avg_pool1d", adaptive_avg_pool},
                                  {"adaptive_avg_pool2d", adaptive_avg_pool},
                                  {"adaptive_avg_pool3d", adaptive_avg_pool},
                                  {"adaptive_max_pool1d", adaptive_max_pool},
                                  {"adaptive_max_pool2d", adaptive_max_pool},
                                  {"interpolate", interpolate},
                                  {"batch_norm", batch_norm},
                                  {"batch_norm_relu", batch_norm},
                                  {"instance_norm", instance_norm}};
  return table;
}

}  // namespace tern::io
