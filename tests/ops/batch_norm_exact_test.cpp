// SPDX-License-Identifier: Apache-2.0
// float32 batch norm against long double on the same inputs, at means where other libraries lose
// all digits; and equal bits for all numbers of threads, layouts and instruction sets.
#include "../../ops/kernels/batch_norm_loops.h"
#include "../../ops/kernels/isa.h"
#include "support.h"

using namespace tern;
using namespace tern::test;

namespace {

constexpr double kEps = 1e-5;

/// Everything a training step computes, in long double.
struct Exact {
  std::vector<long double> y, dx, dweight, dbias, mean, var;
};

Exact exact(const Tensor& x, const Tensor& dy, const Tensor& weight, const Tensor& bias,
            bool relu = false) {
  const auto vx = x.to_vector<float>(), vdy = dy.to_vector<float>();
  const auto w = weight.to_vector<float>(), b = bias.to_vector<float>();
  const int64_t outer = x.size(0), channels = x.size(1), inner = x.numel() / outer / channels;
  const long double n = static_cast<long double>(outer * inner);
  Exact e;
  e.y.resize(vx.size());
  e.dx.resize(vx.size());
  for (int64_t c = 0; c < channels; ++c) {
    const auto each = [&](auto&& f) {
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; ++i) f(static_cast<size_t>((o * channels + c) * inner + i));
      }
    };
    long double sum = 0, square = 0, dweight = 0, dbias = 0;
    each([&](size_t i) { sum += vx[i]; });
    const long double mean = sum / n;
    each([&](size_t i) { square += (vx[i] - mean) * (vx[i] - mean); });
    const long double var = square / n, r = 1 / std::sqrt(var + kEps);
    const long double gamma = w[static_cast<size_t>(c)], beta = b[static_cast<size_t>(c)];
    const auto passed = [&](size_t i) { return relu && e.y[i] <= 0 ? 0.0L : vdy[i] * 1.0L; };
    each([&](size_t i) {
      e.y[i] = (vx[i] - mean) * r * gamma + beta;
      dbias += passed(i);
      dweight += passed(i) * (vx[i] - mean) * r;
    });
    each([&](size_t i) {
      e.dx[i] = gamma * r * (passed(i) - dbias / n - (vx[i] - mean) * r * dweight / n);
    });
    if (relu) each([&](size_t i) { e.y[i] = std::max(e.y[i], 0.0L); });
    e.dweight.push_back(dweight);
    e.dbias.push_back(dbias);
    e.mean.push_back(mean);
    e.var.push_back(var);
  }
  return e;
}

double max_distance(const Tensor& got, const std::vector<long double>& want) {
  const auto values = got.to_vector<float>();
  long double worst = values.size() == want.size() ? 0 : 1e30L;
  for (size_t i = 0; i < values.size() && i < want.size(); ++i) {
    const long double off = std::abs(values[i] - want[i]);
    worst = off <= worst ? worst : off;  // NaN counts
  }
  return static_cast<double>(worst);
}

struct Step {
  Tensor y, dx, dweight, dbias, running_mean, running_var;
};

Step step(const Tensor& x, const Tensor& dy, const Tensor& weight, const Tensor& bias, bool relu,
          bool training = true) {
  const Tensor lx = leaf(x), w = leaf(weight), b = leaf(bias);
  const Tensor mean = zeros({x.size(1)}), var = ones({x.size(1)});
  const auto function = relu ? batch_norm_relu : batch_norm;
  const Tensor y = function(lx, mean, var, w, b,
                            {.training = training, .momentum = Momentum::update(1.0), .eps = kEps});
  y.backward(dy);
  return {y.detach(), lx.grad(), w.grad(), b.grad(), mean, var};
}

bool same(const Step& a, const Step& b) {
  return same_bits(a.y, b.y) && same_bits(a.dx, b.dx) && same_bits(a.dweight, b.dweight) &&
         same_bits(a.dbias, b.dbias) && same_bits(a.running_mean, b.running_mean) &&
         same_bits(a.running_var, b.running_var);
}

}  // namespace

TEST(BatchNormExact, IsRightToFiveMillionthsAtEveryMean) {
  manual_seed(1);
  const Shape shape{32, 16, 56, 56};
  const Tensor dy = randn(shape), weight = normal({16}, DType::f32, 1, 0.1), bias = randn({16});
  for (double mean : {0.0, 10.0, 1e2, 1e3, 1e4, 1e5}) {
    const Tensor x = normal(shape, DType::f32, mean);
    const Exact want = exact(x, dy, ones({16}), zeros({16}));
    const Exact affine = exact(x, dy, weight, bias);
    for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      const Tensor lying = to_memory_format(x, order);
      const Step plain = step(lying, dy, ones({16}), zeros({16}), false);
      const Step s = step(lying, dy, weight, bias, false);
      const double ey = max_distance(plain.y, want.y), edx = max_distance(s.dx, affine.dx);
      const double edw = max_distance(s.dweight, affine.dweight),
                   edb = max_distance(s.dbias, affine.dbias);
      EXPECT_LE(ey, 5e-6) << mean;
      EXPECT_LE(max_distance(s.y, affine.y), 5e-6) << mean;
      EXPECT_LE(edx, 2e-6) << mean;
      // Sums of 100352 terms near 1, about 300: a millionth is a few of the result's last digits.
      EXPECT_LE(edw, 3e-4) << mean;
      EXPECT_LE(edb, 3e-4) << mean;
      EXPECT_LE(max_distance(s.running_mean, affine.mean), 6e-8 * mean + 3e-8) << mean;
      std::printf("mean %-6g %-13s  max error y %.1e  dx %.1e  dweight %.1e  dbias %.1e\n", mean,
                  to_string(order), ey, edx, edw, edb);
    }
  }
}

TEST(BatchNormExact, RunningVarianceHasFloatsPrecisionAtEveryMean) {
  manual_seed(2);
  for (double mean : {0.0, 1e3, 1e5}) {
    const Tensor x = normal({16, 5, 30, 30}, DType::f32, mean, 0.5);
    const Exact want = exact(x, x, ones({5}), zeros({5}));
    const Step s = step(x, x, ones({5}), zeros({5}), false);
    const double n = 16 * 30 * 30;
    for (size_t c = 0; c < 5; ++c) {
      EXPECT_NEAR(at(s.running_var, c) / (static_cast<double>(want.var[c]) * n / (n - 1)), 1, 1e-7);
    }
  }
}

TEST(BatchNormExact, OneOutlierInFrontCostsNothing) {
  manual_seed(3);
  for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    Tensor x = randn({8, 4, 20, 20});
    for (int64_t c = 0; c < 4; ++c) x.mutable_data<float>()[static_cast<size_t>(c * 400)] = 3e4f;
    const Exact want = exact(x, x, ones({4}), zeros({4}));
    const Step s = step(to_memory_format(x, order), x, ones({4}), zeros({4}), false);
    EXPECT_LE(max_distance(s.y, want.y), 3e-5);  // the outlier's y is 56
    for (size_t c = 0; c < 4; ++c) {
      EXPECT_NEAR(at(s.running_mean, c) / static_cast<double>(want.mean[c]), 1, 2e-7);
    }
  }
}

TEST(BatchNormExact, AllBitsAreTheSameForOneToFourThreads) {
  manual_seed(4);
  const ThreadCount restore;
  const std::vector<Shape> shapes = {{32, 16, 56, 56}, {7, 3, 45, 61},   {64, 33, 7, 7},
                                     {1, 3, 300, 301}, {5000, 17, 1, 1}, {3, 70, 5, 3},
                                     {2, 1024, 2, 2},  {1, 1, 700, 701}, {40, 64, 40, 40}};
  for (const Shape& shape : shapes) {
    const Tensor x = normal(shape, DType::f32, 3), dy = randn(shape);
    const Tensor weight = randn({shape[1]}), bias = randn({shape[1]});
    for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      const Tensor lying = to_memory_format(x, order), cotangent = to_memory_format(dy, order);
      for (bool relu : {false, true}) {
        set_num_threads(1);
        const Step one = step(lying, cotangent, weight, bias, relu);
        for (int threads : {2, 3, 4}) {
          set_num_threads(threads);
          EXPECT_TRUE(same(one, step(lying, cotangent, weight, bias, relu)))
              << to_string(shape) << to_string(order) << " on " << threads << " threads";
        }
      }
    }
  }
}

TEST(BatchNormExact, EveryShapeEqualsTheReferenceInBothOrders) {
  manual_seed(5);
  const Shape images[] = {{1, 1, 1, 1}, {1, 1, 1, 7}, {1, 1, 7, 1}, {1, 1, 5, 5}, {1, 1, 13, 11}};
  for (int64_t channels : {1, 3, 5, 7, 8, 15, 16, 17, 24, 31, 32, 33, 64}) {
    for (const Shape& image : images) {
      for (int64_t batch : {1, 2, 3, 8}) {
        const Shape shape{batch, channels, image[2], image[3]};
        const bool training = batch * image[2] * image[3] > 1;
        const Tensor x = normal(shape, DType::f32, 2), dy = randn(shape);
        const Tensor weight = randn({channels}), bias = randn({channels});
        for (bool relu : {false, true}) {
          Step want;
          {
            const ReferenceKernels reference;
            want = step(x, dy, weight, bias, relu, training);
          }
          for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
            // The gradient arrives in the other order.
            const MemoryFormat other = order == MemoryFormat::row_major
                                           ? MemoryFormat::channels_last
                                           : MemoryFormat::row_major;
            const Step got = step(to_memory_format(x, order), to_memory_format(dy, other), weight,
                                  bias, relu, training);
            // n = 2 amplifies: 1 / sqrt(var) is then as large as it gets.
            const double scale = 1 + largest(want.dx);
            EXPECT_LT(max_distance(got.y, want.y), 4e-6 * (1 + largest(want.y)))
                << to_string(shape);
            EXPECT_LT(max_distance(got.dx, want.dx), 1e-5 * scale) << to_string(shape);
            EXPECT_LT(max_distance(got.dweight, want.dweight), 3e-5) << to_string(shape);
            EXPECT_LT(max_distance(got.dbias, want.dbias), 3e-5) << to_string(shape);
            EXPECT_LT(max_distance(got.running_mean, want.running_mean), 1e-6) << to_string(shape);
            EXPECT_LT(max_distance(got.running_var, want.running_var), 3e-6) << to_string(shape);
          }
        }
      }
    }
  }
}

TEST(BatchNormExact, GradientsOfTheFusedPairAreRightAtEveryMean) {
  manual_seed(6);
  const Shape shape{8, 16, 30, 30};
  const Tensor dy = randn(shape), weight = normal({16}, DType::f32, 1, 0.1), bias = randn({16});
  for (double mean : {0.0, 1e2, 1e4}) {
    const Tensor x = normal(shape, DType::f32, mean);
    const Exact want = exact(x, dy, weight, bias, true);
    for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      const Step s = step(to_memory_format(x, order), dy, weight, bias, true);
      EXPECT_LE(max_distance(s.y, want.y), 5e-6) << mean;
      EXPECT_LE(max_distance(s.dbias, want.dbias), 1e-4) << mean;
      EXPECT_LE(max_distance(s.dweight, want.dweight), 1e-4) << mean;
      EXPECT_LE(max_distance(s.dx, want.dx), 3e-6) << mean;
    }
  }
}

TEST(BatchNormExact, InstructionSetsGiveTheSameBits) {
  using namespace tern::kernels;
  using cpu::Isa;
  std::vector<const batch_norm::Loops*> sets;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa <= cpu::isa()) sets.push_back(kernels_of(isa).batch_norm);
  }
  manual_seed(7);
  const auto numbers = [](int64_t count) { return normal({count}); };
  for (int64_t columns : {77, 80}) {
    const int64_t rows = 150, size = rows * columns;
    const Tensor x = numbers(size), dy = numbers(size), constants = numbers(6 * columns);
    float* k = constants.raw<float>();
    const batch_norm::Channels channels{
        k, k + columns, k + 2 * columns, k + 3 * columns, k + 4 * columns, k + 5 * columns};
    const batch_norm::Channel channel{0.1f, 1.1f, 0.2f, 0.9f, 0.05f, -0.01f};

    const auto run = [&](const batch_norm::Loops& loops, bool relu, bool stream) {
      const float *px = x.raw<float>(), *pdy = dy.raw<float>();
      const batch_norm::Matrix m{rows, columns, columns, stream};
      std::vector<double> sums(4 * static_cast<size_t>(columns) + 4);
      double *s = sums.data(), *last = s + 4 * columns;
      const Tensor y[4] = {zeros({size}), zeros({size}), zeros({size}), zeros({size})};
      loops.column_moments(m, px, channels.center, s, s + columns);
      loops.column_sums(m, px, pdy, channels, relu, s + 2 * columns, s + 3 * columns);
      loops.run_moments(size, px, channel.center, last[0], last[1]);
      loops.run_sums(size, px, pdy, channel, relu, last[2], last[3]);
      loops.column_forward(m, px, channels, relu, y[0].raw<float>());
      loops.column_backward(m, px, pdy, channels, relu, true, y[1].raw<float>());
      loops.run_forward(size, px, channel, relu, stream, y[2].raw<float>());
      loops.run_backward(size, px, pdy, channel, relu, true, stream, y[3].raw<float>());
      return std::make_pair(sums, cat({y[0], y[1], y[2], y[3]}).to_vector<float>());
    };
    for (bool relu : {false, true}) {
      const auto want = run(*sets[0], relu, false);
      for (bool stream : {false, true}) {
        for (const auto* loops : sets) EXPECT_EQ(run(*loops, relu, stream), want);
      }
    }
  }
}
