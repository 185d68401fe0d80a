// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

namespace train_cnn {

/// The net: two blocks of convolution, batch norm, ReLU and pooling, then two linear layers.
/// Images [N,1,28,28] to logits [N,10].
class Cnn : public tern::nn::Module {
  tern::nn::Conv2d conv1, conv2;
  tern::nn::BatchNorm2d bn1{32}, bn2{64};
  tern::nn::Linear fc1{64 * 7 * 7, 128};
  tern::nn::Linear fc2{128, 10};

 public:
  explicit Cnn(tern::ConvAlgorithm algorithm = tern::ConvAlgorithm::automatic)
      : conv1(1, 32, 3, {.padding = 1, .bias = false, .algorithm = algorithm}),
        conv2(32, 64, 3, {.padding = 1, .bias = false, .algorithm = algorithm}) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("bn2", bn2);
    register_module("fc1", fc1);
    register_module("fc2", fc2);
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor h = max_pool2d(bn1.forward_relu(conv1(x)), 2);
    h = max_pool2d(bn2.forward_relu(conv2(h)), 2);
    return fc2(relu(fc1(flatten(h, 1))));
  }
};

}  // namespace train_cnn
