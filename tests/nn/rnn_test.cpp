// SPDX-License-Identifier: Apache-2.0
// RNN, LSTM, GRU and their cells: against PyTorch, against their definition, and the edges.
#include <tern/ops/internal/rnn.h>
#include <tern/tern.h>

#include <map>
#include <memory>
#include <tuple>

#include "op_checks.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::expect_close;
using tern::test::expect_error;
using tern::test::ThreadCount;
using tern::test::values;
using Tensors = std::vector<Tensor>;
using Lengths = std::vector<int64_t>;

// ---- PyTorch ----

/// A net of make_recurrent in fixtures/make_fixtures.py, and a call of it.
struct Case {
  std::shared_ptr<nn::Module> net;
  std::function<Tensors(const Tensor& x, const Tensor& h, const Tensor& c)> call;
};

Tensors flat(const nn::LSTMOutput& output) {
  return {std::get<0>(output), std::get<0>(std::get<1>(output)), std::get<1>(std::get<1>(output))};
}
Tensors flat(const std::tuple<Tensor, Tensor>& pair) {
  return {std::get<0>(pair), std::get<1>(pair)};
}

template <class Net>
Case layer(const Net& net, const Lengths& lengths = {}) {
  const auto shared = std::make_shared<Net>(net);
  return {shared, [shared, lengths](const Tensor& x, const Tensor& h, const Tensor& c) {
            static_cast<void>(c);
            if constexpr (std::is_same_v<Net, nn::LSTM>) {
              return flat((*shared)(x, nn::LSTMState(h, c), lengths));
            } else {
              return flat((*shared)(x, h, lengths));
            }
          }};
}
template <class Net>
Case cell(const Net& net) {
  const auto shared = std::make_shared<Net>(net);
  return {shared, [shared](const Tensor& x, const Tensor& h, const Tensor& c) -> Tensors {
            static_cast<void>(c);
            if constexpr (std::is_same_v<Net, nn::LSTMCell>) {
              return flat((*shared)(x, nn::LSTMState(h, c)));
            } else {
              return {(*shared)(x, h)};
            }
          }};
}

template <class Net, class Options>
void add_layers(std::map<std::string, Case>& cases, const std::string& name) {
  cases[name] = layer(Net(3, 4));
  cases[name + "_zero_no_bias"] = layer(Net(3, 4, {.bias = false}));
  Options deep{.num_layers = 2, .batch_first = true, .bidirectional = true};
  cases[name + "_deep"] = layer(Net(3, 4, deep));
  deep.batch_first = false;
  cases[name + "_lengths"] = layer(Net(3, 4, deep), {3, 5, 1});
  cases[name + "_lengths_zero"] =
      layer(Net(3, 4, {.batch_first = true, .bidirectional = true}), {2, 4, 4});
  cases[name + "_unbatched"] = layer(Net(3, 4, {.num_layers = 2}));
}

std::map<std::string, Case> all_cases() {
  std::map<std::string, Case> cases;
  add_layers<nn::RNN, nn::RNNOptions>(cases, "rnn");
  add_layers<nn::LSTM, nn::LSTMOptions>(cases, "lstm");
  add_layers<nn::GRU, nn::GRUOptions>(cases, "gru");
  const nn::RNNOptions relu{.nonlinearity = nn::Nonlinearity::relu, .bidirectional = true};
  cases["rnn_relu"] = layer(nn::RNN(3, 4, relu));
  cases["lstm_proj"] = layer(nn::LSTM(3, 4, {.num_layers = 2, .proj_size = 2}));
  cases["lstm_proj_lengths"] =
      layer(nn::LSTM(3, 4, {.num_layers = 2, .bidirectional = true, .proj_size = 2}), {5, 2, 3});
  cases["rnn_cell"] = cell(nn::RNNCell(3, 4));
  cases["rnn_cell_relu"] =
      cell(nn::RNNCell(3, 4, {.bias = false, .nonlinearity = nn::Nonlinearity::relu}));
  cases["lstm_cell"] = cell(nn::LSTMCell(3, 4));
  cases["gru_cell"] = cell(nn::GRUCell(3, 4));
  return cases;
}

TEST(Recurrent, AgreesWithPyTorch) {
  const StateDict fixtures =
      io::load_safetensors(TERN_SOURCE_DIR "/tests/fixtures/recurrent.safetensors");
  size_t used = 0;
  for (const auto& [name, one] : all_cases()) {
    const auto find = [&](const std::string& key) {
      if (!fixtures.contains(name + "." + key)) return Tensor();
      ++used;
      return fixtures.at(name + "." + key);
    };
    const Tensor x = find("x"), h = find("h0"), c = find("c0");
    const bool is_layer = name.find("cell") == std::string::npos;
    Tensors ys, dys, wanted;
    for (;;) {
      const Tensor y = find("y." + std::to_string(wanted.size()));
      if (!y.defined()) break;
      dys.push_back(find("dy." + std::to_string(wanted.size())));
      wanted.push_back(y);
    }
    ASSERT_EQ(wanted.size(), is_layer ? (c.defined() || name.starts_with("lstm") ? 3u : 2u)
                                      : (c.defined() ? 2u : 1u))
        << name;
    StateDict weights;
    std::map<std::string, Tensor> gradients;
    for (const auto& [key, parameter] : one.net->named_parameters()) {
      weights.insert(key, find(key));
      gradients[key] = find("grad." + key);
    }
    const Tensor dx = find("grad.x"), dh = find("grad.h0"), dc = find("grad.c0");
    for (const DType dtype : {DType::f64, DType::f32}) {
      const double tolerance = dtype == DType::f64 ? 1e-12 : 2e-6;
      const std::string what = name + " " + to_string(dtype) + " ";
      one.net->to(dtype);
      one.net->load_state_dict(weights);
      const auto leaf = [&](const Tensor& v) {
        return v.defined() ? v.to(dtype).clone().set_requires_grad() : Tensor();
      };
      const Tensor x1 = leaf(x), h1 = leaf(h), c1 = leaf(c);
      ys = one.call(x1, h1, c1);
      ASSERT_EQ(ys.size(), wanted.size()) << what;
      Tensor loss;
      for (size_t i = 0; i < ys.size(); ++i) {
        expect_close(ys[i], wanted[i], tolerance, what + "y " + std::to_string(i));
        const Tensor part = sum(ys[i] * dys[i].to(dtype));
        loss = loss.defined() ? loss + part : part;
      }
      loss.backward();
      expect_close(x1.grad(), dx, tolerance, what + "dx");
      if (h.defined()) expect_close(h1.grad(), dh, tolerance, what + "dh0");
      if (c.defined()) expect_close(c1.grad(), dc, tolerance, what + "dc0");
      for (const auto& [key, parameter] : one.net->named_parameters()) {
        expect_close(parameter.grad(), gradients[key], tolerance, what + "gradient of " + key);
      }
    }
  }
  EXPECT_EQ(used, fixtures.size()) << "every fixture has a case here";
}

// ---- One layer against its definition ----

struct Setting {
  RecurrentCell cell;
  bool reverse = false;
  Lengths lengths = {};
  bool states = true;
};

/// x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr of float64.
Tensors inputs_of(RecurrentCell cell, int64_t steps, int64_t batch, int64_t inputs, int64_t hidden,
                  int64_t projected = 0) {
  const int64_t gates = cell == RecurrentCell::lstm ? 4 : cell == RecurrentCell::gru ? 3 : 1;
  const int64_t outputs = projected > 0 ? projected : hidden;
  const double scale = 1.0 / std::sqrt(static_cast<double>(hidden));
  uint64_t seed = 1;
  const auto leaf = [&](const Shape& shape, double by) {
    return (values(shape, seed++) * by).detach().set_requires_grad();
  };
  return {leaf({steps, batch, inputs}, 0.7),
          leaf({batch, outputs}, 0.5),
          cell == RecurrentCell::lstm ? leaf({batch, hidden}, 0.5) : Tensor(),
          leaf({gates * hidden, inputs}, scale),
          leaf({gates * hidden, outputs}, scale),
          leaf({gates * hidden}, 0.3),
          leaf({gates * hidden}, 0.3),
          projected > 0 ? leaf({outputs, hidden}, scale) : Tensor()};
}

Tensor joined(const Tensors& ys) {
  Tensors parts;
  for (const Tensor& y : ys) parts.push_back(reshape(y, {-1}));
  return cat(parts);
}

template <class F>
Tensor call(const F& f, const Setting& s, const Tensors& in) {
  return joined(f(s.cell, in[0], s.states ? in[1] : Tensor(), s.states ? in[2] : Tensor(),
                  RecurrentWeights{in[3], in[4], in[5], in[6], in[7]}, s.reverse, s.lengths));
}

constexpr RecurrentCell kCells[] = {RecurrentCell::tanh, RecurrentCell::relu, RecurrentCell::lstm,
                                    RecurrentCell::gru};

TEST(Recurrent, GradientsOfFirstAndSecondOrder) {
  for (const RecurrentCell cell : kCells) {
    for (const bool reverse : {false, true}) {
      for (const Lengths& lengths : {Lengths{}, Lengths{1, 2}}) {
        for (const bool projects : {false, true}) {
          if (projects && cell != RecurrentCell::lstm) continue;
          SCOPED_TRACE(std::string(to_string(cell)) + (reverse ? " reverse" : "") +
                       (lengths.empty() ? "" : " lengths") + (projects ? " projected" : ""));
          const Setting setting{cell, reverse, lengths};
          Tensors in = inputs_of(cell, 2, 2, 1, 2, projects ? 1 : 0), given;
          std::vector<size_t> places;
          for (size_t i = 0; i < in.size(); ++i) {
            if (!in[i].defined()) continue;
            given.push_back(in[i]);
            places.push_back(i);
          }
          const auto f = [&](const Tensors& some) {
            Tensors all = in;
            for (size_t i = 0; i < some.size(); ++i) all[places[i]] = some[i];
            return call(recurrent, setting, all);
          };
          EXPECT_NO_THROW(gradcheck(f, given));
          if (reverse == lengths.empty()) continue;  // each is slow; these two differ most
          EXPECT_NO_THROW(gradgradcheck(f, given));
        }
      }
    }
  }
}

TEST(Recurrent, KernelsFollowTheDefinition) {
  struct Sizes {
    int64_t steps, batch, inputs, hidden, projected;
  };
  // Rests of vectors and panels, batches for one and several threads, too few steps for packing.
  for (const Sizes& z : {Sizes{1, 3, 4, 5, 0}, Sizes{2, 9, 3, 17, 0}, Sizes{7, 1, 5, 33, 0},
                         Sizes{5, 21, 4, 40, 0}, Sizes{4, 33, 2, 19, 7}}) {
    for (const RecurrentCell cell : kCells) {
      if (z.projected > 0 && cell != RecurrentCell::lstm) continue;
      const Tensors exact = inputs_of(cell, z.steps, z.batch, z.inputs, z.hidden, z.projected);
      Lengths some;
      for (int64_t i = 0; i < z.batch; ++i) some.push_back(i * 5 % z.steps + 1);
      for (const Setting& setting : {Setting{cell}, Setting{cell, true}, Setting{cell, false, some},
                                     Setting{cell, true, some}, Setting{cell, true, some, false}}) {
        const auto results = [&](const auto& f, DType dtype) {
          Tensors in;
          for (const Tensor& v : exact) {
            in.push_back(v.defined() ? v.detach().to(dtype).clone().set_requires_grad() : v);
          }
          const Tensor y = call(f, setting, in);
          y.backward(values(y.shape(), 99).to(dtype));
          Tensors all{y};
          for (const Tensor& v : in) all.push_back(v.defined() ? v.grad() : v);
          return all;
        };
        const Tensors wanted = results(composed_recurrent, DType::f64);
        for (const bool reference : {false, true}) {
          for (const DType dtype : {DType::f32, DType::f64}) {
            Tensors found;
            if (reference) {
              const ReferenceKernels scope;
              found = results(recurrent, dtype);
            } else {
              found = results(recurrent, dtype);
            }
            for (size_t i = 0; i < wanted.size(); ++i) {
              ASSERT_EQ(found[i].defined(), wanted[i].defined());
              if (!wanted[i].defined()) continue;
              EXPECT_LE(test::relative_distance(found[i], wanted[i]),
                        dtype == DType::f32 ? 4e-6 : 1e-13)
                  << to_string(cell) << " hidden " << z.hidden << " result " << i << " reverse "
                  << setting.reverse << " lengths " << setting.lengths.size();
            }
          }
        }
      }
    }
  }
}

TEST(Recurrent, BitsDoNotDependOnThreads) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const RecurrentCell cell : kCells) {
      Tensors in = inputs_of(cell, 6, 30, 8, 64);
      for (Tensor& v : in) {
        if (v.defined()) v = v.detach().to(dtype).set_requires_grad();
      }
      test::expect_thread_invariant([&] {
        const Tensor y = call(recurrent, Setting{cell}, in);
        // dx and the state's come from the recurrence; the weights' are matmul's
        return cat({y, reshape(grad(sum(y * y), {in[1]})[0], {-1})});
      });
    }
  }
}

// ---- Layers ----

TEST(Recurrent, NamesAndShapesArePyTorchs) {
  const nn::LSTM net(3, 4, {.num_layers = 2, .bidirectional = true, .proj_size = 2});
  const std::vector<std::string> names = net.state_dict().names();
  ASSERT_EQ(names.size(), 20u);
  EXPECT_EQ(std::vector<std::string>(names.begin(), names.begin() + 6),
            (std::vector<std::string>{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0",
                                      "weight_hr_l0", "weight_ih_l0_reverse"}));
  EXPECT_EQ(net.parameter("weight_ih_l1_reverse").shape(), (Shape{16, 4}));
  EXPECT_EQ(net.parameter("weight_hh_l1").shape(), (Shape{16, 2}));
  EXPECT_EQ(to_string(net), "LSTM(3, 4, proj_size=2, num_layers=2, bidirectional=True)");
  EXPECT_EQ(to_string(nn::GRU(3, 4, {.bias = false, .batch_first = true, .dropout = 0.5})),
            "GRU(3, 4, bias=False, batch_first=True, dropout=0.5)");
  EXPECT_EQ(to_string(nn::RNN(3, 4, {.nonlinearity = nn::Nonlinearity::relu})),
            "RNN(3, 4, nonlinearity=relu)");
  EXPECT_EQ(to_string(nn::LSTMCell(3, 4, {.bias = false})), "LSTMCell(3, 4, bias=False)");
  const std::vector<std::string> of_cell = nn::GRUCell(3, 4).state_dict().names();
  EXPECT_EQ(of_cell, (std::vector<std::string>{"weight_ih", "weight_hh", "bias_ih", "bias_hh"}));
  for (const Tensor& w : nn::GRU(3, 100).parameters()) EXPECT_LE(test::largest(w), 0.1);

  const Tensor x = rand({5, 6, 3});  // five steps
  const auto [y, state] = net(x);
  const auto [h, c] = state;
  EXPECT_EQ(y.shape(), (Shape{5, 6, 4}));
  EXPECT_EQ(h.shape(), (Shape{4, 6, 2}));
  EXPECT_EQ(c.shape(), (Shape{4, 6, 4}));
  const auto [one, last] = net(rand({5, 3}));
  EXPECT_EQ(one.shape(), (Shape{5, 4}));
  EXPECT_EQ(std::get<1>(last).shape(), (Shape{4, 4}));
  const auto [none, of_none] = net(zeros({5, 0, 3}));
  EXPECT_EQ(none.shape(), (Shape{5, 0, 4}));
}

TEST(Recurrent, AStateContinuesTheSequence) {
  manual_seed(1);
  const nn::LSTM lstm(3, 8, {.num_layers = 2});
  const nn::GRU gru(3, 8);
  const Tensor x = rand({6, 2, 3});
  const auto [whole, end] = lstm(x);
  const auto [first, middle] = lstm(slice(x, 0, 0, 4));
  const auto [rest, end_of_rest] = lstm(slice(x, 0, 4, 6), middle);
  expect_close(cat({first, rest}), whole, 1e-6);
  expect_close(std::get<1>(end_of_rest), std::get<1>(end), 1e-6);
  const auto [all, h] = gru(x);
  const auto [begin, between] = gru(slice(x, 0, 0, 4));
  expect_close(std::get<1>(gru(slice(x, 0, 4, 6), between)), h, 1e-6);
}

TEST(Recurrent, ACellInALoopIsTheLayer) {
  manual_seed(2);
  const nn::LSTM lstm(3, 5);
  nn::LSTMCell cell(3, 5);
  StateDict weights;
  for (const char* name : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
    weights.insert(name, lstm.parameter(std::string(name) + "_l0"));
  }
  cell.load_state_dict(weights);
  const Tensor x = rand({4, 2, 3});
  const auto [y, state] = lstm(x);
  nn::LSTMState now;
  for (int64_t t = 0; t < 4; ++t) {
    now = cell(select(x, 0, t), now);
    expect_close(std::get<0>(now), select(y, 0, t), 1e-6);
  }
  sum(std::get<0>(now)).backward();
  sum(select(y, 0, 3)).backward();
  expect_close(cell.parameter("weight_hh").grad(), lstm.parameter("weight_hh_l0").grad(), 1e-6);
  EXPECT_EQ(std::get<0>(cell(rand({3}))).shape(), (Shape{5}));
  nn::Sequential net(nn::Linear(2, 3), nn::GRUCell(3, 4));  // a container gives it one tensor
  EXPECT_EQ(net(rand({7, 2})).shape(), (Shape{7, 4}));
}

TEST(Recurrent, DropoutIsBetweenLayersInTraining) {
  manual_seed(3);
  nn::GRU net(3, 4, {.num_layers = 2, .dropout = 1.0});
  const auto [a, last_a] = net(rand({5, 2, 3}));
  const auto [b, last_b] = net(rand({5, 2, 3}));
  EXPECT_TRUE(test::same_bits(a, b)) << "the second layer sees zeros only";
  EXPECT_FALSE(test::same_bits(select(last_a, 0, 0), select(last_b, 0, 0)));
  EXPECT_GT(test::largest(a), 0);
  net.eval();
  EXPECT_FALSE(test::same_bits(std::get<0>(net(rand({5, 2, 3}))), a));
}

TEST(Recurrent, WhatLiesBeyondALengthDoesNotMatter) {
  manual_seed(4);
  const nn::LSTM net(3, 4, {.num_layers = 2, .bidirectional = true});
  const Tensor x = rand({5, 2, 3}).set_requires_grad();
  const Lengths lengths{5, 2};
  const auto [y, state] = net(x, lengths);
  EXPECT_EQ(test::largest(slice(select(y, 1, 1), 0, 2, 5)), 0);
  const Tensor alone = slice(select(x, 1, 1), 0, 0, 2);
  const auto [y_alone, state_alone] = net(alone);
  expect_close(slice(select(y, 1, 1), 0, 0, 2), y_alone, 1e-6);
  expect_close(select(std::get<1>(state), 1, 1), std::get<1>(state_alone), 1e-6);
  (sum(y) + sum(std::get<0>(state))).backward();
  EXPECT_EQ(test::largest(slice(select(x.grad(), 1, 1), 0, 2, 5)), 0);
  const NoGrad no_grad;
  Tensor spoilt = x.detach().clone();
  spoilt[{Range(2, 5), 1}] = std::numeric_limits<double>::quiet_NaN();
  expect_close(std::get<0>(net(spoilt, lengths)), y, 1e-6);
}

TEST(Recurrent, BackwardPassesOfSomeResultsAndMoreThanOne) {
  manual_seed(5);
  const nn::LSTM net(3, 4);
  const Tensor x = rand({5, 2, 3}).set_requires_grad();
  const auto [y, state] = net(x);
  sum(std::get<1>(state)).backward({}, {.retain_graph = true});
  const Tensor first = x.grad().clone();
  sum(std::get<1>(state)).backward();
  expect_close(x.grad(), first * 2.0, 1e-6);
  expect_error([&] { sum(y).backward(); }, "retain_graph");
  for (const Tensor& w : net.parameters()) EXPECT_TRUE(w.grad().defined());
  const NoGrad no_grad;
  EXPECT_FALSE(std::get<0>(net(x)).requires_grad());
  EXPECT_TRUE(test::same_bits(std::get<0>(net(x)), y));
}

TEST(Recurrent, StepsAskForNoNewMemory) {
  manual_seed(6);
  const ThreadCount one(1);
  nn::GRU net(8, 16, {.num_layers = 2});
  const Tensor x = rand({20, 4, 8});
  const auto step = [&] {
    net.zero_grad();
    sum(std::get<0>(net(x))).backward();
  };
  for (int i = 0; i < 3; ++i) step();
  const Counters before = counters();
  step();
  const int64_t blocks = counters().allocations - before.allocations;
  EXPECT_EQ(counters().system_allocations, before.system_allocations);
  const Tensor longer = rand({60, 4, 8});
  net.zero_grad();
  sum(std::get<0>(net(longer))).backward();
  net.zero_grad();
  const int64_t start = counters().allocations;
  sum(std::get<0>(net(longer))).backward();
  EXPECT_EQ(counters().allocations - start, blocks) << "as many blocks for 60 steps as for 20";
}

TEST(Recurrent, ErrorsSayWhatIsWanted) {
  expect_error([] { nn::LSTM(0, 4); }, "input_size is 0 and hidden_size is 4, want at least 1");
  expect_error([] { nn::GRU(3, 4, {.num_layers = 0}); }, "num_layers is 0, want 1 to 65536");
  expect_error([] { nn::RNN(3, 4, {.num_layers = INT64_MAX}); }, "want 1 to 65536");
  expect_error([] { nn::GRU(3, INT64_MAX - 1); }, "want at least 1 of each and less than 2^31");
  expect_error([] { nn::RNN(3, 4, {.dropout = 1.5}); }, "dropout is 1.5, want a probability");
  expect_error([] { nn::LSTM(3, 4, {.proj_size = 4}); }, "proj_size is 4, want 0");
  expect_error([] { nn::GRUCell(3, 0); }, "[GRUCell] input_size is 3 and hidden_size is 0");

  const nn::LSTM net(3, 4, {.num_layers = 2, .batch_first = true});
  const Tensor x = rand({2, 5, 3});
  expect_error(
      [&] {
        net(rand({2, 5, 4}));
      },
      {"[LSTM]", "x is f32[2,5,4]", "want [batch, steps, 3] or [steps, 3]"});
  expect_error([&] { net(rand({3})); }, "x is f32[3]");
  expect_error([&] { net(Tensor()); }, "x is ");
  expect_error([&] { net(rand({2, 0, 3})); }, "it has no steps");
  expect_error([&] { net(rand({2, 5, 3}, DType::f64)); }, {"x is f64", "the parameters are f32"});
  expect_error(
      [&] {
        net(x, nn::LSTMState(rand({2, 5, 4}), Tensor()));
      },
      {"h0 is f32[2,5,4]", "want [2,2,4]: layers * directions, batch and size"});
  expect_error([&] { net(x, nn::LSTMState(Tensor(), rand({2, 2, 4}, DType::f64))); }, "c0 is f64");
  expect_error(
      [&] {
        net(rand({5, 3}), nn::LSTMState(rand({2, 2, 4}), Tensor()));
      },
      "want [2,4]: layers * directions and size");
  expect_error([&] { net(x, Lengths{1}); }, "there are 1 lengths, want one for each of the 2");
  expect_error([&] { net(x, Lengths{1, 6}); }, "a length is 6, want 1 to 5");
  expect_error([&] { net(x, Lengths{0, 5}); }, "a length is 0, want 1 to 5");
  const nn::GRUCell cell(3, 4);
  expect_error([&] { cell(rand({2, 4})); }, "x is f32[2,4], want [batch, 3] or [3]");
  expect_error([&] { cell(rand({2, 3}), rand({3, 4})); }, "h is f32[3,4], want [2,4]");
}

}  // namespace
