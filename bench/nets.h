// SPDX-License-Identifier: Apache-2.0
// The measured nets, in Tern.
#pragma once

#include <tern/tern.h>

namespace bench {

inline tern::nn::Conv2d convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1) {
  return {in, out, kernel, {.stride = stride, .padding = kernel / 2, .bias = false}};
}

class Block : public tern::nn::Module {
  tern::nn::Sequential body, shortcut;

 public:
  Block(int64_t in, int64_t out, int64_t stride)
      : body(convolution(in, out, 3, stride), tern::nn::BatchNorm2d(out), tern::nn::ReLU(),
             convolution(out, out, 3), tern::nn::BatchNorm2d(out)) {
    register_module("body", body);
    if (stride != 1 || in != out) {
      shortcut.push_back(convolution(in, out, 1, stride));
      shortcut.push_back(tern::nn::BatchNorm2d(out));
    }
    register_module("shortcut", shortcut);
  }
  tern::Tensor forward(const tern::Tensor& x) override {
    return add_relu(body(x), shortcut.empty() ? x : shortcut(x));
  }
};

/// `stages` stages of `blocks` blocks, the first of width `width`, each twice as wide as the one
/// before: resnet20 is (16, 3, 3), resnet18 with the small stem (64, 4, 2).
inline tern::nn::Sequential resnet(int64_t width, int64_t stages, int64_t blocks) {
  tern::nn::Sequential net(convolution(3, width, 3), tern::nn::BatchNorm2d(width),
                           tern::nn::ReLU());
  int64_t channels = width;
  for (int64_t stage = 0; stage < stages; ++stage) {
    for (int64_t i = 0; i < blocks; ++i) {
      net.push_back(Block(channels, width << stage, stage > 0 && i == 0 ? 2 : 1));
      channels = width << stage;
    }
  }
  net.push_back(tern::nn::AdaptiveAvgPool2d(1));
  net.push_back(tern::nn::Flatten());
  net.push_back(tern::nn::Linear(channels, 10));
  return net;
}

class Mlp : public tern::nn::Module {
  tern::nn::Linear fc1 = register_module("fc1", tern::nn::Linear(4, 64));
  tern::nn::Linear fc2 = register_module("fc2", tern::nn::Linear(64, 64));
  tern::nn::Linear fc3 = register_module("fc3", tern::nn::Linear(64, 2));

 public:
  tern::Tensor forward(const tern::Tensor& x) override { return fc3(tanh(fc2(tanh(fc1(x))))); }
};

}  // namespace bench
