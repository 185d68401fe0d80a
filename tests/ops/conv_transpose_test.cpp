// SPDX-License-Identifier: Apache-2.0
// Transposed convolutions, convolutions of signals, and padding "same": what conv_test does not
// cover of conv.h. Values are PyTorch's in fixtures_test.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <vector>

#include "op_checks.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::expect_close;
using tern::test::expect_error;
using tern::test::expect_f32_follows_f64;
using tern::test::expect_gradients;
using tern::test::expect_rejected;
using tern::test::expect_thread_invariant;
using tern::test::Function;
using tern::test::Inputs;
using tern::test::leaf;
using tern::test::with_backward;

struct Case {
  Shape x, weight;
  int64_t outputs;
  Function f;
};

Case transposed(const Shape& x, const Shape& weight, const ConvTranspose2dOptions& options) {
  return {x, weight, weight[1] * options.groups,
          [=](const Inputs& in) { return conv_transpose2d(in[0], in[1], in[2], options); }};
}
Case transposed(const Shape& x, const Shape& weight, const ConvTranspose1dOptions& options) {
  return {x, weight, weight[1] * options.groups,
          [=](const Inputs& in) { return conv_transpose1d(in[0], in[1], in[2], options); }};
}
Case plain(const Shape& x, const Shape& weight, const Conv2dOptions& options) {
  return {x, weight, weight[0],
          [=](const Inputs& in) { return conv2d(in[0], in[1], in[2], options); }};
}
Case plain(const Shape& x, const Shape& weight, const Conv1dOptions& options) {
  return {x, weight, weight[0],
          [=](const Inputs& in) { return conv1d(in[0], in[1], in[2], options); }};
}
Case plain(const Shape& x, const Shape& weight, const Conv3dOptions& options) {
  return {x, weight, weight[0],
          [=](const Inputs& in) { return conv3d(in[0], in[1], in[2], options); }};
}

using Transpose1d = ConvTranspose1dOptions;
using Transpose2d = ConvTranspose2dOptions;

// Small, for numerical derivatives.
std::vector<Case> cases() {
  return {
      transposed({2, 3, 3, 2}, {3, 2, 2, 2}, Transpose2d{.stride = 2}),
      transposed({1, 2, 3, 3}, {2, 3, 3, 3},
                 Transpose2d{.stride = 2, .padding = 1, .output_padding = 1}),
      transposed({1, 4, 2, 3}, {4, 1, 2, 3},
                 Transpose2d{.stride = {1, 2}, .padding = {0, 1}, .dilation = {2, 1}, .groups = 2}),
      transposed({1, 2, 2, 2}, {2, 2, 2, 2}, Transpose2d{.output_padding = {1, 0}, .dilation = 2}),
      transposed({1, 2, 4, 3}, {3, 2, 2, 2}, Transpose2d{.data_format = DataFormat::NHWC}),
      transposed({2, 2, 4}, {2, 3, 3}, Transpose1d{.stride = 2, .padding = 1, .output_padding = 1}),
      plain({2, 4, 5}, {4, 2, 3}, Conv1dOptions{.stride = 2, .padding = 2, .groups = 2}),
      plain({1, 2, 4}, {3, 2, 4}, Conv1dOptions{.padding = kSame}),
      plain({1, 2, 4, 3}, {2, 2, 2, 4}, Conv2dOptions{.padding = kSame}),
      plain({1, 2, 3, 3, 2}, {2, 2, 2, 2, 1}, Conv3dOptions{.stride = {2, 1, 1}, .padding = 1}),
  };
}

Inputs leaves(const Case& c) { return {leaf(c.x, 1), leaf(c.weight, 2), leaf({c.outputs}, 3)}; }

TEST(ConvTranspose, DerivativesAreRight) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(to_string(c.x) + " " + to_string(c.weight));
    expect_gradients(c.f, leaves(c));
  }
}

TEST(ConvTranspose, WrongGradientsAreRejected) {
  const auto scaled = [](double factor) {
    return [factor](const Inputs& in) {
      const Tensor y = conv_transpose2d(in[0], in[1], in[2], {.stride = 2});
      return with_backward(y, in, [=](const Tensor& dy) -> Gradients {
        return {conv2d(dy, in[1].detach(), {}, {.stride = 2}) * factor,
                grad(y, {in[1]}, {.retain_graph = true, .grad_output = dy})[0], sum(dy, {0, 2, 3})};
      });
    };
  };
  const Inputs in{leaf({1, 2, 2, 3}, 1), leaf({2, 3, 2, 2}, 2), leaf({3}, 3)};
  expect_rejected(scaled(1.001), in);
  EXPECT_NO_THROW(gradcheck(scaled(1), in));
}

// The gradient of a convolution's input is the transposed convolution.
TEST(ConvTranspose, IsTheAdjointOfConvolution) {
  const Tensor w = leaf({6, 4, 3, 2}, 4), x = leaf({2, 4, 7, 6}, 5);
  const Tensor y = conv2d(x, w, {}, {.stride = {2, 1}, .padding = 1});
  const Tensor dy = test::values(y.shape(), 6);
  y.backward(dy);
  expect_close(conv_transpose2d(dy, w, {}, {.stride = {2, 1}, .padding = 1}), x.grad(), 0);
  EXPECT_EQ(x.grad().shape(), x.shape());
}

TEST(ConvTranspose, Float32FollowsFloat64) {
  std::vector<Case> all = cases();
  all.push_back(transposed({2, 17, 5, 6}, {17, 24, 2, 2}, Transpose2d{.stride = 2}));
  all.push_back(transposed({1, 24, 5, 4}, {24, 17, 4, 4}, Transpose2d{.stride = 2, .padding = 1}));
  all.push_back(transposed({2, 32, 5, 4}, {32, 1, 3, 3}, Transpose2d{.padding = 1, .groups = 32}));
  all.push_back(plain({2, 17, 9}, {24, 17, 5}, Conv1dOptions{.padding = 2}));
  all.push_back(plain({2, 24, 9}, {24, 1, 4}, Conv1dOptions{.padding = kSame, .groups = 24}));
  all.push_back(plain({2, 17, 6, 5}, {24, 17, 2, 4}, Conv2dOptions{.padding = kSame}));
  for (const Case& c : all) {
    SCOPED_TRACE(to_string(c.x) + " " + to_string(c.weight));
    expect_f32_follows_f64(c.f, leaves(c), 1e-5);
  }
  for (const std::string& name : primitive_implementations()) {
    EXPECT_EQ(name.find(": ref"), std::string::npos) << name;
  }
}

TEST(ConvTranspose, TheBitsDoNotDependOnThreads) {
  const Tensor x = randn({3, 16, 9, 8}), w = randn({16, 24, 3, 3}), b = randn({24});
  const Tensor signal = randn({3, 16, 40}), v = randn({24, 16, 5});
  set_deterministic(true);
  expect_thread_invariant(
      [&] { return conv_transpose2d(x, w, b, {.stride = 2, .padding = 1, .output_padding = 1}); });
  expect_thread_invariant([&] { return conv1d(signal, v, b, {.padding = kSame}); });
  set_deterministic(false);
}

// Down and up again, joined along the channels: a U-Net's step.
TEST(ConvTranspose, AUNetStaysChannelsLast) {
  const Tensor x = to_memory_format(randn({2, 8, 12, 12}), MemoryFormat::channels_last);
  const Tensor w = randn({16, 8, 3, 3}).requires_grad_(),
               up = randn({16, 8, 2, 2}).requires_grad_();
  const Tensor out = randn({4, 16, 3, 3}).requires_grad_(), b = randn({8}).requires_grad_();
  reset_counters();
  const Tensor skip = relu(x);
  const Tensor deep = conv2d(max_pool2d(skip, 2), w, {}, {.padding = 1});
  const Tensor high = conv_transpose2d(deep, up, b, {.stride = 2});
  EXPECT_EQ(high.memory_format(), MemoryFormat::channels_last);
  const Tensor both = cat({skip, high}, 1);
  EXPECT_EQ(both.memory_format(), MemoryFormat::channels_last);
  const Tensor y = conv2d(both, out, {}, {.padding = 1});
  mean(y * y).backward();
  EXPECT_EQ(counters().reorders, 0);
  for (const Tensor& leaf : {w, up, out, b}) EXPECT_TRUE(leaf.grad().defined());
}

TEST(ConvTranspose, EmptyBatches) {
  const Tensor x = zeros({0, 3, 4, 4}).requires_grad_(), w = ones({3, 2, 2, 2}).requires_grad_();
  const Tensor y = conv_transpose2d(x, w, ones({2}), {.stride = 2});
  EXPECT_EQ(y.shape(), (Shape{0, 2, 8, 8}));
  y.backward(zeros_like(y));
  EXPECT_EQ(x.grad().shape(), x.shape());
  EXPECT_EQ(sum(w.grad()).item<float>(), 0);
  EXPECT_EQ(conv1d(zeros({0, 3, 9}), ones({2, 3, 4})).shape(), (Shape{0, 2, 6}));
}

TEST(ConvTranspose, ErrorsSayWhatIsWrong) {
  const Tensor x = zeros({2, 4, 5, 5}), w = zeros({4, 3, 2, 2}), s = zeros({2, 4, 5});
  const auto expect = [](const char* message, const std::function<void()>& f) {
    expect_error(f, message);
  };
  expect("[conv_transpose2d] x is f32[2,4,5] and weight is f32[4,3,2,2], want 4 axes",
         [&] { conv_transpose2d(s, w); });
  expect("want two tensors", [&] { conv_transpose2d(x, {}); });
  expect("weight is f64, x is f32", [&] { conv_transpose2d(x, w.to(DType::f64)); });
  expect("weight takes 3 input channels and gives 4 for each group, x has 4", [&] {
    conv_transpose2d(x, zeros({3, 4, 2, 2}));
  });
  expect("groups is 3, want a divisor of 4", [&] { conv_transpose2d(x, w, {}, {.groups = 3}); });
  expect("bias is f32[4], want f32[6]", [&] { conv_transpose2d(x, w, zeros({4}), {.groups = 2}); });
  expect("stride is {0,0}", [&] { conv_transpose2d(x, w, {}, {.stride = 0}); });
  expect("output_padding is 2 along H, want less than stride 2 or dilation 1",
         [&] { conv_transpose2d(x, w, {}, {.stride = 2, .output_padding = 2}); });
  expect("padding is {-9", [&] { conv_transpose2d(x, w, {}, {.padding = kSame}); });
  expect("the result has 0 pixels along H, want at least 1: padding 3",
         [&] { conv_transpose2d(x, w, {}, {.padding = 3}); });
  expect("want at least 1 pixel of each along W", [&] {
    conv_transpose2d(zeros({2, 4, 5, 0}), w);
  });
  expect("[conv_transpose1d] x is f32[2,4,5,5]", [&] { conv_transpose1d(x, w); });
  expect("output_padding is 1 along L", [&] {
    conv_transpose1d(s, zeros({4, 3, 2}), {}, {.output_padding = 1});
  });
  expect("[conv1d] x is f32[2,4,5,5] and weight is f32[4,3,2,2], want 3 axes",
         [&] { conv1d(x, w); });
  expect("kernel covers 6 pixels along L, want 1 to 5", [&] { conv1d(s, zeros({3, 4, 6})); });
  expect("padding is kSame and stride 2 along L", [&] {
    conv1d(s, zeros({3, 4, 3}), {}, {.stride = 2, .padding = kSame});
  });
  expect("padding is {-1,-1}", [&] { conv2d(x, zeros({3, 4, 2, 2}), {}, {.padding = -1}); });
}

}  // namespace
