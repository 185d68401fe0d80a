// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/core/autograd.h>
#include <tern/core/counters.h>
#include <tern/core/error.h>
#include <tern/core/gradcheck.h>
#include <tern/core/random.h>
#include <tern/core/threads.h>
#include <tern/ops/arithmetic.h>
#include <tern/ops/backend.h>
#include <tern/ops/conv.h>
#include <tern/ops/movement.h>
#include <tern/ops/reduce.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "support.h"

using namespace tern;
using tern::testing::gradcheck;
using tern::testing::gradgradcheck;

using tern::support::checksum;
using tern::support::distance;
using tern::support::message_of;
using tern::support::pattern;

namespace {

Tensor leaf(const Shape& shape) { return randn(shape, DType::f64).set_requires_grad(); }

struct Case {
  Shape x, weight;
  Conv2dParams params = {};
};

const std::vector<Case> kCases = {
    {{2, 3, 4, 5}, {2, 3, 3, 3}, {.padding = 1}},
    {{1, 2, 5, 4}, {3, 2, 3, 2}, {.stride = {2, 1}, .padding = {0, 1}}},
    {{2, 2, 6, 5}, {2, 2, 2, 2}, {.stride = {3, 2}, .padding = {2, 1}, .dilation = {2, 3}}},
    {{2, 4, 3, 3}, {6, 2, 3, 3}, {.padding = 1, .groups = 2}},
    {{1, 3, 4, 4}, {3, 1, 3, 3}, {.stride = 2, .padding = 1, .groups = 3}},
    {{2, 3, 3, 2}, {4, 3, 1, 1}, {}},
    {{2, 4, 4, 3}, {2, 3, 3, 3}, {.padding = 1, .data_format = DataFormat::NHWC}},
    {{1, 5, 5, 2}, {2, 1, 2, 3}, {.stride = 2, .groups = 2, .data_format = DataFormat::NHWC}},
};

struct Results {
  Tensor y, dx, dw, db;
};

Results run(const Tensor& x0, const Tensor& w0, const Tensor& b0, const Tensor& dy,
            const Conv2dParams& params) {
  const Tensor x = x0.detach().set_requires_grad();
  const Tensor w = w0.detach().set_requires_grad();
  const Tensor b = b0.defined() ? b0.detach().set_requires_grad() : Tensor();
  const Tensor y = conv2d(x, w, b, params);
  y.backward(dy);
  return {y, x.grad(), w.grad(), b.defined() ? b.grad() : Tensor()};
}

}  // namespace

// Sums computed with PyTorch 1.13 (torch.nn.functional.conv2d and its backward).
TEST(Conv, AgreesWithPyTorch) {
  struct Known {
    Shape x, weight;
    Size2d stride, padding, dilation;
    int64_t groups;
    Shape y;
    double sum_y, sum_dx, sum_dw, sum_db;
  };
  const Known cases[] = {
      {{2, 3, 5, 6}, {4, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}, 1, {2, 4, 5, 6}, -6002, -591, 430, 83},
      {{2, 4, 7, 6}, {6, 2, 3, 2}, {2, 1}, {0, 1}, {1, 2}, 2, {2, 6, 3, 6}, -2919, -754, 283, 315},
      {{1, 4, 5, 5}, {4, 1, 3, 3}, {1, 1}, {2, 2}, {2, 2}, 4, {1, 4, 5, 5}, -354, 1263, 198, 81},
      {{3, 2, 4, 4}, {5, 2, 1, 1}, {2, 2}, {0, 0}, {1, 1}, 1, {3, 5, 2, 2}, 35, 457, -308, 66},
  };
  for (const Known& known : cases) {
    for (const DType dtype : {DType::f64, DType::f32}) {
      const Conv2dParams params{.stride = known.stride,
                                .padding = known.padding,
                                .dilation = known.dilation,
                                .groups = known.groups,
                                .algorithm = ConvAlgorithm::direct};
      const Results r =
          run(pattern(known.x, 7, 11, 5).to(dtype), pattern(known.weight, 5, 7, 3).to(dtype),
              pattern({known.weight[0]}, 2, 5, 2).to(dtype), pattern(known.y, 3, 17, 8).to(dtype),
              params);
      EXPECT_EQ(r.y.shape(), known.y);
      EXPECT_EQ(checksum(r.y.to(DType::f64)), known.sum_y);
      EXPECT_EQ(checksum(r.dx.to(DType::f64)), known.sum_dx);
      EXPECT_EQ(checksum(r.dw.to(DType::f64)), known.sum_dw);
      EXPECT_EQ(checksum(r.db.to(DType::f64)), known.sum_db);
    }
  }
}

TEST(Conv, GradientIsRight) {
  for (const Case& c : kCases) {
    manual_seed(1);
    const auto f = [&](const std::vector<Tensor>& in) {
      return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), c.params);
    };
    EXPECT_TRUE(gradcheck(f, {leaf(c.x), leaf(c.weight)}));
    EXPECT_TRUE(gradcheck(f, {leaf(c.x), leaf(c.weight), leaf({c.weight[0]})}));
  }
}

TEST(Conv, GradientOfTheGradientIsRight) {
  for (const Case& c : kCases) {
    manual_seed(2);
    const auto f = [&](const std::vector<Tensor>& in) {
      return conv2d(in[0], in[1], in[2], c.params);
    };
    EXPECT_TRUE(gradgradcheck(f, {leaf(c.x), leaf(c.weight), leaf({c.weight[0]})}));
  }
}

TEST(Conv, ThirdDerivativeIsRight) {
  manual_seed(3);
  // d/dx of |d(sum(conv^3))/dw|^2 reaches the backward of every backward.
  const auto f = [](const std::vector<Tensor>& in) {
    const Tensor y = conv2d(in[0], in[1], in[2], {.padding = 1});
    const auto first = grad(sum(y * y * y), {in[1]}, {.create_graph = true});
    const auto second = grad(sum(first[0] * first[0]), {in[0], in[2]}, {.create_graph = true});
    return sum(second[0] * second[0]) * 1e-6 + sum(second[1]) * 1e-3;
  };
  EXPECT_TRUE(
      gradcheck(f, {leaf({1, 2, 3, 3}), leaf({2, 2, 3, 3}), leaf({2})}, {.tolerance = 1e-5}));
}

TEST(Conv, OnlyWhatIsAskedForIsComputed) {
  const Tensor x = randn({1, 2, 4, 4}, DType::f64);
  const Tensor w = randn({3, 2, 3, 3}, DType::f64);
  const Tensor b = zeros({3}, DType::f64).set_requires_grad();
  const Tensor dy = randn({1, 3, 2, 2}, DType::f64);
  conv2d(x, w, b).backward(dy);
  EXPECT_LT(distance(b.grad(), sum(dy, {0, 2, 3})), 1e-15);
  const Tensor w2 = w.detach().set_requires_grad();
  conv2d(x, w2).backward(dy);
  EXPECT_LT(distance(w2.grad(), run(x, w, b, dy, {}).dw), 1e-15);
  EXPECT_FALSE(x.grad().defined());
}

// A backward that scales a gradient, transposes one or drops one must not pass.
namespace {
enum class Mutation { none, scaled_dx, transposed_dw, no_bias };

class MutantConv final : public Node {
 public:
  MutantConv(const Tensor& x, const Tensor& w, const Tensor& b, Mutation mutation)
      : x_(this, x), w_(this, w), b_(this, b), mutation_(mutation) {}
  const char* name() const override { return "mutant conv2d"; }
  Gradients backward(const Tensor& dy) override {
    const GradMode record(true);  // for the pass inside
    const Results r = run(x_.get(), w_.get(), b_.get(), dy, {.padding = 1});
    return {mutation_ == Mutation::scaled_dx ? r.dx * 1.001 : r.dx,
            mutation_ == Mutation::transposed_dw ? transpose(r.dw, 2, 3) : r.dw,
            mutation_ == Mutation::no_bias ? Tensor() : r.db};
  }

 private:
  Saved x_, w_, b_;
  Mutation mutation_;
};

bool check_mutant(Mutation mutation) {
  manual_seed(4);
  const auto f = [&](const std::vector<Tensor>& in) {
    const Tensor y = conv2d(in[0].detach(), in[1].detach(), in[2].detach(), {.padding = 1});
    return record<MutantConv>(y, {in[0], in[1], in[2]}, in[0], in[1], in[2], mutation);
  };
  return gradcheck(f, {leaf({2, 2, 3, 3}), leaf({2, 2, 3, 3}), leaf({2})});
}
}  // namespace

TEST(Conv, WrongBackwardIsRejected) {
  EXPECT_THROW(check_mutant(Mutation::scaled_dx), Error);
  EXPECT_THROW(check_mutant(Mutation::transposed_dw), Error);
  EXPECT_THROW(check_mutant(Mutation::no_bias), Error);
  EXPECT_TRUE(check_mutant(Mutation::none));
}

TEST(Conv, OneDnnAgreesWithEigenInEveryOrder) {
  manual_seed(5);
  struct Sizes {
    int64_t c, k, kernel;
    Conv2dParams params;
  };
  std::vector<Sizes> sizes;
  for (const int64_t c : {1, 3, 5, 17, 24}) {
    for (const int64_t k : {1, 5, 24}) {
      sizes.push_back({c, k, 3, {.padding = 1}});
      sizes.push_back({c, k, 3, {.stride = 2, .padding = 1}});
      sizes.push_back({c, k, 1, {}});
    }
  }
  sizes.push_back({17, 3, 3, {.padding = 2, .dilation = 2}});
  sizes.push_back({5, 24, 5, {.stride = {2, 3}, .padding = {2, 1}}});
  sizes.push_back({24, 24, 3, {.padding = 1, .groups = 24}});
  sizes.push_back({17, 17, 3, {.stride = 2, .padding = 1, .groups = 17}});
  sizes.push_back({24, 48, 3, {.padding = 1, .groups = 3}});
  sizes.push_back({10, 6, 3, {.padding = 1, .groups = 2}});
  sizes.push_back({64, 32, 3, {.padding = 1, .groups = 2}});
  for (const Sizes& s : sizes) {
    const Shape xs{3, s.c, 9, 8};
    const Tensor x = randn(xs);
    const Tensor w = randn({s.k, s.c / s.params.groups, s.kernel, s.kernel});
    const Tensor b = randn({s.k});
    Shape ys;
    {
      const NoGrad guard;
      ys = conv2d(x, w, b, s.params).shape();
    }
    const Tensor dy = randn(ys);
    const Results exact =
        run(x.to(DType::f64), w.to(DType::f64), b.to(DType::f64), dy.to(DType::f64), s.params);
    const auto expect_near = [&](const Results& fast, const char* what) {
      SCOPED_TRACE(std::string(what) + " c " + std::to_string(s.c) + " k " + std::to_string(s.k));
      EXPECT_LT(distance(fast.y, exact.y), 2e-6);
      EXPECT_LT(distance(fast.dx, exact.dx), 2e-6);
      EXPECT_LT(distance(fast.dw, exact.dw), 4e-6);
      EXPECT_LT(distance(fast.db, exact.db), 4e-6);  // a sum over as many pixels as dw's
      EXPECT_EQ(fast.y.order(), Order::channels_last);
    };
    const Tensor x_last = to_order(x, Order::channels_last);
    const Tensor dy_last = to_order(dy, Order::channels_last);
    expect_near(run(x, w, b, dy, s.params), "row-major, dy row-major");
    expect_near(run(x, w, b, dy_last, s.params), "row-major, dy channels-last");
    expect_near(run(x_last, w, b, dy, s.params), "channels-last, dy row-major");
    expect_near(run(x_last, w, b, dy_last, s.params), "channels-last");
    const Results without_bias = run(x_last, w, {}, dy_last, s.params);
    EXPECT_LT(distance(without_bias.dw, exact.dw), 4e-6);
    {
      const ReferenceKernels reference;
      const Results eigen = run(x_last, w, b, dy_last, s.params);
      EXPECT_LT(distance(eigen.y, exact.y), 2e-6);
      EXPECT_LT(distance(eigen.dx, exact.dx), 2e-6);
      EXPECT_LT(distance(eigen.dw, exact.dw), 4e-6);
    }
  }
  for (const std::string& name : primitive_implementations()) {
    EXPECT_EQ(name.find(": ref"), std::string::npos) << name;
  }
}

TEST(Conv, WinogradAgreesWithEigen) {
  manual_seed(6);
  const Tensor x = randn({8, 32, 12, 10});
  const Tensor w = randn({48, 32, 3, 3});
  const Tensor b = randn({48});
  const Tensor dy = randn({8, 48, 12, 10});
  const Conv2dParams params{.padding = 1};
  const Results exact =
      run(x.to(DType::f64), w.to(DType::f64), b.to(DType::f64), dy.to(DType::f64), params);
  const Results fast = run(x, w, b, dy, params);
  EXPECT_LT(distance(fast.y, exact.y), 1e-5);
  EXPECT_LT(distance(fast.dx, exact.dx), 1e-5);
  EXPECT_LT(distance(fast.dw, exact.dw), 1e-5);
  EXPECT_LT(distance(fast.db, exact.db), 2e-6);
  const Results direct = run(x, w, b, dy, {.padding = 1, .algorithm = ConvAlgorithm::direct});
  EXPECT_LT(distance(direct.y, exact.y), 1e-6);
  EXPECT_LT(distance(direct.dw, exact.dw), 4e-6);
}

TEST(Conv, DeterministicModeGivesTheSameBitsForEveryNumberOfThreads) {
  manual_seed(7);
  const int before = num_threads();
  set_deterministic(true);
  for (const Conv2dParams& params :
       {Conv2dParams{.padding = 1}, Conv2dParams{.stride = 2, .padding = 1},
        Conv2dParams{.padding = 1, .algorithm = ConvAlgorithm::direct}}) {
    const Tensor x = randn({16, 32, 16, 16});
    const Tensor w = randn({32, 32, 3, 3});
    const Tensor b = randn({32});
    const int64_t side = params.stride.h == 2 ? 8 : 16;
    const Tensor dy = randn({16, 32, side, side});
    set_num_threads(1);
    const Results one = run(x, w, b, dy, params);
    for (const int threads : {2, 3, 4}) {
      set_num_threads(threads);
      const Results many = run(x, w, b, dy, params);
      EXPECT_EQ(one.y.to_vector<float>(), many.y.to_vector<float>());
      EXPECT_EQ(one.dx.to_vector<float>(), many.dx.to_vector<float>());
      EXPECT_EQ(one.dw.to_vector<float>(), many.dw.to_vector<float>());
      EXPECT_EQ(one.db.to_vector<float>(), many.db.to_vector<float>());
    }
  }
  set_deterministic(false);
  set_num_threads(before);
}

TEST(Conv, ChannelsLastNeedsNoReorder) {
  for (const int64_t c : {3, 16, 32}) {
    const Tensor x = to_order(randn({4, c, 12, 12}), Order::channels_last);
    const Tensor w = randn({32, c, 3, 3});
    const Tensor dy = to_order(randn({4, 32, 12, 12}), Order::channels_last);
    reset_counters();
    run(x, w, randn({32}), dy, {.padding = 1});
    EXPECT_EQ(counters().reorders, 0);
    // And [N,H,W,C] in row-major order is the same bytes.
    const Tensor nhwc = randn({4, 12, 12, c});
    const Tensor nhwc_dy = randn({4, 12, 12, 32});
    run(nhwc, w, randn({32}), nhwc_dy, {.padding = 1, .data_format = DataFormat::NHWC});
    EXPECT_EQ(counters().reorders, 0);
  }
}

TEST(Conv, RowMajorInputIsReorderedOnce) {
  const Tensor x = randn({4, 8, 12, 12});
  const Tensor w = randn({8, 8, 3, 3}).set_requires_grad();
  const Tensor dy = to_order(randn({4, 8, 10, 10}), Order::channels_last);
  reset_counters();
  conv2d(x, w).backward(dy);
  EXPECT_EQ(counters().reorders, 1);
}

TEST(Conv, NhwcIsNchwPermuted) {
  manual_seed(8);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = randn({2, 5, 6, 3}, dtype);
    const Tensor w = randn({4, 3, 3, 3}, dtype);
    const Tensor b = randn({4}, dtype);
    const Tensor nhwc = conv2d(x, w, b, {.stride = 2, .data_format = DataFormat::NHWC});
    const Tensor nchw = conv2d(permute(x, {0, 3, 1, 2}), w, b, {.stride = 2});
    EXPECT_EQ(nhwc.shape(), Shape({2, 2, 2, 4}));
    EXPECT_LT(distance(nhwc, permute(nchw, {0, 2, 3, 1})), 1e-30);
  }
}

TEST(Conv, EmptyBatchHasZeroGradients) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = zeros({0, 3, 8, 8}, dtype).set_requires_grad();
    const Tensor w = randn({4, 3, 3, 3}, dtype).set_requires_grad();
    const Tensor b = randn({4}, dtype).set_requires_grad();
    const Tensor y = conv2d(x, w, b);
    EXPECT_EQ(y.shape(), Shape({0, 4, 6, 6}));
    y.backward(zeros({0, 4, 6, 6}, dtype));
    EXPECT_EQ(x.grad().shape(), x.shape());
    EXPECT_EQ(sum(w.grad() * w.grad()).to(DType::f64).item<double>(), 0);
    EXPECT_EQ(sum(b.grad() * b.grad()).to(DType::f64).item<double>(), 0);
  }
}

// oneDNN 2.6 on AVX2 writes far past its scratchpad here, unless that is made larger.
TEST(Conv, PointwiseWithStrideOfFewChannelsStaysInItsMemory) {
  manual_seed(8);
  const Tensor x = randn({2, 3, 64, 64}, DType::f64), w = randn({5, 3, 1, 1}, DType::f64);
  const Tensor dy = randn({2, 5, 32, 32}, DType::f64);
  const Conv2dParams params{.stride = 2};
  const Results exact = run(x, w, {}, dy, params);
  for (int i = 0; i < 20; ++i) {
    const Results r = run(x.to(DType::f32), w.to(DType::f32), {}, dy.to(DType::f32), params);
    EXPECT_LT(distance(r.dw, exact.dw), 1e-5);
    EXPECT_LT(distance(r.dx, exact.dx), 1e-5);
  }
}

TEST(Conv, ErrorsSayWhatIsWrong) {
  const Tensor x = zeros({2, 3, 8, 8});
  const Tensor w = zeros({4, 3, 3, 3});
  const auto expect = [](const char* part, const std::function<void()>& f) {
    const std::string message = message_of(f);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find("[conv2d]"), 0u) << message;
  };
  EXPECT_EQ(message_of([&] {
              conv2d(x, zeros({4, 4, 3, 3}));
            }).substr(0, 54),
            "[conv2d] weight expects 4 input channels, x has 3 (x f");
  expect("need 4 axes", [&] { conv2d(zeros({3, 8, 8}), w); });
  expect("must be defined", [&] { conv2d({}, w); });
  expect("must be defined", [&] { conv2d(x, {}); });
  expect("weight is f64, x is f32", [&] { conv2d(x, w.to(DType::f64)); });
  expect("f32 or f64 expected", [&] { conv2d(zeros({2, 3, 8, 8}, DType::i64), w); });
  expect("bias is f32[3]", [&] { conv2d(x, w, zeros({3})); });
  expect("bias is f64[4]", [&] { conv2d(x, w, zeros({4}, DType::f64)); });
  expect("stride is {0,1}", [&] { conv2d(x, w, {}, {.stride = {0, 1}}); });
  expect("dilation is {0,0}", [&] { conv2d(x, w, {}, {.dilation = 0}); });
  expect("padding is {-1,0}", [&] { conv2d(x, w, {}, {.padding = {-1, 0}}); });
  expect("below 2^31", [&] { conv2d(x, w, {}, {.padding = int64_t{1} << 62}); });
  expect("groups is 2", [&] { conv2d(x, w, {}, {.groups = 2}); });
  expect("groups is 0", [&] { conv2d(x, w, {}, {.groups = 0}); });
  expect("kernel covers 9 pixels along H", [&] { conv2d(x, w, {}, {.dilation = 4}); });
  expect("x has 8", [&] { conv2d(x, w, {}, {.data_format = DataFormat::NHWC}); });
  expect("at least one", [&] { conv2d(x, zeros({0, 3, 3, 3})); });
}
