// SPDX-License-Identifier: Apache-2.0
// The examples of the reference: nn. docs/examples.dox assigns them to classes.
#include <cmath>
#include <limits>

#include <tern/tern.h>
#include "support.h"

using namespace tern;
using tern::test::max_distance;

namespace {

using Values = std::vector<double>;

//! [Module]
class Net : public nn::Module {
  nn::Linear fc = register_module("fc", nn::Linear(3, 2));
  Tensor scale = register_parameter("scale", ones({2}));

 public:
  Tensor forward(const Tensor& x) override { return fc(x) * scale; }
};
//! [Module]

//! [ModuleOf]
class Attention : public nn::ModuleOf<Attention> {
  nn::Linear query = register_module("query", nn::Linear(3, 4));
  nn::Linear key = register_module("key", nn::Linear(3, 4));

 public:
  std::pair<Tensor, Tensor> forward(const Tensor& x, const Tensor& mask) {
    const Tensor scores = matmul(query(x), transpose(key(x), 0, 1));
    const Tensor weights = softmax(where(mask, scores, full({}, -1e9)), 1);
    return {matmul(weights, x), weights};
  }
};
//! [ModuleOf]

TEST(Documentation, ModuleOf) {
  const Attention attention;
  const auto [y, weights] = attention(ones({2, 3}), ones({2, 2}, DType::u8));
  EXPECT_EQ(y.shape(), (Shape{2, 3}));
  EXPECT_NEAR(sum(weights).item<float>(), 2, 1e-6);
}

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

TEST(Documentation, Embedding) {
  const Tensor ids = tensor(std::vector<int64_t>{3, 1, 0, 0}, {2, 2});
  //! [Embedding]
  nn::Embedding words(10, 4, {.padding_idx = 0});  // word 0 fills short sentences
  const Tensor y = words(ids);                     // ids [N, T]
  EXPECT_EQ(y.shape(), (Shape{2, 2, 4}));
  EXPECT_EQ(sum(y[1]).item<float>(), 0);
  //! [Embedding]
  //! [EmbeddingBag]
  nn::EmbeddingBag features(10, 4, {.mode = BagMode::sum});
  EXPECT_EQ(features(ids).shape(), (Shape{2, 4}));  // as many in each row
  const Tensor starts = tensor(std::vector<int64_t>{0, 3}, {2});
  EXPECT_EQ(features(flatten(ids), starts).shape(), (Shape{2, 4}));  // three, then one
  //! [EmbeddingBag]
}

TEST(Documentation, Norms) {
  const Tensor images = rand({2, 6, 5, 5});
  //! [LayerNorm]
  nn::LayerNorm norm(16);  // over the last axis of length 16
  nn::RMSNorm rms(16, {.eps = 1e-6});
  const Tensor y = norm(rand({2, 7, 16}));
  EXPECT_NEAR(mean(y[0][3]).item<float>(), 0, 1e-6);
  EXPECT_NEAR(mean(square(rms(y)[0][3])).item<float>(), 1, 1e-4);
  //! [LayerNorm]
  //! [GroupNorm]
  nn::GroupNorm groups(2, 6);  // two groups of three channels
  EXPECT_NEAR(mean(narrow(groups(images), 1, 0, 3)[1]).item<float>(), 0, 1e-5);
  //! [GroupNorm]
  //! [InstanceNorm]
  nn::InstanceNorm2d instance(6, {.affine = true});
  EXPECT_NEAR(mean(instance(images)[1][4]).item<float>(), 0, 1e-5);
  //! [InstanceNorm]
}

TEST(Documentation, Transformers) {
  const Tensor x = rand({2, 5, 8});  // [N, T, E]
  //! [AttentionOptions]
  const Tensor q = rand({2, 4, 5, 8}), k = rand({2, 4, 7, 8}), v = rand({2, 4, 7, 3});
  EXPECT_EQ(scaled_dot_product_attention(q, k, v).shape(), (Shape{2, 4, 5, 3}));
  const Tensor text = scaled_dot_product_attention(q, q, q, {}, {.is_causal = true});
  EXPECT_EQ(max_distance(text[0][0][0], q[0][0][0]), 0);  // the first sees itself only
  //! [AttentionOptions]
  //! [MultiheadAttention]
  nn::MultiheadAttention attention(8, 2, {.batch_first = true});
  const auto [y, weights] = attention(x, x, x);
  EXPECT_EQ(weights.shape(), (Shape{2, 5, 5}));
  // Without weights no T x T matrix is stored; causal.
  const Tensor z = attention(x, x, x, Tensor(), false, Tensor(), true, true).first;
  EXPECT_EQ(z.shape(), y.shape());
  //! [MultiheadAttention]
  //! [TransformerEncoder]
  const nn::TransformerLayerOptions options{
      .dim_feedforward = 16, .activation = "gelu", .batch_first = true};
  nn::TransformerEncoder encoder(nn::TransformerEncoderLayer(8, 2, options), 3, nn::LayerNorm(8));
  nn::TransformerDecoder decoder(nn::TransformerDecoderLayer(8, 2, options), 3);
  const Tensor memory = encoder(x);
  EXPECT_EQ(decoder(rand({2, 9, 8}), memory).shape(), (Shape{2, 9, 8}));
  //! [TransformerEncoder]
  //! [Transformer]
  nn::Transformer net({.d_model = 8, .nhead = 2, .dim_feedforward = 16, .batch_first = true});
  const Tensor causal = nn::Transformer::generate_square_subsequent_mask(9);
  EXPECT_EQ(net(x, rand({2, 9, 8}), Tensor(), causal).shape(), (Shape{2, 9, 8}));
  //! [Transformer]
}

TEST(Documentation, MoreContainers) {
  const Tensor x = rand({2, 3});
  //! [ModuleDict]
  nn::ModuleDict heads;
  heads.insert("policy", nn::Linear(3, 4));
  heads.insert("value", nn::Linear(3, 1));
  EXPECT_EQ(heads["policy"](x).shape(), (Shape{2, 4}));
  EXPECT_EQ(heads.as<nn::Linear>("value").out_features(), 1);
  //! [ModuleDict]
  //! [ParameterList]
  nn::ParameterList scales({ones({3}), zeros({3})});
  EXPECT_EQ(scales.named_parameters()[1].first, "1");
  EXPECT_TRUE(scales[0].requires_grad());
  //! [ParameterList]
  //! [Functional]
  nn::Sequential net(nn::Linear(3, 4), nn::Functional(relu), nn::Functional(softmax, 1),
                     nn::Functional([](const Tensor& t) { return mean(t, {1}); }));
  EXPECT_NEAR(net(x)[0].item<float>(), 0.25, 1e-6);
  //! [Functional]
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
  nn::GELU as_gpt2({.approximate = GeluApproximation::tanh});
  EXPECT_NEAR(as_gpt2(x).to_vector<double>()[2], gelu(x).to_vector<double>()[2], 1e-3);
  //! [GELU]
  //! [SiLU]
  nn::SiLU silu;
  EXPECT_DOUBLE_EQ(silu(x).to_vector<double>()[2], 2 / (1 + std::exp(-2.0)));
  //! [SiLU]
  //! [ReLU6]
  nn::ReLU6 relu6;
  EXPECT_EQ(relu6(x * 4.0).to_vector<double>(), (Values{0, 0, 6}));
  //! [ReLU6]
  //! [Hardtanh]
  nn::Hardtanh hardtanh(-0.5, 1);
  EXPECT_EQ(hardtanh(x).to_vector<double>(), (Values{-0.5, 0, 1}));
  //! [Hardtanh]
  //! [Hardsigmoid]
  nn::Hardsigmoid hardsigmoid;
  EXPECT_EQ(hardsigmoid(x * 3.0).to_vector<double>(), (Values{0, 0.5, 1}));
  //! [Hardsigmoid]
  //! [Hardswish]
  nn::Hardswish hardswish;
  EXPECT_EQ(hardswish(x * 3.0).to_vector<double>(), (Values{0, 0, 6}));
  //! [Hardswish]
  //! [Mish]
  nn::Mish mish;
  EXPECT_NEAR(mish(x).to_vector<double>()[2], 2 * std::tanh(std::log1p(std::exp(2.0))), 1e-15);
  //! [Mish]
  //! [LogSigmoid]
  nn::LogSigmoid log_sigmoid;
  EXPECT_DOUBLE_EQ(log_sigmoid(x).to_vector<double>()[1], -std::log(2.0));
  //! [LogSigmoid]
  //! [Softsign]
  nn::Softsign softsign;
  EXPECT_DOUBLE_EQ(softsign(x).to_vector<double>()[2], 2.0 / 3);
  //! [Softsign]
  //! [ELU]
  nn::ELU elu(0.5);
  EXPECT_DOUBLE_EQ(elu(x).to_vector<double>()[0], 0.5 * std::expm1(-1.0));
  //! [ELU]
  //! [Softplus]
  nn::Softplus softplus;
  EXPECT_DOUBLE_EQ(softplus(x).to_vector<double>()[1], std::log(2.0));
  //! [Softplus]
  //! [PReLU]
  nn::PReLU prelu(1, 0.5);  // one weight for all channels
  prelu.to(DType::f64);
  EXPECT_EQ(prelu(x).to_vector<double>(), (Values{-0.5, 0, 2}));
  //! [PReLU]
  //! [GLU]
  nn::GLU glu;
  EXPECT_EQ(glu(tensor(Values{3, 0}, {2})).to_vector<double>(), (Values{1.5}));
  //! [GLU]
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
  const Tensor signals = randn({2, 3, 9});
  //! [Conv1d]
  nn::Conv1d conv1d(3, 8, 4, {.padding = kSame});
  EXPECT_EQ(conv1d(signals).shape(), (Shape{2, 8, 9}));
  //! [Conv1d]
  //! [ConvTranspose1d]
  nn::ConvTranspose1d longer(3, 4, 2, {.stride = 2});
  EXPECT_EQ(longer(signals).shape(), (Shape{2, 4, 18}));
  //! [ConvTranspose1d]
  //! [ConvTranspose2d]
  nn::ConvTranspose2d up(3, 6, 3, {.stride = 2, .padding = 1});
  EXPECT_EQ(up(images).shape(), (Shape{2, 6, 15, 15}));
  EXPECT_EQ(up(images, Size2d(16)).shape(), (Shape{2, 6, 16, 16}));
  //! [ConvTranspose2d]
  //! [Upsample]
  nn::Upsample larger({.scale_factor = 2, .mode = Interpolation::bilinear});
  EXPECT_EQ(larger(images).shape(), (Shape{2, 3, 16, 16}));
  EXPECT_EQ(interpolate(images, {.size = {4, 6}}).shape(), (Shape{2, 3, 4, 6}));
  EXPECT_EQ(interpolate(images, {.scale_factor = {2, 1.5}}).shape(), (Shape{2, 3, 16, 12}));
  //! [Upsample]
  //! [PixelShuffle]
  nn::PixelShuffle shuffle(2);
  EXPECT_EQ(shuffle(randn({2, 12, 4, 4})).shape(), (Shape{2, 3, 8, 8}));
  nn::PixelUnshuffle unshuffle(2);
  EXPECT_EQ(unshuffle(images).shape(), (Shape{2, 12, 4, 4}));
  //! [PixelShuffle]
  //! [Padding]
  nn::ReflectionPad2d mirrored(1);  // on all sides
  EXPECT_EQ(mirrored(images).shape(), (Shape{2, 3, 10, 10}));
  nn::ZeroPad2d bordered({1, 2, 0, 0});  // left, right, top, bottom
  EXPECT_EQ(bordered(images).shape(), (Shape{2, 3, 8, 11}));
  nn::ReplicationPad2d repeated(1);
  EXPECT_EQ(repeated(images).shape(), (Shape{2, 3, 10, 10}));
  //! [Padding]
  //! [Pooling1d]
  nn::MaxPool1d max_pool1d(3, {.stride = 2});
  EXPECT_EQ(max_pool1d(signals).shape(), (Shape{2, 3, 4}));
  nn::AvgPool1d avg_pool1d(3, {.padding = 1});
  EXPECT_EQ(avg_pool1d(signals).shape(), (Shape{2, 3, 3}));
  nn::AdaptiveAvgPool1d mean(1);
  EXPECT_EQ(mean(signals).shape(), (Shape{2, 3, 1}));
  nn::AdaptiveMaxPool1d largest(2);
  EXPECT_EQ(largest(signals).shape(), (Shape{2, 3, 2}));
  //! [Pooling1d]
  const Tensor volumes = randn({2, 3, 4, 8, 8});
  //! [Conv3d]
  nn::Conv3d conv3d(3, 5, {3, 5, 5}, {.stride = {1, 2, 2}, .padding = {1, 2, 2}});
  EXPECT_EQ(conv3d(volumes).shape(), (Shape{2, 5, 4, 4, 4}));
  //! [Conv3d]
  //! [Pooling3d]
  nn::MaxPool3d max_pool3d({1, 2, 2});
  EXPECT_EQ(max_pool3d(volumes).shape(), (Shape{2, 3, 4, 4, 4}));
  nn::AvgPool3d avg_pool3d(2);
  EXPECT_EQ(avg_pool3d(volumes).shape(), (Shape{2, 3, 2, 4, 4}));
  nn::AdaptiveAvgPool3d whole(1);
  EXPECT_EQ(whole(volumes).shape(), (Shape{2, 3, 1, 1, 1}));
  //! [Pooling3d]
  //! [AdaptiveMaxPool2d]
  nn::AdaptiveMaxPool2d brightest({2, 3});
  EXPECT_EQ(brightest(images).shape(), (Shape{2, 3, 2, 3}));
  //! [AdaptiveMaxPool2d]
  //! [Dropout2d]
  nn::Dropout2d channels(0.5);
  const Tensor kept = channels(ones({2, 3, 8, 8}));  // 0 or 2, each channel as a whole
  EXPECT_EQ(max(kept, {2, 3}).to_vector<float>(), tern::min(kept, {2, 3}).to_vector<float>());
  //! [Dropout2d]
  //! [Unflatten]
  nn::Unflatten unflatten(1, {3, 4});
  EXPECT_EQ(unflatten(randn({2, 12})).shape(), (Shape{2, 3, 4}));
  //! [Unflatten]
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

TEST(Documentation, Recurrent) {
  //! [RNN]
  nn::RNN rnn(3, 8, {.nonlinearity = nn::Nonlinearity::relu, .batch_first = true});
  const Tensor x = rand({4, 10, 3});  // four sequences of ten steps
  const auto [outputs, h] = rnn(x);
  EXPECT_EQ(outputs.shape(), (Shape{4, 10, 8}));
  EXPECT_EQ(h.shape(), (Shape{1, 4, 8}));
  //! [RNN]
  //! [LSTM]
  nn::LSTM lstm(3, 8, {.num_layers = 2, .batch_first = true, .dropout = 0.1});
  const auto [y, state] = lstm(x);
  const auto [y_of_more, state_after] = lstm(rand({4, 5, 3}), state);  // goes on
  const auto [last_h, last_c] = state_after;
  EXPECT_EQ(last_h.shape(), (Shape{2, 4, 8}));
  //! [LSTM]
  //! [GRU]
  nn::GRU gru(3, 8, {.batch_first = true, .bidirectional = true});
  const std::vector<int64_t> lengths{10, 7, 1, 4};  // how many of the ten steps there are
  const auto [both, last] = gru(x, lengths);
  EXPECT_EQ(both.shape(), (Shape{4, 10, 16}));
  EXPECT_EQ(max(abs(select(both, 0, 1)[Range(7, 10)])).item<float>(), 0);
  //! [GRU]
  //! [RNNCell]
  nn::RNNCell cell(3, 8, {.bias = false});
  Tensor now = zeros({4, 8});
  for (int64_t t = 0; t < 10; ++t) now = cell(select(x, 1, t), now);
  EXPECT_EQ(now.shape(), (Shape{4, 8}));
  //! [RNNCell]
  //! [LSTMCell]
  nn::LSTMCell lstm_cell(3, 8);
  nn::LSTMState memory;  // undefined tensors are zero
  for (int64_t t = 0; t < 10; ++t) memory = lstm_cell(select(x, 1, t), memory);
  EXPECT_EQ(nn::GRUCell(8, 2)(std::get<0>(memory)).shape(), (Shape{4, 2}));
  //! [LSTMCell]
}

TEST(Documentation, Distributions) {
  //! [Categorical]
  const nn::Linear policy(3, 4);
  const distributions::Categorical actions({.logits = policy(rand({5, 3}))});
  const Tensor action = actions.sample();  // i64[5]
  const Tensor loss = -mean(actions.log_prob(action)) - 0.01 * mean(actions.entropy());
  loss.backward();
  EXPECT_EQ(action.shape(), (Shape{5}));
  //! [Categorical]
  //! [Normal]
  const distributions::Normal normal(zeros({2}), full({2}, 0.5));
  const Tensor x = normal.rsample({10});  // with the gradients of mean and standard deviation
  EXPECT_EQ(normal.log_prob(x).shape(), (Shape{10, 2}));
  EXPECT_EQ(sum(kl_divergence(normal, normal)).item<float>(), 0);
  //! [Normal]
  //! [Bernoulli]
  const distributions::Bernoulli coin(full({3}, 0.5));
  EXPECT_NEAR(mean(coin.log_prob(coin.sample())).item<float>(), std::log(0.5), 1e-6);
  //! [Bernoulli]
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
  //! [L1Loss]
  const nn::L1Loss l1;
  EXPECT_EQ(l1(zeros({4}), full({4}, 3.0)).item<float>(), 3);
  //! [L1Loss]
  //! [SmoothL1Loss]
  const nn::SmoothL1Loss smooth(Reduction::none);
  EXPECT_EQ(smooth(full({1}, 0.5), zeros({1})).item<float>(), 0.125f);
  //! [SmoothL1Loss]
  //! [HuberLoss]
  const nn::HuberLoss huber(Reduction::mean, 2);
  EXPECT_EQ(huber(full({4}, 3.0), zeros({4})).item<float>(), 4);
  //! [HuberLoss]
  //! [KLDivLoss]
  const nn::KLDivLoss divergence(Reduction::sum);
  const Tensor half = full({2, 2}, 0.5);
  EXPECT_EQ((divergence(log(half), half) / 2.0).item<float>(), 0);  // over the batch of 2
  //! [KLDivLoss]
  //! [NLLLoss]
  const nn::NLLLoss nll({.weight = tensor(std::vector<float>{1, 3, 1}, {3})});
  EXPECT_NEAR(nll(log_softmax(zeros({2, 3}), 1), classes).item<float>(), std::log(3.0), 1e-6);
  //! [NLLLoss]
  //! [BCELoss]
  const nn::BCELoss bce({.reduction = Reduction::sum});
  EXPECT_EQ(bce(ones({2}), tensor(std::vector<float>{1, 0}, {2})).item<float>(), 100);
  //! [BCELoss]
  //! [BCEWithLogitsLoss]
  const nn::BCEWithLogitsLoss logistic({.pos_weight = full({1}, 3)});
  EXPECT_NEAR(logistic(zeros({2}), ones({2})).item<float>(), 3 * std::log(2.0), 1e-6);
  //! [BCEWithLogitsLoss]
  //! [MarginRankingLoss]
  const nn::MarginRankingLoss ranking(0.5);
  EXPECT_EQ(ranking(zeros({1}), ones({1}), ones({1})).item<float>(), 1.5f);
  //! [MarginRankingLoss]
  //! [CTCLoss]
  const Tensor of_each_step = log_softmax(zeros({2, 1, 3}), 2);  // two steps, one sequence
  const Tensor label = tensor(std::vector<int64_t>{1}, {1, 1});
  const Tensor steps = tensor(std::vector<int64_t>{2}, {1}),
               one = tensor(std::vector<int64_t>{1}, {1});
  const nn::CTCLoss ctc;  // of 9 paths, three give the label: 11, 1-, -1
  EXPECT_NEAR(ctc(of_each_step, label, steps, one).item<float>(), std::log(3.0), 1e-5);
  //! [CTCLoss]
  //! [TripletMarginLoss]
  const nn::TripletMarginLoss triplet({.margin = 2});
  EXPECT_NEAR(triplet(zeros({1, 2}), zeros({1, 2}), ones({1, 2})).item<float>(), 2 - std::sqrt(2.0),
              1e-5);
  //! [TripletMarginLoss]
  //! [CosineEmbeddingLoss]
  const nn::CosineEmbeddingLoss cosine;
  EXPECT_NEAR(cosine(ones({1, 2}), ones({1, 2}), ones({1})).item<float>(), 0, 1e-6);
  //! [CosineEmbeddingLoss]
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
    EXPECT_EQ(error.operation(), "linear");
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
