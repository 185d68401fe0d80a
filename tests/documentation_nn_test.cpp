// SPDX-License-Identifier: Apache-2.0
// The examples of the documentation: nn. docs/examples.dox says which class shows which.
#include <cmath>
#include <limits>

#include <tern/tern.h>
#include "support.h"

using namespace tern;

namespace {

using Values = std::vector<double>;

//! [Module]
class Net : public nn::Module {
  nn::Linear fc{3, 2};
  Tensor scale;

 public:
  Net() {
    register_module("fc", fc);
    scale = register_parameter("scale", ones({2}));
  }
  Tensor forward(const Tensor& x) override { return fc(x) * scale; }
};
//! [Module]

TEST(Documentation, Module) {
  //! [Cloned]
  Net net;
  const Net handle = net;        // the same module
  const Net copy = net.clone();  // a deep copy
  EXPECT_EQ(net.parameters().size(), 3u);
  EXPECT_EQ(net.named_parameters()[0].first, "scale");
  EXPECT_TRUE(handle.is_same(net));
  EXPECT_FALSE(copy.is_same(net));
  //! [Cloned]
  //! [LoadReport]
  StateDict dict = net.state_dict();
  dict.erase("scale");
  const nn::LoadReport report = net.load_state_dict(dict, {.strict = false});
  EXPECT_EQ(report.missing, std::vector<std::string>{"scale"});
  EXPECT_FALSE(report.ok());
  //! [LoadReport]
  //! [EvalMode]
  {
    const nn::EvalMode scope(net);
    EXPECT_FALSE(net.is_training());
  }
  EXPECT_TRUE(net.is_training());
  //! [EvalMode]
}

TEST(Documentation, Activations) {
  const Tensor x = tensor(Values{-1, 0, 2}, {3});
  //! [ReLU]
  nn::ReLU relu;
  EXPECT_EQ(relu(x).to_vector<double>(), (Values{0, 0, 2}));
  //! [ReLU]
  //! [LeakyReLU]
  nn::LeakyReLU leaky(0.5);
  EXPECT_EQ(leaky(x).to_vector<double>(), (Values{-0.5, 0, 2}));
  //! [LeakyReLU]
  //! [Sigmoid]
  nn::Sigmoid sigmoid;
  EXPECT_DOUBLE_EQ(sigmoid(x).to_vector<double>()[1], 0.5);
  //! [Sigmoid]
  //! [Tanh]
  nn::Tanh tanh;
  EXPECT_DOUBLE_EQ(tanh(x).to_vector<double>()[2], std::tanh(2.0));
  //! [Tanh]
  //! [GELU]
  nn::GELU gelu;
  EXPECT_DOUBLE_EQ(gelu(x).to_vector<double>()[2], 1 + std::erf(std::sqrt(2.0)));
  //! [GELU]
  //! [SiLU]
  nn::SiLU silu;
  EXPECT_DOUBLE_EQ(silu(x).to_vector<double>()[2], 2 / (1 + std::exp(-2.0)));
  //! [SiLU]
  //! [Softmax]
  nn::Softmax softmax(-1);
  EXPECT_DOUBLE_EQ(sum(softmax(x)).item<double>(), 1);
  //! [Softmax]
  //! [LogSoftmax]
  nn::LogSoftmax log_softmax(-1);
  EXPECT_NEAR(sum(exp(log_softmax(x))).item<double>(), 1, 1e-15);
  //! [LogSoftmax]
}

TEST(Documentation, Layers) {
  //! [Linear]
  nn::Linear linear(3, 2, {.bias = false});
  EXPECT_EQ(linear.weight().shape(), (Shape{2, 3}));
  EXPECT_EQ(linear(ones({5, 3})).shape(), (Shape{5, 2}));
  //! [Linear]
  const Tensor images = randn({2, 3, 8, 8});
  //! [Conv2d]
  nn::Conv2d conv(3, 16, 3, {.stride = 2, .padding = 1});
  EXPECT_EQ(conv(images).shape(), (Shape{2, 16, 4, 4}));
  //! [Conv2d]
  //! [MaxPool2d]
  nn::MaxPool2d max_pool(2);
  EXPECT_EQ(max_pool(images).shape(), (Shape{2, 3, 4, 4}));
  //! [MaxPool2d]
  //! [AvgPool2d]
  nn::AvgPool2d avg_pool(3, {.stride = 1, .padding = 1});
  EXPECT_EQ(avg_pool(images).shape(), images.shape());
  //! [AvgPool2d]
  //! [AdaptiveAvgPool2d]
  nn::AdaptiveAvgPool2d global(1);
  EXPECT_EQ(global(images).shape(), (Shape{2, 3, 1, 1}));
  //! [AdaptiveAvgPool2d]
  //! [Flatten]
  nn::Flatten flatten;
  EXPECT_EQ(flatten(images).shape(), (Shape{2, 192}));
  //! [Flatten]
  //! [Identity]
  nn::Identity identity;
  EXPECT_TRUE(identity(images).is_same(images));
  //! [Identity]
  //! [Dropout]
  nn::Dropout dropout(0.5);
  const float zero_or_two = dropout(ones({1})).item<float>();
  EXPECT_TRUE(zero_or_two == 0 || zero_or_two == 2);
  dropout.eval();
  EXPECT_EQ(dropout(ones({1})).item<float>(), 1);
  //! [Dropout]
}

TEST(Documentation, BatchNorm) {
  //! [BatchNorm2d]
  nn::BatchNorm2d bn(3, {.momentum = Momentum::update(0.1)});
  const Tensor y = bn(randn({8, 3, 4, 4}) + 5.0);
  EXPECT_LT(max(abs(mean(y, {0, 2, 3}))).item<float>(), 1e-5f);
  EXPECT_EQ(bn.num_batches_tracked().item<int64_t>(), 1);
  bn.eval();  // from here on with the running statistics
  //! [BatchNorm2d]
  //! [BatchNorm]
  bn.train();
  bn.freeze();
  const Tensor before = bn.running_mean().clone();
  bn(ones({2, 3, 4, 4}));
  EXPECT_EQ(bn.running_mean().to_vector<float>(), before.to_vector<float>());
  //! [BatchNorm]
  //! [BatchNorm1d]
  nn::BatchNorm1d features(4, {.affine = false});
  EXPECT_EQ(features(randn({8, 4})).shape(), (Shape{8, 4}));
  //! [BatchNorm1d]
  //! [BatchNorm3d]
  nn::BatchNorm3d volumes(2, {.gamma_init = 0.5});
  EXPECT_EQ(volumes(randn({2, 2, 3, 3, 3})).shape(), (Shape{2, 2, 3, 3, 3}));
  //! [BatchNorm3d]
}

TEST(Documentation, BatchNormFunctions) {
  nn::Sequential net(nn::Conv2d(1, 4, 3), nn::BatchNorm2d(4), nn::ReLU());
  const Tensor x = randn({4, 1, 6, 6});
  //! [reestimate]
  nn::reestimate_batch_norm(net, [&] { net(x); });
  //! [reestimate]
  //! [fold]
  net.eval();
  nn::Sequential folded = nn::fold_batch_norm(net);
  EXPECT_LT(max(abs(net(x) - folded(x))).item<float>(), 1e-5f);
  //! [fold]
  const auto& bn = net.as<nn::BatchNorm2d>(1);
  const Tensor h = net[0](x);
  EXPECT_LT(max(abs(mean(h, {0, 2, 3}) - bn.running_mean())).item<float>(), 1e-6f);
}

TEST(Documentation, Containers) {
  //! [Sequential]
  nn::Sequential net(nn::Linear(4, 8), nn::ReLU(), nn::Linear(8, 2));
  EXPECT_EQ(net(ones({3, 4})).shape(), (Shape{3, 2}));
  EXPECT_TRUE(net.state_dict().contains("2.weight"));
  //! [Sequential]
  //! [ModuleList]
  nn::ModuleList layers;
  for (int i = 0; i < 3; ++i) layers.push_back(nn::Linear(4, 4));
  Tensor h = ones({2, 4});
  for (int64_t i = 0; i < layers.size(); ++i) h = relu(layers[i](h));
  EXPECT_EQ(h.shape(), (Shape{2, 4}));
  EXPECT_EQ(layers.as<nn::Linear>(-1).in_features(), 4);
  //! [ModuleList]
}

TEST(Documentation, Losses) {
  //! [CrossEntropyLoss]
  const nn::CrossEntropyLoss cross_entropy;
  const Tensor classes = tensor(std::vector<int64_t>{0, 1}, {2});
  EXPECT_NEAR(cross_entropy(zeros({2, 3}), classes).item<float>(), std::log(3.0), 1e-6);
  //! [CrossEntropyLoss]
  //! [MSELoss]
  const nn::MSELoss mse;
  EXPECT_EQ(mse(zeros({4}), full({4}, 3.0)).item<float>(), 9);
  //! [MSELoss]
}

TEST(Documentation, Anomalies) {
  //! [DetectAnomaly]
  nn::Sequential net(nn::Linear(1, 1), nn::ReLU());
  const Tensor x = full({1, 1}, std::numeric_limits<double>::infinity());
  try {
    const nn::DetectAnomaly detect;
    net(x);
    FAIL();
  } catch (const nn::AnomalyError& error) {
    EXPECT_EQ(error.module(), "0");
  }
  //! [DetectAnomaly]
}

TEST(Documentation, Initializers) {
  //! [Init]
  const nn::Init by_name = "ones";
  const nn::Init by_number = 0.5;
  const nn::Init by_object = nn::init::Normal{.sigma = 0.02};
  const nn::Init by_function = [](const Tensor& t) { t.fill_(7); };
  EXPECT_EQ(by_name.make({2}).to_vector<float>(), (std::vector<float>{1, 1}));
  EXPECT_EQ(by_number.constant(), 0.5);
  EXPECT_EQ(by_object.make({2, 3}).shape(), (Shape{2, 3}));
  EXPECT_EQ(by_function.make({1}).item<float>(), 7);
  //! [Init]
}

TEST(Documentation, InitializerObjects) {
  const Tensor t = empty({4, 4}, DType::f64);
  const auto mean_of = [&](const nn::Init& init) {
    init.apply(t);
    return mean(t).item<double>();
  };
  const auto largest = [&](const nn::Init& init) {
    init.apply(t);
    return max(abs(t)).item<double>();
  };
  //! [constants]
  EXPECT_EQ(mean_of(nn::init::Zero{}), 0);
  EXPECT_EQ(mean_of(nn::init::One{}), 1);
  EXPECT_EQ(mean_of(nn::init::Constant{.value = 2.5}), 2.5);
  EXPECT_EQ(mean_of(nn::init::Identity{}), 0.25);  // ones on the diagonal
  //! [constants]
  //! [random]
  EXPECT_LE(largest(nn::init::Uniform{.scale = 0.1}), 0.1);
  EXPECT_NE(mean_of(nn::init::Normal{.sigma = 0.02, .mean = 1}), 1);
  EXPECT_LE(largest(nn::init::TruncatedNormal{.sigma = 0.5}), 1.0);
  //! [random]
  //! [fans]
  EXPECT_LE(largest(nn::init::XavierUniform{}), std::sqrt(6.0 / 8));
  EXPECT_LE(largest(nn::init::HeUniform{.mode = nn::FanMode::fan_out}), std::sqrt(6.0 / 4));
  EXPECT_GT(largest(nn::init::XavierNormal{.gain = 2}), 0);
  EXPECT_GT(largest(nn::init::HeNormal{.nonlinearity = nn::Nonlinearity::relu}), 0);
  EXPECT_GT(largest(nn::init::VarianceScaling{.scale = 2}), 0);
  //! [fans]
  //! [matrices]
  nn::init::Orthogonal{}(t);
  const Tensor off = matmul(t, transpose(t, 0, 1)) - nn::Init("identity").make({4, 4}, DType::f64);
  EXPECT_LT(max(abs(off)).item<double>(), 1e-14);
  nn::init::Sparse{.sparsity = 0.5}(t);
  EXPECT_EQ(sum(eq(t, 0.0).to(DType::f64)).item<double>(), 8);
  const Tensor kernel = empty({2, 2, 3, 3});
  nn::init::Dirac{}(kernel);
  EXPECT_EQ(sum(kernel).item<float>(), 2);
  //! [matrices]
}

}  // namespace
