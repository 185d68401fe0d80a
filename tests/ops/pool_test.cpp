// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/core/autograd.h>
#include <tern/core/counters.h>
#include <tern/core/error.h>
#include <tern/core/gradcheck.h>
#include <tern/core/random.h>
#include <tern/core/threads.h>
#include <tern/ops/arithmetic.h>
#include <tern/ops/movement.h>
#include <tern/ops/pool.h>
#include <tern/ops/reduce.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "support.h"

using namespace tern;
using tern::gradcheck;
using tern::gradgradcheck;

using tern::test::checksum;
using tern::test::message_of;
using tern::test::pattern;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Values that lie so far apart that a step of the central difference changes no maximum.
Tensor distinct(const Shape& shape) {
  const int64_t n = shape.numel();
  std::vector<double> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = static_cast<double>(i) * 0.01;
  for (int64_t i = n - 1; i > 0; --i) {
    std::swap(values[static_cast<size_t>(i)],
              values[static_cast<size_t>(default_generator().integer(i + 1))]);
  }
  return tensor(values, shape).set_requires_grad();
}

using Op = std::function<Tensor(const Tensor&)>;

struct Results {
  Tensor y, dx;
};

Results run(const Op& op, const Tensor& input, const Tensor& dy) {
  const Tensor x = input.detach().set_requires_grad();
  const Tensor y = op(x);
  y.backward(dy);
  return {y, x.grad()};
}

// Both dtypes in both memory formats, against sums from PyTorch 1.13.
void expect_known(const Op& op, const Shape& x, const Shape& y, double sum_y, double sum_dx) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      const Tensor input = to_memory_format(pattern(x, 7, 11, 5).to(dtype), order);
      for (const MemoryFormat dy_order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
        const Results r =
            run(op, input, to_memory_format(pattern(y, 3, 17, 8).to(dtype), dy_order));
        const double tolerance = dtype == DType::f64 ? 1e-12 : 2e-4;
        EXPECT_EQ(r.y.shape(), y);
        EXPECT_EQ(r.y.memory_format(), order);
        EXPECT_NEAR(checksum(r.y), sum_y, tolerance);
        EXPECT_NEAR(checksum(r.dx), sum_dx, tolerance);
      }
    }
  }
}

const std::vector<Op> kMaxima = {
    [](const Tensor& x) { return max_pool2d(x, 2); },
    [](const Tensor& x) {
      return max_pool2d(x, {3, 2}, {.stride = {{1, 2}}, .padding = {1, 0}});
    },
    [](const Tensor& x) {
      return max_pool2d(x, 3, {.stride = 2, .padding = 1, .ceil_mode = true});
    },
    [](const Tensor& x) { return max_pool2d(x, 2, {.stride = 1, .padding = 1, .dilation = 2}); },
    [](const Tensor& x) {
      return max_pool2d(x, {2, 3}, {.padding = {0, 1}, .data_format = DataFormat::NHWC});
    },
};

const std::vector<Op> kAverages = {
    [](const Tensor& x) { return avg_pool2d(x, 2); },
    [](const Tensor& x) {
      return avg_pool2d(x, {3, 2}, {.stride = {{1, 2}}, .padding = {1, 0}});
    },
    [](const Tensor& x) {
      return avg_pool2d(x, 3, {.stride = 2, .padding = 1, .ceil_mode = true});
    },
    [](const Tensor& x) {
      return avg_pool2d(x, 3, {.stride = 2, .padding = 1, .count_include_pad = false});
    },
    [](const Tensor& x) {
      return avg_pool2d(x, {2, 3}, {.padding = {0, 1}, .data_format = DataFormat::NHWC});
    },
    [](const Tensor& x) { return adaptive_avg_pool2d(x, 1); },
    [](const Tensor& x) {
      return adaptive_avg_pool2d(x, {3, 2});
    },
    [](const Tensor& x) {
      return adaptive_avg_pool2d(x, {7, 3}, DataFormat::NHWC);
    },
};

}  // namespace

TEST(Pool, MaximumAgreesWithPyTorch) {
  struct Known {
    int64_t h, w;
    Size2d kernel, stride, padding, dilation;
    bool ceil_mode;
    Shape y;
    double sum_y, sum_dx;
  };
  const Known cases[] = {
      {6, 6, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false, {2, 3, 3, 3}, -22, -29},
      {7, 6, {3, 2}, {2, 1}, {1, 1}, {1, 1}, false, {2, 3, 4, 7}, -116, 611},
      {7, 8, {3, 3}, {2, 2}, {1, 1}, {1, 1}, true, {2, 3, 4, 5}, 44, -265},
      {9, 8, {2, 3}, {3, 2}, {1, 0}, {2, 2}, true, {2, 3, 4, 3}, -36, 182},
  };
  for (const Known& known : cases) {
    const MaxPool2dOptions params{.stride = known.stride,
                                  .padding = known.padding,
                                  .dilation = known.dilation,
                                  .ceil_mode = known.ceil_mode};
    expect_known([&](const Tensor& x) { return max_pool2d(x, known.kernel, params); },
                 {2, 3, known.h, known.w}, known.y, known.sum_y, known.sum_dx);
  }
}

TEST(Pool, AverageAgreesWithPyTorch) {
  struct Known {
    int64_t h, w;
    Size2d kernel, stride, padding;
    bool ceil_mode, count_include_pad;
    Shape y;
    double sum_y, sum_dx;
  };
  const Known cases[] = {
      {6, 6, {2, 2}, {2, 2}, {0, 0}, false, true, {2, 3, 3, 3}, -16.0, 27.5},
      {7, 6, {3, 2}, {2, 1}, {1, 1}, false, true, {2, 3, 4, 7}, 28.5, 92.83333333333337},
      {7,
       6,
       {3, 2},
       {2, 1},
       {1, 1},
       false,
       false,
       {2, 3, 4, 7},
       22.416666666666657,
       148.08333333333334},
      {7,
       8,
       {3, 3},
       {2, 2},
       {1, 1},
       true,
       true,
       {2, 3, 4, 5},
       12.111111111111123,
       -164.33333333333331},
      {6,
       7,
       {3, 2},
       {2, 2},
       {1, 1},
       true,
       false,
       {2, 3, 4, 4},
       -128.83333333333331,
       49.33333333333336},
      {6,
       6,
       {3, 3},
       {2, 2},
       {1, 1},
       true,
       true,
       {2, 3, 4, 4},
       40.33333333333333,
       -13.166666666666657},
  };
  for (const Known& known : cases) {
    const AvgPool2dOptions params{.stride = known.stride,
                                  .padding = known.padding,
                                  .ceil_mode = known.ceil_mode,
                                  .count_include_pad = known.count_include_pad};
    expect_known([&](const Tensor& x) { return avg_pool2d(x, known.kernel, params); },
                 {2, 3, known.h, known.w}, known.y, known.sum_y, known.sum_dx);
  }
}

TEST(Pool, AdaptiveAverageAgreesWithPyTorch) {
  struct Known {
    int64_t h, w;
    Size2d output;
    double sum_y, sum_dx;
  };
  const Known cases[] = {
      {6, 6, {1, 1}, 1.5555555555555556, 4.75},
      {6, 4, {3, 2}, 18.5, 23.25},
      {7, 5, {3, 2}, -1.8888888888888928, -31.1111111111111},
      {3, 4, {5, 7}, -53.0, 396.75},
  };
  for (const Known& known : cases) {
    expect_known([&](const Tensor& x) { return adaptive_avg_pool2d(x, known.output); },
                 {2, 3, known.h, known.w}, {2, 3, known.output.h, known.output.w}, known.sum_y,
                 known.sum_dx);
  }
}

TEST(Pool, GradientIsRight) {
  manual_seed(1);
  for (const auto& ops : {kMaxima, kAverages}) {
    for (const Op& op : ops) {
      const auto f = [&](const std::vector<Tensor>& in) { return op(in[0]); };
      EXPECT_TRUE(gradcheck(f, {distinct({2, 4, 5, 6})}));
    }
  }
}

TEST(Pool, GradientOfTheGradientIsRight) {
  manual_seed(2);
  for (const auto& ops : {kMaxima, kAverages}) {
    for (const Op& op : ops) {
      // The cube makes the second derivative depend on x as well.
      const auto f = [&](const std::vector<Tensor>& in) {
        const Tensor y = op(in[0]);
        return y * y * y;
      };
      EXPECT_TRUE(gradgradcheck(f, {distinct({1, 4, 5, 6})}));
    }
  }
}

namespace {
class MutantMax final : public Node {
 public:
  MutantMax(const Tensor& x, bool wrong) : x_(this, x), wrong_(wrong) {}
  const char* name() const override { return "mutant max_pool2d"; }
  Gradients backward(const Tensor& dy) override {
    // The gradient of the smallest value, say, or of a mean.
    const GradMode record(true);
    const auto op = [&](const Tensor& x) { return wrong_ ? -max_pool2d(-x, 2) : max_pool2d(x, 2); };
    return {run(op, x_.get(), dy).dx};
  }

 private:
  Saved x_;
  bool wrong_;
};

class MutantAverage final : public Node {
 public:
  MutantAverage(const Tensor& x, bool count_include_pad) : x_(this, x), count_(count_include_pad) {}
  const char* name() const override { return "mutant avg_pool2d"; }
  Gradients backward(const Tensor& dy) override {
    const GradMode record(true);
    const AvgPool2dOptions params{.stride = 1, .padding = 1, .count_include_pad = count_};
    return {run([&](const Tensor& x) { return avg_pool2d(x, 3, params); }, x_.get(), dy).dx};
  }

 private:
  Saved x_;
  bool count_;
};
}  // namespace

TEST(Pool, WrongBackwardIsRejected) {
  manual_seed(3);
  const auto check_max = [](bool wrong) {
    const auto f = [&](const std::vector<Tensor>& in) {
      return record<MutantMax>(max_pool2d(in[0].detach(), 2), {in[0]}, in[0], wrong);
    };
    return gradcheck(f, {distinct({2, 2, 4, 4})});
  };
  EXPECT_TRUE(check_max(false));
  EXPECT_THROW(check_max(true), Error);
  const auto check_average = [](bool wrong) {
    const auto f = [&](const std::vector<Tensor>& in) {
      return record<MutantAverage>(avg_pool2d(in[0].detach(), 3, {.stride = 1, .padding = 1}),
                                   {in[0]}, in[0], !wrong);
    };
    return gradcheck(f, {distinct({2, 2, 4, 4})});
  };
  EXPECT_TRUE(check_average(false));
  EXPECT_THROW(check_average(true), Error);
}

TEST(Pool, OrdersAndDtypesAgree) {
  manual_seed(4);
  for (const int64_t channels : {2, 3, 17, 24, 64, 65, 130}) {
    const Tensor x = distinct({2, channels, 9, 7}).detach();
    for (const auto& ops : {kMaxima, kAverages}) {
      for (const Op& op : ops) {
        Shape shape;
        {
          const NoGrad guard;
          shape = op(x).shape();
        }
        const Tensor dy = randn(shape, DType::f64);
        const Results exact = run(op, x, dy);
        const Results fast =
            run(op, to_memory_format(x, MemoryFormat::channels_last).to(DType::f32),
                to_memory_format(dy, MemoryFormat::channels_last).to(DType::f32));
        const auto expect_near = [](const Tensor& a, const Tensor& b) {
          const auto left = a.to(DType::f64).to_vector<double>();
          const auto right = b.to_vector<double>();
          double worst = 0;
          for (size_t i = 0; i < left.size(); ++i) {
            worst = std::max(worst, std::fabs(left[i] - right[i]) / (1 + std::fabs(right[i])));
          }
          EXPECT_LT(worst, 2e-6);
        };
        expect_near(fast.y, exact.y);
        expect_near(fast.dx, exact.dx);
      }
    }
  }
}

// Values, gradients and their gradients.
TEST(Pool, FastAndReferenceKernelsAgree) {
  manual_seed(5);
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (const int64_t channels : {2, 5, 70}) {
        // Whole numbers, so that many are equal.
        const Tensor whole = (randn({2, channels, 9, 7}) * 2.0).to(DType::i64).to(dtype);
        const Tensor image = to_memory_format(whole, format);
        for (const auto& ops : {kMaxima, kAverages}) {
          for (const Op& op : ops) {
            const auto results = [&] {
              const Tensor x = image.clone().set_requires_grad();
              const Tensor y = op(x);
              const Tensor dx = grad(sum(y * y), {x}, {.create_graph = true})[0];
              return std::vector<Tensor>{y, dx, grad(sum(dx * dx), {x})[0]};
            };
            const std::vector<Tensor> fast = results();
            const ReferenceKernels reference;
            const std::vector<Tensor> plain = results();
            for (size_t i = 0; i < fast.size(); ++i) {
              const auto a = fast[i].to(DType::f64).to_vector<double>();
              const auto b = plain[i].to(DType::f64).to_vector<double>();
              for (size_t k = 0; k < a.size(); ++k) {
                ASSERT_NEAR(a[k], b[k],
                            (dtype == DType::f32 ? 1e-5 : 1e-13) * (1 + std::fabs(b[k])))
                    << i << " " << k;
              }
            }
          }
        }
      }
    }
  }
}

// A channel's values in 21 channels, which take vectors of every width, or in one.
namespace {
Tensor in_channels(const std::vector<double>& values, const Shape& shape, DType dtype,
                   MemoryFormat order) {
  const Tensor one = tensor(values, shape);
  if (order == MemoryFormat::row_major) return one.to(dtype);
  return to_memory_format(cat(std::vector<Tensor>(21, one), 1), order).to(dtype);
}

void expect_channels(const Tensor& x, const std::vector<double>& values) {
  const auto all = x.to(DType::f64).to_vector<double>();
  ASSERT_EQ(all.size() % values.size(), 0u);
  for (size_t i = 0; i < all.size(); ++i) {
    const double expected = values[i % values.size()];
    EXPECT_TRUE(all[i] == expected || (std::isnan(all[i]) && std::isnan(expected)))
        << "element " << i << ": " << all[i] << ", " << expected << " expected";
  }
}
}  // namespace

TEST(Pool, FirstOfEqualMaximaGetsTheGradient) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      const Tensor x = in_channels(std::vector<double>(8, 1.0), {1, 1, 2, 4}, dtype, order);
      const Tensor dy = in_channels({1, 2}, {1, 1, 1, 2}, dtype, order);
      const Results r = run([](const Tensor& v) { return max_pool2d(v, 2); }, x, dy);
      expect_channels(r.dx, {1, 0, 2, 0, 0, 0, 0, 0});
    }
  }
}

TEST(Pool, NanAndInfinityPassThrough) {
  const double nan = std::nan("");
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (const double other : {0.0, kInfinity}) {
        const Tensor x = in_channels({other, nan, -kInfinity, -kInfinity,  //
                                      other, other, -kInfinity, -kInfinity},
                                     {1, 1, 2, 4}, dtype, order);
        const Tensor dy = in_channels({2, 3}, {1, 1, 1, 2}, dtype, order);
        const Results r = run([](const Tensor& v) { return max_pool2d(v, 2); }, x, dy);
        expect_channels(r.y, {nan, -kInfinity});
        expect_channels(r.dx, {0, 2, 3, 0, 0, 0, 0, 0});
      }
    }
  }
}

TEST(Pool, WindowWithoutPixelsIsMinusInfinityWithoutGradient) {
  const Tensor x = ones({1, 1, 1, 1}, DType::f64);
  const Results r = run(
      [](const Tensor& v) { return max_pool2d(v, 2, {.stride = 1, .padding = 1, .dilation = 2}); },
      x, ones({1, 1, 1, 1}, DType::f64));
  EXPECT_EQ(r.y.item<double>(), -kInfinity);
  EXPECT_EQ(r.dx.item<double>(), 0);
}

TEST(Pool, LargeWindows) {
  // More places than a byte can name.
  manual_seed(5);
  const Tensor x = distinct({2, 3, 20, 18});
  const auto f = [](const std::vector<Tensor>& in) {
    return max_pool2d(in[0], {17, 18}, {.stride = 1});
  };
  EXPECT_EQ(max(x, {2, 3}).to_vector<double>(), max_pool2d(x, {20, 18}).to_vector<double>());
  EXPECT_TRUE(gradcheck(f, {x}));
}

TEST(Pool, KeepsTheOrderAndNeedsNoReorder) {
  const Tensor x = to_memory_format(randn({2, 8, 6, 6}), MemoryFormat::channels_last);
  const Tensor dy = to_memory_format(randn({2, 8, 3, 3}), MemoryFormat::channels_last);
  reset_counters();
  for (const Op& op : {kMaxima[0], kAverages[0]}) {
    const Results r = run(op, x, dy);
    EXPECT_EQ(r.y.memory_format(), MemoryFormat::channels_last);
    EXPECT_EQ(r.dx.memory_format(), MemoryFormat::channels_last);
  }
  const Tensor nhwc = randn({2, 6, 6, 8});
  run(kMaxima[4], nhwc, randn({2, 3, 2, 8}));
  EXPECT_EQ(counters().reorders, 0);
}

TEST(Pool, SameForEveryNumberOfThreads) {
  manual_seed(6);
  const int before = num_threads();
  const Tensor x = to_memory_format(randn({5, 70, 13, 11}), MemoryFormat::channels_last);
  for (const auto& ops : {kMaxima, kAverages}) {
    for (const Op& op : ops) {
      set_num_threads(1);
      Shape shape;
      {
        const NoGrad guard;
        shape = op(x).shape();
      }
      const Tensor dy = randn(shape);
      const Results one = run(op, x, dy);
      set_num_threads(3);
      const Results three = run(op, x, dy);
      EXPECT_EQ(one.y.to_vector<float>(), three.y.to_vector<float>());
      EXPECT_EQ(one.dx.to_vector<float>(), three.dx.to_vector<float>());
    }
  }
  set_num_threads(before);
}

// With ceil_mode a window is legal if it begins in the image, however small that is.
TEST(Pool, CeilModeTakesImagesSmallerThanTheKernel) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor one = full({1, 1, 1, 1}, 5, dtype).set_requires_grad();
    const Tensor four = reshape(arange(1, 5, 1, dtype), {1, 1, 2, 2}).detach();
    four.set_requires_grad();
    const MaxPool2dOptions max{.stride = 2, .ceil_mode = true};
    const AvgPool2dOptions avg{.stride = 2, .ceil_mode = true};
    EXPECT_EQ(max_pool2d(one, 2, max).item<double>(), 5);
    EXPECT_EQ(max_pool2d(four, 3, max).item<double>(), 4);
    EXPECT_EQ(avg_pool2d(one, 2, avg).item<double>(), 5);
    EXPECT_EQ(avg_pool2d(four, 3, avg).item<double>(), 2.5);
    max_pool2d(one, 2, max).backward();
    EXPECT_EQ(one.grad().item<double>(), 1);
    avg_pool2d(four, 3, avg).backward();
    EXPECT_EQ(four.grad().to(DType::f64).to_vector<double>(), std::vector<double>(4, 0.25));
    EXPECT_THROW(max_pool2d(one, 2, {.stride = 1, .ceil_mode = true}), Error);
    EXPECT_THROW(max_pool2d(one, 2, {.stride = 2}), Error);
  }
}

TEST(Pool, AnAverageIsTooLargeOnlyIfItIsItself) {
  for (const bool reference : {false, true}) {
    const auto kernels = reference ? std::make_unique<ReferenceKernels>() : nullptr;
    for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        const double huge = dtype == DType::f32 ? 1e38 : 1e308;
        const Tensor x = to_memory_format(full({2, 5, 6, 6}, huge, dtype), format);
        for (const Tensor& y : {avg_pool2d(x, 3), adaptive_avg_pool2d(x, 1)}) {
          EXPECT_EQ(y.to(DType::f64).to_vector<double>(),
                    full(y.shape(), huge, dtype).to(DType::f64).to_vector<double>());
        }
        const Tensor inf = full({1, 1, 2, 2}, INFINITY, dtype);
        EXPECT_EQ(avg_pool2d(inf, 2).item<double>(), INFINITY);
      }
    }
  }
}

TEST(Pool, EmptyBatch) {
  for (const auto& ops : {kMaxima, kAverages}) {
    for (const Op& op : ops) {
      const Tensor x = zeros({0, 4, 5, 6}).set_requires_grad();
      const Tensor y = op(x);
      EXPECT_EQ(y.numel(), 0);
      y.backward(zeros_like(y));
      EXPECT_EQ(x.grad().shape(), x.shape());
    }
  }
}

TEST(Pool, ErrorsSayWhatIsWrong) {
  const Tensor x = zeros({2, 3, 8, 8});
  const auto expect = [](const char* part, const std::function<void()>& f) {
    const std::string message = message_of(f);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('['), 0u) << message;
  };
  expect("x is f32[3,8,8], want 4 axes", [&] { max_pool2d(zeros({3, 8, 8}), 2); });
  expect("the first tensor is undefined", [&] { avg_pool2d({}, 2); });
  expect("want f32 or f64", [&] { max_pool2d(zeros({1, 1, 4, 4}, DType::u8), 2); });
  expect("kernel is {0,2}", [&] { max_pool2d(x, {0, 2}); });
  expect("stride is {0,0}", [&] { avg_pool2d(x, 2, {.stride = 0}); });
  expect("dilation is {1,-1}", [&] { max_pool2d(x, 2, {.dilation = {1, -1}}); });
  expect("at most half of the kernel", [&] { max_pool2d(x, 2, {.padding = 2}); });
  expect("padding is {-1,-1}", [&] { avg_pool2d(x, 2, {.padding = -1}); });
  expect("kernel covers 9 pixels along H", [&] { avg_pool2d(x, {9, 1}); });
  expect("kernel covers 11 pixels along W", [&] { max_pool2d(x, {1, 3}, {.dilation = 5}); });
  expect("x is f32[1,1,4,0], want at least 1 pixel along W", [] {
    max_pool2d(zeros({1, 1, 4, 0}), 1);
  });
  expect("less than 2^31", [&] { max_pool2d(x, int64_t{1} << 40); });
  expect("output_size is {0,0}", [&] { adaptive_avg_pool2d(x, 0); });
  expect("no pixels", [&] { adaptive_avg_pool2d(zeros({1, 1, 0, 2}), 1); });
}
