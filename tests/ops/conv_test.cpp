// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/core/autograd.h>
#include <tern/core/counters.h>
#include <tern/core/error.h>
#include <tern/core/gradcheck.h>
#include <tern/core/profiler.h>
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
#include <set>
#include <string>

#include "support.h"

using namespace tern;
using tern::gradcheck;
using tern::gradgradcheck;

using tern::test::checksum;
using tern::test::message_of;
using tern::test::pattern;
using tern::test::relative_distance;

namespace {

Tensor leaf(const Shape& shape) { return randn(shape, DType::f64).set_requires_grad(); }

struct Case {
  Shape x, weight;
  Conv2dOptions params = {};
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
            const Conv2dOptions& params) {
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
      const Conv2dOptions params{.stride = known.stride,
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
  EXPECT_LT(relative_distance(b.grad(), sum(dy, {0, 2, 3})), 1e-15);
  const Tensor w2 = w.detach().set_requires_grad();
  conv2d(x, w2).backward(dy);
  EXPECT_LT(relative_distance(w2.grad(), run(x, w, b, dy, {}).dw), 1e-15);
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
    Conv2dOptions params;
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
  sizes.push_back({17, 17, 5, {.padding = 2, .groups = 17}});
  sizes.push_back({40, 40, 7, {.stride = {2, 1}, .padding = {3, 2}, .groups = 40}});
  sizes.push_back({24, 24, 3, {.stride = {1, 2}, .padding = 2, .dilation = 2, .groups = 24}});
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
      EXPECT_LT(relative_distance(fast.y, exact.y), 2e-6);
      EXPECT_LT(relative_distance(fast.dx, exact.dx), 2e-6);
      EXPECT_LT(relative_distance(fast.dw, exact.dw), 4e-6);
      EXPECT_LT(relative_distance(fast.db, exact.db), 4e-6);  // a sum over as many pixels as dw's
      EXPECT_EQ(fast.y.memory_format(), MemoryFormat::channels_last);
    };
    const Tensor x_last = to_memory_format(x, MemoryFormat::channels_last);
    const Tensor dy_last = to_memory_format(dy, MemoryFormat::channels_last);
    expect_near(run(x, w, b, dy, s.params), "row-major, dy row-major");
    expect_near(run(x, w, b, dy_last, s.params), "row-major, dy channels-last");
    expect_near(run(x_last, w, b, dy, s.params), "channels-last, dy row-major");
    expect_near(run(x_last, w, b, dy_last, s.params), "channels-last");
    const Results without_bias = run(x_last, w, {}, dy_last, s.params);
    EXPECT_LT(relative_distance(without_bias.dw, exact.dw), 4e-6);
    {
      const ReferenceKernels reference;
      const Results eigen = run(x_last, w, b, dy_last, s.params);
      EXPECT_LT(relative_distance(eigen.y, exact.y), 2e-6);
      EXPECT_LT(relative_distance(eigen.dx, exact.dx), 2e-6);
      EXPECT_LT(relative_distance(eigen.dw, exact.dw), 4e-6);
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
  const Conv2dOptions params{.padding = 1};
  const Results exact =
      run(x.to(DType::f64), w.to(DType::f64), b.to(DType::f64), dy.to(DType::f64), params);
  const Results fast = run(x, w, b, dy, params);
  EXPECT_LT(relative_distance(fast.y, exact.y), 1e-5);
  EXPECT_LT(relative_distance(fast.dx, exact.dx), 1e-5);
  EXPECT_LT(relative_distance(fast.dw, exact.dw), 1e-5);
  EXPECT_LT(relative_distance(fast.db, exact.db), 2e-6);
  const Results direct = run(x, w, b, dy, {.padding = 1, .algorithm = ConvAlgorithm::direct});
  EXPECT_LT(relative_distance(direct.y, exact.y), 1e-6);
  EXPECT_LT(relative_distance(direct.dw, exact.dw), 4e-6);
}

// Not oneDNN's: tens of milliseconds for one image, on AVX2 seconds.
TEST(Conv, LargeDepthwiseWindowsHaveGradientsOfTheirOwn) {
  manual_seed(9);
  const test::ThreadCount restored;
  const Tensor x = randn({3, 20, 11, 9}).requires_grad_();
  for (const Conv2dOptions& options :
       {Conv2dOptions{.padding = 2, .groups = 20},
        Conv2dOptions{.stride = 2, .padding = 3, .dilation = 2, .groups = 20}}) {
    const Tensor w = randn({20, 1, 5, 5}).requires_grad_();
    const Tensor y = conv2d(x, w, {}, options);
    const Tensor dy = randn(y.shape());
    const Profiler profiler;
    const auto gradients = [&] {
      return grad(y, {x, w}, {.retain_graph = true, .grad_output = dy});
    };
    set_num_threads(1);
    const auto one = gradients();
    for (const int threads : {2, 4}) {
      set_num_threads(threads);
      const auto many = gradients();
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(many[i].to_vector<float>(), one[i].to_vector<float>()) << i;
      }
    }
    std::set<std::string> by;
    for (const ProfilerEvent& event : profiler.events()) {
      if (event.name == "conv2d_backward_weights") by.insert(event.implementation);
    }
    EXPECT_EQ(by, std::set<std::string>{"depthwise"});
  }
}

TEST(Conv, DeterministicModeGivesTheSameBitsForEveryNumberOfThreads) {
  manual_seed(7);
  const int before = num_threads();
  set_deterministic(true);
  for (const Conv2dOptions& params :
       {Conv2dOptions{.padding = 1}, Conv2dOptions{.stride = 2, .padding = 1},
        Conv2dOptions{.padding = 1, .algorithm = ConvAlgorithm::direct}}) {
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

// Where oneDNN divides a small image by the number of threads.
TEST(Conv, DeterministicModeCoversSmallPaddedImages) {
  manual_seed(8);
  const int before = num_threads();
  set_deterministic(true);
  struct Case {
    Shape x, weight;
    Conv2dOptions options;
  };
  const Case cases[] = {
      {{2, 4, 2, 2}, {1, 4, 2, 3}, {.stride = {2, 1}, .padding = {0, 2}}},
      {{3, 2, 2, 9}, {4, 2, 2, 3}, {.padding = {0, 2}}},
      {{2, 4, 3, 7}, {4, 4, 3, 2}, {.stride = 2, .padding = {1, 2}, .dilation = {2, 1}}},
      {{1, 4, 4, 9}, {4, 4, 3, 3}, {.stride = {2, 1}, .padding = {1, 3}, .dilation = {1, 2}}},
      {{1, 5, 4, 10}, {3, 5, 3, 3}, {.padding = {1, 3}, .dilation = {2, 1}}},
      {{5, 36, 2, 21}, {56, 36, 2, 3}, {.padding = {1, 2}}},
      {{2, 3, 8, 4}, {1, 3, 2, 2}, {.dilation = 2}},
      {{0, 3, 8, 4}, {1, 3, 2, 2}, {}},
  };
  for (const Case& c : cases) {
    const Tensor x = randn(c.x), w = randn(c.weight);
    for (const Tensor& bias : {Tensor(), randn({c.weight[0]})}) {
      set_num_threads(1);
      const Tensor one = conv2d(x, w, bias, c.options);
      const Tensor exact = conv2d(x.to(DType::f64), w.to(DType::f64),
                                  bias.defined() ? bias.to(DType::f64) : bias, c.options);
      EXPECT_LT(relative_distance(one, exact), 1e-6);
      for (const int threads : {2, 3, 4}) {
        set_num_threads(threads);
        EXPECT_EQ(conv2d(x, w, bias, c.options).to_vector<float>(), one.to_vector<float>())
            << c.x << ' ' << c.weight << ", " << threads << " threads";
      }
    }
  }
  set_deterministic(false);
  set_num_threads(before);
}

// What docs/convolution.md says of outliers.
TEST(Conv, OutliersReachNoOtherWindowDirectly) {
  constexpr int64_t kRow = 16, kColumn = 17;
  const Tensor w = ones({16, 16, 3, 3});
  for (const double pixel : {1e4, 1e10, double{INFINITY}, double{NAN}}) {
    const Tensor x = zeros({4, 16, 32, 32});
    x.mutable_data<float>()[3 * 1024 + kRow * 32 + kColumn] = static_cast<float>(pixel);
    for (const ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::automatic}) {
      const auto y = conv2d(x, w, {}, {.padding = 1, .algorithm = algorithm}).to_vector<float>();
      for (size_t i = 0; i < y.size(); ++i) {
        const auto place = static_cast<int64_t>(i);
        const int64_t away =
            std::max(std::abs(place / 32 % 32 - kRow), std::abs(place % 32 - kColumn));
        const bool elsewhere = place >= 16 * 1024 || away > 5;
        if (place < 16 * 1024 && away <= 1) continue;  // the window holds the pixel
        if (elsewhere || algorithm == ConvAlgorithm::direct) {
          ASSERT_EQ(y[i], 0) << place;
        } else if (std::isfinite(pixel)) {
          ASSERT_LE(std::fabs(y[i]), 2e-6 * pixel) << place;
        }
      }
    }
  }
}

TEST(Conv, ChannelsLastNeedsNoReorder) {
  for (const int64_t c : {3, 16, 32}) {
    const Tensor x = to_memory_format(randn({4, c, 12, 12}), MemoryFormat::channels_last);
    const Tensor w = randn({32, c, 3, 3});
    const Tensor dy = to_memory_format(randn({4, 32, 12, 12}), MemoryFormat::channels_last);
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
  const Tensor dy = to_memory_format(randn({4, 8, 10, 10}), MemoryFormat::channels_last);
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
    EXPECT_LT(relative_distance(nhwc, permute(nchw, {0, 2, 3, 1})), 1e-30);
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
  const Conv2dOptions params{.stride = 2};
  const Results exact = run(x, w, {}, dy, params);
  for (int i = 0; i < 20; ++i) {
    const Results r = run(x.to(DType::f32), w.to(DType::f32), {}, dy.to(DType::f32), params);
    EXPECT_LT(relative_distance(r.dw, exact.dw), 1e-5);
    EXPECT_LT(relative_distance(r.dx, exact.dx), 1e-5);
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
  expect("want 4 axes", [&] { conv2d(zeros({3, 8, 8}), w); });
  expect("the first tensor is undefined", [&] { conv2d({}, w); });
  expect("want two tensors", [&] { conv2d(x, {}); });
  expect("weight is f64, x is f32", [&] { conv2d(x, w.to(DType::f64)); });
  expect("want f32 or f64", [&] { conv2d(zeros({2, 3, 8, 8}, DType::i64), w); });
  expect("bias is f32[3]", [&] { conv2d(x, w, zeros({3})); });
  expect("bias is f64[4]", [&] { conv2d(x, w, zeros({4}, DType::f64)); });
  expect("stride is {0,1}", [&] { conv2d(x, w, {}, {.stride = {0, 1}}); });
  expect("dilation is {0,0}", [&] { conv2d(x, w, {}, {.dilation = 0}); });
  expect("padding is {-1,0}", [&] { conv2d(x, w, {}, {.padding = {-1, 0}}); });
  expect("less than 2^31", [&] { conv2d(x, w, {}, {.padding = int64_t{1} << 62}); });
  expect("groups is 2", [&] { conv2d(x, w, {}, {.groups = 2}); });
  expect("groups is 0", [&] { conv2d(x, w, {}, {.groups = 0}); });
  expect("kernel covers 9 pixels along H", [&] { conv2d(x, w, {}, {.dilation = 4}); });
  expect("x has 8", [&] { conv2d(x, w, {}, {.data_format = DataFormat::NHWC}); });
  expect("x is f32[2,3,8,0], weight f32[4,3,3,3], want at least 1 pixel of each along W", [&] {
    conv2d(zeros({2, 3, 8, 0}), w, {}, {.padding = 5});
  });
  expect("at least one", [&] { conv2d(x, zeros({0, 3, 3, 3})); });
}
