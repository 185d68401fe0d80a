// SPDX-License-Identifier: Apache-2.0
// Products, normalization, attention and recurrent layers as ONNX's nodes.
#include <cmath>
#include <limits>

#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/movement.h"
#include "internal/onnx_emit.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

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

// ---- Normalization ------------------------------------------------------------------------------

void layer_norm(const OnnxCall& call) {
  const Sizes shape = call.get<Sizes>("normalized_shape");
  const int64_t axis = call.rank(0) - static_cast<int64_t>(shape.size());
  call.result(call.node("LayerNormalization", {call.in(0), call.in_or(1, shape, 1), call.in(2)},
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
                                  {"layer_norm", layer_norm},
                                  {"rms_norm", rms_norm},
                                  {"group_norm", group_norm},
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
      {"ctc_loss", loss},
      {"binary_cross_entropy", loss},
      {"masked_select", values},
      {"nonzero", values},
      {"index_put_", "it changes parts of a tensor in place: put it together with where or cat"}};
  return table;
}

}  // namespace tern::io
