// SPDX-License-Identifier: Apache-2.0
// Batch norm on oneDNN's primitives against float64, in every mode and layout it dispatches on.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace tern;

namespace {

struct Result {
  Tensor y, dx, dweight, dbias;
};

struct Case {
  Shape shape;
  MemoryFormat order;
  bool training, relu;
};

double offset = 0;

Result run(const Case& c, DType dtype, BatchNormAlgorithm algorithm) {
  manual_seed(5);
  const int64_t channels = c.shape[1];
  Tensor x = (randn(c.shape) + offset).to(dtype);
  x = to_memory_format(x, c.order).detach();
  const Tensor dy = to_memory_format(randn(c.shape).to(dtype), c.order);
  const Tensor weight = randn({channels}).to(dtype), bias = randn({channels}).to(dtype);
  const Tensor mean = (randn({channels}) + offset).to(dtype),
               var = (rand({channels}) + 0.5).to(dtype);
  for (const Tensor& t : {x, weight, bias}) t.set_requires_grad();
  const BatchNormOptions params{
      .training = c.training, .update_running = false, .algorithm = algorithm};
  const Tensor y = c.relu ? batch_norm_relu(x, mean, var, weight, bias, params)
                          : batch_norm(x, mean, var, weight, bias, params);
  y.backward(dy);
  return {y, x.grad(), weight.grad(), bias.grad()};
}

double worst(const Tensor& a, const Tensor& b) {
  const auto u = a.to(DType::f64).to_vector<double>(), v = b.to(DType::f64).to_vector<double>();
  double error = 0, scale = 1;
  for (size_t i = 0; i < u.size(); ++i) {
    error = std::max(error, std::fabs(u[i] - v[i]));
    scale = std::max(scale, std::fabs(v[i]));
  }
  return error / scale;
}

TEST(BatchNormOnednn, EqualsFloat64InEveryModeAndLayout) {
  offset = 0;
  for (const int64_t channels : {1, 3, 8, 16, 17, 24, 32}) {
    for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (const bool training : {true, false}) {
        for (const bool relu : {true, false}) {
          const Case c{{3, channels, 5, 7}, order, training, relu};
          const Result ours = run(c, DType::f32, BatchNormAlgorithm::onednn);
          const Result exact = run(c, DType::f64, BatchNormAlgorithm::automatic);
          const std::string what = to_string(c.shape) + to_string(order) +
                                   (training ? " training" : " eval") + (relu ? " relu" : "");
          EXPECT_EQ(ours.y.memory_format(), order);
          EXPECT_LT(worst(ours.y, exact.y), 2e-6) << what;
          EXPECT_LT(worst(ours.dx, exact.dx), 4e-6) << what;
          EXPECT_LT(worst(ours.dweight, exact.dweight), 4e-6) << what;
          EXPECT_LT(worst(ours.dbias, exact.dbias), 4e-6) << what;
        }
      }
    }
  }
}

TEST(BatchNormOnednn, RunsOnItsPrimitives) {
  run({{3, 16, 5, 7}, MemoryFormat::channels_last, true, true}, DType::f32,
      BatchNormAlgorithm::onednn);
  const auto names = primitive_implementations();
  for (const std::string op : {"batch_norm: ", "batch_norm backward: "}) {
    EXPECT_TRUE(std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return name.starts_with(op) && name.find("ref") == std::string::npos;
    })) << op;
  }
}

TEST(BatchNormOnednn, ForwardIsRightAtLargeMeans) {
  for (const double mean : {1e2, 1e4, 1e5}) {
    offset = mean;
    const Case c{{4, 16, 9, 9}, MemoryFormat::channels_last, true, false};
    const Result ours = run(c, DType::f32, BatchNormAlgorithm::onednn);
    const Result exact = run(c, DType::f64, BatchNormAlgorithm::automatic);
    EXPECT_LT(worst(ours.y, exact.y), 5e-6) << mean;
    EXPECT_LT(worst(ours.dweight, exact.dweight), 1e-5) << mean;
  }
  offset = 0;
}

TEST(BatchNormOnednn, ForwardHasTheSameBitsForEveryNumberOfThreads) {
  const int before = num_threads();
  const Case c{{5, 24, 8, 8}, MemoryFormat::channels_last, true, true};
  set_num_threads(1);
  const auto one = run(c, DType::f32, BatchNormAlgorithm::onednn).y.to_vector<float>();
  for (const int threads : {2, 3, 4}) {
    set_num_threads(threads);
    EXPECT_EQ(run(c, DType::f32, BatchNormAlgorithm::onednn).y.to_vector<float>(), one);
  }
  set_num_threads(before);
}

TEST(BatchNormOnednn, TheModulePassesTheChoiceOn) {
  const Tensor x = to_memory_format(randn({4, 16, 6, 6}), MemoryFormat::channels_last);
  nn::BatchNorm2d loops(16), primitives(16, {.algorithm = BatchNormAlgorithm::onednn});
  reset_counters();
  loops(x);
  EXPECT_EQ(counters().primitive_hits + counters().primitive_misses, 0);
  primitives(x);
  EXPECT_GT(counters().primitive_hits + counters().primitive_misses, 0);
  EXPECT_EQ(primitives.running_var().to_vector<float>(), loops.running_var().to_vector<float>());
}

}  // namespace
