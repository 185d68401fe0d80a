// SPDX-License-Identifier: Apache-2.0
// What docs/porting.md says in its columns of Tern.
#include <tern/tern.h>
#include "support.h"

using namespace tern;

namespace {

using Values = std::vector<float>;

TEST(Porting, Tensors) {
  const Tensor x = tensor(Values{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(zeros({2, 3}, DType::f64).dtype(), DType::f64);
  EXPECT_EQ(full({2}, 3.0).to_vector<float>(), (Values{3, 3}));
  EXPECT_EQ(arange(5).dtype(), DType::i64);
  x.data<float>()[0] = 7;
  EXPECT_EQ(x.to_vector<float>()[0], 7);
  EXPECT_FALSE(x.clone().is_same(x));
  EXPECT_FALSE(x.detach().requires_grad());
  EXPECT_EQ(x.shape(), (Shape{2, 3}));
  EXPECT_EQ(x.size(0), 2);
  EXPECT_EQ(x.dtype(), DType::f32);
  EXPECT_EQ(x.to(DType::f64).dtype(), DType::f64);
  EXPECT_EQ(ones({1}).item<float>(), 1);
  EXPECT_EQ(empty({2, 3}).numel() + randn({2}).numel(), 8);
  manual_seed(0);
  const float first = rand({1}).item<float>();
  manual_seed(0);
  EXPECT_EQ(rand({1}).item<float>(), first);
  const int threads = num_threads();
  set_num_threads(2);
  EXPECT_EQ(num_threads(), 2);
  set_num_threads(threads);
  const Tensor y = zeros({2, 3});
  y.copy_(x);
  EXPECT_EQ(y.to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(to_order(ones({2, 3, 4, 5}), Order::channels_last).order(), Order::channels_last);
  const bool before = deterministic();
  set_deterministic(true);
  EXPECT_TRUE(deterministic());
  set_deterministic(before);
}

TEST(Porting, Operations) {
  const Tensor x = tensor(Values{1, -2, 3, -4}, {2, 2});
  const Tensor y = ones({2, 2});
  EXPECT_EQ((x * 2.0 + -x).to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(pow(x, 2.0).to_vector<float>(), (Values{1, 4, 9, 16}));
  EXPECT_EQ(matmul(x, y).to_vector<float>(), (Values{-1, -1, -1, -1}));
  EXPECT_EQ((sqrt(y) + exp(log(y)) - abs(-y)).to_vector<float>(), y.to_vector<float>());
  EXPECT_EQ(eq(x, y).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 0, 0}));
  EXPECT_EQ(sum(x).item<float>(), -2);
  EXPECT_EQ(flatten(ones({2, 3, 4}), 1).shape(), (Shape{2, 12}));
  EXPECT_EQ(transpose(x, 0, 1).to_vector<float>(), (Values{1, 3, -2, -4}));
  EXPECT_EQ(linear(x, y).to_vector<float>(), (Values{-1, -1, -1, -1}));
  EXPECT_EQ(softmax(y, 1).to_vector<float>(), (Values{0.5, 0.5, 0.5, 0.5}));
  const Tensor c = gt(x, 0.0);
  EXPECT_EQ(c.dtype(), DType::u8);
  EXPECT_EQ(where(c, x, y).to_vector<float>(), (Values{1, 1, 3, 1}));
  EXPECT_EQ(sum(x, {1}).to_vector<float>(), (Values{-1, -1}));
  EXPECT_EQ(mean(x, {0, 1}, true).shape(), (Shape{1, 1}));
  EXPECT_EQ(max(x, {1}).to_vector<float>(), (Values{1, 3}));
  EXPECT_EQ(argmax(x, 1).to_vector<int64_t>(), (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(argmax(-x, 1).to_vector<int64_t>(), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ((-max(-x)).item<float>(), -4);
  EXPECT_EQ(relu(x).to_vector<float>(), (Values{1, 0, 3, 0}));
  EXPECT_EQ((1.0 - relu(1.0 - x)).to_vector<float>(), (Values{1, -2, 1, -4}));
  EXPECT_EQ(mean(pow(x - mean(x, {0}, true), 2.0), {0}).to_vector<float>(), (Values{1, 1}));
  EXPECT_EQ(reshape(x, {1, -1}).shape(), (Shape{1, 4}));
  EXPECT_EQ(permute(ones({1, 2, 3, 4}), {0, 2, 3, 1}).shape(), (Shape{1, 3, 4, 2}));
  EXPECT_EQ(squeeze(unsqueeze(x, 0), 0).shape(), x.shape());
  EXPECT_EQ(slice(x, 0, 1, 5).to_vector<float>(), (Values{3, -4}));
  EXPECT_EQ(slice(x, 1, 0, x.size(1), 2).to_vector<float>(), (Values{1, 3}));
  EXPECT_EQ(cat({x, y}, 1).shape(), (Shape{2, 4}));
  EXPECT_EQ(cat({unsqueeze(x, 0), unsqueeze(y, 0)}).shape(), (Shape{2, 2, 2}));
  const Tensor classes = tensor(std::vector<int64_t>{2, 0}, {2});
  EXPECT_EQ(eq(unsqueeze(classes, 1), arange(3)).to_vector<uint8_t>(),
            (std::vector<uint8_t>{0, 0, 1, 1, 0, 0}));
  const Tensor image = ones({1, 1, 4, 4});
  EXPECT_EQ(conv2d(image, ones({1, 1, 3, 3}), {}, {.stride = 2, .padding = 1}).shape(),
            (Shape{1, 1, 2, 2}));
  // Conv1d by a Conv2d.
  nn::Conv2d conv(3, 5, {1, 3});
  EXPECT_EQ(conv(reshape(ones({2, 3, 8}), {2, 3, 1, 8})).shape(), (Shape{2, 5, 1, 6}));
  support::expect_error([&] { (void)(x + x.to(DType::f64)); }, "[add]");
}

TEST(Porting, AutomaticDifferentiation) {
  const Tensor x = tensor(Values{3}, {1});
  x.set_requires_grad();
  (x * x).backward();
  EXPECT_EQ(x.grad().item<float>(), 6);
  const Tensor y = x * x * x;
  y.backward(tensor(Values{2}, {1}), {.retain_graph = true});
  const std::vector<Tensor> dx = grad(y, {x}, {.create_graph = true});
  EXPECT_EQ(grad(dx[0], {x})[0].item<float>(), 18);
  {
    const NoGrad no_grad;
    EXPECT_FALSE((x * x).requires_grad());
    const GradMode mode(true);
    EXPECT_TRUE((x * x).requires_grad());
  }
  const auto f = [](const std::vector<Tensor>& in) { return tanh(in[0]); };
  const Tensor in = randn({3}, DType::f64);
  in.set_requires_grad();
  EXPECT_TRUE(tern::testing::gradcheck(f, {in}));
  const nn::DetectAnomaly anomaly;
  EXPECT_THROW(nn::Identity()(log(zeros({1}))), nn::AnomalyError);
}

class Net : public nn::Module {
  nn::Linear fc{4, 2};
  Tensor w, b;

 public:
  Net() {
    register_module("fc", fc);
    w = register_parameter("w", ones({2}));
    b = register_buffer("b", zeros({2}));
  }
  Tensor forward(const Tensor& x) override { return fc(x) * w + b; }
};

TEST(Porting, ModulesAndTraining) {
  Net net;
  const Tensor x = randn({8, 4});
  const Tensor classes = zeros({8}, DType::i64);
  optim::SGD opt(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const Tensor loss = cross_entropy(net(x), classes, {.label_smoothing = 0.1});
  loss.backward({}, {.retain_graph = true});
  EXPECT_GT(optim::clip_grad_norm_(net.parameters(), 1.0), 0);
  opt.step();
  opt.set_lr(0.01, 0);
  EXPECT_EQ(opt.lr(), 0.01);
  opt.set_lr(0.1);
  const optim::Adam adam(net.parameters(), {.beta1 = 0.9, .beta2 = 0.99});
  const optim::AdamW adamw(net.parameters());
  const optim::RMSprop rmsprop(net.parameters());
  const std::vector<Tensor> a = net.parameters();
  const optim::SGD groups({{.params = a, .options = {.lr = 0.2}}});
  EXPECT_EQ(groups.lr(0), 0.2);

  Net copy = net.clone();
  StateDict dict = net.state_dict();
  dict.set("fc.bias", zeros({3}));
  support::expect_error([&] { copy.load_state_dict(dict); }, "fc.bias");
  EXPECT_EQ(copy.load_state_dict(dict, {.strict = false}).mismatched.size(), 1u);
  copy.requires_grad_(false);
  copy.to(DType::f64);
  EXPECT_EQ(copy(x.to(DType::f64)).dtype(), DType::f64);

  data::DataLoader loader(data::TensorDataset(x, classes),
                          {.batch_size = 4, .shuffle = true, .workers = 2});
  nn::Sequential with_norm(nn::Linear(4, 3), nn::BatchNorm1d(3));
  nn::reestimate_batch_norm(with_norm, loader);
  EXPECT_EQ(with_norm.as<nn::BatchNorm1d>(1).num_batches_tracked().item<int64_t>(), 2);
  with_norm.eval();
  nn::Sequential folded = nn::fold_batch_norm(with_norm);
  EXPECT_LT(max(abs(folded(x) - with_norm(x))).item<float>(), 1e-5f);
  const Tensor kernel = nn::init::kaiming_normal_(empty({4, 4}));
  EXPECT_GT(max(abs(kernel)).item<float>(), 0);
  const GradMode mode(false);
  EXPECT_FALSE(net(x).requires_grad());
}

TEST(Porting, Layers) {
  nn::Sequential seq(
      nn::Conv2d(3, 8, 3, {.padding = 1}), nn::BatchNorm2d(8, {.momentum = Momentum::update(0.1)}),
      nn::ReLU(), nn::MaxPool2d(2), nn::LeakyReLU(), nn::AvgPool2d(2), nn::Sigmoid(),
      nn::AdaptiveAvgPool2d(1), nn::Flatten(), nn::Dropout(), nn::Identity(), nn::Linear(8, 4),
      nn::BatchNorm1d(4), nn::Tanh(), nn::GELU(), nn::SiLU(), nn::Softmax(1), nn::LogSoftmax(1));
  const Tensor x = randn({4, 3, 8, 8});
  EXPECT_EQ(seq(x).shape(), (Shape{4, 4}));
  EXPECT_EQ(seq[0].type_name(), "Conv2d");
  EXPECT_EQ(seq.as<nn::Conv2d>(0).out_channels(), 8);
  seq.train();
  {
    const nn::EvalMode mode(seq);
    EXPECT_FALSE(seq.is_training());
  }
  EXPECT_TRUE(seq.is_training());
  int modules = 0;
  seq.apply([&](nn::Module&) { ++modules; });
  EXPECT_EQ(modules, 19);
  seq.eval();
  const nn::Conv2d folded = nn::fold_batch_norm(seq.as<nn::Conv2d>(0), seq.as<nn::BatchNorm2d>(1));
  EXPECT_TRUE(folded.bias().defined());
  EXPECT_EQ(nn::BatchNorm3d(2)(randn({2, 2, 3, 3, 3})).dim(), 5);
  EXPECT_EQ(nn::ModuleList(nn::Linear(1, 1)).size(), 1);
  EXPECT_EQ(nn::MSELoss()(ones({2}), zeros({2})).item<float>(), 1);
  const Tensor classes = zeros({2}, DType::i64);
  EXPECT_NEAR(nn::CrossEntropyLoss()(zeros({2, 2}), classes).item<float>(), 0.693f, 1e-3f);
  nn::init::HeNormal{}(ones({2, 2}));
}

TEST(Porting, SchedulesAndTransforms) {
  optim::SGD opt({ones({1}).set_requires_grad()}, {.lr = 0.1, .momentum = 0.9});
  const optim::StepLR step(opt, 2);
  const optim::MultiStepLR steps(opt, {2, 4});
  const optim::ExponentialLR exponential(opt, 0.9);
  const optim::CosineAnnealingLR cosine(opt, 10);
  const optim::LinearLR linear(opt, {.start_factor = 0.5});
  const optim::LambdaLR lambda(opt, [](int64_t) { return 0.5; });
  EXPECT_GT(opt.lr(), 0);
  optim::ReduceLROnPlateau plateau(opt, {.factor = 0.5});
  plateau.step(1.0);
  const optim::OneCycleLR cycle(opt, {.max_lr = 0.1, .total_steps = 10});
  EXPECT_NEAR(opt.lr(), 0.004, 1e-6);

  const data::Compose transform(
      {data::RandomCrop(2, 1), data::RandomHorizontalFlip(), data::Normalize({0.5}, {0.5})});
  data::Image image{.channels = 1, .height = 2, .width = 2, .pixels = {1, 1, 1, 1}};
  Generator random;
  transform(image, random);
  EXPECT_EQ(image.pixels.size(), 4u);
}

TEST(Porting, Files) {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / "net.safetensors";
  Net net, other;
  io::save_safetensors(net.state_dict(), path);
  EXPECT_TRUE(other.load_state_dict(io::load_safetensors(path)).ok());
  const optim::SGD opt(net.parameters());
  io::save_checkpoint(path, {.model = net.state_dict(), .optimizer = opt.state_dict()});
  EXPECT_TRUE(other.load_state_dict(io::load_checkpoint(path).model).ok());
}

TEST(Porting, WhatBehavesDifferently) {
  nn::BatchNorm2d bn(3, {.momentum = Momentum::update(0.1)});
  EXPECT_EQ(bn(zeros({0, 3, 4, 4})).shape(), (Shape{0, 3, 4, 4}));
  EXPECT_EQ(bn.num_batches_tracked().item<int64_t>(), 0);
  const Momentum standard = nn::BatchNorm2d(3).momentum();
  EXPECT_DOUBLE_EQ(standard.weight_of_new(1), 0.1);
}

}  // namespace
