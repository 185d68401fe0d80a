// SPDX-License-Identifier: Apache-2.0
// ONNX's recurrent layers.
#include <algorithm>

#include "../core/error.h"
#include "../ops/activations.h"
#include "../ops/arithmetic.h"
#include "../ops/internal/rnn.h"
#include "../ops/matmul.h"
#include "../ops/movement.h"
#include "internal/onnx_run.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

// One direction of a matrix of weights, with its blocks of rows in Tern's order: gates are i,o,f,c
// there and i,f,g,o here; z,r,h there and r,z,n here.
Tensor weight_of(const Tensor& w, int64_t direction, const Sizes& order) {
  const Tensor one = select(w, 0, direction);
  if (order.size() == 1) return one;
  const int64_t rows = one.size(0) / static_cast<int64_t>(order.size());
  std::vector<Tensor> blocks;
  for (const int64_t block : order) blocks.push_back(narrow(one, 0, block * rows, rows));
  return cat(blocks, 0);
}

// A GRU whose reset gate is applied to the state, before the product (linear_before_reset = 0).
std::vector<Tensor> early_reset(const Tensor& x, Tensor h, const RecurrentWeights& w,
                                bool reverse) {
  const int64_t steps = x.size(0), hidden = w.hh.size(1);
  const auto gate = [&](const Tensor& matrix, int64_t first, int64_t count) {
    return matrix.defined() ? narrow(matrix, 0, first * hidden, count * hidden) : Tensor();
  };
  if (!h.defined()) h = zeros({x.size(1), hidden}, x.dtype());
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = reverse ? steps - 1 - i : i;
    const Tensor inputs = linear(select(x, 0, t), w.ih, w.b_ih);
    const Tensor gates =
        sigmoid(narrow(inputs, 1, 0, 2 * hidden) + linear(h, gate(w.hh, 0, 2), gate(w.b_hh, 0, 2)));
    const Tensor reset = narrow(gates, 1, 0, hidden), update = narrow(gates, 1, hidden, hidden);
    const Tensor fresh = tanh(narrow(inputs, 1, 2 * hidden, hidden) +
                              linear(reset * h, gate(w.hh, 2, 1), gate(w.b_hh, 2, 1)));
    h = fresh + update * (h - fresh);
    outputs[static_cast<size_t>(t)] = h;
  }
  return {stack(outputs, 0), h};
}

void check_activations(const OnnxCallIn& in, const Sizes& order, bool& relu) {
  const OnnxAttribute* given = in.attribute("activations");
  const std::vector<std::string> usual =
      order.size() == 4   ? std::vector<std::string>{"sigmoid", "tanh", "tanh"}
      : order.size() == 3 ? std::vector<std::string>{"sigmoid", "tanh"}
                          : std::vector<std::string>{"tanh"};
  if (!given) return;
  for (size_t i = 0; i < given->texts.size(); ++i) {
    std::string name = given->texts[i];
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (order.size() == 1 && name == "relu" && (i == 0 || relu)) {
      relu = true;
    } else if (relu || name != usual[i % usual.size()]) {
      in.refuse("has the activation " + given->texts[i]);
    }
  }
}

template <RecurrentCell Cell>
OnnxResults recurrent_of(const OnnxCallIn& in) {
  const Sizes order = Cell == RecurrentCell::lstm  ? Sizes{0, 2, 3, 1}
                      : Cell == RecurrentCell::gru ? Sizes{1, 0, 2}
                                                   : Sizes{0};
  bool relu = false;
  check_activations(in, order, relu);
  if (in.has("clip") || in.integer("input_forget", 0) != 0 || in.has(size_t{7})) {
    in.refuse("has clip, input_forget or peepholes");
  }
  const bool batch_first = in.integer("layout", 0) != 0;
  const Tensor x = batch_first ? transpose(in.x(0), 0, 1) : in.x(0);
  const Tensor &w = in.x(1), &r = in.x(2), b = in.optional(3);
  if (x.dim() != 3 || w.dim() != 3 || r.dim() != 3) in.refuse("has inputs of another rank than 3");
  const std::string direction = in.text("direction", "forward");
  const int64_t directions = direction == "bidirectional" ? 2 : 1;
  const int64_t gates = static_cast<int64_t>(order.size()), hidden = r.size(2);
  if (w.size(0) != directions || r.size(0) != directions || w.size(1) != gates * hidden ||
      r.size(1) != gates * hidden || w.size(2) != x.size(2) ||
      (b.defined() && b.shape() != Shape{directions, 2 * gates * hidden})) {
    in.refuse("has weights that do not fit x");
  }
  Sizes lengths;
  if (in.has(size_t{4})) {
    lengths = in.integers(4);
    if (std::all_of(lengths.begin(), lengths.end(), [&](int64_t l) { return l == x.size(0); })) {
      lengths.clear();
    }
    if (std::any_of(lengths.begin(), lengths.end(),
                    [&](int64_t l) { return l < 1 || l > x.size(0); }) ||
        (!lengths.empty() && static_cast<int64_t>(lengths.size()) != x.size(1))) {
      in.refuse("has lengths that are no steps of x");
    }
  }
  const auto state = [&](size_t input, int64_t d) {
    if (!in.has(input)) return Tensor();
    return select(in.x(input), batch_first ? 1 : 0, d);
  };
  const bool early = Cell == RecurrentCell::gru && in.integer("linear_before_reset", 0) == 0;
  if (early && !lengths.empty()) in.refuse("has lengths and linear_before_reset = 0");
  const RecurrentCell cell = relu ? RecurrentCell::relu : Cell;
  std::vector<std::vector<Tensor>> results;
  for (int64_t d = 0; d < directions; ++d) {
    RecurrentWeights weights{weight_of(w, d, order), weight_of(r, d, order), {}, {}, {}};
    if (b.defined()) {
      weights.b_ih = weight_of(narrow(b, 1, 0, gates * hidden), d, order);
      weights.b_hh = weight_of(narrow(b, 1, gates * hidden, gates * hidden), d, order);
    }
    const bool reverse = direction == "reverse" || d == 1;
    results.push_back(
        early ? early_reset(x, state(5, d), weights, reverse)
              : recurrent(cell, x, state(5, d), state(6, d), weights, reverse, lengths));
  }
  OnnxResults joined;
  for (size_t i = 0; i < results[0].size(); ++i) {
    std::vector<Tensor> parts;
    for (const auto& one : results) parts.push_back(one[i]);
    Tensor y = stack(parts, i == 0 ? 1 : 0);  // y [T, directions, N, H]; states [directions, N, H]
    if (batch_first) y = i == 0 ? permute(y, {2, 0, 1, 3}) : permute(y, {1, 0, 2});
    joined.push_back(y);
  }
  return joined;
}

}  // namespace

const OnnxKernels& recurrent_kernels() {
  static const OnnxKernels table = {{"RNN", recurrent_of<RecurrentCell::tanh>},
                                    {"LSTM", recurrent_of<RecurrentCell::lstm>},
                                    {"GRU", recurrent_of<RecurrentCell::gru>}};
  return table;
}

}  // namespace tern::io
