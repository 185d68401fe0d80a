// SPDX-License-Identifier: Apache-2.0
// Numbers from the end of their range, and tensors that are empty but long: results or Errors, at
// once, and no memory because a number says so. What ./run fuzz has found is kept here.
#include <tern/ops/internal/conv_batch_norm.h>
#include <tern/tern.h>

#include "support.h"

namespace {

using namespace tern;
using tern::test::expect_error;

constexpr int64_t kHuge = int64_t{1} << 40;

TEST(Extremes, SumsOfIntegersWrapAround) {
  const Tensor x = tensor(std::vector<int64_t>{INT64_MAX, 1, 2}, {3});
  const auto expect_wrapped = [&] {
    EXPECT_EQ(sum(x).item<int64_t>(), INT64_MIN + 2);
    EXPECT_EQ(sum_to(x, {1}).item<int64_t>(), INT64_MIN + 2);
    EXPECT_EQ(cumsum(x, 0).to_vector<int64_t>(),
              (std::vector<int64_t>{INT64_MAX, INT64_MIN, INT64_MIN + 2}));
    EXPECT_EQ(prod(x).item<int64_t>(), -2);
    EXPECT_EQ(
        scatter_add(x, 0, zeros({1}, DType::i64), ones({1}, DType::i64)).to_vector<int64_t>()[0],
        INT64_MIN);
  };
  expect_wrapped();
  const ReferenceKernels reference;
  expect_wrapped();
}

TEST(Extremes, StepsBehindTheEndOfEveryAxis) {
  const Tensor x = arange(12).to(DType::f32);
  const Tensor m = reshape(x, {3, 4});
  EXPECT_EQ(slice(m, 1, 1, 4, INT64_MAX).to_vector<float>(), (std::vector<float>{1, 5, 9}));
  EXPECT_EQ(index(m, {Range(1, Range::kEnd, INT64_MAX)}).to_vector<float>(),
            (std::vector<float>{4, 5, 6, 7}));
  index_put_(m, {Range(0, Range::kEnd, INT64_MAX), Range(2, Range::kEnd, INT64_MAX - 1)}, -1);
  EXPECT_EQ(m[0].to_vector<float>(), (std::vector<float>{0, 1, -1, 3}));
}

TEST(Extremes, PartsAreNotCountedInGigabytes) {
  const Tensor x = zeros({0, kHuge}), small = zeros({2});
  expect_error([&] { unbind(x, 1); }, "would become 1099511627776 tensors, want at most 1048576");
  expect_error([&] { split(x, 1, 1); }, "would become 1099511627776 tensors");
  expect_error([&] { chunk(x, INT64_MAX, 1); }, "would become 1099511627776 tensors");
  expect_error([&] { chunk(zeros({0}), kHuge); }, "would become 1099511627776 tensors");
  EXPECT_EQ(split(x, kHuge, 1).size(), 1u);
  EXPECT_EQ(chunk(small, INT64_MAX).size(), 2u);
}

// A loop over the axes of any of these would not end.
TEST(Extremes, EmptyTensorsWithLongAxesTakeNoTime) {
  for (const Tensor& x : {zeros({0, kHuge}), zeros({kHuge, 0}), zeros({1 << 20, 0, 1 << 20})}) {
    EXPECT_EQ(x.to(DType::f64).shape(), x.shape());
    EXPECT_EQ(x.to(DType::i64).to(DType::boolean).shape(), x.shape());
    EXPECT_EQ((x + x).shape(), x.shape());
    EXPECT_EQ(exp(x).shape(), x.shape());
    EXPECT_EQ(softmax(x, 1).shape(), x.shape());
    EXPECT_EQ(sort(x, 1).first.shape(), x.shape());
    EXPECT_EQ(cumsum(x, 0).shape(), x.shape());
    EXPECT_EQ(transpose(x, 0, 1).numel(), 0);
    EXPECT_EQ(x.clone().shape(), x.shape());
    EXPECT_LT(to_string(x).size(), 200u);
    EXPECT_EQ(sum(x).item<float>(), 0);
    EXPECT_EQ(nonzero(x).size(0), 0);
    EXPECT_TRUE(equal(x, x));
  }
  EXPECT_EQ(linear(zeros({kHuge, 0, 3}), zeros({2, 3}), zeros({2})).shape(), (Shape{kHuge, 0, 2}));
  EXPECT_EQ(linear(zeros({1 << 20, 0, 1 << 20}), zeros({2, 1 << 20})).shape(),
            (Shape{1 << 20, 0, 2}));
  EXPECT_EQ(matmul(zeros({0, kHuge}), zeros({kHuge, 0})).shape(), (Shape{0, 0}));
  EXPECT_EQ(to_memory_format(zeros({0, kHuge, 2, 2}), MemoryFormat::channels_last).numel(), 0);
  EXPECT_EQ(layer_norm(zeros({kHuge, 0, 2}), 2).shape(), (Shape{kHuge, 0, 2}));
  EXPECT_EQ(mse_loss(zeros({0, kHuge}), zeros({0, kHuge}), Reduction::sum).item<float>(), 0);
}

TEST(Extremes, JoinsWhoseLengthIsNoNumber) {
  const Tensor x = zeros({INT64_MAX - 1, 0});
  expect_error([&] { cat({x, x}); }, "axis 0 of the result is longer than 2^63-1");
  expect_error([&] { vstack({x, x}); }, "longer than 2^63-1");
  EXPECT_EQ(cat({x, zeros({1, 0})}).shape(), (Shape{INT64_MAX, 0}));
}

TEST(Extremes, OneHotOfHugeClasses) {
  expect_error([] { one_hot(tensor({INT64_MAX})); }, "classes are from 9223372036854775807");
  EXPECT_THROW(one_hot(tensor({INT64_MAX - 1})), Error);
  EXPECT_EQ(one_hot(zeros({0, 2}, DType::i64), kHuge).shape(), (Shape{0, 2, kHuge}));
}

TEST(Extremes, PoolsOfEmptyBatchesAreEmpty) {
  const Tensor x = zeros({0, 1, 2, kHuge}).set_requires_grad();
  EXPECT_EQ(avg_pool2d(x, 1).shape(), (Shape{0, 1, 2, kHuge}));
  EXPECT_EQ(max_pool2d(x, 1).shape(), (Shape{0, 1, 2, kHuge}));
  sum(avg_pool2d(x, {1, 4})).backward();
  EXPECT_EQ(x.grad().shape(), x.shape());
  const Tensor y = zeros({0, 1, 2, 3});
  EXPECT_EQ(adaptive_avg_pool2d(y, INT32_MAX).shape(), (Shape{0, 1, INT32_MAX, INT32_MAX}));
  expect_error([&] { adaptive_avg_pool2d(x, 2); }, "want axes shorter than 2^31");
  expect_error([&] { adaptive_max_pool2d(x, 2); }, "want axes shorter than 2^31");
  expect_error([&] { max_pool2d(zeros({0, 1, INT64_MAX, 1}), 1); }, "fewer than 2^62");
}

TEST(Extremes, ResultsThatNoMachineHoldsAreErrors) {
  const Tensor x = zeros({64, 64, 2, 2}), signals = zeros({64, 64, 2});
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { adaptive_avg_pool2d(x, INT32_MAX); }, [&] { adaptive_max_pool2d(x, INT32_MAX); },
           [&] { adaptive_avg_pool1d(signals, INT32_MAX); },
           [&] { adaptive_max_pool1d(signals, INT32_MAX - 1); },
           [&] { interpolate(x, {.size = INT32_MAX}); },
           [&] { interpolate(x, {.size = INT32_MAX, .mode = Interpolation::bilinear}); },
           [&] { interpolate(x, {.size = INT32_MAX, .mode = Interpolation::area}); },
           [&] {
             conv_transpose2d(x, zeros({64, 1, 2, 2}), {}, {.stride = INT32_MAX});
           }}) {
    EXPECT_THROW(call(), Error);
  }
}

// Of a kernel's own memory the sanitizer says itself that there is none.
#ifndef __SANITIZE_ADDRESS__
TEST(Extremes, MemoryThatAKernelDoesNotGetIsAnError) {
  const Tensor x = zeros({1, 100'000, 1, 1}, DType::f64), w = zeros({1, 100'000, 3, 3}, DType::f64);
  expect_error([&] { conv2d(x, w, {}, {.padding = 1000}); }, "out of memory");
}
#endif

TEST(Extremes, InterpolatesEmptyBatches) {
  const Tensor x = zeros({0, 3, 2, 2}).set_requires_grad();
  const Tensor y = interpolate(x, {.size = 1 << 30, .mode = Interpolation::bilinear});
  EXPECT_EQ(y.shape(), (Shape{0, 3, 1 << 30, 1 << 30}));
  sum(y).backward();
  EXPECT_EQ(x.grad().shape(), x.shape());
  const Tensor wide = zeros({0, 4, int64_t{1} << 32, 1});
  EXPECT_EQ(pixel_shuffle(wide, 2).shape(), (Shape{0, 1, int64_t{1} << 33, 2}));
  expect_error([&] { pixel_shuffle(zeros({0, 4, kHuge, 1}), 2); }, "want axes of at most 2^32");
}

TEST(Extremes, ConvolutionsOfLongAxes) {
  const Tensor weight = zeros({1, 1, 3, 3});
  expect_error(
      [&] {
        conv2d(zeros({0, 1, kHuge, 1}), weight, {}, {.padding = 1});
      },
      "fewer than 2^31");
  expect_error([&] { conv2d(zeros({1, 1, 8, 8}), zeros({1, 1, kHuge, 0})); }, "fewer than 2^31");
  expect_error([&] { conv_transpose2d(zeros({0, 1, kHuge, 1}), weight); }, "fewer than 2^31");
  const Tensor volume = zeros({0, 1, 4, 4, 4}), cube = zeros({1, 1, 2, 2, 2});
  expect_error([&] { conv3d(volume, cube, {}, {.padding = {INT64_MAX, 0, 0}}); }, "less than 2^31");
  expect_error(
      [&] {
        conv3d(volume, cube, {}, {.dilation = {INT64_MAX, 1, 1}});
      },
      "less than 2^31");
}

TEST(Extremes, Conv3dWithStridedDepths) {
  manual_seed(1);
  const Tensor x = randn({2, 3, 7, 4, 4}, DType::f64).set_requires_grad();
  const Tensor w = randn({2, 3, 2, 3, 3}, DType::f64).set_requires_grad();
  const Conv3dOptions strided{.stride = {3, 1, 1}, .dilation = {2, 1, 1}};
  const Tensor whole = conv3d(x, w, {}, {.dilation = {2, 1, 1}});
  EXPECT_EQ(test::max_distance(conv3d(x, w, {}, strided), slice(whole, 2, 0, 5, 3)), 0);
  EXPECT_TRUE(gradcheck(
      [&](const std::vector<Tensor>& in) { return conv3d(in[0], in[1], {}, strided); }, {x, w}));
}

TEST(Extremes, NormsOfNothingWithManyChannels) {
  const Tensor x = zeros({0, kHuge}).set_requires_grad();
  const Tensor y = batch_norm(x, {}, {}, {}, {}, {.training = true});
  sum(y).backward({}, {.create_graph = true});
  EXPECT_EQ(x.grad().shape(), x.shape());
  const Tensor few = zeros({0, 3}).set_requires_grad(), weight = ones({3}).set_requires_grad();
  sum(batch_norm_relu(few, {}, {}, weight, {}, {.training = true}))
      .backward({}, {.create_graph = true});
  EXPECT_EQ(weight.grad().to_vector<float>(), std::vector<float>(3));
}

TEST(Extremes, ACountOfBatchesThatWasLoadedDoesNotOverflow) {
  const auto expect_kept = [](auto norm) {
    for (const auto& [name, buffer] : norm.named_buffers()) {
      if (name == "num_batches_tracked") buffer.copy_(tensor({INT64_MAX}, Shape{}));
    }
    norm(randn({2, 3, 4, 4}));
    EXPECT_EQ(norm.buffer("num_batches_tracked").template item<int64_t>(), INT64_MAX);
  };
  expect_kept(nn::BatchNorm2d(3));
  expect_kept(nn::InstanceNorm2d(3, {.track_running_stats = true}));
}

TEST(Extremes, RunningStatisticsThatRequireAGradientAreAnError) {
  const Tensor x = randn({4, 2, 3}), mean = zeros({2}).set_requires_grad(), var = ones({2});
  const auto in_all_ways = [&](const Tensor& m, const Tensor& v) {
    for (const bool training : {true, false}) {
      batch_norm(x, m, v, {}, {}, {.training = training});
      batch_norm_relu(x, m, v, {}, {}, {.training = training});
      instance_norm(x, m, v, {}, {}, {.use_input_stats = training});
    }
  };
  const auto expect_refused = [&](const char* name, const Tensor& m, const Tensor& v) {
    const std::string message = std::string(name) + " f32[2] requires a gradient";
    expect_error([&] { batch_norm(x, m, v, {}, {}, {.training = true}); }, message);
    expect_error([&] { batch_norm(x, m, v); }, message);
    expect_error([&] { batch_norm_relu(x, m, v, {}, {}, {.training = true}); }, message);
    expect_error([&] { instance_norm(x, m, v); }, message);
  };
  expect_refused("running_mean", mean, var);
  expect_refused("running_var", var.clone(), ones({2}).set_requires_grad());
  EXPECT_EQ(mean.to_vector<float>(), (std::vector<float>{0, 0}));
  in_all_ways(mean.detach(), var);
  const NoGrad no_grad;
  in_all_ways(mean, var);
}

TEST(Extremes, AttentionWithoutElementsTakesNoLoop) {
  const auto expect_zeros = [](const Tensor& q, const Tensor& k, const Tensor& v) {
    for (const Tensor& x : {q, k, v}) x.set_requires_grad();
    const Tensor y = scaled_dot_product_attention(q, k, v);
    EXPECT_EQ(y.numel(), 0);
    sum(y).backward();
    for (const Tensor& x : {q, k, v}) EXPECT_EQ(sum(abs(x.grad())).item<float>(), 0);
  };
  expect_zeros(zeros({0, kHuge, 4}), zeros({0, kHuge, 4}), zeros({0, kHuge, 4}));
  expect_zeros(zeros({1, kHuge, 0}), zeros({1, kHuge, 0}), zeros({1, kHuge, 0}));
  expect_zeros(ones({1, 2, 3}), ones({1, 2, 3}), zeros({1, 2, 0}));
  const ReferenceKernels reference;
  expect_zeros(zeros({0, kHuge, 4}), zeros({0, kHuge, 4}), zeros({0, kHuge, 4}));
  const Tensor x = zeros({1, kHuge, 0});
  EXPECT_THROW(scaled_dot_product_attention(x, x, x, {}, {.dropout_p = 0.5}), Error);
}

TEST(Extremes, Conv2dBatchNormWithoutStatisticsIsAnError) {
  const NoGrad no_grad;
  const Tensor x = zeros({1, 1, 4, 4}), w = zeros({2, 1, 3, 3}), some = ones({2});
  expect_error([&] { conv2d_batch_norm(x, w, {}, {.running_mean = some}); }, "running_var");
  expect_error([&] { conv2d_batch_norm(x, w, {}, {.running_var = some}); }, "running_mean");
}

}  // namespace
