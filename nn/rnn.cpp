// SPDX-License-Identifier: Apache-2.0
#include "rnn.h"

#include <algorithm>
#include <cmath>

#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/dropout.h"
#include "../ops/internal/rnn.h"
#include "../ops/movement.h"
#include "init.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

RecurrentCell cell_of(const char* name, Nonlinearity nonlinearity) {
  if (nonlinearity == Nonlinearity::tanh) return RecurrentCell::tanh;
  if (nonlinearity != Nonlinearity::relu) fail(name, "nonlinearity: want tanh or relu");
  return RecurrentCell::relu;
}

void require_sizes(const char* name, int64_t input_size, int64_t hidden_size) {
  const auto [least, most] = std::minmax(input_size, hidden_size);
  if (least >= 1 && most <= INT32_MAX) return;
  fail(name, "input_size is ", input_size, " and hidden_size is ", hidden_size,
       ", want at least 1 of each and less than 2^31");
}

void draw(const std::vector<Tensor>& weights, int64_t hidden_size) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden_size));
  for (const Tensor& w : weights) {
    if (w.defined()) init::uniform_(w, -bound, bound);
  }
}

void check_dtype(const char* name, const char* what, const Tensor& x, const Tensor& weight) {
  if (x.dtype() == weight.dtype()) return;
  fail(name, what, " is ", x, ", the parameters are ", weight.dtype(),
       ": convert it with .to(dtype), or the module");
}

/// [steps, batch, 1]: whether a step lies beyond its sequence's length.
Tensor beyond(const std::vector<int64_t>& lengths, int64_t steps) {
  const auto batch = static_cast<int64_t>(lengths.size());
  return ge(reshape(arange(static_cast<double>(steps)), {steps, 1, 1}),
            reshape(tensor(lengths, {batch}), {1, batch, 1}));
}

}  // namespace

RNNBase::RNNBase(const char* name, RecurrentCell cell, int64_t input_size, int64_t hidden_size,
                 const LSTMOptions& options)
    : name_(name),
      cell_(cell),
      input_size_(input_size),
      hidden_size_(hidden_size),
      num_layers_(options.num_layers),
      directions_(options.bidirectional ? 2 : 1),
      proj_size_(options.proj_size),
      bias_(options.bias),
      batch_first_(options.batch_first),
      dropout_(options.dropout) {
  require_sizes(name, input_size, hidden_size);
  require_layers(name, num_layers_);
  if (!(dropout_ >= 0 && dropout_ <= 1)) {
    fail(name, "dropout is ", dropout_, ", want a probability from 0 to 1");
  }
  if (proj_size_ < 0 || proj_size_ >= hidden_size) {
    fail(name, "proj_size is ", proj_size_, ", want 0 (no projection) or less than hidden_size, ",
         hidden_size);
  }
  const int64_t width = gates_of(cell) * hidden_size;
  const int64_t outputs = proj_size_ > 0 ? proj_size_ : hidden_size;
  for (int64_t layer = 0; layer < num_layers_; ++layer) {
    for (int64_t direction = 0; direction < directions_; ++direction) {
      const std::string ending = "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      const auto add = [&](const char* parameter, bool present, const Shape& shape) {
        weights_.push_back(present ? register_parameter(parameter + ending, zeros(shape))
                                   : Tensor());
      };
      add("weight_ih", true, {width, layer == 0 ? input_size : outputs * directions_});
      add("weight_hh", true, {width, outputs});
      add("bias_ih", bias_, {width});
      add("bias_hh", bias_, {width});
      add("weight_hr", proj_size_ > 0, {outputs, hidden_size});
    }
  }
  reset_parameters();
}

void RNNBase::reset_parameters() { draw(weights_, hidden_size_); }

RecurrentWeights RNNBase::weights(int64_t part) const {
  const Tensor* w = &weights_[static_cast<size_t>(5 * part)];
  return {w[0], w[1], w[2], w[3], w[4]};
}

void RNNBase::check_state(const char* name, const Tensor& state, const Tensor& x,
                          int64_t size) const {
  if (!state.defined()) return;
  const int64_t parts = num_layers_ * directions_;
  const Shape wanted =
      x.dim() == 2 ? Shape{parts, size} : Shape{parts, x.size(batch_first_ ? 0 : 1), size};
  if (state.shape() != wanted) {
    fail(name_, name, " is ", state, ", want ", wanted, ": layers * directions",
         x.dim() == 2 ? "" : ", batch", " and size (x ", x, ")");
  }
  check_dtype(name_, name, state, weights_[0]);
}

void RNNBase::check(const Tensor& x, const Tensor& h0, const Tensor& c0,
                    const std::vector<int64_t>& lengths) const {
  if (!x.defined() || x.dim() < 2 || x.dim() > 3 || x.size(-1) != input_size_) {
    fail(name_, "x is ", x, ", want [", batch_first_ ? "batch, steps, " : "steps, batch, ",
         input_size_, "] or [steps, ", input_size_, "]");
  }
  check_dtype(name_, "x", x, weights_[0]);
  const bool batched = x.dim() == 3;
  const int64_t steps = x.size(batched && batch_first_ ? 1 : 0);
  const int64_t batch = batched ? x.size(batch_first_ ? 0 : 1) : 1;
  if (steps < 1) fail(name_, "x is ", x, ": it has no steps, want at least 1");
  check_state("h0", h0, x, proj_size_ > 0 ? proj_size_ : hidden_size_);
  check_state("c0", c0, x, hidden_size_);
  if (lengths.empty()) return;
  if (static_cast<int64_t>(lengths.size()) != batch) {
    fail(name_, "there are ", lengths.size(), " lengths, want one for each of the ", batch,
         " sequences of x ", x);
  }
  for (const int64_t length : lengths) {
    if (length >= 1 && length <= steps) continue;
    fail(name_, "a length is ", length, ", want 1 to ", steps, ", the steps of x ", x);
  }
}

std::vector<Tensor> RNNBase::run(const Tensor& x, const Tensor& h0, const Tensor& c0,
                                 const std::vector<int64_t>& lengths) const {
  check(x, h0, c0, lengths);
  const bool batched = x.dim() == 3;
  const int64_t parts = num_layers_ * directions_;
  const auto part_of = [&](const Tensor& state, int64_t part) {
    if (!state.defined()) return Tensor();
    const Tensor rows = parts == 1 ? (batched ? squeeze(state, 0) : state) : select(state, 0, part);
    return batched || parts == 1 ? rows : unsqueeze(rows, 0);
  };
  const auto joined = [&](std::vector<Tensor>& states) {
    if (!batched) {
      for (Tensor& state : states) state = squeeze(state, 0);
    }
    return parts == 1 ? unsqueeze(states[0], 0) : stack(states, 0);
  };
  Tensor y = batched ? (batch_first_ ? transpose(x, 0, 1) : x) : unsqueeze(x, 1);
  if (!lengths.empty()) y = masked_fill(y, beyond(lengths, y.size(0)), 0.0);  // NaN beyond, too
  std::vector<Tensor> h, c;
  for (int64_t layer = 0; layer < num_layers_; ++layer) {
    std::vector<Tensor> outputs;
    for (int64_t direction = 0; direction < directions_; ++direction) {
      const int64_t part = layer * directions_ + direction;
      const std::vector<Tensor> results = recurrent(cell_, y, part_of(h0, part), part_of(c0, part),
                                                    weights(part), direction == 1, lengths);
      outputs.push_back(results[0]);
      h.push_back(results[1]);
      if (results.size() == 3) c.push_back(results[2]);
    }
    y = directions_ == 1 ? outputs[0] : cat(outputs, 2);
    if (layer + 1 < num_layers_) y = tern::dropout(y, dropout_, is_training());
  }
  if (!batched) {
    y = squeeze(y, 1);
  } else if (batch_first_) {
    y = transpose(y, 0, 1);
  }
  std::vector<Tensor> results{y, joined(h)};
  if (!c.empty()) results.push_back(joined(c));
  return results;
}

std::string RNNBase::extra_repr() const {
  std::string text = repr(input_size_) + ", " + repr(hidden_size_);
  if (proj_size_ > 0) text += ", proj_size=" + repr(proj_size_);
  if (num_layers_ != 1) text += ", num_layers=" + repr(num_layers_);
  if (!bias_) text += ", bias=False";
  if (batch_first_) text += ", batch_first=True";
  if (dropout_ > 0) text += ", dropout=" + repr(dropout_);
  if (directions_ == 2) text += ", bidirectional=True";
  if (cell_ == RecurrentCell::relu) text += ", nonlinearity=relu";
  return text;
}

RNN::RNN(int64_t input_size, int64_t hidden_size, RNNOptions options)
    : ModuleOf("RNN", cell_of("RNN", options.nonlinearity), input_size, hidden_size,
               LSTMOptions{options.num_layers, options.bias, options.batch_first, options.dropout,
                           options.bidirectional, 0}) {}

RNNOutput RNN::forward(const Tensor& x, const Tensor& h0, const std::vector<int64_t>& lengths) {
  const std::vector<Tensor> results = run(x, h0, {}, lengths);
  return {results[0], results[1]};
}
RNNOutput RNN::forward(const Tensor& x, const std::vector<int64_t>& lengths) {
  return forward(x, Tensor(), lengths);
}

LSTM::LSTM(int64_t input_size, int64_t hidden_size, LSTMOptions options)
    : ModuleOf("LSTM", RecurrentCell::lstm, input_size, hidden_size, options) {}

LSTMOutput LSTM::forward(const Tensor& x, const LSTMState& state,
                         const std::vector<int64_t>& lengths) {
  const std::vector<Tensor> results = run(x, std::get<0>(state), std::get<1>(state), lengths);
  return {results[0], LSTMState(results[1], results[2])};
}
LSTMOutput LSTM::forward(const Tensor& x, const std::vector<int64_t>& lengths) {
  return forward(x, LSTMState(), lengths);
}

GRU::GRU(int64_t input_size, int64_t hidden_size, GRUOptions options)
    : ModuleOf("GRU", RecurrentCell::gru, input_size, hidden_size,
               LSTMOptions{options.num_layers, options.bias, options.batch_first, options.dropout,
                           options.bidirectional, 0}) {}

RNNOutput GRU::forward(const Tensor& x, const Tensor& h0, const std::vector<int64_t>& lengths) {
  const std::vector<Tensor> results = run(x, h0, {}, lengths);
  return {results[0], results[1]};
}
RNNOutput GRU::forward(const Tensor& x, const std::vector<int64_t>& lengths) {
  return forward(x, Tensor(), lengths);
}

RNNCellBase::RNNCellBase(const char* name, RecurrentCell cell, int64_t input_size,
                         int64_t hidden_size, bool bias)
    : name_(name), cell_(cell) {
  require_sizes(name, input_size, hidden_size);
  const int64_t width = gates_of(cell) * hidden_size;
  weight_ih_ = register_parameter("weight_ih", zeros({width, input_size}));
  weight_hh_ = register_parameter("weight_hh", zeros({width, hidden_size}));
  bias_ih_ = register_parameter("bias_ih", bias ? zeros({width}) : Tensor());
  bias_hh_ = register_parameter("bias_hh", bias ? zeros({width}) : Tensor());
  reset_parameters();
}

void RNNCellBase::reset_parameters() {
  draw({weight_ih_, weight_hh_, bias_ih_, bias_hh_}, hidden_size());
}

std::vector<Tensor> RNNCellBase::run(const Tensor& x, const Tensor& h, const Tensor& c) const {
  if (!x.defined() || x.dim() < 1 || x.dim() > 2 || x.size(-1) != input_size()) {
    fail(name_, "x is ", x, ", want [batch, ", input_size(), "] or [", input_size(), "]");
  }
  check_dtype(name_, "x", x, weight_ih_);
  const int64_t batch = x.dim() == 1 ? 1 : x.size(0);
  const auto rows = [&](const char* name, const Tensor& state) {
    if (!state.defined()) return state;
    const Shape wanted = x.dim() == 1 ? Shape{hidden_size()} : Shape{batch, hidden_size()};
    if (state.shape() != wanted) {
      fail(name_, name, " is ", state, ", want ", wanted, " (x ", x, ")");
    }
    check_dtype(name_, name, state, weight_ih_);
    return x.dim() == 1 ? unsqueeze(state, 0) : state;
  };
  const Tensor h0 = rows("h", h), c0 = rows("c", c);
  std::vector<Tensor> results = recurrent(cell_, reshape(x, {1, batch, input_size()}), h0, c0,
                                          {weight_ih_, weight_hh_, bias_ih_, bias_hh_}, false, {});
  results.erase(results.begin());
  if (x.dim() == 1) {
    for (Tensor& state : results) state = squeeze(state, 0);
  }
  return results;
}

std::string RNNCellBase::extra_repr() const {
  std::string text = repr(input_size()) + ", " + repr(hidden_size());
  if (!bias_ih_.defined()) text += ", bias=False";
  if (cell_ == RecurrentCell::relu) text += ", nonlinearity=relu";
  return text;
}

RNNCell::RNNCell(int64_t input_size, int64_t hidden_size, RNNCellOptions options)
    : ModuleOf("RNNCell", cell_of("RNNCell", options.nonlinearity), input_size, hidden_size,
               options.bias) {}

Tensor RNNCell::forward(const Tensor& x, const Tensor& h) { return run(x, h, {})[0]; }

LSTMCell::LSTMCell(int64_t input_size, int64_t hidden_size, RecurrentCellOptions options)
    : ModuleOf("LSTMCell", RecurrentCell::lstm, input_size, hidden_size, options.bias) {}

LSTMState LSTMCell::forward(const Tensor& x, const LSTMState& state) {
  const std::vector<Tensor> results = run(x, std::get<0>(state), std::get<1>(state));
  return {results[0], results[1]};
}

GRUCell::GRUCell(int64_t input_size, int64_t hidden_size, RecurrentCellOptions options)
    : ModuleOf("GRUCell", RecurrentCell::gru, input_size, hidden_size, options.bias) {}

Tensor GRUCell::forward(const Tensor& x, const Tensor& h) { return run(x, h, {})[0]; }

}  // namespace tern::nn
