// SPDX-License-Identifier: Apache-2.0
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

TEST(Dropout, DropsTheShareAndScalesTheRest) {
  manual_seed(3);
  const int64_t count = 100001;
  const auto y = dropout(ones({count}), 0.3).to_vector<float>();
  double kept = 0;
  for (const float v : y) {
    if (v == 0) continue;
    EXPECT_FLOAT_EQ(v, 1 / 0.7f);
    ++kept;
  }
  // Five standard deviations.
  EXPECT_NEAR(kept / static_cast<double>(count), 0.7, 5 * std::sqrt(0.21 / 1e5));
}

TEST(Dropout, NeighboursAreIndependent) {
  manual_seed(4);
  const auto y = dropout(ones({100000}), 0.5).to_vector<float>();
  for (const size_t distance : {1u, 2u, 3u}) {
    double both = 0;
    for (size_t i = 0; i + distance < y.size(); ++i) both += y[i] != 0 && y[i + distance] != 0;
    EXPECT_NEAR(both / 1e5, 0.25, 5 * std::sqrt(0.1875 / 1e5)) << distance;
  }
}

TEST(Dropout, GradientGoesThroughTheSameMask) {
  const Function f = [](const Inputs& x) {
    manual_seed(1);
    return dropout(x[0] * x[0], 0.4);
  };
  expect_gradients(f, {leaf({5, 7}, 1)});
  expect_f32_follows_f64(
      [](const Inputs& x) {
        manual_seed(1);
        return dropout(x[0], 0.4);
      },
      {leaf({33, 7}, 1)});
  // Another mask in the backward pass is noticed.
  expect_rejected(
      [](const Inputs& x) {
        manual_seed(1);
        return with_backward(dropout(x[0], 0.4), x,
                             [](const Tensor& dy) -> Gradients { return {dropout(dy, 0.4)}; });
      },
      {leaf({5, 7}, 1)});
}

TEST(Dropout, GradientInAnotherMemoryOrder) {
  const Tensor x =
      to_memory_format(randn({2, 3, 5, 7}), MemoryFormat::channels_last).set_requires_grad();
  const Tensor y = dropout(x, 0.5);
  EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
  y.backward(ones({2, 3, 5, 7}));
  expect_close(mul(x.detach(), x.grad()), y, 1e-6);
}

TEST(Dropout, TheEnds) {
  const Tensor x = tensor(std::vector<float>{1, NAN, INFINITY}, {3}).set_requires_grad();
  EXPECT_TRUE(dropout(x, 0.5, false).is_same(x));
  EXPECT_TRUE(dropout(x, 0).is_same(x));
  const Tensor y = dropout(x, 1);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{0, 0, 0}));
  y.backward(ones({3}));
  EXPECT_EQ(x.grad().to_vector<float>(), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(dropout(zeros({0}), 0.5).numel(), 0);
}

TEST(Dropout, SeedDecidesAndThreadsDoNot) {
  expect_thread_invariant([] {
    manual_seed(7);
    return dropout(ones({100001}), 0.5);
  });
  manual_seed(7);
  const auto a = dropout(ones({100}), 0.5).to_vector<float>();
  EXPECT_NE(dropout(ones({100}), 0.5).to_vector<float>(), a);
}

TEST(Dropout, Errors) {
  expect_error([] { dropout(ones({2}), 1.5); }, {"[dropout]", "p is 1.5", "0 to 1"});
  expect_error([] { dropout(ones({2}), NAN); }, {"[dropout]", "nan"});
  expect_error([] { dropout(ones({2}, DType::i64)); }, {"i64[2]"});
}

}  // namespace
}  // namespace tern
