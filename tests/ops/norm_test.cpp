// SPDX-License-Identifier: Apache-2.0
// Layer, RMS, group and instance norm. PyTorch's values: transformer_test.
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Doubles = std::vector<double>;

Doubles list(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

/// y = (x - mean) / sqrt(var + eps), part by part, of a row-major tensor.
Tensor by_hand(const Tensor& x, int64_t parts, double eps = 1e-5, bool centered = true) {
  Doubles v = list(contiguous(x));
  const size_t n = v.size() / static_cast<size_t>(parts);
  for (size_t first = 0; first < v.size(); first += n) {
    double mean = 0, var = 0;
    for (size_t i = first; centered && i < first + n; ++i) mean += v[i] / static_cast<double>(n);
    for (size_t i = first; i < first + n; ++i)
      var += (v[i] - mean) * (v[i] - mean) / static_cast<double>(n);
    for (size_t i = first; i < first + n; ++i) v[i] = (v[i] - mean) / std::sqrt(var + eps);
  }
  return tensor(v, x.shape());
}

TEST(Norm, IsWhatItsDefinitionSays) {
  const Tensor x = values({4, 6, 3, 5}, 1), scale = values({6}, 2), shift = values({6}, 3);
  const Tensor per_channel = reshape(scale, {6, 1, 1}), added = reshape(shift, {6, 1, 1});
  expect_close(layer_norm(x, 5), by_hand(x, 4 * 6 * 3), 1e-13);
  expect_close(layer_norm(x, {3, 5}, values({3, 5}, 4), values({3, 5}, 5), 0.1),
               by_hand(x, 24, 0.1) * values({3, 5}, 4) + values({3, 5}, 5), 1e-13);
  expect_close(layer_norm(x, x.shape()), by_hand(x, 1), 1e-13);
  expect_close(rms_norm(x, {3, 5}, values({3, 5}, 4)),
               by_hand(x, 24, 1e-5, false) * values({3, 5}, 4), 1e-13);
  for (const int64_t groups : {1, 2, 6}) {
    expect_close(group_norm(x, groups, scale, shift), by_hand(x, 4 * groups) * per_channel + added,
                 1e-13);
  }
  expect_close(instance_norm(x, {}, {}, scale, shift), by_hand(x, 24) * per_channel + added, 1e-13);
  // {1, 3} has mean 2 and is normalized with variance 1.
  EXPECT_EQ(list(layer_norm(tensor(Doubles{1, 3}, {2}), 2, {}, {}, 0)), (Doubles{-1, 1}));
  EXPECT_EQ(list(rms_norm(tensor(Doubles{3, 4}, {2}), 2, {}, 3.5)), (Doubles{0.75, 1}));
}

TEST(Norm, RunningStatistics) {
  const Tensor x = values({3, 2, 4}, 1), mean = zeros({2}, DType::f64), var = ones({2}, DType::f64);
  instance_norm(x, mean, var, {}, {}, {.momentum = 0.25});
  expect_close(mean, 0.25 * tern::mean(x, {0, 2}), 1e-14);
  expect_close(var, 0.75 + 0.25 * tern::mean(tern::var(x, {2}), {0}), 1e-14);
  const Tensor y = instance_norm(x, mean, var, {}, {}, {.use_input_stats = false, .eps = 0.1});
  expect_close(y, (x - reshape(mean, {2, 1})) / sqrt(reshape(var, {2, 1}) + 0.1), 1e-13);
}

TEST(Norm, Gradients) {
  const Inputs rows{leaf({3, 2, 4}, 1), leaf({2, 4}, 2), leaf({2, 4}, 3)};
  expect_gradients([](const Inputs& x) { return layer_norm(x[0], {2, 4}, x[1], x[2]); }, rows);
  expect_gradients(
      [](const Inputs& x) {
        return layer_norm(x[0], {2, 4}, {}, x[1]);
      },
      {rows[0], rows[2]});
  expect_gradients([](const Inputs& x) { return layer_norm(x[0], 4); }, {rows[0]});
  expect_gradients(
      [](const Inputs& x) {
        return rms_norm(x[0], {2, 4}, x[1]);
      },
      {rows[0], rows[1]});
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const auto image = [&](uint64_t seed) {
      return to_memory_format(values({2, 4, 2, 3}, seed), format).set_requires_grad();
    };
    const Inputs x{image(1), leaf({4}, 2), leaf({4}, 3)};
    expect_gradients([](const Inputs& in) { return group_norm(in[0], 2, in[1], in[2]); }, x);
    expect_gradients([](const Inputs& in) { return instance_norm(in[0], {}, {}, in[1], in[2]); },
                     x);
  }
  expect_gradients([](const Inputs& in) { return group_norm(in[0], 2, in[1], in[2]); },
                   {leaf({5, 4}, 1), leaf({4}, 2), leaf({4}, 3)});
  expect_gradients([](const Inputs& in) { return group_norm(in[0], 2); }, {leaf({2, 4, 3}, 1)});
}

TEST(Norm, AWrongGradientIsRejected) {
  expect_rejected(
      [](const Inputs& x) {
        const Tensor y = layer_norm(x[0], 5);
        return with_backward(y, x, [=](const Tensor& dy) {
          const Tensor deviation = std(x[0], {1}, {.correction = 0, .keepdim = true});
          return Gradients{(dy - mean(dy, {1}, true)) / deviation};  // the variance's term dropped
        });
      },
      {leaf({3, 5}, 1)});
}

TEST(Norm, FloatFollowsDouble) {
  // Rows of one vector, of several, with rests, many of them (several chunks), and few long ones.
  for (const Shape& shape :
       {Shape{5, 1, 3}, Shape{7, 3, 33}, Shape{300, 2, 40}, Shape{2, 1, 5000}}) {
    const int64_t n = shape[2];
    expect_f32_follows_f64([=](const Inputs& x) { return layer_norm(x[0], n, x[1], x[2]); },
                           {leaf(shape, 1), leaf({n}, 2), leaf({n}, 3)}, 2e-5);
    expect_f32_follows_f64([=](const Inputs& x) { return layer_norm(x[0], n); }, {leaf(shape, 1)},
                           1e-5);
    expect_f32_follows_f64([=](const Inputs& x) { return rms_norm(x[0], n, x[1]); },
                           {leaf(shape, 1), leaf({n}, 2)}, 2e-5);
  }
  // Only some gradients.
  expect_f32_follows_f64([](const Inputs& x) { return layer_norm(x[0], 33, x[1], x[2]); },
                         {values({9, 33}, 1), values({33}, 2), leaf({33}, 3)}, 1e-5);
  expect_f32_follows_f64([](const Inputs& x) { return layer_norm(x[0], 33, x[1], x[2]); },
                         {leaf({9, 33}, 1), values({33}, 2), values({33}, 3)}, 1e-5);
  for (const Shape& shape :
       {Shape{2, 6, 5, 7}, Shape{3, 36, 9, 4}, Shape{1, 1500, 3, 2}, Shape{70, 12, 1, 1}}) {
    const int64_t c = shape[1];
    for (const int64_t groups : {int64_t{1}, int64_t{2}, c}) {
      if (groups == c && shape[2] == 1) continue;  // a part of one value
      expect_f32_follows_f64([=](const Inputs& x) { return group_norm(x[0], groups, x[1], x[2]); },
                             {leaf(shape, 1), leaf({c}, 2), leaf({c}, 3)}, 2e-5);
    }
  }
}

TEST(Norm, LargeMeansCostNoDigits) {
  manual_seed(1);
  for (const double mean : {1e4, -1e6}) {
    const Tensor x = (randn({4, 8, 6, 6}, DType::f64) + mean).to(DType::f32);
    const auto same = [&](const auto& f) {
      EXPECT_LT(max_distance(f(x), f(x.to(DType::f64))), 1e-5) << mean;
      const Tensor last = to_memory_format(x, MemoryFormat::channels_last);
      EXPECT_LT(max_distance(f(last), f(x.to(DType::f64))), 1e-5) << mean;
    };
    same([](const Tensor& t) { return layer_norm(t, {6, 6}); });
    same([](const Tensor& t) { return group_norm(t, 2); });
    same([](const Tensor& t) { return instance_norm(t); });
  }
}

TEST(Norm, PartsOfEqualValuesAndNaN) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const double eps : {0.0, 1e-5}) {
      const Tensor x = full({2, 4}, 3, dtype).set_requires_grad();
      const Tensor y = layer_norm(x, 4, full({4}, 2, dtype), full({4}, 7, dtype), eps);
      EXPECT_EQ(list(y), Doubles(8, 7));
      const Tensor g = grad(sum(square(y)), {x}, {.create_graph = true})[0];
      EXPECT_EQ(list(g), Doubles(8, 0));
      y.backward(ones({2, 4}, dtype));
      EXPECT_EQ(list(x.grad()), Doubles(8, 0));
    }
    const Tensor bad = tensor(Doubles{1, NAN, 2, 1, 3, 2}, {2, 3}).to(dtype);
    const Doubles y = list(layer_norm(bad, 3));
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i < 3) << "its row only";
  }
}

TEST(Norm, MemoryFormatsAndEmptyTensors) {
  const Tensor x = to_memory_format(values({2, 4, 3, 3}, 1), MemoryFormat::channels_last);
  for (const Tensor& y : {group_norm(x, 2), instance_norm(x), layer_norm(x, 3)}) {
    EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
  }
  expect_close(layer_norm(x, {3, 3}), layer_norm(contiguous(x), {3, 3}), 1e-14);
  for (const Shape& shape : {Shape{0, 4, 3}, Shape{2, 4, 0}}) {
    const Tensor none = zeros(shape).set_requires_grad();
    const Tensor w = ones({4}).set_requires_grad(), b = zeros({4}).set_requires_grad();
    sum(group_norm(none, 2, w, b)).backward();
    EXPECT_EQ(list(w.grad()), Doubles(4, 0));
    EXPECT_EQ(none.grad().shape(), shape);
    EXPECT_EQ(layer_norm(none, shape[2]).shape(), shape);
  }
}

TEST(Norm, TheSameBitsForAnyNumberOfThreads) {
  manual_seed(2);
  const auto all = [](const Tensor& x, const auto& f, int64_t c) {
    expect_thread_invariant([&] {
      const Tensor in = x.detach().clone().set_requires_grad();
      const Tensor w = values({c}, 1).to(DType::f32).set_requires_grad();
      const Tensor b = values({c}, 2).to(DType::f32).set_requires_grad();
      const Tensor y = f(in, w, b);
      y.backward(values(y.shape(), 3).to(DType::f32));
      return cat({flatten(y), flatten(in.grad()), w.grad(), b.grad()});
    });
  };
  all(
      randn({3000, 72}),
      [](const Tensor& x, const Tensor& w, const Tensor& b) { return layer_norm(x, 72, w, b); },
      72);
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    all(
        to_memory_format(randn({5, 72, 17, 16}), format),
        [](const Tensor& x, const Tensor& w, const Tensor& b) { return group_norm(x, 8, w, b); },
        72);
  }
}

TEST(Norm, Errors) {
  const Tensor x = zeros({2, 4, 3});
  expect_error([&] { layer_norm(x, 4); },
               {"[layer_norm]", "normalized_shape is [4]", "f32[2,4,3]"});
  expect_error([&] { layer_norm(x, IntList()); }, {"normalized_shape is []"});
  expect_error([&] { layer_norm(x, 3, zeros({4})); }, {"weight is f32[4]", "[3]"});
  expect_error([&] { rms_norm(x, 3, zeros({3}, DType::f64)); }, {"[rms_norm]", "one dtype"});
  expect_error([&] { layer_norm(x, 3, {}, {}, -1); }, {"eps is -1"});
  expect_error([&] { layer_norm(x.to(DType::i64), 3); }, {"i64[2,4,3]", "f32 or f64"});
  expect_error([&] { group_norm(x, 3); }, {"[group_norm]", "num_groups is 3", "4 channels"});
  expect_error([&] { group_norm(zeros({4}), 2); }, {"at least 2 axes"});
  expect_error([&] { group_norm(x, 2, zeros({3})); }, {"weight is f32[3]", "[4]"});
  expect_error([&] { instance_norm(x, zeros({4})); }, {"[instance_norm]", "both or neither"});
  expect_error([&] { instance_norm(zeros({2, 4})); }, {"one value per channel"});
  expect_error([&] { instance_norm(x, {}, {}, {}, {}, {.use_input_stats = false}); },
               {"running_mean and running_var are needed"});
  expect_error([&] { instance_norm(x, {}, {}, {}, {}, {.momentum = 2}); }, {"momentum is 2"});
}

TEST(NormModules, StateAndText) {
  const auto names = [](const nn::Module& net) { return net.state_dict().names(); };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(nn::LayerNorm({2, 3})), (Names{"weight", "bias"}));
  EXPECT_EQ(names(nn::LayerNorm(3, {.bias = false})), (Names{"weight"}));
  EXPECT_EQ(names(nn::LayerNorm(3, {.elementwise_affine = false})), Names{});
  EXPECT_EQ(names(nn::RMSNorm(3)), (Names{"weight"}));
  EXPECT_EQ(names(nn::GroupNorm(2, 4)), (Names{"weight", "bias"}));
  EXPECT_EQ(names(nn::InstanceNorm2d(4)), Names{});
  EXPECT_EQ(names(nn::InstanceNorm2d(4, {.affine = true, .track_running_stats = true})),
            (Names{"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}));
  EXPECT_EQ(nn::to_string(nn::LayerNorm({2, 3})),
            "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True)");
  EXPECT_EQ(nn::to_string(nn::LayerNorm(3)), "LayerNorm((3,), eps=1e-05, elementwise_affine=True)");
  EXPECT_EQ(nn::to_string(nn::GroupNorm(2, 4)), "GroupNorm(2, 4, eps=1e-05, affine=True)");
  EXPECT_EQ(nn::to_string(nn::InstanceNorm1d(4)),
            "InstanceNorm1d(4, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)");
  expect_error([] { nn::LayerNorm(0); }, {"[LayerNorm]", "[0]"});
  expect_error([] { nn::GroupNorm(3, 4); }, {"[GroupNorm]", "num_groups is 3"});
  expect_error([] { nn::InstanceNorm1d(0); }, {"[InstanceNorm1d]", "at least 1"});
  expect_error([] { nn::InstanceNorm2d(3)(zeros({2, 4, 5, 5})); }, {"4 channels, this layer 3"});
  expect_error([] { nn::InstanceNorm2d(3)(zeros({3, 5})); }, {"want 4 axes, or 3 without N"});
}

TEST(NormModules, InstanceNormTracksInTraining) {
  nn::InstanceNorm1d net(2, {.momentum = 0.5, .track_running_stats = true});
  const Tensor x = values({3, 2, 4}, 1).to(DType::f32);
  expect_close(net(x[0]), squeeze(instance_norm(unsqueeze(x[0], 0)), 0), 1e-6);
  net(x);
  EXPECT_EQ(net.buffer("num_batches_tracked").item<int64_t>(), 2);
  net.eval();
  const Tensor mean = net.running_mean().clone();
  expect_close(net(x),
               (x - reshape(mean, {2, 1})) / sqrt(reshape(net.running_var(), {2, 1}) + 1e-5), 1e-6);
  EXPECT_TRUE(same_bits(mean, net.running_mean()));
}

}  // namespace
}  // namespace tern
