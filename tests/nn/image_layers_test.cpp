// SPDX-License-Identifier: Apache-2.0
// Layers for images and signals besides Conv2d and the pooling of images, which layers_test has.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "support.h"

using namespace tern;

namespace {

using Names = std::vector<std::string>;

void expect_equal(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  EXPECT_EQ(a.to_vector<float>(), b.to_vector<float>());
}

TEST(Conv1d, ComputesWithItsOptions) {
  nn::Conv1d conv(4, 6, 3, {.stride = 2, .padding = 1, .dilation = 2, .groups = 2});
  EXPECT_EQ(conv.state_dict().names(), (Names{"weight", "bias"}));
  EXPECT_EQ(conv.weight().shape(), (Shape{6, 2, 3}));
  const Tensor x = randn({2, 4, 9});
  expect_equal(conv(x), conv1d(x, conv.weight(), conv.bias(),
                               {.stride = 2, .padding = 1, .dilation = 2, .groups = 2}));
  EXPECT_EQ(to_string(conv),
            "Conv1d(4, 6, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2)");
  const auto weights = conv.weight().to_vector<float>();
  const double bound = 1 / std::sqrt(6.0);
  EXPECT_TRUE(
      std::all_of(weights.begin(), weights.end(), [&](float w) { return std::fabs(w) <= bound; }));
}

TEST(ConvTranspose, ComputesWithItsOptions) {
  nn::ConvTranspose2d up(
      4, 6, {3, 2},
      {.stride = 2, .padding = {1, 0}, .output_padding = {1, 0}, .groups = 2, .bias = false});
  EXPECT_EQ(up.state_dict().names(), Names{"weight"});
  EXPECT_EQ(up.weight().shape(), (Shape{4, 3, 3, 2}));
  const Tensor x = randn({2, 4, 5, 6});
  expect_equal(up(x), conv_transpose2d(
                          x, up.weight(), {},
                          {.stride = 2, .padding = {1, 0}, .output_padding = {1, 0}, .groups = 2}));
  EXPECT_EQ(to_string(up),
            "ConvTranspose2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding=(1, 0), "
            "output_padding=(1, 0), groups=2, bias=False)");
  nn::ConvTranspose1d longer(4, 6, 3, {.stride = 2, .padding = 1, .output_padding = 1});
  EXPECT_EQ(longer.weight().shape(), (Shape{4, 6, 3}));
  EXPECT_EQ(longer(randn({2, 4, 5})).shape(), (Shape{2, 6, 10}));
  EXPECT_EQ(to_string(longer),
            "ConvTranspose1d(4, 6, kernel_size=(3,), stride=(2,), padding=(1,), "
            "output_padding=(1,))");
}

// weight.size(1) times the kernel's elements, also where that is not what an output sees.
TEST(ConvTranspose, BeginsAsPyTorchsDoes) {
  manual_seed(1);
  nn::ConvTranspose2d up(200, 16, 5);
  const auto weights = up.weight().to_vector<float>();
  const auto [low, high] = std::minmax_element(weights.begin(), weights.end());
  EXPECT_NEAR(*high, 0.05, 1e-4);
  EXPECT_NEAR(*low, -0.05, 1e-4);
}

TEST(ConvTranspose, TakesTheSizeOfItsResult) {
  nn::ConvTranspose2d up(2, 3, 3, {.stride = {2, 3}, .padding = 1});
  const Tensor x = randn({1, 2, 4, 5});
  EXPECT_EQ(up(x).shape(), (Shape{1, 3, 7, 13}));
  EXPECT_EQ(up(x, Size2d(8, 15)).shape(), (Shape{1, 3, 8, 15}));
  expect_equal(up(x, Size2d(7, 13)), up(x));
  test::expect_error([&] { up(x, Size2d(9, 13)); },
                     "[ConvTranspose2d] output_size is 9 along an axis, want 7 to 8");
  test::expect_error([&] { up(x, Size2d(7, 12)); }, "output_size is 12");
  nn::ConvTranspose2d last(2, 3, 2, {.stride = 2, .data_format = DataFormat::NHWC});
  EXPECT_EQ(last(randn({1, 4, 5, 2}), Size2d(9, 10)).shape(), (Shape{1, 9, 10, 3}));
  nn::ConvTranspose1d longer(2, 3, 2, {.stride = 3});
  EXPECT_EQ(longer(randn({1, 2, 4}), 13).shape(), (Shape{1, 3, 13}));
}

TEST(Conv, PadsAsItIsTold) {
  const Tensor x = randn({2, 3, 6, 5}), signal = randn({2, 3, 7});
  for (const PadMode mode :
       {PadMode::zeros, PadMode::reflect, PadMode::replicate, PadMode::circular}) {
    SCOPED_TRACE(to_string(mode));
    // Some algorithms round differently on an image that was padded beforehand.
    const auto close = [](const Tensor& a, const Tensor& b) {
      EXPECT_EQ(a.shape(), b.shape());
      EXPECT_LT(max(abs(a - b)).item<float>(), 1e-5f);
    };
    nn::Conv2d conv(3, 8, {3, 4}, {.padding = {2, 1}, .padding_mode = mode});
    const Tensor y = conv2d(pad(x, {1, 1, 2, 2}, {.mode = mode}), conv.weight(), conv.bias());
    close(conv(x), y);
    close(conv.forward_relu(x), relu(y));
    nn::Conv2d same(3, 8, {4, 3}, {.padding = kSame, .dilation = {1, 2}, .padding_mode = mode});
    close(same(x), conv2d(pad(x, {2, 2, 1, 2}, {.mode = mode}), same.weight(), same.bias(),
                          {.dilation = {1, 2}}));
    nn::Conv2d last(3, 8, 3, {.padding = 1, .padding_mode = mode, .data_format = DataFormat::NHWC});
    close(permute(last(permute(x, {0, 2, 3, 1})), {0, 3, 1, 2}),
          conv2d(pad(x, {1, 1, 1, 1}, {.mode = mode}), last.weight(), last.bias()));
    nn::Conv1d line(3, 4, 4, {.padding = kSame, .padding_mode = mode});
    close(line(signal), conv1d(pad(signal, {1, 2}, {.mode = mode}), line.weight(), line.bias()));
    // In evaluation Sequential may fuse the two.
    nn::Sequential net(conv, nn::BatchNorm2d(8), nn::ReLU());
    net.eval();
    const Tensor recorded = net(x);
    const NoGrad no_grad;
    close(net(x), recorded);
  }
  EXPECT_EQ(nn::Conv2d(3, 8, 3, {.padding = kSame, .padding_mode = PadMode::reflect}).extra_repr(),
            "3, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, padding_mode=reflect");
  EXPECT_EQ(nn::Conv1d(3, 8, 3, {.padding = kSame}).extra_repr(),
            "3, 8, kernel_size=(3,), stride=(1,), padding=same");
}

TEST(Upsample, AndShufflesComputeAsTheirFunctions) {
  const Tensor x = randn({2, 4, 4, 6});
  nn::Upsample up({.scale_factor = 2, .mode = Interpolation::bilinear, .align_corners = true});
  expect_equal(
      up(x),
      interpolate(x, {.scale_factor = 2, .mode = Interpolation::bilinear, .align_corners = true}));
  EXPECT_EQ(to_string(up), "Upsample(scale_factor=2.0, mode=bilinear, align_corners=True)");
  EXPECT_EQ(nn::Upsample({.size = {3, 5}}).extra_repr(), "size=(3, 5), mode=nearest");
  EXPECT_EQ(nn::Upsample({.scale_factor = {1, 1.5}, .data_format = DataFormat::NHWC}).extra_repr(),
            "scale_factor=(1.0, 1.5), mode=nearest, data_format=NHWC");
  expect_equal(nn::PixelShuffle(2)(x), pixel_shuffle(x, 2));
  expect_equal(nn::PixelUnshuffle(2)(x), pixel_unshuffle(x, 2));
  EXPECT_EQ(to_string(nn::PixelShuffle(2)), "PixelShuffle(upscale_factor=2)");
  EXPECT_EQ(to_string(nn::PixelUnshuffle(2)), "PixelUnshuffle(downscale_factor=2)");
}

TEST(Pooling, OfSignalsAndMaximaComputeAsTheirFunctions) {
  const Tensor x = randn({2, 3, 11}), image = randn({2, 3, 7, 6});
  nn::MaxPool1d max(3, {.stride = 2, .padding = 1, .dilation = 2, .ceil_mode = true});
  expect_equal(max(x), max_pool1d(x, 3, max.options()));
  EXPECT_EQ(to_string(max),
            "MaxPool1d(kernel_size=3, stride=2, padding=1, dilation=2, ceil_mode=True)");
  nn::AvgPool1d average(3, {.padding = 1});
  expect_equal(average(x), avg_pool1d(x, 3, {.padding = 1}));
  EXPECT_EQ(to_string(average), "AvgPool1d(kernel_size=(3,), stride=(3,), padding=(1,))");
  expect_equal(nn::AdaptiveAvgPool1d(4)(x), adaptive_avg_pool1d(x, 4));
  expect_equal(nn::AdaptiveMaxPool1d(4)(x), adaptive_max_pool1d(x, 4));
  EXPECT_EQ(to_string(nn::AdaptiveMaxPool1d(4)), "AdaptiveMaxPool1d(output_size=4)");
  nn::AdaptiveMaxPool2d largest({3, 4});
  expect_equal(largest(image), adaptive_max_pool2d(image, {3, 4}));
  EXPECT_EQ(to_string(largest), "AdaptiveMaxPool2d(output_size=(3, 4))");
  const auto last = to_memory_format(image, MemoryFormat::channels_last);
  EXPECT_EQ(largest(last).memory_format(), MemoryFormat::channels_last);
  nn::AdaptiveMaxPool2d nhwc(1, DataFormat::NHWC);
  expect_equal(nhwc(permute(image, {0, 2, 3, 1})), reshape(tern::max(image, {2, 3}), {2, 1, 1, 3}));
  test::expect_error([&] { max_pool1d(image, 2); }, "[max_pool1d] x is f32[2,3,7,6], want 3 axes");
  test::expect_error([&] { adaptive_max_pool2d(zeros({1, 2, 0, 3}), 1); }, "x has no pixels");
  test::expect_error([&] { adaptive_max_pool1d(x, 0); }, "output_size is {1,0}");
}

TEST(Volumes, LayersComputeAsTheirFunctions) {
  const Tensor x = randn({2, 4, 5, 6, 7});
  nn::Conv3d conv(4, 6, {2, 3, 1}, {.stride = {2, 1, 1}, .padding = 1, .groups = 2});
  EXPECT_EQ(conv.weight().shape(), (Shape{6, 2, 2, 3, 1}));
  expect_equal(conv(x), conv3d(x, conv.weight(), conv.bias(),
                               {.stride = {2, 1, 1}, .padding = 1, .groups = 2}));
  EXPECT_EQ(to_string(conv),
            "Conv3d(4, 6, kernel_size=(2, 3, 1), stride=(2, 1, 1), "
            "padding=(1, 1, 1), groups=2)");
  nn::MaxPool3d max({1, 2, 2}, {.padding = {0, 1, 1}});
  expect_equal(max(x), max_pool3d(x, {1, 2, 2}, {.padding = {0, 1, 1}}));
  EXPECT_EQ(to_string(max),
            "MaxPool3d(kernel_size=(1, 2, 2), stride=(1, 2, 2), "
            "padding=(0, 1, 1), dilation=1, ceil_mode=False)");
  expect_equal(nn::AvgPool3d(2, {.stride = 1})(x), avg_pool3d(x, 2, {.stride = 1}));
  EXPECT_EQ(to_string(nn::AvgPool3d(2)), "AvgPool3d(kernel_size=2, stride=2, padding=0)");
  expect_equal(nn::AdaptiveAvgPool3d({2, 3, 3})(x), adaptive_avg_pool3d(x, {2, 3, 3}));
  test::expect_error(
      [&] {
        conv3d(x, zeros({6, 4, 9, 1, 1}));
      },
      "[conv3d] kernel covers 9 pixels along D, want 1 to 5");
  test::expect_error(
      [&] {
        conv3d(x, conv.weight(), {}, {.stride = {0, 1, 1}, .groups = 2});
      },
      "along D stride is 0");
  test::expect_error([&] { max_pool3d(zeros({1, 2, 3, 4}), 2); }, "x is f32[1,2,3,4], want 5 axes");
}

TEST(Padding, LayersPadTheLastTwoAxes) {
  const Tensor x = randn({2, 3, 4, 5});
  expect_equal(nn::ZeroPad2d({1, -1, 2, 0})(x), pad(x, {1, -1, 2, 0}));
  expect_equal(nn::ReflectionPad2d(2)(x), pad(x, {2, 2, 2, 2}, {.mode = PadMode::reflect}));
  expect_equal(nn::ReplicationPad2d({1, 2, 3, 4})(x),
               pad(x, {1, 2, 3, 4}, {.mode = PadMode::replicate}));
  EXPECT_EQ(to_string(nn::ReflectionPad2d(2)), "ReflectionPad2d((2, 2, 2, 2))");
}

TEST(Dropout2d, DropsChannelsAsAWhole) {
  manual_seed(3);
  nn::Dropout2d dropout(0.25);
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor x = to_memory_format(ones({50, 20, 3, 2}), format).set_requires_grad();
    const Tensor y = dropout(x);
    EXPECT_EQ(y.memory_format(), format);
    const auto low = min(y, {2, 3}).to_vector<float>(), high = max(y, {2, 3}).to_vector<float>();
    EXPECT_EQ(low, high);
    EXPECT_EQ(*std::min_element(low.begin(), low.end()), 0);
    EXPECT_FLOAT_EQ(*std::max_element(low.begin(), low.end()), 4.0f / 3);
    EXPECT_NEAR(mean(y).item<float>(), 1, 0.1);
    y.backward(ones_like(y));
    expect_equal(x.grad(), y);  // of a linear function
  }
  const Tensor x = randn({2, 3, 4, 4});
  EXPECT_EQ(max(abs(dropout2d(x, 1))).item<float>(), 0);
  dropout.eval();
  EXPECT_TRUE(dropout(x).is_same(x));
  EXPECT_EQ(to_string(dropout), "Dropout2d(p=0.25, inplace=False)");
  test::expect_error([&] { dropout2d(zeros({3, 4})); }, "[dropout2d] x is f32[3,4], want N,C and");
  test::expect_error([&] { dropout2d(x, 1.5); }, "p is 1.5");
}

TEST(Unflatten, IsTheContraryOfFlatten) {
  const Tensor x = randn({2, 3, 4, 5});
  expect_equal(nn::Unflatten(1, {3, 4, 5})(nn::Flatten()(x)), x);
  EXPECT_EQ(nn::Unflatten(-1, {5, -1})(zeros({2, 20})).shape(), (Shape{2, 5, 4}));
  EXPECT_EQ(to_string(nn::Unflatten(1, {3, -1})), "Unflatten(dim=1, unflattened_size=(3, -1))");
}

TEST(ImageLayers, RejectArgumentsThatCannotWork) {
  const std::vector<std::pair<const char*, std::function<void()>>> cases = {
      {"[Conv1d] kernel_size is 0", [] { nn::Conv1d(1, 1, 0); }},
      {"[Conv1d] padding is -1", [] { nn::Conv1d(1, 1, 1, {.padding = -1}); }},
      {"[Conv2d] padding is kSame and stride (1, 2)",
       [] {
         nn::Conv2d(1, 1, 3, {.stride = {1, 2}, .padding = kSame});
       }},
      {"[ConvTranspose1d] it has 0 input", [] { nn::ConvTranspose1d(0, 1, 1); }},
      {"[ConvTranspose2d] groups is 2, want a divisor",
       [] { nn::ConvTranspose2d(4, 3, 3, {.groups = 2}); }},
      {"[ConvTranspose2d] output_padding is (-1, -1)",
       [] { nn::ConvTranspose2d(4, 3, 3, {.output_padding = -1}); }},
      {"[ConvTranspose2d] padding is (-9",
       [] { nn::ConvTranspose2d(4, 3, 3, {.padding = kSame}); }},
      {"[Upsample] size is (0, 0) and scale_factor (0, 0)", [] { nn::Upsample({}); }},
      {"[PixelShuffle] upscale_factor is 0", [] { nn::PixelShuffle(0); }},
      {"[PixelUnshuffle] downscale_factor is -1", [] { nn::PixelUnshuffle(-1); }},
      {"[MaxPool1d] padding is 2, want at most half", [] { nn::MaxPool1d(3, {.padding = 2}); }},
      {"[MaxPool1d] dilation is 0", [] { nn::MaxPool1d(3, {.dilation = 0}); }},
      {"[AvgPool1d] stride is 0", [] { nn::AvgPool1d(3, {.stride = 0}); }},
      {"[AdaptiveAvgPool1d] output_size is 0", [] { nn::AdaptiveAvgPool1d(0); }},
      {"[AdaptiveMaxPool1d] output_size is 0", [] { nn::AdaptiveMaxPool1d(0); }},
      {"[AdaptiveMaxPool2d] output_size is (0, 1)",
       [] {
         nn::AdaptiveMaxPool2d({0, 1});
       }},
      {"[MaxPool3d] padding is (1, 0, 0), want at most half the kernel of (1, 2, 2)",
       [] {
         nn::MaxPool3d({1, 2, 2}, {.padding = {1, 0, 0}});
       }},
      {"[AdaptiveAvgPool3d] output_size is (0, 0, 0)", [] { nn::AdaptiveAvgPool3d(0); }},
      {"[MaxPool1d] padding is 4611686018427387904, want at least 0 and less than 2^31",
       [] { nn::MaxPool1d(3, {.padding = int64_t{1} << 62}); }},
      {"[Conv2d] padding is (1, 9223372036854775807), want at least 0 and less than 2^31",
       [] {
         nn::Conv2d(1, 1, 3, {.padding = {1, INT64_MAX}, .padding_mode = PadMode::reflect});
       }},
      {"[ConvTranspose2d] dilation is (9223372036854775807, 9223372036854775807)",
       [] { nn::ConvTranspose2d(1, 1, 3, {.dilation = INT64_MAX}); }},
      {"fewer than 2^31",
       [] {
         nn::ConvTranspose1d(1, 1, 3)(zeros({0, 1, int64_t{1} << 62}), 4);
       }},
      {"[ReflectionPad2d] padding is -1", [] { nn::ReflectionPad2d(-1); }},
      {"[ZeroPad2d] padding has 2 numbers",
       [] {
         nn::ZeroPad2d({1, 2});
       }},
      {"[Dropout2d] p is 2", [] { nn::Dropout2d(2); }},
  };
  for (const auto& [part, f] : cases) test::expect_error(f, part);
}

}  // namespace
