// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

#include <string>
#include <vector>

namespace resnet_cifar {

/// Two 3x3 convolutions and a way around them: relu(bn(conv(relu(bn(conv(x))))) + x). Where the
/// size changes, a 1x1 convolution takes the way around (option B of He et al., 2015).
class BasicBlock : public tern::nn::Module {
 public:
  BasicBlock(int64_t in_channels, int64_t out_channels, int64_t stride)
      : conv1(in_channels, out_channels, 3, {.stride = stride, .padding = 1, .bias = false}),
        bn1(out_channels),
        conv2(out_channels, out_channels, 3, {.padding = 1, .bias = false}),
        bn2(out_channels) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("bn2", bn2);
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
  explicit ResNet(int64_t n = 3, int64_t classes = 10) : fc(64, classes) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    int64_t channels = 16;
    for (int64_t stage = 0; stage < 3; ++stage) {
      const int64_t width = 16 << stage;
      tern::nn::Sequential blocks;
      for (int64_t i = 0; i < n; ++i) {
        blocks.push_back(BasicBlock(channels, width, stage > 0 && i == 0 ? 2 : 1));
        channels = width;
      }
      layers.push_back(blocks);
      register_module("layer" + std::to_string(stage + 1), blocks);
    }
    register_module("fc", fc);
    apply([](tern::nn::Module& module) {
      if (const auto* conv = dynamic_cast<tern::nn::Conv2d*>(&module)) {
        tern::nn::init::kaiming_normal_(conv->weight(), 0.0, tern::nn::FanMode::fan_out,
                                        tern::nn::Nonlinearity::relu);
      }
    });
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor h = bn1.forward_relu(conv1(x));
    for (tern::nn::Sequential& layer : layers) h = layer(h);
    return fc(flatten(adaptive_avg_pool2d(h, 1), 1));
  }

 private:
  tern::nn::Conv2d conv1{3, 16, 3, {.padding = 1, .bias = false}};
  tern::nn::BatchNorm2d bn1{16};
  std::vector<tern::nn::Sequential> layers;
  tern::nn::Linear fc;
};

}  // namespace resnet_cifar
