// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

namespace resnet_cifar {

/// A 3x3 convolution, as all of the net's but those of its shortcuts.
inline tern::nn::Conv2d convolution(int64_t in_channels, int64_t out_channels, int64_t stride = 1) {
  return {in_channels, out_channels, 3, {.stride = stride, .padding = 1, .bias = false}};
}

/// Two 3x3 convolutions and a shortcut: relu(bn(conv(relu(bn(conv(x))))) + x). Where the size
/// changes, the shortcut is a 1x1 convolution (option B of He et al., 2015).
class BasicBlock : public tern::nn::Module {
 public:
  BasicBlock(int64_t in_channels, int64_t out_channels, int64_t stride)
      : conv1(register_module("conv1", convolution(in_channels, out_channels, stride))),
        bn1(register_module("bn1", tern::nn::BatchNorm2d(out_channels))),
        conv2(register_module("conv2", convolution(out_channels, out_channels))),
        bn2(register_module("bn2", tern::nn::BatchNorm2d(out_channels))) {
    if (stride == 1 && in_channels == out_channels) return;
    downsample.push_back(
        tern::nn::Conv2d(in_channels, out_channels, 1, {.stride = stride, .bias = false}));
    downsample.push_back(tern::nn::BatchNorm2d(out_channels));
    register_module("downsample", downsample);
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    const tern::Tensor h = bn2(conv2(bn1.forward_relu(conv1(x))));
    return add_relu(h, downsample.empty() ? x : downsample(x));
  }

 private:
  tern::nn::Conv2d conv1;
  tern::nn::BatchNorm2d bn1;
  tern::nn::Conv2d conv2;
  tern::nn::BatchNorm2d bn2;
  tern::nn::Sequential downsample;
};

/// The residual net for CIFAR of "Deep Residual Learning for Image Recognition" (He et al., 2015),
/// section 4.2, with 6 n + 2 layers: ResNet-20 for n = 3. Names are torchvision's.
class ResNet : public tern::nn::Module {
 public:
  explicit ResNet(int64_t n = 3, int64_t classes = 10)
      : layer1(register_module("layer1", stage(n, 16, 16))),
        layer2(register_module("layer2", stage(n, 16, 32))),
        layer3(register_module("layer3", stage(n, 32, 64))),
        fc(register_module("fc", tern::nn::Linear(64, classes))) {
    apply([](tern::nn::Module& module) {
      if (const auto* conv = dynamic_cast<tern::nn::Conv2d*>(&module)) {
        tern::nn::init::kaiming_normal_(conv->weight(), 0.0, tern::nn::FanMode::fan_out,
                                        tern::nn::Nonlinearity::relu);
      }
    });
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    const tern::Tensor h = layer3(layer2(layer1(bn1.forward_relu(conv1(x)))));
    return fc(flatten(adaptive_avg_pool2d(h, 1), 1));
  }

 private:
  static tern::nn::Sequential stage(int64_t blocks, int64_t in_channels, int64_t out_channels) {
    tern::nn::Sequential stage(BasicBlock(in_channels, out_channels, out_channels / in_channels));
    while (stage.size() < blocks) stage.push_back(BasicBlock(out_channels, out_channels, 1));
    return stage;
  }

  tern::nn::Conv2d conv1 = register_module("conv1", convolution(3, 16));
  tern::nn::BatchNorm2d bn1 = register_module("bn1", tern::nn::BatchNorm2d(16));
  tern::nn::Sequential layer1, layer2, layer3;
  tern::nn::Linear fc;
};

}  // namespace resnet_cifar
