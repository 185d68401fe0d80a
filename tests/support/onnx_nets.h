// SPDX-License-Identifier: Apache-2.0
// Nets of all kinds, each with an example, for the tests of ONNX.
#pragma once

#include <tern/tern.h>

#include "../../examples/resnet_cifar/resnet.h"
#include "../../examples/train_cnn/model.h"

namespace tern::test {

/// Encoder and decoder with a connection across, sizes that do not divide, and many activations.
class UNet : public nn::ModuleOf<UNet> {
  nn::Conv2d down = register_module("down", nn::Conv2d(3, 6, 3, {.padding = 1}));
  nn::GroupNorm norm = register_module("norm", nn::GroupNorm(2, 6));
  nn::Conv2d middle = register_module("middle", nn::Conv2d(6, 8, 3, {.padding = 1}));
  nn::ConvTranspose2d up =
      register_module("up", nn::ConvTranspose2d(8, 6, 2, {.stride = 2, .output_padding = 1}));
  nn::Conv2d head = register_module("head", nn::Conv2d(12, 2, 1));

 public:
  Tensor forward(const Tensor& x) override {
    const Tensor skip = silu(norm(down(x)));
    Tensor h = up(gelu(middle(max_pool2d(skip, 2))));
    h = cat({skip, h}, 1);
    return interpolate(head(h), {.scale_factor = 2.0, .mode = Interpolation::bilinear});
  }
};

/// Depthwise convolutions, squeeze and excitation, pooling that rounds up, a shuffle of channels.
class Mobile : public nn::ModuleOf<Mobile> {
  nn::Conv2d first = register_module("first", nn::Conv2d(3, 8, 3, {.stride = 2, .bias = false}));
  nn::BatchNorm2d norm = register_module("norm", nn::BatchNorm2d(8));
  nn::Conv2d depthwise =
      register_module("depthwise", nn::Conv2d(8, 8, 3, {.padding = 1, .groups = 8}));
  nn::Linear squeeze = register_module("squeeze", nn::Linear(8, 4));
  nn::Linear excite = register_module("excite", nn::Linear(4, 8));

 public:
  Tensor forward(const Tensor& x) override {
    Tensor h = hardswish(norm(first(x)));
    h = depthwise(h);
    Tensor weights = excite(relu(squeeze(mean(h, {2, 3}))));
    weights = hardsigmoid(weights);
    h *= reshape(weights, {h.size(0), h.size(1), 1, 1});
    h = reshape(h, {h.size(0), 2, 4, h.size(2), h.size(3)});
    h = reshape(transpose(h, 1, 2), {h.size(0), 8, h.size(3), h.size(4)});
    h = max_pool2d(h, 3, {.stride = 2, .ceil_mode = true});
    return flatten(avg_pool2d(h, 2, {.padding = 1, .ceil_mode = true}), 1);
  }
};

/// Words, positions, a transformer's encoder, and the mean over the sequence.
class Words : public nn::ModuleOf<Words> {
  nn::Embedding table = register_module("table", nn::Embedding(20, 8));
  Tensor positions = register_parameter("positions", randn({6, 8}));
  nn::TransformerEncoderLayer layer = register_module(
      "layer", nn::TransformerEncoderLayer(8, 2, {.dim_feedforward = 12, .batch_first = true}));
  nn::Linear head = register_module("head", nn::Linear(8, 3));

 public:
  Tensor forward(const Tensor& words) override {
    Tensor h = table(words) + slice(positions, 0, 0, words.size(1));
    h = layer(h, Tensor(), Tensor(), true);
    return head(mean(h, {1}));
  }
};

/// Two layers in both directions; the first state is made for the batch.
class Sequences : public nn::ModuleOf<Sequences> {
  nn::LSTM lstm = register_module(
      "lstm", nn::LSTM(4, 5, {.num_layers = 2, .batch_first = true, .bidirectional = true}));
  nn::GRU gru = register_module("gru", nn::GRU(10, 3, {.batch_first = true}));
  nn::RNN rnn = register_module(
      "rnn", nn::RNN(3, 2, {.nonlinearity = nn::Nonlinearity::relu, .batch_first = true}));

 public:
  Tensor forward(const Tensor& x) override {
    Tensor h = std::get<0>(lstm(x));
    h = std::get<0>(gru(h, zeros({1, x.size(0), 3})));
    return select(std::get<0>(rnn(h)), 1, -1);
  }
};

/// Calls f(name, net, example, tolerance): 0 where nodes are the net's own operations, and what is
/// read from the file therefore has the same bits.
template <class F>
void for_each_net(const F& f) {
  constexpr double kClose = 2e-6;
  f("train_cnn", train_cnn::Cnn(), randn({2, 1, 28, 28}), 0.0);
  f("resnet20", resnet_cifar::ResNet(3), randn({2, 3, 32, 32}), 0.0);
  f("mlp", nn::Sequential(nn::Linear(4, 8), nn::Tanh(), nn::Linear(8, 3), nn::Softmax(1)),
    randn({2, 4}), 0.0);
  f("lines", nn::Sequential(nn::Linear(4, 8), nn::Tanh(), nn::Linear(8, 3, {.bias = false})),
    randn({2, 5, 4}), 0.0);
  f("unet", UNet(), randn({2, 3, 9, 9}), kClose);
  f("mobile", Mobile(), randn({2, 3, 16, 16}), kClose);
  f("words", Words(), randint(0, 20, {2, 6}), kClose);
  f("sequences", Sequences(), randn({2, 6, 4}), 0.0);
  f("signals",
    nn::Sequential(nn::Conv1d(2, 4, 3, {.padding = 1}), nn::BatchNorm1d(4), nn::ELU(),
                   nn::MaxPool1d(2), nn::ConvTranspose1d(4, 2, 2), nn::AdaptiveAvgPool1d(3),
                   nn::Flatten(), nn::Linear(6, 2), nn::LogSoftmax(1)),
    randn({2, 2, 10}), kClose);
  f("channels last",
    nn::Sequential(nn::Conv2d(3, 4, 3, {.data_format = DataFormat::NHWC}),
                   nn::MaxPool2d(2, {.data_format = DataFormat::NHWC}), nn::Flatten(),
                   nn::LayerNorm(36), nn::Linear(36, 2)),
    randn({2, 8, 8, 3}), 0.0);
}

/// Statistics as after training.
inline void randomize_statistics(nn::Module& net) {
  for (const auto& [name, buffer] : net.named_buffers()) {
    if (is_floating(buffer.dtype())) buffer.copy_(rand(buffer.shape()) + 0.5);
  }
}

}  // namespace tern::test
