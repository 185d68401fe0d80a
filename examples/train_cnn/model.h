// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

namespace train_cnn {

/// The net: two blocks of convolution, batch norm, ReLU and pooling, then two linear layers.
/// Images [N,1,28,28] to logits [N,10].
class Cnn : public tern::nn::Module {
  const tern::nn::Conv2dOptions options;  // of both convolutions

  tern::nn::Conv2d conv1 = register_module("conv1", tern::nn::Conv2d(1, 32, 3, options));
  tern::nn::BatchNorm2d bn1 = register_module("bn1", tern::nn::BatchNorm2d(32));
  tern::nn::Conv2d conv2 = register_module("conv2", tern::nn::Conv2d(32, 64, 3, options));
  tern::nn::BatchNorm2d bn2 = register_module("bn2", tern::nn::BatchNorm2d(64));
  tern::nn::Linear fc1 = register_module("fc1", tern::nn::Linear(64 * 7 * 7, 128));
  tern::nn::Linear fc2 = register_module("fc2", tern::nn::Linear(128, 10));

 public:
  explicit Cnn(tern::ConvAlgorithm algorithm = tern::ConvAlgorithm::automatic)
      : options{.padding = 1, .bias = false, .algorithm = algorithm} {}

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor h = max_pool2d(bn1.forward_relu(conv1(x)), 2);
    h = max_pool2d(bn2.forward_relu(conv2(h)), 2);
    return fc2(relu(fc1(flatten(h, 1))));
  }
};

}  // namespace train_cnn
