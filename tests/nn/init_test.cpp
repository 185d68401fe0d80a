// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

using namespace tern;
namespace init = tern::nn::init;
using nn::FanMode;
using nn::Init;
using nn::Nonlinearity;

namespace {

struct Moments {
  double mean = 0, deviation = 0, kurtosis = 0, low = 0, high = 0;
};

Moments moments_of(const Tensor& t) {
  const std::vector<double> x = t.detach().to(DType::f64).to_vector<double>();
  const auto n = static_cast<double>(x.size());
  Moments m;
  for (const double v : x) m.mean += v / n;
  double fourth = 0;
  for (const double v : x) {
    m.deviation += (v - m.mean) * (v - m.mean) / n;
    fourth += std::pow(v - m.mean, 4) / n;
  }
  m.kurtosis = fourth / (m.deviation * m.deviation);
  m.deviation = std::sqrt(m.deviation);
  m.low = *std::ranges::min_element(x);
  m.high = *std::ranges::max_element(x);
  return m;
}

// 100,000 numbers: the mean is known to deviation / 316, the deviation to about 0.3 percent.
void expect_normal(const Tensor& t, double mean, double deviation) {
  const Moments m = moments_of(t);
  EXPECT_NEAR(m.mean, mean, deviation * 0.012);
  EXPECT_NEAR(m.deviation, deviation, deviation * 0.012);
  EXPECT_NEAR(m.kurtosis, 3.0, 0.1);
}

void expect_uniform(const Tensor& t, double low, double high) {
  const Moments m = moments_of(t);
  const double width = high - low;
  EXPECT_GE(m.low, low);
  EXPECT_LE(m.high, high);
  EXPECT_NEAR(m.low, low, width * 0.001);
  EXPECT_NEAR(m.high, high, width * 0.001);
  EXPECT_NEAR(m.mean, 0.5 * (low + high), width * 0.004);
  EXPECT_NEAR(m.kurtosis, 1.8, 0.03);
}

const Shape kWeight{250, 40, 2, 5};  // fan_in 400, fan_out 2500

Tensor weight() { return zeros(kWeight); }

TEST(Init, ConstantsFill) {
  const Tensor t = zeros({2, 3}).set_requires_grad();
  EXPECT_TRUE(init::constant_(t, 2.5).is_same(t)) << "returns its argument, records nothing";
  EXPECT_EQ(t.to_vector<float>(), std::vector<float>(6, 2.5f));
  init::ones_(t);
  EXPECT_EQ(t.to_vector<float>(), std::vector<float>(6, 1.0f));
  init::zeros_(t);
  EXPECT_EQ(t.to_vector<float>(), std::vector<float>(6, 0.0f));
  EXPECT_TRUE(t.requires_grad() && t.is_leaf());
  EXPECT_EQ(init::eye_(t).to_vector<float>(), (std::vector<float>{1, 0, 0, 0, 1, 0}));
}

TEST(Init, UniformAndNormalHaveTheirMoments) {
  manual_seed(1);
  expect_uniform(init::uniform_(weight(), -1.0, 3.0), -1.0, 3.0);
  expect_normal(init::normal_(weight(), 5.0, 0.5), 5.0, 0.5);
  expect_normal(init::normal_(zeros(kWeight, DType::f64), -1.0, 2.0), -1.0, 2.0);
}

TEST(Init, FansSetTheScale) {
  manual_seed(2);
  EXPECT_EQ(init::calculate_fan_in_and_fan_out(kWeight), (std::pair<int64_t, int64_t>{400, 2500}));
  EXPECT_EQ(init::calculate_fan_in_and_fan_out({7, 3}), (std::pair<int64_t, int64_t>{3, 7}));
  const double sum = 2900.0;
  const double xavier = 2.0 * std::sqrt(6.0 / sum);
  expect_uniform(init::xavier_uniform_(weight(), 2.0), -xavier, xavier);
  expect_normal(init::xavier_normal_(weight(), 2.0), 0.0, 2.0 * std::sqrt(2.0 / sum));
  const double he_in = std::sqrt(6.0 / 400.0);
  expect_uniform(init::kaiming_uniform_(weight()), -he_in, he_in);
  const double default_of_layers = 1.0 / std::sqrt(400.0);
  expect_uniform(init::kaiming_uniform_(weight(), std::sqrt(5.0)), -default_of_layers,
                 default_of_layers);
  expect_normal(init::kaiming_normal_(weight(), 0.0, FanMode::fan_out, Nonlinearity::relu), 0.0,
                std::sqrt(2.0 / 2500.0));
  expect_normal(init::kaiming_normal_(weight(), 0.0, FanMode::fan_in, Nonlinearity::linear), 0.0,
                std::sqrt(1.0 / 400.0));
}

TEST(Init, GainsAreTheFields) {
  EXPECT_EQ(init::calculate_gain(Nonlinearity::linear), 1.0);
  EXPECT_EQ(init::calculate_gain(Nonlinearity::conv2d), 1.0);
  EXPECT_EQ(init::calculate_gain(Nonlinearity::sigmoid), 1.0);
  EXPECT_DOUBLE_EQ(init::calculate_gain(Nonlinearity::tanh), 5.0 / 3.0);
  EXPECT_DOUBLE_EQ(init::calculate_gain(Nonlinearity::relu), std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(init::calculate_gain(Nonlinearity::leaky_relu), std::sqrt(2.0 / 1.0001));
  EXPECT_DOUBLE_EQ(init::calculate_gain(Nonlinearity::leaky_relu, 3.0), std::sqrt(0.2));
  EXPECT_EQ(init::calculate_gain(Nonlinearity::selu), 0.75);
}

TEST(Init, TruncatedNormalsKeepToTheirBounds) {
  manual_seed(3);
  // Cut at two deviations, a normal number has deviation 0.8796.
  Moments m = moments_of(init::trunc_normal_(weight(), 1.0, 0.5, 0.0, 2.0));
  EXPECT_GE(m.low, 0.0);
  EXPECT_LE(m.high, 2.0);
  EXPECT_NEAR(m.mean, 1.0, 0.006);
  EXPECT_NEAR(m.deviation, 0.5 * 0.87962566, 0.006);
  // Half a normal: mean sqrt(2/pi), on either side.
  m = moments_of(init::trunc_normal_(weight(), 0.0, 1.0, 0.0, 30.0));
  EXPECT_GE(m.low, 0.0);
  EXPECT_NEAR(m.mean, 0.79788456, 0.01);
  m = moments_of(init::trunc_normal_(weight(), 0.0, 1.0, -30.0, 0.0));
  EXPECT_LE(m.high, 0.0);
  EXPECT_NEAR(m.mean, -0.79788456, 0.01);
  // Far out, the part above 4 has mean 4.2256: phi(4) / (1 - Phi(4)).
  m = moments_of(init::trunc_normal_(weight(), 0.0, 1.0, 4.0, 30.0));
  EXPECT_GE(m.low, 4.0);
  EXPECT_NEAR(m.mean, 4.22561, 0.003);
  EXPECT_EQ(init::trunc_normal_(zeros({1}), 5.0, 0.0).item<float>(), 2.0f);
}

TEST(Init, OrthogonalRowsOrColumns) {
  manual_seed(4);
  for (const Shape& shape : {Shape{6, 20}, Shape{20, 6}, Shape{7, 7}, Shape{4, 3, 2, 2}}) {
    const Tensor t = init::orthogonal_(zeros(shape, DType::f64), 2.0);
    const Tensor matrix = flatten(t, 1);
    const bool wide = matrix.size(0) <= matrix.size(1);
    const Tensor turned = transpose(matrix, 0, 1);
    const Tensor product = wide ? matmul(matrix, turned) : matmul(turned, matrix);
    const std::vector<double> values = product.to_vector<double>();
    const auto n = static_cast<size_t>(product.size(0));
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) EXPECT_NEAR(values[i * n + j], i == j ? 4.0 : 0.0, 1e-13);
    }
  }
  // Uniform over the orthogonal matrices: both determinants occur.
  int positive = 0;
  for (int i = 0; i < 100; ++i) {
    const auto q = init::orthogonal_(zeros({2, 2}, DType::f64)).to_vector<double>();
    positive += q[0] * q[3] - q[1] * q[2] > 0 ? 1 : 0;
  }
  EXPECT_GT(positive, 20);
  EXPECT_LT(positive, 80);
}

TEST(Init, SparseColumnsHaveTheirShareOfZeros) {
  manual_seed(5);
  const Tensor t = init::sparse_(zeros({25, 400}), 0.3, 2.0);  // ceil(7.5) zeros in a column
  const std::vector<float> values = t.to_vector<float>();
  std::vector<int> zeros_in_row(25, 0);
  double squares = 0;
  for (size_t column = 0; column < 400; ++column) {
    int count = 0;
    for (size_t row = 0; row < 25; ++row) {
      const float v = values[row * 400 + column];
      count += v == 0.0f ? 1 : 0;
      zeros_in_row[row] += v == 0.0f ? 1 : 0;
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
    EXPECT_EQ(count, 8);
  }
  for (const int count : zeros_in_row) EXPECT_NEAR(count, 128, 50);
  EXPECT_NEAR(std::sqrt(squares / (17.0 * 400.0)), 2.0, 0.1);
}

TEST(Init, DiracPassesImagesThrough) {
  manual_seed(6);
  const Tensor x = randn({2, 4, 5, 5}, DType::f64);
  const Tensor w = init::dirac_(zeros({4, 4, 3, 3}, DType::f64));
  EXPECT_EQ(conv2d(x, w, {}, {.padding = 1}).to_vector<double>(), x.to_vector<double>());
  const Tensor grouped = init::dirac_(zeros({4, 2, 3, 3}, DType::f64), 2);
  EXPECT_EQ(conv2d(x, grouped, {}, {.padding = 1, .groups = 2}).to_vector<double>(),
            x.to_vector<double>());
  // More outputs than inputs: the others are zero. A window of 2 x 4 has its center at (1, 2).
  const auto values = init::dirac_(zeros({3, 1, 2, 4})).to_vector<float>();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], i == 6 ? 1.0f : 0.0f) << i;
  EXPECT_EQ(init::dirac_(zeros({1, 1, 3})).to_vector<float>(), (std::vector<float>{0, 1, 0}));
}

TEST(Init, IsTheSameForASeedWhateverTheThreadsAndTheMemoryOrder) {
  const std::vector<std::function<void(const Tensor&)>> fills = {
      [](const Tensor& t) { init::normal_(t); },
      [](const Tensor& t) { init::uniform_(t); },
      [](const Tensor& t) { init::trunc_normal_(t); },
      [](const Tensor& t) { init::orthogonal_(t); },
  };
  const int threads = num_threads();
  for (const auto& fill : fills) {
    const auto drawn = [&](int n, const Tensor& t) {
      set_num_threads(n);
      manual_seed(7);
      fill(t);
      return t.to_vector<float>();
    };
    const std::vector<float> once = drawn(1, zeros({20, 30, 4, 5}));
    EXPECT_EQ(drawn(2, zeros({20, 30, 4, 5})), once);
    EXPECT_EQ(drawn(2, empty({20, 30, 4, 5}, DType::f32, MemoryFormat::channels_last)), once);
    const Tensor next = zeros({20, 30, 4, 5});
    fill(next);
    EXPECT_NE(next.to_vector<float>(), once) << "the generator moves on";
  }
  set_num_threads(threads);
}

TEST(Init, MindSporesNamesInAnyCase) {
  const auto filled = [](const char* name, const Shape& shape) {
    manual_seed(8);
    return Init(name).make(shape).to_vector<float>();
  };
  const auto expected = [](const Init& object, const Shape& shape) {
    manual_seed(8);
    return object.make(shape).to_vector<float>();
  };
  const Shape shape{6, 4, 3, 3};
  for (const char* name : {"zero", "zeros", "Zeros"}) {
    EXPECT_EQ(filled(name, shape), expected(init::Zero{}, shape)) << name;
  }
  for (const char* name : {"one", "ones", "ONES"}) {
    EXPECT_EQ(filled(name, shape), expected(1.0, shape)) << name;
  }
  const std::vector<std::pair<const char*, Init>> names = {
      {"uniform", init::Uniform{0.07}},
      {"Normal", init::Normal{0.01, 0.0}},
      {"TruncatedNormal", init::TruncatedNormal{0.01, 0.0, -2.0, 2.0}},
      {"xavieruniform", init::XavierUniform{1.0}},
      {"xavier_uniform", init::XavierUniform{1.0}},
      {"XavierNormal", init::XavierNormal{1.0}},
      {"xavier_normal", init::XavierNormal{1.0}},
      {"HeUniform", init::HeUniform{0.0, FanMode::fan_in, Nonlinearity::leaky_relu}},
      {"he_uniform", init::HeUniform{0.0, FanMode::fan_in, Nonlinearity::leaky_relu}},
      {"heNormal", init::HeNormal{0.0, FanMode::fan_in, Nonlinearity::leaky_relu}},
      {"he_normal", init::HeNormal{0.0, FanMode::fan_in, Nonlinearity::leaky_relu}},
      {"VarianceScaling",
       init::VarianceScaling{1.0, FanMode::fan_in, nn::Distribution::truncated_normal}},
      {"orthogonal", init::Orthogonal{1.0}},
      {"dirac", init::Dirac{1}},
  };
  for (const auto& [name, object] : names) {
    EXPECT_EQ(filled(name, shape), expected(object, shape)) << name;
  }
  EXPECT_EQ(filled("identity", {2, 2}), (std::vector<float>{1, 0, 0, 1}));
}

TEST(Init, MindSporesInitializersHaveTheirScales) {
  manual_seed(9);
  const auto made = [](const Init& i) { return i.make(kWeight); };
  expect_uniform(made(init::Uniform{}), -0.07, 0.07);
  expect_normal(made(init::Normal{}), 0.0, 0.01);
  expect_normal(made(init::HeNormal{.mode = FanMode::fan_out}), 0.0, std::sqrt(2.0 / 2500.0));
  const double he = std::sqrt(3.0) * std::sqrt(2.0 / 5.0) / 20.0;  // slope 2
  expect_uniform(made(init::HeUniform{.negative_slope = 2.0}), -he, he);
  const Moments cut = moments_of(made(init::TruncatedNormal{.sigma = 0.1, .mean = 1.0}));
  EXPECT_GE(cut.low, 0.8 - 1e-6);
  EXPECT_LE(cut.high, 1.2 + 1e-6);
  EXPECT_NEAR(cut.deviation, 0.0879626, 0.001);
  // The default is what is documented: truncated at two deviations, with variance 1 / fan_in.
  const Moments scaled = moments_of(made(init::VarianceScaling{}));
  EXPECT_NEAR(scaled.deviation, 0.05, 0.0006);
  EXPECT_NEAR(scaled.high, 2.0 * 0.05 / 0.87962566, 0.001);
  const double average = std::sqrt(2.0 / 1450.0);
  expect_normal(
      made(init::VarianceScaling{
          .scale = 2.0, .mode = FanMode::fan_avg, .distribution = nn::Distribution::normal}),
      0.0, average);
  const double limit = std::sqrt(3.0 / 2500.0);
  expect_uniform(made(init::VarianceScaling{.mode = FanMode::fan_out,
                                            .distribution = nn::Distribution::uniform}),
                 -limit, limit);
}

TEST(Init, IsMadeFromNumbersTensorsAndFunctions) {
  EXPECT_EQ(Init(0).make({2}).to_vector<float>(), (std::vector<float>{0, 0}));
  EXPECT_EQ(Init(2).make({1}, DType::f64).item<double>(), 2.0);
  EXPECT_EQ(Init(0.5f).make({1}).item<float>(), 0.5f);
  const Tensor values = tensor(std::vector<double>{1, 2}, {2});
  const Init from_tensor(values);
  const Tensor made = from_tensor.make({2});
  EXPECT_EQ(made.to_vector<float>(), (std::vector<float>{1, 2}));
  made.fill_(0.0);
  EXPECT_EQ(from_tensor.make({2}).to_vector<float>(), (std::vector<float>{1, 2})) << "copied";
  const Init own([](const Tensor& t) { t.fill_(4.0); });
  EXPECT_EQ(own.make({1}).item<float>(), 4.0f);
  const Tensor parameter = zeros({2}).set_requires_grad();
  Init("ones").apply(parameter);
  EXPECT_EQ(parameter.to_vector<float>(), (std::vector<float>{1, 1}));
  own.apply(parameter);
  EXPECT_EQ(parameter.to_vector<float>(), (std::vector<float>{4, 4}));

  EXPECT_EQ(Init("zeros").constant(), 0.0);
  EXPECT_EQ(Init("one").constant(), 1.0);
  EXPECT_EQ(Init(3).constant(), 3.0);
  EXPECT_FALSE(Init("normal").constant().has_value());
  EXPECT_FALSE(from_tensor.constant().has_value());
}

template <class F>
void expect_error(F&& f, const char* part) {
  try {
    f();
    ADD_FAILURE() << "should have thrown: " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Init, RejectsWhatItCannotDo) {
  expect_error([] { Init("gauss"); }, "\"gauss\"");
  expect_error([] { Init("sparse"); }, "share of zeros");
  expect_error([] { Init{Tensor()}; }, "undefined");
  expect_error([] { static_cast<void>(Init(zeros({2})).make({3})); }, "values are f32[2]");
  // Fans need two axes: MindSpore's documentation suggests these for gamma, where they fail.
  for (const char* name :
       {"xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "variancescaling"}) {
    expect_error([&] { static_cast<void>(Init(name).make({8})); }, "fan_in");
  }
  for (const char* name : {"orthogonal", "identity", "dirac"}) {
    expect_error([&] { static_cast<void>(Init(name).make({8})); }, "axes");
  }
  expect_error([] { static_cast<void>(Init(init::Sparse{0.1}).make({8})); }, "two axes");
  const Tensor t = zeros({4, 4});
  expect_error([&] { init::normal_(t, 0.0, -1.0); }, "-1");
  expect_error([&] { init::normal_(t, NAN, 1.0); }, "mean");
  expect_error([&] { init::uniform_(t, 1.0, 0.0); }, "low <= high");
  expect_error([&] { init::uniform_(t, 0.0, INFINITY); }, "finite");
  expect_error([&] { init::trunc_normal_(t, 0.0, 1.0, 2.0, -2.0); }, "low < high");
  expect_error([&] { init::trunc_normal_(t, 0.0, 1.0, 20.0, 21.0); }, "hardly ever");
  expect_error([&] { init::sparse_(t, 1.5); }, "sparsity");
  expect_error([&] { init::eye_(zeros({2, 2, 2})); }, "two axes");
  expect_error([&] { init::dirac_(zeros({2, 2})); }, "3 to 5 axes");
  expect_error([&] { init::dirac_(zeros({4, 2, 3, 3}), 3); }, "divisor");
  expect_error([&] { init::kaiming_normal_(t, 0.0, FanMode::fan_avg); }, "fan_avg");
  expect_error([&] { init::normal_(zeros({2}, DType::i64)); }, "f32 or f64");
  expect_error(
      [&] {
        static_cast<void>(Init(init::VarianceScaling{.scale = 0.0}).make({2, 2}));
      },
      "scale");
  expect_error([&] { static_cast<void>(Init(init::TruncatedNormal{.a = 1, .b = 1}).make({2})); },
               "a < b");
}

TEST(Init, EmptyTensorsStayEmpty) {
  EXPECT_NO_THROW(init::kaiming_uniform_(zeros({0, 3})));
  EXPECT_NO_THROW(init::xavier_normal_(zeros({3, 0})));
  EXPECT_NO_THROW(init::orthogonal_(zeros({0, 0})));
  EXPECT_NO_THROW(init::dirac_(zeros({2, 0, 3, 3})));
  for (const Shape& shape : {Shape{int64_t{1} << 40, 0}, Shape{0, int64_t{1} << 40}}) {
    EXPECT_NO_THROW(init::sparse_(zeros(shape), 0.5));
    EXPECT_NO_THROW(init::orthogonal_(zeros(shape)));
    EXPECT_NO_THROW(init::eye_(zeros(shape)));
    EXPECT_NO_THROW(init::trunc_normal_(zeros(shape)));
  }
}

}  // namespace
