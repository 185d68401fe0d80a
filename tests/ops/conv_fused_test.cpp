// SPDX-License-Identifier: Apache-2.0
// A convolution fused with what follows it: the same bits as one after the other.
#include <gtest/gtest.h>
#include <tern/ops/internal/conv_batch_norm.h>
#include <tern/tern.h>

#include <cmath>
#include <string>
#include <vector>

#include "support.h"

using namespace tern;
using tern::gradcheck;
using tern::gradgradcheck;
using tern::test::message_of;
using tern::test::relative_distance;

namespace {

struct Input {
  Shape x, weight;
  Conv2dOptions params;
};

// One for each kernel.
const std::vector<Input> kInputs = {
    {{4, 16, 13, 14}, {24, 16, 3, 3}, {.padding = 1}},                // Winograd
    {{4, 200, 5, 6}, {200, 200, 3, 3}, {.padding = 1}},               // Winograd, few tiles
    {{32, 32, 13, 14}, {40, 32, 3, 3}, {.stride = 2, .padding = 1}},  // Winograd, stride 2
    {{4, 16, 13, 14}, {24, 16, 3, 3}, {.stride = 2, .padding = 1}},   // oneDNN
    {{4, 13, 14, 16}, {24, 16, 3, 3}, {.padding = 1, .data_format = DataFormat::NHWC}},
};

Tensor leaf(const Shape& shape) { return randn(shape, DType::f64).set_requires_grad(); }

// The pair computes the same bits as its parts, NaN included, by every kernel.
TEST(ConvFused, WithReluIsReluOfIt) {
  manual_seed(5);
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Input& input : kInputs) {
      const Tensor x0 = randn(input.x, dtype), w0 = randn(input.weight, dtype);
      const Tensor b0 = randn({input.weight[0]}, dtype);
      const auto gradients = [&](bool fused, const Tensor& dy) {
        const Tensor x = x0.detach().set_requires_grad(), w = w0.detach().set_requires_grad();
        const Tensor b = b0.detach().set_requires_grad();
        const Tensor y =
            fused ? conv2d_relu(x, w, b, input.params) : relu(conv2d(x, w, b, input.params));
        if (dy.defined()) y.backward(dy);
        return std::vector<Tensor>{y, x.grad(), w.grad(), b.grad()};
      };
      const Tensor dy = randn(gradients(true, {})[0].shape(), dtype);
      const auto fused = gradients(true, dy), parts = gradients(false, dy);
      for (size_t i = 0; i < parts.size(); ++i) {
        EXPECT_EQ(relative_distance(fused[i].detach(), parts[i].detach()), 0) << i;
      }
      const auto zeros_of = [](const Tensor& y) { return sum(eq(y, 0.0).to(DType::f64)); };
      EXPECT_GT(zeros_of(fused[0].detach()).item<double>(), 100);

      const Tensor poisoned = w0.clone();
      poisoned.fill_(std::nan(""));
      EXPECT_TRUE(std::isnan(mean(conv2d_relu(x0, poisoned, b0, input.params)).item<float>()));
    }
  }
  const Tensor w = leaf({3, 2, 3, 3}), b = leaf({3});
  const auto pair = [](const std::vector<Tensor>& in) {
    return conv2d_relu(in[0], in[1], in[2], {.padding = 1});
  };
  EXPECT_TRUE(gradcheck(pair, {leaf({2, 2, 4, 5}), w, b}));
  EXPECT_TRUE(gradgradcheck(pair, {leaf({1, 2, 4, 3}), w, b}));
}

// In evaluation batch norm, and ReLU behind it, may come with the convolution: the same bits.
TEST(ConvFused, WithFixedBatchNormIsBatchNormOfIt) {
  manual_seed(6);
  std::vector<Input> inputs = kInputs;
  inputs.push_back({{0, 16, 13, 14}, {24, 16, 3, 3}, {.padding = 1}});
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Input& input : inputs) {
      const Shape channels{input.weight[0]};
      const Tensor x = randn(input.x, dtype), w = randn(input.weight, dtype);
      const Tensor mean = randn(channels, dtype), var = rand(channels, dtype) + 0.1;
      for (const bool affine : {false, true}) {
        const Tensor gamma = affine ? randn(channels, dtype) : Tensor();
        const Tensor beta = affine ? randn(channels, dtype) : Tensor();
        const Tensor bias = affine ? randn(channels, dtype) : Tensor();
        for (const bool relu : {false, true}) {
          const Tensor y =
              conv2d_batch_norm(x, w, bias, {mean, var, gamma, beta, 1e-3, relu}, input.params);
          const Tensor z = (relu ? batch_norm_relu : batch_norm)(
              conv2d(x, w, bias, input.params), mean, var, gamma, beta,
              {.eps = 1e-3, .data_format = input.params.data_format});
          EXPECT_EQ(relative_distance(y, z), 0) << to_string(input.x) << relu << affine;
          EXPECT_EQ(y.memory_format(), z.memory_format());
        }
      }
    }
  }
  const Tensor x = randn({4, 16, 13, 14}), w = randn({24, 16, 3, 3}).set_requires_grad();
  const Tensor mean = zeros({24}), var = ones({24});
  EXPECT_EQ(message_of([&] {
              conv2d_batch_norm(x, w, {}, {mean, var, {}, {}});
            }),
            "[conv2d_batch_norm] is not differentiable: call it under NoGrad, or use batch_norm");
  const NoGrad no_grad;
  const std::string message = message_of([&] {
    conv2d_batch_norm(x, w, {}, {zeros({23}), var, {}, {}});
  });
  EXPECT_NE(message.find("running_mean expects shape [24]"), std::string::npos) << message;
}

}  // namespace
