// SPDX-License-Identifier: Apache-2.0
// Other sizes of images and signals; PyTorch's values are in fixtures_test.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <cmath>
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

constexpr auto kBilinear = Interpolation::bilinear;

std::vector<Function> resizings() {
  std::vector<Function> all;
  for (const InterpolateOptions& options : {
           InterpolateOptions{.scale_factor = 2},
           InterpolateOptions{.size = {7, 3}},
           InterpolateOptions{.scale_factor = {2, 1.6}, .mode = kBilinear},
           InterpolateOptions{.size = {3, 9}, .mode = kBilinear, .align_corners = true},
           InterpolateOptions{.size = {3, 6}, .mode = Interpolation::area},
           InterpolateOptions{.scale_factor = 2, .data_format = DataFormat::NHWC},
       }) {
    all.push_back([=](const Inputs& in) { return interpolate(in[0], options); });
  }
  all.push_back([](const Inputs& in) { return pixel_shuffle(in[0], 2); });
  all.push_back([](const Inputs& in) { return pixel_unshuffle(in[0], 2); });
  return all;
}

TEST(Interpolate, DerivativesAreRight) {
  for (const Function& f : resizings()) {
    // A square, so that the second derivative is not zero everywhere.
    expect_gradients(
        [&](const Inputs& in) {
          const Tensor y = f(in);
          return y * y;
        },
        {leaf({1, 4, 4, 2}, 1)});
  }
  expect_gradients(
      [](const Inputs& in) {
        return interpolate(in[0] * in[0], {.size = 7, .mode = Interpolation::linear});
      },
      {leaf({2, 2, 5}, 2)});
}

TEST(Interpolate, WrongGradientsAreRejected) {
  const auto with_ratio = [](double factor) {
    return [factor](const Inputs& in) {
      const Tensor y = interpolate(in[0], {.scale_factor = 2});
      return with_backward(
          y, in, [=](const Tensor& dy) -> Gradients { return {avg_pool2d(dy, 2) * factor}; });
    };
  };
  EXPECT_NO_THROW(gradcheck(with_ratio(4), {leaf({1, 2, 3, 2}, 1)}));
  expect_rejected(with_ratio(4.01), {leaf({1, 2, 3, 2}, 1)});
}

TEST(Interpolate, Float32FollowsFloat64) {
  for (const int64_t channels : {4, 24, 68}) {
    for (const Function& f : resizings()) {
      expect_f32_follows_f64(f, {leaf({2, channels, 6, 8}, 3)});
    }
  }
  const Function up = [](const Inputs& in) {
    return interpolate(in[0], {.scale_factor = 2, .mode = kBilinear});
  };
  for (const int64_t channels : {1, 3, 17})
    expect_f32_follows_f64(up, {leaf({2, channels, 5, 7}, 4)});
}

TEST(Interpolate, KeepsTheMemoryFormat) {
  const Tensor x = to_memory_format(randn({2, 4, 6, 6}), MemoryFormat::channels_last);
  reset_counters();
  for (const Function& f : resizings()) {
    const Tensor leaf = x.clone().requires_grad_();
    const Tensor y = f({leaf});
    if (y.shape() == Shape{2, 8, 12, 6}) continue;  // N,H,W,C: has to be copied first
    EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
    y.backward(y.detach());
    EXPECT_EQ(leaf.grad().memory_format(), MemoryFormat::channels_last);
  }
  EXPECT_EQ(counters().reorders, 0);
}

TEST(Interpolate, TheBitsDoNotDependOnThreads) {
  const Tensor x = to_memory_format(randn({3, 40, 33, 31}), MemoryFormat::channels_last);
  for (const bool row_major : {false, true}) {
    const Tensor image = row_major ? contiguous(x) : x;
    expect_thread_invariant([&] {
      const Tensor leaf = image.clone().requires_grad_();
      interpolate(leaf, {.scale_factor = 1.9, .mode = kBilinear})
          .backward(rand({3, 40, 62, 58}) * 0.0 + 0.3);
      return leaf.grad();
    });
  }
}

// floor(i * size / output) of whole numbers, where float32 comes out below one of them.
TEST(Interpolate, NearestPlacesAreExact) {
  for (const auto& [size, factor] : std::vector<std::pair<int64_t, int64_t>>{{5, 49}, {3, 41}}) {
    const Tensor x = reshape(arange(static_cast<double>(size)).to(DType::f32), {1, 1, size});
    const auto y = interpolate(x, {.size = size * factor}).to_vector<float>();
    for (int64_t i = 0; i < size * factor; ++i) {
      EXPECT_EQ(y[static_cast<size_t>(i)], static_cast<float>(i / factor)) << i;
    }
  }
}

// A pixel that counts nothing is not read: it may be infinite.
TEST(Interpolate, WhatCountsNothingIsNotRead) {
  const Tensor x = tensor({1.f, INFINITY, 2.f, NAN, 3.f}, {1, 1, 5});
  const Tensor y =
      interpolate(x, {.size = 3, .mode = Interpolation::linear, .align_corners = true});
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{1, 2, 3}));
  const Tensor same = interpolate(x, {.size = 5, .mode = Interpolation::linear});
  expect_close(same, x, 0);
}

TEST(Interpolate, PixelShuffleAndUnshuffleAreInverse) {
  const Tensor x = randn({2, 18, 4, 5});
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor y = pixel_shuffle(to_memory_format(x, format), 3);
    EXPECT_EQ(y.shape(), (Shape{2, 2, 12, 15}));
    EXPECT_EQ(pixel_unshuffle(y, 3).to_vector<float>(), x.to_vector<float>());
  }
}

TEST(Interpolate, EmptyBatches) {
  const Tensor x = zeros({0, 4, 4, 4}).requires_grad_();
  for (const Function& f : resizings()) {
    const Tensor y = f({x});
    EXPECT_EQ(y.numel(), 0);
    y.backward(zeros_like(y));
  }
  EXPECT_EQ(x.grad().shape(), x.shape());
}

TEST(Interpolate, ErrorsSayWhatIsWrong) {
  const Tensor x = zeros({1, 6, 4, 5});
  expect_error([&] { interpolate(x, {}); }, "[interpolate] neither size nor scale_factor is given");
  expect_error([&] { interpolate(x, {.size = 2, .scale_factor = 2}); },
               "size and scale_factor are given, want one");
  expect_error([&] { interpolate(x, {.size = {2, 0}}); }, "size is {2,0}, want at least 1");
  expect_error([&] { interpolate(x, {.scale_factor = -1}); }, "scale_factor is -1 along H");
  expect_error(
      [&] {
        interpolate(x, {.scale_factor = {1, 0.1}});
      },
      "scale_factor is 0.1 along W, want a result of 1 to");
  expect_error([&] { interpolate(x, {.scale_factor = std::nan("")}); }, "scale_factor is nan");
  expect_error([&] { interpolate(x, {.scale_factor = 1e300}); }, "scale_factor is 1e+300");
  expect_error([&] { interpolate(x, {.size = 2, .align_corners = true}); },
               "align_corners is set with mode nearest, want mode bilinear");
  expect_error([&] { interpolate(zeros({4, 5}), {.size = 2}); }, "x is f32[4,5], want 3 or 4 axes");
  expect_error(
      [&] {
        interpolate(zeros({1, 1, 0, 5}), {.size = 2});
      },
      "want at least 1 pixel along H");
  expect_error([&] { interpolate(x.to(DType::i64), {.size = 2}); }, "want f32 or f64");
  expect_error([&] { pixel_shuffle(x, 2); },
               "[pixel_shuffle] x has 6 channels, want a multiple of 4");
  expect_error([&] { pixel_shuffle(x, 0); }, "the factor is 0");
  expect_error([&] { pixel_unshuffle(x, 2); }, "want height and width to be multiples of 2");
  expect_error([&] { pixel_unshuffle(zeros({6, 4, 4}), 2); }, "want 4 axes");
}

}  // namespace
