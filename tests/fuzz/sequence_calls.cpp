// SPDX-License-Identifier: Apache-2.0
#include "layers.h"

namespace tern::fuzz {

namespace {

std::vector<int64_t> lengths(Draw& d, const Sizes& sizes, bool batch_first) {
  if (d.flag()) return {};
  const int64_t batch = sizes[batch_first ? 0 : 1], steps = sizes[batch_first ? 1 : 0];
  return d.integers(static_cast<size_t>(batch), 1, std::max<int64_t>(steps, 1));
}

void add_recurrent(Calls& calls) {
  calls.add("RNN", [](Draw& d) {
    const int64_t in = d.integer(1, 3);
    const bool batch_first = d.flag();
    const nn::RNN rnn(in, d.integer(1, 3),
                      {.num_layers = d.integer(1, 2),
                       .nonlinearity = d.one_of({nn::Nonlinearity::tanh, nn::Nonlinearity::relu}),
                       .bias = d.flag(),
                       .batch_first = batch_first,
                       .dropout = d.flag() ? 0 : d.real(0, 1),
                       .bidirectional = d.flag()});
    const Sizes sizes = {d.length(), d.length(), in};
    const Tensor x = d.tensor(sizes, DType::f32);
    return use(d, rnn, x, lengths(d, sizes, batch_first));
  });
  calls.add("LSTM", [](Draw& d) {
    const int64_t in = d.integer(1, 3), units = d.integer(2, 4);
    const bool batch_first = d.flag();
    const nn::LSTM lstm(in, units,
                        {.num_layers = d.integer(1, 2),
                         .bias = d.flag(),
                         .batch_first = batch_first,
                         .dropout = d.flag() ? 0 : d.real(0, 1),
                         .bidirectional = d.flag(),
                         .proj_size = d.flag() ? 0 : d.integer(0, 1)});
    const Sizes sizes = {d.length(), d.length(), in};
    const Tensor x = d.tensor(sizes, DType::f32);
    if (d.flag()) return use(d, lstm, x, lengths(d, sizes, batch_first));
    const Tensor h = d.tensor({1, sizes[1], units}, DType::f32);
    return use(d, lstm, x, nn::LSTMState(h, d.tensor({1, sizes[1], units}, DType::f32)));
  });
  calls.add("GRU", [](Draw& d) {
    const int64_t in = d.integer(1, 3), units = d.integer(1, 3);
    const bool batch_first = d.flag();
    const nn::GRU gru(in, units,
                      {.num_layers = d.integer(1, 2),
                       .bias = d.flag(),
                       .batch_first = batch_first,
                       .dropout = d.flag() ? 0 : d.real(0, 1),
                       .bidirectional = d.flag()});
    const Sizes sizes = {d.length(), d.length(), in};
    const Tensor x = d.tensor(sizes, DType::f32);
    if (d.flag()) return use(d, gru, x, lengths(d, sizes, batch_first));
    return use(d, gru, x, d.tensor({1, sizes[1], units}, DType::f32));
  });
  calls.add("RNNCell", [](Draw& d) {
    const nn::RNNCell cell(
        d.integer(3, 3), d.integer(2, 2),
        {.nonlinearity = d.one_of({nn::Nonlinearity::tanh, nn::Nonlinearity::selu})});
    const int64_t batch = d.length();
    const Tensor x = d.tensor({batch, 3}, DType::f32);
    return use(d, cell, x, d.flag() ? Tensor() : d.tensor({batch, 2}, DType::f32));
  });
  calls.add("LSTMCell", [](Draw& d) {
    const nn::LSTMCell cell(d.integer(3, 3), d.integer(2, 2), {.bias = d.flag()});
    const int64_t batch = d.length();
    const Tensor x = d.tensor({batch, 3}, DType::f32), h = d.tensor({batch, 2}, DType::f32);
    return use(d, cell, x, nn::LSTMState(h, d.tensor({batch, 2}, DType::f32)));
  });
  calls.add("GRUCell", [](Draw& d) {
    const nn::GRUCell cell(d.integer(3, 3), d.integer(2, 2), {.bias = d.flag()});
    const int64_t batch = d.length();
    const Tensor x = d.tensor({batch, 3}, DType::f32);
    return use(d, cell, x, d.flag() ? Tensor() : d.tensor({batch, 2}, DType::f32));
  });
}

nn::TransformerLayerOptions layer_options(Draw& d) {
  return {.dim_feedforward = d.integer(1, 5),
          .dropout = d.real(0, 1),
          .activation = d.one_of({"relu", "gelu"}),
          .layer_norm_eps = d.real(0, 1),
          .batch_first = d.flag(),
          .norm_first = d.flag(),
          .bias = d.flag()};
}

Tensor sequence(Draw& d) { return d.tensor({d.length(), d.length(), 4}, DType::f32); }

void add_attention(Calls& calls) {
  calls.add("MultiheadAttention", [](Draw& d) {
    const nn::MultiheadAttention attention(
        d.integer(4, 4), d.integer(1, 2),
        {.dropout = d.real(0, 1),
         .bias = d.flag(),
         .kdim = d.chance(0.2) ? d.maybe_integer(4, 4) : std::nullopt,
         .batch_first = d.flag()});
    const Tensor x = sequence(d);
    if (d.flag()) return use(d, attention, x, x, x);
    const Tensor key = d.flag() ? x : sequence(d), value = key;
    const Tensor padding = d.flag() ? Tensor() : d.mask({2, 2}), mask = d.maybe({3, 3});
    return use(d, attention, x, key, value, padding, d.flag(), mask, d.flag(), d.flag());
  });
  calls.add("TransformerEncoderLayer", [](Draw& d) {
    const nn::TransformerEncoderLayer layer(d.integer(4, 4), d.integer(1, 2), layer_options(d));
    const Tensor x = sequence(d);
    return d.flag() ? use(d, layer, x)
                    : use(d, layer, x, d.maybe({x.size(0), x.size(0)}), Tensor(), d.flag());
  });
  calls.add("TransformerDecoderLayer", [](Draw& d) {
    const nn::TransformerDecoderLayer layer(d.integer(4, 4), d.integer(1, 2), layer_options(d));
    const Tensor x = sequence(d);
    return use(d, layer, x, d.flag() ? x : sequence(d));
  });
  calls.add("TransformerEncoder", [](Draw& d) {
    const nn::TransformerEncoderLayer layer(4, 2, layer_options(d));
    const nn::TransformerEncoder encoder(
        layer, d.hostile() ? d.one_of<int64_t>({-1, INT64_MAX}) : 2, nn::LayerNorm(4));
    return use(d, encoder, sequence(d));
  });
  calls.add("TransformerDecoder", [](Draw& d) {
    const nn::TransformerDecoderLayer layer(4, 2, layer_options(d));
    const nn::TransformerDecoder decoder(layer, d.between(0, 2));
    const Tensor x = sequence(d);
    return use(d, decoder, x, x);
  });
  calls.add("Transformer", [](Draw& d) {
    const nn::Transformer transformer(
        {.d_model = d.integer(4, 4),
         .nhead = d.integer(1, 2),
         .num_encoder_layers = d.chance(0.1) ? INT64_MAX : d.between(0, 2),
         .num_decoder_layers = d.between(0, 2),
         .dim_feedforward = d.integer(1, 4),
         .dropout = d.real(0, 1)});
    const Tensor x = sequence(d);
    return use(d, transformer, x, d.flag() ? x : sequence(d));
  });
  calls.add("generate_square_subsequent_mask", [](Draw& d) {
    return nn::Transformer::generate_square_subsequent_mask(d.integer(0, 5), d.dtype());
  });
}

void add_containers(Calls& calls) {
  calls.add("ModuleList", [](Draw& d) {
    const nn::ModuleList list{nn::ReLU(), nn::Tanh()};
    (void)list.as<nn::Tanh>(d.integer(-2, 1));
    return list[d.integer(-2, 1)](d.tensor());
  });
  calls.add("ModuleDict", [](Draw& d) {
    nn::ModuleDict dict;
    dict.insert(d.text("a"), nn::ReLU());
    dict.insert(d.text("b"), nn::Tanh());
    return dict[d.text("b")](d.tensor());
  });
  calls.add("ParameterList", [](Draw& d) {
    nn::ParameterList list(d.tensors());
    list.push_back(d.tensor());
    return list[d.integer(-1, 0)];
  });
  calls.add("Functional", [](Draw& d) {
    return use(d, nn::Functional(softmax, d.axis()), d.floating().tensor());
  });
  calls.add("Sequential", [](Draw& d) {
    nn::Sequential net(nn::Conv2d(2, 4, 3, {.padding = d.size2d(0, 1)}),
                       nn::BatchNorm2d(d.integer(4, 4), {.eps = d.real(0, 1)}), nn::ReLU(),
                       nn::Flatten(), nn::Linear(d.flag() ? 64 : 16, 2));
    const Tensor x = d.tensor({d.length(), 2, 4, 4}, DType::f32);
    if (d.chance(0.3)) {
      net.eval();
      nn::fold_batch_norm_(net);
    }
    if (d.chance(0.2)) net.replace_module(d.text("2"), nn::Tanh());
    return use(d, net, x);
  });
}

}  // namespace

void add_sequence_layers(Calls& calls) {
  add_recurrent(calls);
  add_attention(calls);
  add_containers(calls);
}

}  // namespace tern::fuzz
