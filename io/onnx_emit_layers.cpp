// SPDX-License-Identifier: Apache-2.0
// Products, convolutions, normalization, attention and recurrent layers as ONNX's nodes.
#include <cmath>
#include <limits>

#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/movement.h"
#include "internal/onnx_emit.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;
constexpr int64_t kSamePadding = INT64_MIN;

// ---- Products -----------------------------------------------------------------------------------

void matmul(const OnnxCall& call) { call.result(call.binary("MatMul", call.in(0), call.in(1))); }

void linear(const OnnxCall& call) {
  if (call.rank(0) == 2) {
    return call.result(
        call.node("Gemm", {call.in(0), call.in(1), call.in(2)}, {attribute("transB", int64_t{1})}));
  }
  const std::string y = call.binary("MatMul", call.in(0), call.transpose(call.in(1), {1, 0}));
  call.result(call.has(2) ? call.binary("Add", y, call.in(2)) : y);
}

void einsum(const OnnxCall& call) {
  std::vector<std::string> inputs;
  for (size_t i = 0; i < call.inputs(); ++i) inputs.push_back(call.in(i));
  call.result(call.node("Einsum", inputs,
                        {attribute("equation", call.get<std::string>("equation").c_str())}));
}

// ---- Images -------------------------------------------------------------------------------------

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
    pads[d] = padding[d] == kSamePadding ? same / 2 : padding[d];
    pads[axes + d] = padding[d] == kSamePadding ? same - same / 2 : padding[d];
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

// ---- Normalization ------------------------------------------------------------------------------

std::string ones_or(const OnnxCall& call, size_t input, Sizes sizes) {
  return call.has(input) ? call.in(input) : call.constant(full(Shape(sizes), 1, call.dtype(0)));
}
std::string zeros_or(const OnnxCall& call, size_t input, Sizes sizes) {
  return call.has(input) ? call.in(input) : call.constant(full(Shape(sizes), 0, call.dtype(0)));
}

std::string normalized(const OnnxCall& call, const std::string& x, size_t mean, size_t weight,
                       double weight_of_new) {
  const int64_t channels = call.fixed(mean, 0);
  return call.node("BatchNormalization",
                   {x, ones_or(call, weight, {channels}), zeros_or(call, weight + 1, {channels}),
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

void layer_norm(const OnnxCall& call) {
  const Sizes shape = call.get<Sizes>("normalized_shape");
  const int64_t axis = call.rank(0) - static_cast<int64_t>(shape.size());
  call.result(call.node("LayerNormalization", {call.in(0), ones_or(call, 1, shape), call.in(2)},
                        {attribute("axis", axis), attribute("epsilon", call.number("eps"))}));
}

void rms_norm(const OnnxCall& call) {
  Sizes axes;
  for (size_t i = 0; i < call.get<Sizes>("normalized_shape").size(); ++i) {
    axes.insert(axes.begin(), call.rank(0) - 1 - static_cast<int64_t>(i));
  }
  const std::string x = call.in(0);
  const std::string squares =
      call.node("ReduceMean", {call.binary("Mul", x, x)},
                {attribute("axes", axes), attribute("keepdims", int64_t{1})});
  const std::string shifted =
      call.binary("Add", squares, call.scalar(call.number("eps"), call.dtype(0)));
  const std::string y = call.binary("Div", x, call.node("Sqrt", {shifted}));
  call.result(call.has(1) ? call.binary("Mul", y, call.in(1)) : y);
}

void group_norm(const OnnxCall& call) {
  const auto groups = call.get<int64_t>("num_groups");
  const TracedSizes sizes = call.sizes(0);
  TracedSize rest{call.fixed(0, 1) / groups, call.fixed(0, 1) / groups};
  TracedSizes line = {{call.fixed(0, 1), call.fixed(0, 1)}};
  for (size_t d = 2; d < sizes.size(); ++d) {
    rest = {rest.first * sizes[d].first, rest.second * sizes[d].second};
    line.push_back({1, 1});
  }
  const TracedSizes grouped = {sizes[0], {groups, groups}, rest};
  const std::string x = call.reshape(call.in(0), sizes, grouped);
  const Tensor one = full({groups}, 1, call.dtype(0)), zero = full({groups}, 0, call.dtype(0));
  std::string y = call.node("InstanceNormalization", {x, call.constant(one), call.constant(zero)},
                            {attribute("epsilon", call.number("eps"))});
  y = call.reshape(y, grouped, sizes);
  if (call.has(1)) y = call.binary("Mul", y, call.reshape(call.in(1), call.sizes(1), line));
  if (call.has(2)) y = call.binary("Add", y, call.reshape(call.in(2), call.sizes(2), line));
  call.result(y);
}

void instance_norm(const OnnxCall& call) {
  const int64_t channels = call.fixed(0, 1);
  if (!call.get<bool>("use_input_stats")) {
    return call.result(normalized(call, call.in(0), 1, 3, call.number("momentum")));
  }
  call.result(call.node("InstanceNormalization",
                        {call.in(0), ones_or(call, 3, {channels}), zeros_or(call, 4, {channels})},
                        {attribute("epsilon", call.number("eps"))}));
}

void dropout(const OnnxCall& call) {
  if (call.get<bool>("training") && call.number("p") > 0) {
    throw Error(
        "it draws random numbers in evaluation mode: leave it out, or call it with "
        "is_training()");
  }
  call.result(call.in(0));
}

// ---- Attention ----------------------------------------------------------------------------------

struct Attended {
  std::string y, weights;
};

// q [..., L, E], k [..., S, E], v [..., S, Ev] of `rank` axes.
Attended attend(const OnnxCall& call, const std::string& q, const std::string& k,
                const std::string& v, size_t mask, int64_t rank, int64_t width, TracedSize queries,
                TracedSize keys) {
  if (call.number("dropout_p") > 0) throw Error("it drops weights at random: use dropout_p = 0");
  const DType dtype = call.dtype(0);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double given = call.number("scale");
  const double scale = std::isnan(given) ? 1 / std::sqrt(static_cast<double>(width)) : given;
  Sizes last_two;
  for (int64_t d = 0; d < rank; ++d) last_two.push_back(d);
  std::swap(last_two[static_cast<size_t>(rank) - 1], last_two[static_cast<size_t>(rank) - 2]);
  std::string scores = call.binary("MatMul", q, call.transpose(k, last_two));
  scores = call.binary("Mul", scores, call.scalar(scale, dtype));
  const bool allowed = call.has(mask) && call.dtype(mask) != dtype;
  if (allowed) {
    scores = call.node("Where",
                       {call.in_as(mask, DType::boolean), scores, call.scalar(-kInfinity, dtype)});
  } else if (call.has(mask)) {
    scores = call.binary("Add", scores, call.in(mask));
  }
  if (call.get<bool>("is_causal")) {
    if (queries.varies() || keys.varies()) {
      throw Error("the length of a causal sequence depends on the batch size");
    }
    const Tensor query = unsqueeze(arange(static_cast<double>(queries.first)), 1);
    const Tensor before = le(arange(static_cast<double>(keys.first)), query);
    scores = call.node("Where", {call.constant(before), scores, call.scalar(-kInfinity, dtype)});
  }
  std::string weights = call.node("Softmax", {scores}, {attribute("axis", rank - 1)});
  if (call.has(mask)) {  // a row with nothing allowed has no weights
    weights = call.node("Where", {call.node("IsNaN", {weights}), call.scalar(0, dtype), weights});
  }
  return {call.binary("MatMul", weights, v), weights};
}

void attention(const OnnxCall& call) {
  const TracedSizes q = call.sizes(0), k = call.sizes(1);
  const auto rank = static_cast<size_t>(call.rank(0));
  call.result(attend(call, call.in(0), call.in(1), call.in(2), 3, call.rank(0), call.fixed(0, -1),
                     q[rank - 2], k[rank - 2])
                  .y);
}

// q, k and v are [N, L, heads * width], or with sequences first [L, N, ...]; or q is all of them.
void attention_of_heads(const OnnxCall& call) {
  const auto heads = call.get<int64_t>("heads");
  const bool batch_first = call.get<bool>("batch_first"), packed = !call.has(1);
  const size_t sequence = batch_first ? 1 : 0;
  std::vector<std::string> lines = {call.in(0), call.in(1), call.in(2)};
  if (packed) lines = call.nodes("Split", {call.in(0)}, {attribute("axis", int64_t{2})}, 3);
  std::vector<int64_t> widths;
  std::vector<std::string> parts;
  for (size_t i = 0; i < 3; ++i) {
    const size_t input = packed ? 0 : i;
    TracedSizes from = call.sizes(input);
    const int64_t width = call.fixed(input, 2) / (packed ? 3 * heads : heads);
    from[2] = {width * heads, width * heads};
    const TracedSizes split = {from[0], from[1], {heads, heads}, {width, width}};
    widths.push_back(width);
    parts.push_back(call.transpose(call.reshape(lines[i], from, split),
                                   batch_first ? Sizes{0, 2, 1, 3} : Sizes{1, 2, 0, 3}));
  }
  const TracedSize queries = call.sizes(0)[sequence];
  const TracedSize keys = packed ? queries : call.sizes(1)[sequence];
  const Attended attended =
      attend(call, parts[0], parts[1], parts[2], 3, 4, widths[0], queries, keys);
  const std::string y =
      call.transpose(attended.y, batch_first ? Sizes{0, 2, 1, 3} : Sizes{2, 0, 1, 3});
  const TracedSizes sizes = call.sizes(0);
  const TracedSizes from = {sizes[0], sizes[1], {heads, heads}, {widths[2], widths[2]}};
  call.result(call.reshape(y, from, call.result_sizes()));
  if (call.results() > 1) call.result(attended.weights, 1);
}

// ---- Recurrent layers ---------------------------------------------------------------------------

// The blocks of rows in another order.
std::string blocks(const OnnxCall& call, size_t input, const Sizes& order) {
  const std::string x = call.in(input);
  if (order.size() == 1) return x;
  const std::vector<std::string> parts =
      call.nodes("Split", {x}, {attribute("axis", int64_t{0})}, order.size());
  std::vector<std::string> moved;
  for (const int64_t block : order) moved.push_back(parts[static_cast<size_t>(block)]);
  return call.node("Concat", moved, {attribute("axis", int64_t{0})});
}

// Inputs: x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr.
void recurrent(const OnnxCall& call) {
  const std::string& cell = call.op();
  if (call.has(7)) throw Error("ONNX has no LSTM with a projection: use proj_size = 0");
  if (!call.get<Sizes>("lengths").empty()) {
    throw Error("the lengths of the sequences would be those of the example: pass whole sequences");
  }
  // Gates are i,f,g,o here and i,o,f,c there; r,z,n here and z,r,h there.
  const Sizes order = cell == "lstm"  ? Sizes{0, 3, 1, 2}
                      : cell == "gru" ? Sizes{1, 0, 2}
                                      : Sizes{0};
  const auto with_direction = [&](const std::string& x) {
    return x.empty() ? x : call.node("Unsqueeze", {x, call.integers({0})});
  };
  std::string bias;
  if (call.has(5)) {
    bias = call.node("Concat", {blocks(call, 5, order), blocks(call, 6, order)},
                     {attribute("axis", int64_t{0})});
  }
  std::vector<std::string> inputs = {call.in(0),
                                     with_direction(blocks(call, 3, order)),
                                     with_direction(blocks(call, 4, order)),
                                     with_direction(bias),
                                     "",
                                     with_direction(call.in(1))};
  std::vector<OnnxAttribute> attributes = {
      attribute("direction", call.get<bool>("reverse") ? "reverse" : "forward"),
      attribute("hidden_size", call.fixed(4, 1))};
  if (cell == "lstm") inputs.push_back(with_direction(call.in(2)));
  if (cell == "gru") attributes.push_back(attribute("linear_before_reset", int64_t{1}));
  if (cell == "rnn_relu") {
    OnnxAttribute activations{"activations", OnnxAttribute::Kind::texts};
    activations.texts = {"Relu"};
    attributes.push_back(activations);
  }
  const char* op = cell == "lstm" ? "LSTM" : cell == "gru" ? "GRU" : "RNN";
  const auto results = call.nodes(op, inputs, attributes, cell == "lstm" ? 3 : 2);
  for (size_t i = 0; i < results.size();
       ++i) {  // y is [T, directions, N, H], states [directions, ...]
    call.result(call.node("Squeeze", {results[i], call.integers({i == 0 ? 1 : 0})}), i);
  }
}

}  // namespace

const OnnxEmits& layer_emits() {
  static const OnnxEmits table = {{"matmul", matmul},
                                  {"linear", linear},
                                  {"einsum", einsum},
                                  {"conv1d", conv},
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
                                  {"layer_norm", layer_norm},
                                  {"rms_norm", rms_norm},
                                  {"group_norm", group_norm},
                                  {"instance_norm", instance_norm},
                                  {"dropout", dropout},
                                  {"dropout2d", dropout},
                                  {"scaled_dot_product_attention", attention},
                                  {"attention_of_heads", attention_of_heads},
                                  {"attention_with_weights", attention_of_heads},
                                  {"lstm", recurrent},
                                  {"gru", recurrent},
                                  {"rnn_tanh", recurrent},
                                  {"rnn_relu", recurrent}};
  return table;
}

const std::map<std::string, std::string>& not_exported() {
  static const std::string random = "it draws random numbers: a graph gives the same for the same";
  static const std::string loss = "a loss is what nets are trained with: export what it is of";
  static const std::string values = "the shape of its result depends on values: use where";
  static const std::map<std::string, std::string> table = {
      {"rand", random},
      {"randn", random},
      {"randint", random},
      {"randperm", random},
      {"bernoulli", random},
      {"normal", random},
      {"multinomial", random},
      {"cross_entropy", loss},
      {"mse_loss", loss},
      {"nll_loss", loss},
      {"binary_cross_entropy", loss},
      {"masked_select", values},
      {"nonzero", values},
      {"index_put_", "it changes parts of a tensor in place: put it together with where or cat"}};
  return table;
}

}  // namespace tern::io
