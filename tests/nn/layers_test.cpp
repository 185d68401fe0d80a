// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

using namespace tern;

namespace {

using Names = std::vector<std::string>;

// f32 and f64 run the layer; both must agree, and the f64 gradient with differences.
void expect_sound(nn::Module& layer, const Shape& shape) {
  const Tensor x = randn(shape, DType::f64).set_requires_grad();
  const std::vector<double> fast =
      layer(x.detach().to(DType::f32)).to(DType::f64).to_vector<double>();
  layer.to(DType::f64);
  const std::vector<double> exact = layer(x).to_vector<double>();
  ASSERT_EQ(fast.size(), exact.size());
  for (size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(fast[i], exact[i], 2e-5) << i;
  std::vector<Tensor> inputs{x};
  for (const Tensor& parameter : layer.parameters()) inputs.push_back(parameter);
  EXPECT_TRUE(tern::gradcheck([&](const std::vector<Tensor>& in) { return layer(in[0]); }, inputs));
}

TEST(Conv2d, ComputesWithItsOptions) {
  manual_seed(1);
  nn::Conv2d conv(4, 6, {3, 2},
                  {.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2});
  EXPECT_EQ(conv.state_dict().names(), (Names{"weight", "bias"}));
  EXPECT_EQ(conv.weight().shape(), (Shape{6, 2, 3, 2}));
  EXPECT_EQ(conv.bias().shape(), Shape{6});
  const Tensor x = randn({2, 4, 7, 6});
  EXPECT_EQ(conv(x).to_vector<float>(),
            conv2d(x, conv.weight(), conv.bias(),
                   {.stride = {2, 1}, .padding = {1, 0}, .dilation = {1, 2}, .groups = 2})
                .to_vector<float>());
  expect_sound(conv, {2, 4, 5, 6});
  EXPECT_EQ(to_string(conv),
            "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), "
            "groups=2)");
}

TEST(Conv2d, RunsWithItsDefaults) {
  nn::Conv2d conv(3, 8, 3);
  const Tensor y = conv(randn({2, 3, 6, 6}));
  EXPECT_EQ(y.shape(), (Shape{2, 8, 4, 4}));
  y.backward(randn({2, 8, 4, 4}));
  EXPECT_TRUE(conv.weight().grad().defined() && conv.bias().grad().defined());
  EXPECT_EQ(to_string(conv), "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))");
}

TEST(Conv2d, TakesImagesWithChannelsLast) {
  manual_seed(2);
  nn::Conv2d conv(3, 8, 3, {.bias = false, .data_format = DataFormat::NHWC});
  EXPECT_FALSE(conv.bias().defined());
  EXPECT_EQ(conv.state_dict().names(), Names{"weight"});
  const Tensor x = randn({2, 3, 6, 6});
  const Tensor y = conv2d(x, conv.weight());
  EXPECT_EQ(conv(permute(x, {0, 2, 3, 1})).to_vector<float>(),
            permute(y, {0, 2, 3, 1}).to_vector<float>());
  EXPECT_EQ(conv.extra_repr(),
            "3, 8, kernel_size=(3, 3), stride=(1, 1), bias=False, data_format=NHWC");
}

// PyTorch's default: uniform within 1 / sqrt(fan_in), for weight and bias.
TEST(Conv2d, BeginsAsPyTorchsDoes) {
  manual_seed(3);
  nn::Conv2d conv(64, 200, 5, {.groups = 4});
  const double bound = 1.0 / std::sqrt(16.0 * 25.0);
  for (const Tensor& parameter : conv.parameters()) {
    const auto values = parameter.to_vector<float>();
    const auto [low, high] = std::ranges::minmax(values);
    EXPECT_GE(low, -bound);
    EXPECT_LE(high, bound);
    EXPECT_LT(low, -0.97 * bound);
    EXPECT_GT(high, 0.97 * bound);
  }
  const auto before = conv.weight().to_vector<float>();
  conv.reset_parameters();
  EXPECT_NE(conv.weight().to_vector<float>(), before);
  manual_seed(3);
  EXPECT_EQ(nn::Conv2d(64, 200, 5, {.groups = 4}).weight().to_vector<float>(), before);
}

TEST(Linear, ComputesAndBegins) {
  manual_seed(4);
  nn::Linear linear(4, 3);
  EXPECT_EQ(linear.state_dict().names(), (Names{"weight", "bias"}));
  EXPECT_EQ(linear.weight().shape(), (Shape{3, 4}));
  const NoGrad no_grad;
  linear.weight().copy_(tensor(std::vector<float>{1, 0, 0, 0, 0, 2, 0, 0, 1, 1, 1, 1}, {3, 4}));
  linear.bias().copy_(tensor(std::vector<float>{0, 10, 100}, {3}));
  EXPECT_EQ(linear(tensor(std::vector<float>{1, 2, 3, 4}, {1, 4})).to_vector<float>(),
            (std::vector<float>{1, 14, 110}));
  EXPECT_EQ(to_string(linear), "Linear(in_features=4, out_features=3, bias=True)");
  nn::Linear wide(100, 50, {.bias = false});
  EXPECT_EQ(wide.state_dict().names(), Names{"weight"});
  EXPECT_EQ(wide.extra_repr(), "in_features=100, out_features=50, bias=False");
  const auto [low, high] = std::ranges::minmax(wide.weight().to_vector<float>());
  EXPECT_TRUE(low >= -0.1f && low < -0.099f && high <= 0.1f && high > 0.099f) << low << " " << high;
}

TEST(Linear, DifferentiatesRight) {
  manual_seed(5);
  nn::Linear linear(4, 3);
  expect_sound(linear, {2, 5, 4});
}

TEST(Pooling, ComputesAndPrints) {
  manual_seed(6);
  const Tensor x = randn({2, 3, 7, 8});
  nn::MaxPool2d max(2);
  EXPECT_EQ(max(x).to_vector<float>(), max_pool2d(x, 2).to_vector<float>());
  EXPECT_EQ(to_string(max),
            "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)");
  nn::MaxPool2d odd({3, 2}, {.stride = 1, .padding = {1, 0}, .ceil_mode = true});
  EXPECT_EQ(odd(x).to_vector<float>(),
            max_pool2d(x, {3, 2}, {.stride = 1, .padding = {1, 0}, .ceil_mode = true})
                .to_vector<float>());
  EXPECT_EQ(odd.extra_repr(),
            "kernel_size=(3, 2), stride=1, padding=(1, 0), dilation=1, ceil_mode=True");
  nn::AvgPool2d average(3, {.stride = 2, .padding = 1});
  EXPECT_EQ(average(x).to_vector<float>(),
            avg_pool2d(x, 3, {.stride = 2, .padding = 1}).to_vector<float>());
  EXPECT_EQ(to_string(average), "AvgPool2d(kernel_size=3, stride=2, padding=1)");
  nn::AdaptiveAvgPool2d adaptive({3, 4});
  EXPECT_EQ(adaptive(x).to_vector<float>(), adaptive_avg_pool2d(x, {3, 4}).to_vector<float>());
  EXPECT_EQ(to_string(adaptive), "AdaptiveAvgPool2d(output_size=(3, 4))");
  EXPECT_EQ(to_string(nn::AdaptiveAvgPool2d(1)), "AdaptiveAvgPool2d(output_size=1)");
  expect_sound(max, {1, 2, 4, 6});
  expect_sound(average, {1, 2, 5, 6});
  expect_sound(adaptive, {1, 2, 5, 6});
}

TEST(Activations, AreTheFunctionsAndPrint) {
  manual_seed(7);
  const Tensor x = randn({3, 5});
  const auto same = [&](nn::Module& layer, const Tensor& y, const char* text) {
    EXPECT_EQ(layer(x).to_vector<float>(), y.to_vector<float>()) << text;
    EXPECT_EQ(to_string(layer), text);
    EXPECT_TRUE(layer.state_dict().empty());
    expect_sound(layer, {3, 5});
  };
  nn::ReLU relu_layer;
  same(relu_layer, relu(x), "ReLU()");
  nn::LeakyReLU leaky_layer(0.2);
  same(leaky_layer, leaky_relu(x, 0.2), "LeakyReLU(negative_slope=0.2)");
  nn::LeakyReLU leaky_default;
  same(leaky_default, leaky_relu(x, 0.01), "LeakyReLU(negative_slope=0.01)");
  nn::Sigmoid sigmoid_layer;
  same(sigmoid_layer, sigmoid(x), "Sigmoid()");
  nn::Tanh tanh_layer;
  same(tanh_layer, tanh(x), "Tanh()");
  nn::GELU gelu_layer;
  same(gelu_layer, gelu(x), "GELU(approximate='none')");
  const GeluOptions by_tanh{.approximate = GeluApproximation::tanh};
  nn::GELU gelu_by_tanh(by_tanh);
  same(gelu_by_tanh, gelu(x, by_tanh), "GELU(approximate='tanh')");
  nn::ReLU6 relu6_layer;
  same(relu6_layer, relu6(x), "ReLU6()");
  nn::Hardtanh hardtanh_layer(-0.5, 0.25);
  same(hardtanh_layer, hardtanh(x, -0.5, 0.25), "Hardtanh(min_val=-0.5, max_val=0.25)");
  nn::Hardsigmoid hardsigmoid_layer;
  same(hardsigmoid_layer, hardsigmoid(x), "Hardsigmoid()");
  nn::Hardswish hardswish_layer;
  same(hardswish_layer, hardswish(x), "Hardswish()");
  nn::Mish mish_layer;
  same(mish_layer, mish(x), "Mish()");
  nn::LogSigmoid logsigmoid_layer;
  same(logsigmoid_layer, logsigmoid(x), "LogSigmoid()");
  nn::Softsign softsign_layer;
  same(softsign_layer, softsign(x), "Softsign()");
  nn::ELU elu_layer(0.5);
  same(elu_layer, elu(x, 0.5), "ELU(alpha=0.5)");
  nn::Softplus softplus_layer(2);
  same(softplus_layer, softplus(x, 2), "Softplus(beta=2.0, threshold=20.0)");
  nn::GLU glu_layer(0);
  EXPECT_EQ(glu_layer(ones({4, 3})).shape(), (Shape{2, 3}));
  EXPECT_EQ(to_string(glu_layer), "GLU(dim=0)");
  expect_sound(glu_layer, {4, 3});
  nn::PReLU prelu_layer(5);
  EXPECT_EQ(prelu_layer(x).to_vector<float>(), leaky_relu(x, 0.25).to_vector<float>());
  EXPECT_EQ(to_string(prelu_layer), "PReLU(num_parameters=5)");
  EXPECT_EQ(prelu_layer.named_parameters()[0].first, "weight");
  expect_sound(prelu_layer, {3, 5});
  nn::SiLU silu_layer;
  same(silu_layer, silu(x), "SiLU()");
  nn::Softmax softmax_layer(0);
  same(softmax_layer, softmax(x, 0), "Softmax(dim=0)");
  nn::LogSoftmax log_softmax_layer(-1);
  same(log_softmax_layer, log_softmax(x, -1), "LogSoftmax(dim=-1)");
  nn::Identity identity;
  same(identity, x, "Identity()");
  EXPECT_TRUE(identity(x).is_same(x));
}

TEST(Flatten, KeepsTheBatch) {
  const Tensor x = randn({2, 3, 4, 5});
  nn::Flatten all;
  EXPECT_EQ(all(x).shape(), (Shape{2, 60}));
  nn::Flatten some(1, 2);
  EXPECT_EQ(some(x).shape(), (Shape{2, 12, 5}));
  EXPECT_EQ(to_string(some), "Flatten(start_dim=1, end_dim=2)");
}

TEST(Dropout, WorksInTrainingOnly) {
  manual_seed(8);
  nn::Dropout dropout;
  const Tensor x = ones({10000});
  std::vector<float> values = dropout(x).to_vector<float>();
  EXPECT_NEAR(static_cast<double>(std::ranges::count(values, 0.0f)), 5000, 250);
  EXPECT_EQ(std::ranges::count(values, 0.0f) + std::ranges::count(values, 2.0f), 10000);
  dropout.eval();
  EXPECT_EQ(dropout(x).to_vector<float>(), x.to_vector<float>());
  nn::Dropout rare(0.1);
  values = rare(x).to_vector<float>();
  EXPECT_NEAR(static_cast<double>(std::ranges::count(values, 0.0f)), 1000, 150);
  EXPECT_EQ(to_string(rare), "Dropout(p=0.1, inplace=False)");
  EXPECT_EQ(nn::Dropout(1.0).extra_repr(), "p=1.0, inplace=False");
}

TEST(Loss, ObjectsAreTheFunctions) {
  manual_seed(9);
  const Tensor logits = randn({4, 3});
  const Tensor classes = tensor(std::vector<int64_t>{0, 2, 1, 1}, {4});
  EXPECT_EQ(nn::CrossEntropyLoss()(logits, classes).item<float>(),
            cross_entropy(logits, classes).item<float>());
  const CrossEntropyOptions options{.label_smoothing = 0.1, .reduction = Reduction::sum};
  EXPECT_EQ(nn::CrossEntropyLoss(options)(logits, classes).item<float>(),
            cross_entropy(logits, classes, options).item<float>());
  const Tensor target = randn({4, 3});
  EXPECT_EQ(nn::MSELoss()(logits, target).item<float>(), mse_loss(logits, target).item<float>());
  EXPECT_EQ(nn::MSELoss(Reduction::sum)(logits, target).item<float>(),
            mse_loss(logits, target, Reduction::sum).item<float>());
  const auto same = [](const Tensor& a, const Tensor& b) {
    EXPECT_EQ(a.item<float>(), b.item<float>());
  };
  const Reduction total = Reduction::sum;
  const Tensor p = rand({4, 3}), w = rand({3}),
               sides = tensor(std::vector<float>{1, -1, 1, -1}, {4});
  same(nn::L1Loss(total)(logits, target), l1_loss(logits, target, total));
  same(nn::SmoothL1Loss(total, 0.5)(logits, target), smooth_l1_loss(logits, target, total, 0.5));
  same(nn::HuberLoss(total, 0.5)(logits, target), huber_loss(logits, target, total, 0.5));
  same(nn::KLDivLoss(total, true)(logits, target), kl_div(logits, target, total, true));
  same(nn::NLLLoss({.weight = w})(logits, classes), nll_loss(logits, classes, {.weight = w}));
  same(nn::BCELoss({.weight = w})(p, p), binary_cross_entropy(p, p, {.weight = w}));
  same(nn::BCEWithLogitsLoss({.pos_weight = w})(logits, p),
       binary_cross_entropy_with_logits(logits, p, {.pos_weight = w}));
  same(nn::MarginRankingLoss(0.5)(sum(p, {1}), sum(logits, {1}), sides),
       margin_ranking_loss(sum(p, {1}), sum(logits, {1}), sides, 0.5));
  same(nn::TripletMarginLoss({.margin = 2})(logits, target, p),
       triplet_margin_loss(logits, target, p, {.margin = 2}));
  const Tensor labels = tensor(std::vector<int64_t>{1, 2}, {1, 2});
  const Tensor steps = tensor(std::vector<int64_t>{4}, {1}),
               two = tensor(std::vector<int64_t>{2}, {1});
  const Tensor sequence = log_softmax(reshape(logits, {4, 1, 3}), 2);
  same(nn::CTCLoss({.reduction = total})(sequence, labels, steps, two),
       ctc_loss(sequence, labels, steps, two, {.reduction = total}));
  same(nn::CosineEmbeddingLoss(0.5, total)(logits, target, sides),
       cosine_embedding_loss(logits, target, sides, 0.5, total));
}

TEST(Layers, RejectArgumentsThatCannotWork) {
  const std::vector<std::pair<const char*, std::function<void()>>> cases = {
      {"[Conv2d] it has 0 input", [] { nn::Conv2d(0, 1, 3); }},
      {"[Conv2d] it has 1 input and -2", [] { nn::Conv2d(1, -2, 3); }},
      {"[Conv2d] groups is 2, want a divisor", [] { nn::Conv2d(3, 4, 3, {.groups = 2}); }},
      {"[Conv2d] groups is 3, want a divisor", [] { nn::Conv2d(3, 4, 3, {.groups = 3}); }},
      {"[Conv2d] groups is 0", [] { nn::Conv2d(3, 4, 3, {.groups = 0}); }},
      {"[Conv2d] kernel_size is (0, 3)",
       [] {
         nn::Conv2d(3, 4, {0, 3});
       }},
      {"[Conv2d] stride is (0, 0)", [] { nn::Conv2d(3, 4, 3, {.stride = 0}); }},
      {"[Conv2d] padding is (-1, -1)", [] { nn::Conv2d(3, 4, 3, {.padding = -1}); }},
      {"[Conv2d] dilation is (0, 0)", [] { nn::Conv2d(3, 4, 3, {.dilation = 0}); }},
      {"[Linear] it has 0 inputs", [] { nn::Linear(0, 1); }},
      {"[Linear] it has 1 inputs and 0", [] { nn::Linear(1, 0); }},
      {"[MaxPool2d] kernel_size is (0, 0)", [] { nn::MaxPool2d(0); }},
      {"[MaxPool2d] padding is (2, 2)", [] { nn::MaxPool2d(3, {.padding = 2}); }},
      {"[MaxPool2d] padding is (2, 0)",
       [] {
         nn::MaxPool2d(3, {.padding = {2, 0}});
       }},
      {"[AvgPool2d] padding is (0, 2)",
       [] {
         nn::AvgPool2d(3, {.padding = {0, 2}});
       }},
      {"[MaxPool2d] dilation", [] { nn::MaxPool2d(3, {.dilation = 0}); }},
      {"[AvgPool2d] stride is (1, 0)",
       [] {
         nn::AvgPool2d(2, {.stride = Size2d{1, 0}});
       }},
      {"[AdaptiveAvgPool2d] output_size", [] { nn::AdaptiveAvgPool2d(0); }},
      {"[Dropout] p is 1.5", [] { nn::Dropout(1.5); }},
      {"[Dropout] p is nan", [] { nn::Dropout(std::nan("")); }},
      {"[LeakyReLU] negative_slope is inf", [] { nn::LeakyReLU{INFINITY}; }},
      {"[Hardtanh] min_val is 1", [] { nn::Hardtanh(1, 1); }},
      {"[Softplus] beta is 0", [] { nn::Softplus(0); }},
      {"[PReLU] num_parameters is 0", [] { nn::PReLU(0); }},
  };
  for (const auto& [part, make] : cases) {
    try {
      make();
      ADD_FAILURE() << "should have thrown " << part;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find(part), 0u) << error.what() << "\nwant " << part;
    }
  }
}

}  // namespace
