// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Softmax, GradientsAlongEveryAxis) {
  for (int64_t axis = 0; axis < 3; ++axis) {
    expect_gradients([=](const Inputs& x) { return softmax(x[0], axis); }, {leaf({3, 4, 2}, 1)});
    expect_gradients([=](const Inputs& x) { return log_softmax(x[0], axis); },
                     {leaf({3, 4, 2}, 1)});
  }
}

TEST(Softmax, F32FollowsF64InBothOrders) {
  // The second shape is large enough for threads.
  for (const Shape& shape : {Shape{2, 3, 7, 5}, Shape{3, 17, 33, 7}, Shape{1, 1, 1, 3}}) {
    for (int64_t axis = -4; axis < 0; ++axis) {
      expect_f32_follows_f64([=](const Inputs& x) { return softmax(x[0], axis); },
                             {leaf(shape, 2)});
      expect_f32_follows_f64([=](const Inputs& x) { return log_softmax(x[0], axis); },
                             {leaf(shape, 2)}, 1e-5);
    }
  }
  expect_f32_follows_f64([](const Inputs& x) { return log_softmax(x[0], 1); },
                         {leaf({64, 1000}, 3)}, 1e-5);
}

TEST(Softmax, HugeAndInfiniteValues) {
  const auto both = [](const std::vector<double>& x) {
    const auto n = static_cast<int64_t>(x.size());
    return softmax(tensor(x, {n}), 0).to_vector<double>();
  };
  EXPECT_EQ(both({1e300, 1e300}), (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(both({0, -kInfinity}), (std::vector<double>{1, 0}));
  for (const double v : both({-kInfinity, -kInfinity})) EXPECT_TRUE(std::isnan(v));
  for (const double v : both({NAN, 1, 2})) EXPECT_TRUE(std::isnan(v));
  // The same on the fast path: NaN spreads over its row only, and a row of masked scores.
  const Tensor bad = randn({8, 1024});
  bad.raw<float>()[1024 + 500] = NAN;
  for (const Tensor& z : {softmax(bad, 1), log_softmax(bad, 1)}) {
    for (int64_t i = 0; i < z.numel(); ++i)
      ASSERT_EQ(std::isnan(z.raw<float>()[i]), i / 1024 == 1) << i;
  }
  const Tensor x = full({8, 1024}, -kInfinity);
  for (int64_t i = 0; i < 8; ++i) x.raw<float>()[i * 1024 + i] = 3;
  const auto y = softmax(x, 1).to_vector<float>();
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], i % 1025 == 0 ? 1 : 0) << i;
}

TEST(Softmax, EmptyTensorsAndErrors) {
  EXPECT_EQ(softmax(zeros({0, 3}), 1).shape(), (Shape{0, 3}));
  EXPECT_EQ(softmax(zeros({3, 0}), 1).shape(), (Shape{3, 0}));
  expect_error([] { softmax(zeros({3}), 1); }, {"[softmax]", "axis 1"});
  expect_error([] { log_softmax(zeros({3}, DType::i64), 0); }, {"[log_softmax]", "i64[3]", ".to("});
}

TEST(Softmax, CheckerRejectsAWrongBackward) {
  expect_rejected(
      [](const Inputs& x) {
        const Tensor y = softmax(x[0], 1);
        return with_backward(y, x, [=](const Tensor& dy) -> Gradients { return {dy * y}; });
      },
      {leaf({3, 4}, 5)});
}

}  // namespace
}  // namespace tern
