// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <numeric>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

const std::vector<std::vector<int64_t>>& all_axes() {
  static const std::vector<std::vector<int64_t>> sets{
      {},     {0},    {1},    {2},       {3},       {0, 1},    {0, 2},      {0, 3},
      {1, 2}, {1, 3}, {2, 3}, {0, 1, 2}, {0, 2, 3}, {1, 2, 3}, {-1, 0, -3}, {0, 1, 2, 3}};
  return sets;
}

/// Reduces x, element by element, with f(so far, value); the axes stay with length 1.
template <class F>
Tensor by_hand(const Tensor& x, const std::vector<int64_t>& axes, double start, const F& f) {
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  for (size_t d = 0; d < sizes.size(); ++d) {
    const auto axis = static_cast<int64_t>(d);
    const auto rank = static_cast<int64_t>(sizes.size());
    const bool reduced = axes.empty() || std::any_of(axes.begin(), axes.end(), [&](int64_t a) {
                           return a == axis || a + rank == axis;
                         });
    if (reduced) sizes[d] = 1;
  }
  const Tensor y = full(sizes, start, DType::f64);
  const auto from = x.to(DType::f64).to_vector<double>();
  for (size_t i = 0; i < from.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t place = 0, stride = 1;
    for (size_t d = sizes.size(); d-- > 0;) {
      const int64_t index = rest % x.shape()[static_cast<int>(d)];
      rest /= x.shape()[static_cast<int>(d)];
      if (sizes[d] == 1) continue;
      place += index * stride;
      stride *= sizes[d];
    }
    double& target = y.raw<double>()[place];
    target = f(target, from[i]);
  }
  return y;
}

Tensor shaped_like(const Tensor& y, const Tensor& result) {
  return reshape(y, {result.shape().begin(), result.shape().end()});
}

TEST(Reduce, EveryCombinationOfAxesInBothOrders) {
  for (const Shape& shape : {Shape{2, 3, 7, 5}, Shape{3, 33, 4, 17}, Shape{1, 1, 9, 1}}) {
    // Of one sign: nothing cancels, so that float's error is relative to the result.
    const Tensor exact = values(shape, 1, true).to(DType::f32).to(DType::f64);
    for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor x = to_memory_format(exact.to(dtype), order);
        const double tolerance = dtype == DType::f32 ? 1e-6 : 1e-13;
        for (const auto& axes : all_axes()) {
          for (const bool keepdim : {false, true}) {
            const Tensor total = by_hand(exact, axes, 0, [](double a, double b) { return a + b; });
            const Tensor y = sum(x, axes, keepdim);
            expect_close(y, shaped_like(total, y), tolerance);
            if (keepdim) {
              EXPECT_EQ(y.shape(), total.shape());
              EXPECT_EQ(y.memory_format(), order);
            }
            const double count =
                static_cast<double>(x.numel()) / static_cast<double>(total.numel());
            expect_close(mean(x, axes, keepdim), shaped_like(total / count, y), tolerance);
            const Tensor largest =
                by_hand(x, axes, -INFINITY, [](double a, double b) { return std::max(a, b); });
            expect_close(max(x, axes, keepdim), shaped_like(largest, y), 0);
          }
        }
      }
    }
  }
}

TEST(Reduce, IntegersSumToI64) {
  const Tensor x = full({3, 200}, 255, DType::u8);
  EXPECT_EQ(sum(x).dtype(), DType::i64);
  EXPECT_EQ(sum(x).item<int64_t>(), 3 * 200 * 255);
  EXPECT_EQ(max(x, {1}).to_vector<uint8_t>(), (std::vector<uint8_t>{255, 255, 255}));
  EXPECT_EQ(sum(arange(10), {0}).item<int64_t>(), 45);
}

TEST(Reduce, Gradients) {
  const Inputs x{leaf({2, 3, 4, 2}, 2)};
  for (const auto& axes : all_axes()) {
    const auto of_squares = [&](auto f) {
      return [=](const Inputs& in) { return f(in[0] * in[0], axes, false); };
    };
    expect_gradients(of_squares(sum), x);
    expect_gradients(of_squares(mean), x);
    expect_gradients([&](const Inputs& in) { return max(in[0] * in[0], axes, true); }, x);
    expect_f32_follows_f64([&](const Inputs& in) { return sum(in[0], axes); }, x);
    expect_f32_follows_f64([&](const Inputs& in) { return mean(in[0], axes, true); }, x);
    expect_f32_follows_f64([&](const Inputs& in) { return max(in[0], axes); }, x);
  }
}

TEST(Reduce, TenMillionTermsToSevenDigits) {
  const Tensor x = rand({10000000});
  const float* values = x.raw<float>();
  const double exact =
      std::accumulate(values, values + x.numel(), 0.0) / static_cast<double>(x.numel());
  EXPECT_NEAR(static_cast<double>(mean(x).item<float>()) / exact, 1, 1e-7);
  // Along the outer axis as well.
  const Tensor columns = sum(reshape(x, {2500000, 4}), {0});
  EXPECT_NEAR(static_cast<double>(sum(columns).item<float>()) / (exact * 1e7), 1, 1.2e-7);
}

TEST(Reduce, ThreadsDoNotChangeABit) {
  const Tensor x = randn({64, 48, 31, 33});
  const Tensor last = to_memory_format(x, MemoryFormat::channels_last);
  for (const auto& axes : all_axes()) {
    expect_thread_invariant([&] { return sum(x, axes); });
    expect_thread_invariant([&] { return mean(last, axes); });
  }
  expect_thread_invariant([&] { return max(x, {0, 2}); });
}

TEST(Max, FirstAlongAnAxisSharedAmongSeveral) {
  const Tensor x = tensor(std::vector<float>{1, 3, 3, 2, 3, 0}, {2, 3}).set_requires_grad();
  max(x, {1}).backward(tensor(std::vector<float>{1, 2}, {2}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0, 1, 0, 0, 2, 0}));
  const Tensor y = x.detach().set_requires_grad();
  max(y).backward(full({}, 3));
  EXPECT_EQ(y.grad().to_vector<float>(), (std::vector<float>{0, 1, 1, 0, 1, 0}));
}

TEST(Max, NanWins) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const auto& v : {std::vector<double>{1, NAN, 2}, {NAN, 1, 2}, {1, 2, NAN}}) {
      const Tensor x = tensor(v, {3}).to(dtype);
      EXPECT_TRUE(std::isnan(max(x).item<double>()));
      EXPECT_TRUE(std::isnan(v[static_cast<size_t>(argmax(x, 0).item<int64_t>())]));
    }
    EXPECT_EQ(max(full({5}, -INFINITY, dtype)).item<double>(), -INFINITY);
  }
}

TEST(Argmax, FirstMaximumInBothOrders) {
  const Tensor x = tensor(std::vector<int64_t>{1, 3, 3, 2, 2, 0}, {2, 3});
  EXPECT_EQ(argmax(x, 1).to_vector<int64_t>(), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(argmax(x, 0, true).shape(), (Shape{1, 3}));
  const Tensor image = randn({2, 3, 5, 7});
  for (int64_t axis = 0; axis < 4; ++axis) {
    const Tensor index = argmax(image, axis);
    EXPECT_EQ(
        argmax(to_memory_format(image, MemoryFormat::channels_last), axis).to_vector<int64_t>(),
        index.to_vector<int64_t>());
    // The element there is the maximum: its slice, where the index equals the position, is.
    const Tensor largest = max(image, {axis}, true);
    const Tensor kept = argmax(image, axis, true);
    for (int64_t i = 0; i < image.size(axis); ++i) {
      const Tensor here = eq(kept, static_cast<double>(i)).to(DType::f32);
      expect_close(here * slice(image, axis, i, i + 1), here * largest, 0);
    }
  }
}

TEST(Reduce, EmptyTensors) {
  EXPECT_EQ(sum(zeros({0})).item<float>(), 0);
  EXPECT_TRUE(std::isnan(mean(zeros({0})).item<float>()));
  EXPECT_TRUE(std::isnan(mean(zeros({0}, DType::f64)).item<double>()));
  EXPECT_EQ(sum(zeros({0, 3}), {0}).to_vector<float>(), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(sum(zeros({3, 0}), {0}).shape(), Shape{0});
  EXPECT_EQ(max(zeros({3, 0}), {0}).shape(), Shape{0});
  EXPECT_EQ(sum(full({}, 5)).item<float>(), 5);
  expect_error([] { max(zeros({0, 3}), {0}); }, {"[max]", "f32[0,3]"});
  expect_error([] { argmax(zeros({0, 3}), 0); }, {"[argmax]", "f32[0,3]"});
}

TEST(Reduce, EmptyTensorsWithLongAxesTakeNoTime) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i64}) {
    const Tensor long_axis = zeros({int64_t{1} << 40, 0}, dtype);
    EXPECT_EQ(sum(long_axis, {0}).shape(), (Shape{0}));
    EXPECT_EQ(sum(long_axis).item<int64_t>(), 0);
    EXPECT_EQ(max(long_axis, {0}).shape(), (Shape{0}));
    EXPECT_EQ(sum(zeros({1 << 20, 0, 1 << 20}, dtype), {0, 2}).shape(), (Shape{0}));
  }
  const Tensor image = zeros({int64_t{1} << 40, 0, 1, 1}, DType::f64);
  EXPECT_EQ(adaptive_avg_pool2d(image, 1).numel(), 0);
}

TEST(SumTo, HasOneDtypeWhetherOrNotItSums) {
  const Tensor x = full({2, 3}, 200, DType::u8);
  EXPECT_EQ(sum_to(x, {2, 3}).dtype(), DType::i64);
  EXPECT_EQ(sum_to(x, {1, 3}).dtype(), DType::i64);
  EXPECT_EQ(sum_to(x, {3}).to_vector<int64_t>(), (std::vector<int64_t>{400, 400, 400}));
  EXPECT_TRUE(sum_to(zeros({2}), {2}).dtype() == DType::f32);
}

TEST(Reduce, Errors) {
  expect_error([] { sum(zeros({2, 3}), {2}); }, {"[sum]", "axis 2"});
  expect_error([] { sum(zeros({2, 3}), {1, -1}); }, {"[sum]", "twice"});
  expect_error([] { mean(arange(4)); }, {"[mean]", "i64[4]", ".to(DType::f32)"});
}

TEST(Reduce, MeanOverAnImageTakesNoReorder) {
  const Tensor x =
      to_memory_format(randn({4, 8, 6, 6}), MemoryFormat::channels_last).set_requires_grad();
  reset_counters();
  const Tensor y = mean(x, {2, 3});
  y.backward(randn({4, 8}));
  EXPECT_EQ(counters().reorders, 0);
  EXPECT_EQ(x.grad().memory_format(), MemoryFormat::channels_last);
}

TEST(Reduce, CheckerRejectsAWrongBackward) {
  // A mean that forgets to divide its gradient.
  expect_rejected(
      [](const Inputs& x) {
        return with_backward(mean(x[0], {1}), x, [](const Tensor& dy) -> Gradients {
          return {broadcast_to(unsqueeze(dy, 1), {2, 3})};
        });
      },
      {leaf({2, 3}, 1)});
}

}  // namespace
}  // namespace tern
