// SPDX-License-Identifier: Apache-2.0
// The calls in Tern's columns of docs/porting.md.
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
  EXPECT_EQ(linspace(0, 1, 5).to_vector<float>()[1], 0.25f);
  EXPECT_EQ(eye(2).to_vector<float>(), (Values{1, 0, 0, 1}));
  EXPECT_EQ(randint(0, 5, {3}).numel() + randperm(5).numel(), 8);
  EXPECT_EQ(normal(rand_like(x), ones({3})).shape(), x.shape());
  EXPECT_EQ(bernoulli(ones({2})).to_vector<float>(), (Values{1, 1}));
  EXPECT_EQ(multinomial(ones({4}), 2).shape(), (Shape{2}));
  EXPECT_EQ(diag(ones({2})).to_vector<float>(), tril(triu(ones({2, 2}))).to_vector<float>());
  EXPECT_EQ(meshgrid({ones({2}), ones({3})})[0].shape(), (Shape{2, 3}));
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
  EXPECT_EQ(to_memory_format(ones({2, 3, 4, 5}), MemoryFormat::channels_last).memory_format(),
            MemoryFormat::channels_last);
  const bool before = deterministic();
  set_deterministic(true);
  EXPECT_TRUE(deterministic());
  set_deterministic(before);
}

TEST(Porting, Indexing) {
  const Tensor x = tensor(Values{1, -2, 3, -4}, {2, 2}), mask = lt(x, 0.0);
  const Tensor rows = tensor(std::vector<int64_t>{1, 0}, {2}), columns = rows;
  EXPECT_EQ(x[1].to_vector<float>(), (Values{3, -4}));
  EXPECT_EQ(x[1][0].item<float>(), 3);
  EXPECT_EQ((x[{Range(), -1}].to_vector<float>()), (Values{-2, -4}));
  EXPECT_EQ((x[{Range(1), Range(0, Range::kEnd, 2)}].to_vector<float>()), (Values{3}));
  EXPECT_EQ(x[mask].to_vector<float>(), (Values{-2, -4}));
  EXPECT_EQ(x[rows].to_vector<float>(), (Values{3, -4, 1, -2}));
  EXPECT_EQ((x[{rows, columns}].to_vector<float>()), (Values{-4, 1}));
  EXPECT_EQ(index(x, {rows, columns}).to_vector<float>(), (Values{-4, 1}));
  const Tensor i = unsqueeze(rows, 1), y = ones({2, 1});
  EXPECT_EQ(gather(x, 1, i).to_vector<float>(), (Values{-2, 3}));
  EXPECT_EQ(index_select(x, 0, rows).shape(), (Shape{2, 2}));
  EXPECT_EQ(scatter(x, 1, i, y).to_vector<float>(), (Values{1, 1, 1, -4}));
  EXPECT_EQ(scatter_add(x, 1, i, y).to_vector<float>(), (Values{1, -1, 4, -4}));
  EXPECT_EQ(index_add(x, 0, rows, x).to_vector<float>(), (Values{4, -6, 4, -6}));
  x[mask] = 0;
  x[1] = ones({2});
  EXPECT_EQ(x.to_vector<float>(), (Values{1, 0, 1, 1}));
  x[{rows, 0}] = tensor(Values{5, 6}, {2});
  EXPECT_EQ(x.to_vector<float>(), (Values{6, 0, 5, 1}));
  index_put_(x, {rows, 0}, full({}, 2.0));
  EXPECT_EQ(x.to_vector<float>(), (Values{2, 0, 2, 1}));
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
  EXPECT_EQ(c.dtype(), DType::boolean);
  EXPECT_EQ((c * eq(x, y)).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 0, 0}));
  EXPECT_EQ(where(c, x, y).to_vector<float>(), (Values{1, 1, 3, 1}));
  EXPECT_EQ(sum(x, {1}).to_vector<float>(), (Values{-1, -1}));
  EXPECT_EQ(mean(x, {0, 1}, true).shape(), (Shape{1, 1}));
  EXPECT_EQ(max(x, {1}).to_vector<float>(), (Values{1, 3}));
  EXPECT_EQ(argmax(x, 1).to_vector<int64_t>(), (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(argmin(x).item<int64_t>(), 3);
  EXPECT_EQ(min(x, 1).to_vector<float>(), (Values{-2, -4}));
  EXPECT_EQ(tern::std(x, 1, {.correction = 0, .keepdim = true}).shape(), (Shape{2, 1}));
  EXPECT_EQ(var(x, 0).to_vector<float>(), (Values{2, 2}));
  EXPECT_EQ(norm(x, 1, 1).to_vector<float>(), (Values{3, 7}));
  EXPECT_EQ(normalize(x, {.axis = 0}).shape(), (Shape{2, 2}));
  EXPECT_EQ(prod(x).item<float>() + median(x).item<float>(), 22);
  const auto [sorted, places] = sort(x, 0);
  EXPECT_EQ(sorted.to_vector<float>(), (Values{1, -4, 3, -2}));
  EXPECT_EQ(places.to_vector<int64_t>(), argsort(x, 0).to_vector<int64_t>());
  EXPECT_EQ(topk(x, 1, 0).first.to_vector<float>(), (Values{3, -2}));
  EXPECT_TRUE(equal(reshape(reshape(x, -1), x.shape()), x));
  EXPECT_EQ(flip(x, 0).to_vector<float>(), (Values{3, -4, 1, -2}));
  EXPECT_EQ(roll(x, 1, 0).to_vector<float>(), (Values{3, -4, 1, -2}));
  EXPECT_EQ(repeat(x, {2, 1}).shape(), (Shape{4, 2}));
  EXPECT_EQ(rot90(x).to_vector<float>(), (Values{-2, -4, 1, 3}));
  EXPECT_EQ(pad(x, {1, 0}, {.mode = PadMode::reflect}).shape(), (Shape{2, 3}));
  EXPECT_EQ(squeeze(ones({1, 2})).shape(), (Shape{2}));
  EXPECT_TRUE(equal(einsum("ij,jk->ik", {x, y}), matmul(x, y)));
  EXPECT_TRUE(equal(addmm(y, x, y, {.beta = 2}), 2.0 * y + matmul(x, y)));
  EXPECT_EQ(cdist(x, y).shape(), (Shape{2, 2}));
  EXPECT_EQ(relu(x).to_vector<float>(), (Values{1, 0, 3, 0}));
  EXPECT_EQ(clamp_max(x, 1).to_vector<float>(), (Values{1, -2, 1, -4}));
  EXPECT_EQ(minimum(x, y).to_vector<float>(), (Values{1, -2, 1, -4}));
  EXPECT_EQ(max(x, y).to_vector<float>(), (Values{1, 1, 3, 1}));
  EXPECT_EQ(remainder(x, 3).to_vector<float>(), (Values{1, 1, 0, 2}));
  EXPECT_EQ(pow(2, y).to_vector<float>(), (Values{2, 2, 2, 2}));
  EXPECT_EQ((c & ~eq(x, y)).to_vector<bool>(), (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(lerp(x, y, 1).to_vector<float>(), y.to_vector<float>());
  Tensor z = zeros({2, 2});
  z += y;
  z *= 2;
  EXPECT_EQ(clamp_(add_(z, y, 0.5), 0, 2).to_vector<float>(), (Values{2, 2, 2, 2}));
  EXPECT_EQ(tern::floor(x / 2.0).to_vector<float>(), (Values{0, -1, 1, -2}));
  EXPECT_EQ(sum(isnan(nan_to_num(x / 0.0, 0))).item<int64_t>(), 0);
  EXPECT_NEAR(gelu(y, {.approximate = GeluApproximation::tanh}).data<float>()[0], 0.8412f, 1e-4f);
  EXPECT_EQ(mean(pow(x - mean(x, {0}, true), 2.0), {0}).to_vector<float>(), (Values{1, 1}));
  EXPECT_EQ(reshape(x, {1, -1}).shape(), (Shape{1, 4}));
  EXPECT_EQ(permute(ones({1, 2, 3, 4}), {0, 2, 3, 1}).shape(), (Shape{1, 3, 4, 2}));
  EXPECT_EQ(squeeze(unsqueeze(x, 0), 0).shape(), x.shape());
  EXPECT_EQ(slice(x, 0, 1, 5).to_vector<float>(), (Values{3, -4}));
  EXPECT_EQ(slice(x, 1, 0, x.size(1), 2).to_vector<float>(), (Values{1, 3}));
  EXPECT_EQ(cat({x, y}, 1).shape(), (Shape{2, 4}));
  EXPECT_EQ(stack({x, y}).shape(), (Shape{2, 2, 2}));
  EXPECT_EQ(where(c, x, 0.0).to_vector<float>(), (Values{1, 0, 3, 0}));
  EXPECT_EQ(masked_fill(x, c, -1).to_vector<float>(), (Values{-1, -2, -1, -4}));
  EXPECT_EQ(masked_select(x, c).to_vector<float>(), (Values{1, 3}));
  EXPECT_EQ(nonzero(x).shape(), (Shape{4, 2}));
  EXPECT_EQ(select(x, 1, 0).to_vector<float>(), (Values{1, 3}));
  EXPECT_EQ(narrow(x, 1, 0, 2).shape(), (Shape{2, 2}));
  const Tensor classes = tensor(std::vector<int64_t>{2, 0}, {2});
  EXPECT_EQ(one_hot(classes, 3).to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 1, 1, 0, 0}));
  const Tensor image = ones({1, 1, 4, 4});
  EXPECT_EQ(conv2d(image, ones({1, 1, 3, 3}), {}, {.stride = 2, .padding = 1}).shape(),
            (Shape{1, 1, 2, 2}));
  EXPECT_EQ(conv_transpose2d(image, ones({1, 2, 2, 2}), {}, {.stride = 2}).shape(),
            (Shape{1, 2, 8, 8}));
  EXPECT_EQ(conv1d(ones({2, 3, 8}), ones({5, 3, 4}), {}, {.padding = kSame}).shape(),
            (Shape{2, 5, 8}));
  EXPECT_EQ(interpolate(image, {.size = {6, 6}, .mode = Interpolation::bilinear}).shape(),
            (Shape{1, 1, 6, 6}));
  EXPECT_EQ(interpolate(image, {.scale_factor = 2}).shape(), (Shape{1, 1, 8, 8}));
  EXPECT_EQ(adaptive_max_pool2d(image, 1).numel(), 1);
  test::expect_error([&] { (void)(x + x.to(DType::f64)); }, "[add]");
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
  EXPECT_TRUE(tern::gradcheck(f, {in}));
  const nn::DetectAnomaly anomaly;
  EXPECT_THROW(nn::Identity()(log(zeros({1}))), nn::AnomalyError);
}

class Net : public nn::Module {
  nn::Linear fc = register_module("fc", nn::Linear(4, 2));
  Tensor w = register_parameter("w", ones({2}));
  Tensor b = register_buffer("b", zeros({2}));

 public:
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
  test::expect_error([&] { copy.load_state_dict(dict); }, "fc.bias");
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
  const Tensor logits = zeros({2, 2}), halves = full({2, 2}, 0.5);
  const Tensor both = tensor(std::vector<int64_t>{0, 1}, {2}), w = ones({2});
  const float nats = std::log(2.0f);
  EXPECT_FLOAT_EQ(cross_entropy(logits, both, {.weight = w}).item<float>(), nats);
  EXPECT_FLOAT_EQ(cross_entropy(logits, halves).item<float>(), nats);
  EXPECT_FLOAT_EQ(nll_loss(log_softmax(logits, 1), both).item<float>(), nats);
  EXPECT_FLOAT_EQ(binary_cross_entropy(halves, halves).item<float>(), nats);
  EXPECT_FLOAT_EQ(binary_cross_entropy_with_logits(logits, halves, {.pos_weight = w}).item<float>(),
                  nats);
  EXPECT_EQ(smooth_l1_loss(halves, logits, Reduction::mean, 0.5).item<float>(), 0.25f);
  EXPECT_EQ((kl_div(log(halves), halves, Reduction::sum) / 2.0).item<float>(), 0);
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
  optim::SGD other({ones({1}).set_requires_grad()}, {.lr = 0.1, .momentum = 0.9});
  const optim::OneCycleLR cycle(other, {.max_lr = 0.1, .total_steps = 10});
  EXPECT_NEAR(other.lr(), 0.004, 1e-6);

  const data::Compose transform(
      {data::RandomCrop(2, 1), data::RandomHorizontalFlip(), data::Normalize({0.5}, {0.5})});
  data::Image image{.channels = 1, .height = 2, .width = 2, .pixels = {1, 1, 1, 1}};
  Generator random;
  transform(image, random);
  EXPECT_EQ(image.pixels.size(), 4u);
}

TEST(Porting, Files) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "net.safetensors";
  Net net, other;
  io::save_safetensors(net.state_dict(), path);
  EXPECT_TRUE(other.load_state_dict(io::load_safetensors(path)).ok());
  const std::string pt = directory.path() / "net.pt", npz = directory.path() / "net.npz";
  io::save_pytorch(net.state_dict(), pt);
  EXPECT_TRUE(other.load_state_dict(io::load_pytorch(pt)).ok());
  EXPECT_TRUE(other.load_state_dict(io::load_weights(pt)).ok());
  io::save_npz(net.state_dict(), npz);
  EXPECT_TRUE(other.load_state_dict(io::load_npz(npz)).ok());
  io::save_npy(ones({2}), npz);
  EXPECT_EQ(io::load_npy(npz).numel(), 2);
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
