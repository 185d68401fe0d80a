// SPDX-License-Identifier: Apache-2.0
#include "support.h"

using namespace tern;
using namespace tern::test;
using tern::gradcheck;
using tern::gradgradcheck;

namespace {

using Function = decltype(&batch_norm);

struct Inputs {
  Tensor x, weight, bias, mean, var;
  explicit Inputs(const Shape& shape, DType dtype = DType::f64, int64_t channel_axis = 1)
      : x(leaf(normal(shape, dtype, 0.5, 1.5))),
        weight(leaf(normal({x.size(channel_axis)}, dtype))),
        bias(leaf(normal({x.size(channel_axis)}, dtype))),
        mean(normal({x.size(channel_axis)}, dtype)),
        var((rand({x.size(channel_axis)}, DType::f64) + 0.3).to(dtype)) {}
};

/// Calls f for train and eval, plain and fused.
template <class F>
void for_modes(F&& f) {
  for (bool training : {true, false}) {
    for (Function function : {batch_norm, batch_norm_relu}) {
      SCOPED_TRACE(std::string(training ? "train" : "eval") +
                   (function == batch_norm ? "" : " relu"));
      f(function, BatchNormOptions{.training = training, .eps = 1e-2});
    }
  }
}

}  // namespace

TEST(BatchNormOp, GradcheckAndGradgradcheckInEveryModeAndRank) {
  manual_seed(11);
  const Shape shapes[] = {{3, 2, 2, 1}, {2, 3, 1, 1}, {6, 2}, {2, 2, 3}, {2, 2, 1, 2, 2}};
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(to_string(shape));
    const Inputs in(shape);
    for_modes([&](Function function, const BatchNormOptions& params) {
      const auto f = [&](const std::vector<Tensor>& v) {
        return function(v[0], in.mean, in.var, v[1], v[2], params);
      };
      const std::vector<Tensor> inputs = {in.x, in.weight, in.bias};
      EXPECT_TRUE(gradcheck(f, inputs));
      EXPECT_TRUE(gradgradcheck(f, inputs));
    });
  }
}

TEST(BatchNormOp, GradcheckWithTheChannelsLast) {
  manual_seed(12);
  const Inputs in({2, 2, 3, 3}, DType::f64, 3);
  for_modes([&](Function function, BatchNormOptions params) {
    params.data_format = DataFormat::NHWC;
    const auto f = [&](const std::vector<Tensor>& v) {
      return function(v[0], in.mean, in.var, v[1], v[2], params);
    };
    EXPECT_TRUE(gradcheck(f, {in.x, in.weight, in.bias}));
    EXPECT_TRUE(gradgradcheck(f, {in.x, in.weight, in.bias}));
  });
}

TEST(BatchNormOp, ThirdDerivativesAreRightToo) {
  manual_seed(13);
  const Inputs in({4, 2, 1, 1});
  const Tensor u = randn({4, 2, 1, 1}, DType::f64);
  const auto gradient_penalty = [&](const std::vector<Tensor>& v) {
    const Tensor y =
        batch_norm(v[0], in.mean, in.var, v[1], in.bias, {.training = true, .eps = 0.1});
    const Tensor dx = grad(y, {v[0]}, {.create_graph = true, .grad_output = u})[0];
    return dx * dx;
  };
  EXPECT_TRUE(gradgradcheck(gradient_penalty, {in.x, in.weight}, {.tolerance = 1e-5}));
}

TEST(BatchNormOp, DoubleBackwardEqualsItsClosedForm) {
  // F4 of PyTorch's FunctionsManual: gradients of <u, dx> + <p, dweight> + <q, dbias>.
  manual_seed(14);
  const int64_t channels = 3, n = 8;
  const Inputs in({n, channels, 1, 1});
  const Tensor dy = leaf(randn({n, channels, 1, 1}, DType::f64));
  const Tensor u = randn({n, channels, 1, 1}, DType::f64), p = randn({channels}, DType::f64);
  const double eps = 1e-2;
  const Tensor y = batch_norm(in.x, {}, {}, in.weight, in.bias, {.training = true, .eps = eps});
  const auto first = grad(y, {in.x, in.weight, in.bias}, {.create_graph = true, .grad_output = dy});
  const auto got = grad(sum(first[0] * u) + sum(first[1] * p), {in.x, in.weight, dy});
  const auto x = in.x.to_vector<double>(), d = dy.to_vector<double>(), v = u.to_vector<double>();
  for (int64_t c = 0; c < channels; ++c) {
    const auto S = [&](auto&& f) {
      double total = 0;
      for (int64_t i = 0; i < n; ++i) total += f(static_cast<size_t>(i * channels + c));
      return total;
    };
    const double N = static_cast<double>(n), mean = S([&](size_t i) { return x[i]; }) / N;
    const double var = S([&](size_t i) { return (x[i] - mean) * (x[i] - mean); }) / N;
    const double r = 1 / std::sqrt(var + eps), gamma = at(in.weight, static_cast<size_t>(c));
    const double pc = at(p, static_cast<size_t>(c));
    const auto xh = [&](size_t i) { return (x[i] - mean) * r; };
    const double su = S([&](size_t i) { return v[i]; }), sd = S([&](size_t i) { return d[i]; });
    const double sux = S([&](size_t i) { return v[i] * xh(i); });
    const double sdx = S([&](size_t i) { return d[i] * xh(i); });
    const double sdu = S([&](size_t i) { return d[i] * v[i]; });
    const double weight = S([&](size_t i) { return v[i] * r * (d[i] - sd / N - xh(i) * sdx / N); });
    EXPECT_NEAR(at(got[1], static_cast<size_t>(c)), weight, 1e-12);
    for (int64_t row = 0; row < n; ++row) {
      const auto i = static_cast<size_t>(row * channels + c);
      const double gg = gamma * r * (v[i] - su / N - xh(i) * sux / N) + pc * xh(i);
      const double gi = gamma * r * r / N *
                            (xh(i) * (su * sd / N - sdu + 3 * sdx * sux / N) +
                             sux * (sd / N - d[i]) + sdx * (su / N - v[i])) +
                        pc * r * (d[i] - sd / N - xh(i) * sdx / N);
      EXPECT_NEAR(at(got[2], i), gg, 1e-12);
      EXPECT_NEAR(at(got[0], i), gi, 1e-11);
    }
  }
}

TEST(BatchNormOp, OutputHasMeanBiasAndVarianceWeightSquared) {
  manual_seed(15);
  const Inputs in({16, 5, 9, 7}, DType::f64);
  const double eps = 0.1;
  const Tensor y = batch_norm(in.x, {}, {}, in.weight, in.bias, {.training = true, .eps = eps});
  const std::vector<int64_t> axes = {0, 2, 3};
  const Tensor centred = in.x - mean(in.x, axes, true);
  const Tensor var = mean(centred * centred, axes);
  EXPECT_LT(max_distance(mean(y, axes), in.bias), 1e-13);
  const Tensor d = y - mean(y, axes, true);
  EXPECT_LT(max_distance(mean(d * d, axes), in.weight * in.weight * var / (var + eps)), 1e-13);
}

TEST(BatchNormOp, GradientIsOrthogonalToWhatNormalizationRemoves) {
  manual_seed(16);
  const Inputs in({16, 5, 9, 7}, DType::f64);
  const Tensor y = batch_norm(in.x, {}, {}, in.weight, in.bias, {.training = true, .eps = 0});
  y.backward(randn(y.shape(), DType::f64));
  const std::vector<int64_t> axes = {0, 2, 3};
  EXPECT_LT(largest(sum(in.x.grad(), axes)), 1e-12);
  EXPECT_LT(largest(sum(in.x.grad() * in.x, axes)), 1e-11);
  EXPECT_GT(largest(in.x.grad()), 0.1);
}

TEST(BatchNormOp, ScalingAndShiftingTheInputChangesNothing) {
  manual_seed(17);
  const Inputs in({8, 4, 5, 5}, DType::f64);
  const auto normalize = [&](const Tensor& x, double eps) {
    return batch_norm(x, {}, {}, in.weight, in.bias, {.training = true, .eps = eps});
  };
  const Tensor y = normalize(in.x, 0.01);
  EXPECT_LT(max_distance(normalize(in.x * 3.0 + 7.0, 0.09), y), 1e-12);
  EXPECT_LT(max_distance(normalize(in.x * -3.0, 0.09) + y,
                         reshape(in.bias, {1, 4, 1, 1}) * 2.0 + 0.0 * y),
            1e-12);
}

TEST(BatchNormOp, TwoValuesAndNoEpsGivePlusAndMinusOne) {
  for (DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = leaf(tensor(std::vector<double>{0, 2}, {2, 1, 1, 1}).to(dtype));
    const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true, .eps = 0});
    y.backward(tensor(std::vector<double>{0.3, -0.9}, {2, 1, 1, 1}).to(dtype));
    EXPECT_EQ(max_distance(y, tensor(std::vector<double>{-1, 1}, {2, 1, 1, 1})), 0);
    EXPECT_LT(largest(x.grad()), 1e-7);
  }
}

TEST(BatchNormOp, EpsOfOneOnTwoValues) {
  const Tensor x = leaf(tensor(std::vector<float>{0, 2}, {2, 1, 1, 1}));
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true, .eps = 1});
  y.backward(tensor(std::vector<float>{1, 0}, {2, 1, 1, 1}));
  EXPECT_LT(max_distance(y, tensor(std::vector<double>{-0.70710678, 0.70710678}, y.shape())), 1e-7);
  EXPECT_LT(max_distance(x.grad(), tensor(std::vector<double>{0.1767767, -0.1767767}, y.shape())),
            1e-7);
}

TEST(BatchNormOp, ConstantChannelBecomesBias) {
  for (DType dtype : {DType::f32, DType::f64}) {
    for (double eps : {0.0, 1e-5}) {
      const Tensor x = leaf(full({2, 1, 2, 2}, 3.0, dtype));
      const Tensor var = ones({1}, dtype), mean = zeros({1}, dtype);
      const Tensor bias = full({1}, 0.25, dtype);
      const Tensor y = batch_norm(x, mean, var, {}, bias, {.training = true, .eps = eps});
      y.backward(reshape(arange(8, dtype), {2, 1, 2, 2}));
      EXPECT_EQ(max_distance(y, full({2, 1, 2, 2}, 0.25)), 0);
      const double first = eps == 0 ? 0 : -3.5 / std::sqrt(1e-5);
      EXPECT_NEAR(at(x.grad(), 0), first, 1e-3);
      EXPECT_NEAR(at(var, 0), 0.9, 1e-7);
    }
  }
}

TEST(BatchNormOp, ConstantChannelWithoutEpsHasZeroGradientsOfGradients) {
  const Tensor x = leaf(full({2, 1, 2, 2}, 3.0, DType::f64));
  const Tensor dy = leaf(randn({2, 1, 2, 2}, DType::f64));
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true, .eps = 0});
  const Tensor dx = grad(y, {x}, {.create_graph = true, .grad_output = dy})[0];
  EXPECT_EQ(largest(dx), 0);
  EXPECT_EQ(largest(grad(sum(dx * dx), {dy})[0]), 0);
}

TEST(BatchNormOp, NanAndInfinityStayInTheirChannel) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    for (double poison : {nan, inf}) {
      manual_seed(18);
      Tensor x = randn({4, 3, 6, 6});
      const Tensor clean_mean = zeros({3}), clean_var = ones({3});
      const Tensor clean =
          batch_norm(to_memory_format(x, order), clean_mean, clean_var, {}, {}, {.training = true});
      x.mutable_data<float>()[36 + 5] = static_cast<float>(poison);  // channel 1
      const Tensor mean = zeros({3}), var = ones({3});
      const Tensor y =
          batch_norm(to_memory_format(x, order), mean, var, {}, {}, {.training = true});
      for (int64_t c : {0, 2}) {
        EXPECT_TRUE(same_bits(slice(y, 1, c, c + 1), slice(clean, 1, c, c + 1)));
        EXPECT_EQ(at(mean, static_cast<size_t>(c)), at(clean_mean, static_cast<size_t>(c)));
      }
      for (float v : slice(y, 1, 1, 2).to_vector<float>()) EXPECT_TRUE(std::isnan(v));
      EXPECT_FALSE(std::isfinite(at(mean, 1)));
      EXPECT_FALSE(std::isfinite(at(var, 1)));
    }
  }
}

TEST(BatchNormOp, ReluPassesNanAndCutsAtZero) {
  // y is exactly 0 where x equals the running mean and bias is 0.
  const Tensor x = leaf(tensor(std::vector<float>{-1, 0, 2, std::nanf("")}, {4, 1, 1, 1}));
  const Tensor y = batch_norm_relu(x, zeros({1}), ones({1}), {}, {}, {.eps = 0});
  y.backward(full({4, 1, 1, 1}, 5));
  const auto out = y.to_vector<float>(), dx = x.grad().to_vector<float>();
  EXPECT_EQ(std::vector<float>(out.begin(), out.begin() + 3), (std::vector<float>{0, 0, 2}));
  EXPECT_TRUE(std::isnan(out[3]));
  EXPECT_EQ(std::vector<float>(dx.begin(), dx.begin() + 3), (std::vector<float>{0, 0, 5}));
}

TEST(BatchNormOp, ReluCutsAtZeroInEveryBackward) {
  for (DType dtype : {DType::f32, DType::f64}) {
    for (bool create_graph : {false, true}) {
      for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
        const Tensor numbers = tensor(std::vector<double>{-1, 0, 2, 0}, {2, 1, 2, 1}).to(dtype);
        const Tensor x = leaf(to_memory_format(cat({numbers, numbers}, 1), order));
        const Tensor y =
            batch_norm_relu(x, zeros({2}, dtype), ones({2}, dtype), {}, {}, {.eps = 0});
        const Tensor dy = full({2, 2, 2, 1}, 5, dtype);
        const Tensor dx = grad(y, {x}, {.create_graph = create_graph, .grad_output = dy})[0];
        const Tensor want = tensor(std::vector<double>{0, 0, 5, 0}, {2, 1, 2, 1});
        EXPECT_EQ(max_distance(dx, cat({want, want}, 1)), 0);
      }
    }
  }
}

TEST(BatchNormOp, FusedReluEqualsTheUnfusedPair) {
  manual_seed(19);
  for (DType dtype : {DType::f32, DType::f64}) {
    for (bool training : {true, false}) {
      for (MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
        const Inputs in({4, 19, 6, 5}, dtype);
        const BatchNormOptions params{.training = training, .update_running = false};
        const Tensor x = leaf(to_memory_format(in.x, order)), x2 = leaf(x);
        const Tensor w2 = leaf(in.weight), b2 = leaf(in.bias);
        in.weight.set_grad({}), in.bias.set_grad({});
        const Tensor dy = normal(x.shape(), dtype);
        const Tensor fused = batch_norm_relu(x, in.mean, in.var, in.weight, in.bias, params);
        const Tensor pair = relu(batch_norm(x2, in.mean, in.var, w2, b2, params));
        fused.backward(dy);
        pair.backward(dy);
        EXPECT_EQ(max_distance(fused, pair), 0);
        EXPECT_EQ(max_distance(x.grad(), x2.grad()), 0);
        EXPECT_EQ(max_distance(in.weight.grad(), w2.grad()), 0);
        EXPECT_EQ(max_distance(in.bias.grad(), b2.grad()), 0);
      }
    }
  }
}

TEST(BatchNormOp, OnlyWantedGradientsAreComputed) {
  manual_seed(20);
  for (int wanted = 1; wanted < 8; ++wanted) {
    for (bool training : {true, false}) {
      const Inputs all({4, 5, 3, 3}, DType::f32);
      const BatchNormOptions params{.training = training, .update_running = false};
      const Tensor dy = randn(all.x.shape());
      batch_norm(all.x, all.mean, all.var, all.weight, all.bias, params).backward(dy);
      const Tensor from[] = {all.x, all.weight, all.bias};
      Tensor some[3];
      for (int i = 0; i < 3; ++i) {
        some[i] = from[i].detach().clone();
        if (wanted >> i & 1) some[i].set_requires_grad();
      }
      batch_norm(some[0], all.mean, all.var, some[1], some[2], params).backward(dy);
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(some[i].grad().defined(), (wanted >> i & 1) == 1);
        if (some[i].grad().defined()) {
          EXPECT_EQ(max_distance(some[i].grad(), from[i].grad()), 0);
        }
      }
    }
  }
}

TEST(BatchNormOp, WeightAndBiasEachWithoutTheOther) {
  manual_seed(21);
  const Inputs in({4, 5, 3, 3}, DType::f32);
  const BatchNormOptions params{.training = true};
  const Tensor none = batch_norm(in.x, {}, {}, {}, {}, params);
  const Tensor weight = batch_norm(in.x, {}, {}, in.weight, {}, params);
  const Tensor bias = batch_norm(in.x, {}, {}, {}, in.bias, params);
  EXPECT_LT(max_distance(weight, none * reshape(in.weight, {1, 5, 1, 1})), 2e-6);
  EXPECT_LT(max_distance(bias, none + reshape(in.bias, {1, 5, 1, 1})), 2e-6);
}

TEST(BatchNormOp, MemoryOrdersAreUsedAsTheyLie) {
  manual_seed(22);
  const Tensor x = leaf(to_memory_format(randn({4, 16, 8, 8}), MemoryFormat::channels_last));
  const Tensor dy = to_memory_format(randn({4, 16, 8, 8}), MemoryFormat::channels_last);
  reset_counters();
  const Tensor y = batch_norm_relu(x, {}, {}, {}, {}, {.training = true});
  y.backward(dy);
  const Tensor nhwc = leaf(randn({4, 8, 8, 16}));
  batch_norm(nhwc, {}, {}, {}, {}, {.training = true, .data_format = DataFormat::NHWC})
      .backward(randn({4, 8, 8, 16}));
  EXPECT_EQ(counters().reorders, 0);
  EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(x.grad().memory_format(), MemoryFormat::channels_last);
}

TEST(BatchNormOp, HugeValuesNormalizeAndLargerOnesAreBias) {
  manual_seed(23);
  const Tensor x = randn({8, 2, 5, 5}) * 1e17;
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true});
  const Tensor want = batch_norm(x.to(DType::f64), {}, {}, {}, {}, {.training = true});
  EXPECT_LT(max_distance(y, want), 5e-6);
  // Squares beyond float: the variance is infinite, and so nothing is left of x.
  const Tensor z = batch_norm(x * 1e4, {}, {}, {}, full({2}, 0.5), {.training = true});
  EXPECT_EQ(max_distance(z, full(z.shape(), 0.5)), 0);
}

TEST(BatchNormOp, TinyVarianceIsNotLost) {
  manual_seed(24);
  const Tensor x = normal({8, 2, 20, 20}, DType::f32, 0, 1e-4);
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true});
  EXPECT_LT(max_distance(y, batch_norm(x.to(DType::f64), {}, {}, {}, {}, {.training = true})),
            1e-7);
  EXPECT_LT(largest(y), 0.2);  // sqrt(1e-8 / (1e-8 + 1e-5)) = 0.03 per deviation
}

TEST(BatchNormOp, ErrorsSayWhatIsWanted) {
  const Tensor x = zeros({2, 3, 4, 4}), three = ones({3}), two = ones({2}), four = ones({4});
  const auto check = [&](auto&& f, const std::vector<std::string>& parts) {
    expect_mentions(message_of(f), parts);
  };
  check([&] { batch_norm({}, three, three); }, {"[batch_norm]", "undefined"});
  check([&] { batch_norm(zeros({3}), three, three); }, {"f32[3]", "2 to 5"});
  check([&] { batch_norm(zeros({2, 3}, DType::i64), three, three); }, {"i64", "f32 or f64"});
  for (const Tensor& wrong : {two, four}) {
    check([&] { batch_norm(x, wrong, three); }, {"running_mean", "[3]", "f32[2,3,4,4]"});
    check([&] { batch_norm(x, three, wrong); }, {"running_var", "[3]"});
    check([&] { batch_norm(x, three, three, wrong); }, {"weight", "[3]"});
    check([&] { batch_norm(x, three, three, three, wrong); }, {"bias", "[3]"});
  }
  check([&] { batch_norm(x, three, {}); }, {"both or neither"});
  check([&] { batch_norm(x, {}, {}); }, {"needed unless training"});
  check([&] { batch_norm(x, three, three, ones({3}, DType::f64)); }, {"weight", "f64", "dtype"});
  for (double eps : {-1e-5, std::nan(""), 1.0 / 0.0}) {
    check([&] { batch_norm(x, three, three, {}, {}, {.eps = eps}); }, {"eps"});
  }
  check(
      [&] {
        batch_norm(ones({1, 10, 1, 1}), {}, {}, {}, {}, {.training = true});
      },
      {"f32[1,10,1,1]", "one value per channel", "drop_last"});
  check(
      [&] {
        batch_norm(x, three, three, {}, {},
                   {.training = true, .momentum = Momentum::cumulative(), .batches_tracked = 0});
      },
      {"batches_tracked"});
  for (double share : {-0.1, 1.1, std::nan("")}) {
    check([&] { Momentum::keep(share); }, {"keep", "0 to 1"});
    check([&] { Momentum::update(share); }, {"update", "0 to 1"});
  }
}

TEST(BatchNormOp, NothingChangesWhenACallFails) {
  const Tensor mean = full({3}, 0.5), var = full({3}, 2);
  const uint64_t version = mean.version();
  EXPECT_THROW(batch_norm(ones({1, 3, 1, 1}), mean, var, {}, {}, {.training = true}), Error);
  EXPECT_THROW(batch_norm(ones({2, 3, 1, 1}), mean, var, ones({2}), {}, {.training = true}), Error);
  EXPECT_EQ(mean.version(), version);
  EXPECT_EQ(max_distance(mean, full({3}, 0.5)), 0);
  EXPECT_EQ(max_distance(var, full({3}, 2)), 0);
}
