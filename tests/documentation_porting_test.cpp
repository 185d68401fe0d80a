// SPDX-License-Identifier: Apache-2.0
// What docs/porting.md says in its last columns.
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
  const optim::Adam adam(net.parameters(), {.beta1 = 0.9, .beta2 = 0.99});
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

TEST(Porting, WhatBehavesDifferently) {
  nn::BatchNorm2d bn(3, {.momentum = Momentum::update(0.1)});
  EXPECT_EQ(bn(zeros({0, 3, 4, 4})).shape(), (Shape{0, 3, 4, 4}));
  EXPECT_EQ(bn.num_batches_tracked().item<int64_t>(), 0);
  const Momentum standard = nn::BatchNorm2d(3).momentum();
  EXPECT_DOUBLE_EQ(standard.weight_of_new(1), 0.1);
}

}  // namespace
