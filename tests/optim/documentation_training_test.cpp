// SPDX-License-Identifier: Apache-2.0
// The examples of the reference: optim, data and io. docs/examples.dox assigns them to classes.
#include <cmath>
#include <fstream>

#include <tern/tern.h>
#include "support.h"

using namespace tern;
namespace fs = std::filesystem;

namespace {

//! [Optimizer]
// Steps by the gradient's sign (Bernstein et al., 2018).
struct SignOptions {
  double lr = 0.1;
};
class Sign final : public optim::OptimizerWith<SignOptions> {
 public:
  explicit Sign(const std::vector<Tensor>& params, const SignOptions& options = {})
      : OptimizerWith("Sign", {{params, options}}, {}, 0, {fields, validate}) {}

 private:
  static std::vector<optim::OptionField> fields(SignOptions& o) { return {{"lr", &o.lr}}; }
  static void validate(const SignOptions& o) {
    if (!(o.lr >= 0)) fail("Sign", "lr is ", o.lr, ", it must be at least 0");
  }
  void update(size_t group, const Tensor& param, const Tensor& grad, State&) override {
    param.copy_(param - options(group).lr * (grad / abs(grad)));
  }
};
//! [Optimizer]

// One step down from 1 with gradient 4.
template <class O, class Options>
double step_from_one(const Options& options) {
  const Tensor p = ones({}, DType::f64).set_requires_grad();
  O optimizer({p}, options);
  (p * 4.0).backward();
  optimizer.step();
  optimizer.zero_grad();
  return p.item<double>();
}

TEST(Documentation, Optimizers) {
  EXPECT_DOUBLE_EQ((step_from_one<Sign>(SignOptions{})), 0.9);
  EXPECT_DOUBLE_EQ((step_from_one<optim::SGD>(optim::SGDOptions{.lr = 0.1})), 0.6);
  EXPECT_NEAR((step_from_one<optim::Adam>(optim::AdamOptions{.lr = 0.1})), 0.9, 1e-9);
  EXPECT_NEAR((step_from_one<optim::AdamW>(optim::AdamWOptions{.lr = 0.1, .weight_decay = 0.5})),
              0.85, 1e-9);
  EXPECT_NEAR((step_from_one<optim::RMSprop>(optim::RMSpropOptions{.lr = 0.1})), 0.0, 1e-7);
  nn::Linear net(2, 1);
  const Tensor x = ones({4, 2});
  //! [SGD]
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  for (int i = 0; i < 3; ++i) {
    const Tensor loss = mse_loss(net(x), zeros({4, 1}));
    sgd.zero_grad();
    loss.backward();
    sgd.step();
  }
  EXPECT_EQ(sgd.momentum(), 0.9);
  //! [SGD]
  //! [Adam]
  optim::Adam adam(net.parameters(), {.lr = 1e-3, .amsgrad = true});
  EXPECT_EQ(adam.lr(), 1e-3);
  //! [Adam]
  //! [AdamW]
  optim::AdamW adamw({{.params = {net.weight()}, .options = {.weight_decay = 0.1}},
                      {.params = {net.bias()}, .options = {.weight_decay = 0}}});
  EXPECT_EQ(adamw.num_groups(), 2u);
  EXPECT_EQ(adamw.options(1).weight_decay, 0);
  //! [AdamW]
  //! [RMSprop]
  optim::RMSprop rmsprop(net.parameters(), {.lr = 0.01, .centered = true});
  rmsprop.set_lr(0.001);
  EXPECT_EQ(rmsprop.lr(), 0.001);
  //! [RMSprop]
  //! [Adagrad]
  optim::Adagrad adagrad(net.parameters(), {.lr = 0.1, .maximize = true});  // up the gradient
  EXPECT_TRUE(adagrad.options().maximize);
  //! [Adagrad]
  //! [clip]
  const double norm = optim::clip_grad_norm_(net.parameters(), 1e-3);
  const Tensor g = net.weight().grad();
  EXPECT_GT(norm, 1e-3);
  EXPECT_LE(std::sqrt(sum(g * g).item<float>()), 1.001e-3);
  //! [clip]
}

TEST(Documentation, LBFGS) {
  nn::Linear net(2, 1);
  const Tensor x = rand({8, 2}), y = ones({8, 1});
  //! [LBFGS]
  optim::LBFGS lbfgs(net.parameters(), {.line_search_fn = optim::LineSearch::strong_wolfe});
  for (int i = 0; i < 3; ++i) {
    lbfgs.step([&] {
      lbfgs.zero_grad();
      const Tensor loss = mse_loss(net(x), y);
      loss.backward();
      return loss;
    });
  }
  EXPECT_LT(mse_loss(net(x), y).item<float>(), 1e-6f);
  //! [LBFGS]
  //! [AveragedWeights]
  optim::AveragedWeights ema(net.parameters(), {.decay = 0.999});
  ema.update();  // after each step of an optimizer
  const nn::Linear averaged = net.clone();
  ema.copy_to(averaged.parameters());
  EXPECT_EQ(ema.updates(), 1);
  //! [AveragedWeights]
}

TEST(Documentation, Schedules) {
  const Tensor p = ones({}).set_requires_grad();
  const auto fresh = [&] { return std::make_unique<optim::SGD>(std::vector<Tensor>{p}); };
  auto owner = fresh();
  const auto sgd = [&]() -> optim::SGD& {
    owner = fresh();
    owner->set_lr(1.0);
    return *owner;
  };
  //! [StepLR]
  optim::StepLR steps(sgd(), 2, 0.5);
  for (int epoch = 0; epoch < 2; ++epoch) steps.step();
  EXPECT_DOUBLE_EQ(steps.last_lr(), 0.5);
  //! [StepLR]
  EXPECT_EQ(steps.last_epoch(), 2);
  //! [MultiStepLR]
  optim::MultiStepLR milestones(sgd(), {1, 3}, 0.1);
  for (int epoch = 0; epoch < 3; ++epoch) milestones.step();
  EXPECT_DOUBLE_EQ(milestones.last_lr(), 0.01);
  //! [MultiStepLR]
  //! [ExponentialLR]
  optim::ExponentialLR exponential(sgd(), 0.5);
  for (int epoch = 0; epoch < 3; ++epoch) exponential.step();
  EXPECT_DOUBLE_EQ(exponential.last_lr(), 0.125);
  //! [ExponentialLR]
  //! [CosineAnnealingLR]
  optim::CosineAnnealingLR cosine(sgd(), 10);
  for (int epoch = 0; epoch < 5; ++epoch) cosine.step();
  EXPECT_NEAR(cosine.last_lr(), 0.5, 1e-12);
  //! [CosineAnnealingLR]
  //! [LinearLR]
  optim::LinearLR warm_up(sgd(), {.start_factor = 0.5, .total_iters = 4});
  EXPECT_DOUBLE_EQ(warm_up.last_lr(), 0.5);
  for (int epoch = 0; epoch < 4; ++epoch) warm_up.step();
  EXPECT_NEAR(warm_up.last_lr(), 1.0, 1e-12);
  //! [LinearLR]
  //! [SequentialLR]
  optim::SGD& two_phases = sgd();
  optim::LinearLR rise(two_phases, {.start_factor = 0.1, .total_iters = 5});
  optim::CosineAnnealingLR fall(two_phases, 10);
  optim::SequentialLR sequence(two_phases, {rise, fall}, {5});
  for (int epoch = 0; epoch < 5; ++epoch) sequence.step();
  EXPECT_NEAR(two_phases.lr(), 1.0, 1e-12);
  for (int epoch = 5; epoch < 10; ++epoch) sequence.step();
  EXPECT_NEAR(two_phases.lr(), 0.5, 1e-12);
  //! [SequentialLR]
  //! [ChainedScheduler]
  optim::SGD& both = sgd();
  optim::ExponentialLR decay(both, 0.5);
  optim::CosineAnnealingLR annealing(both, 10);
  optim::ChainedScheduler chain(both, {decay, annealing});
  for (int epoch = 0; epoch < 5; ++epoch) chain.step();
  EXPECT_NEAR(both.lr(), std::pow(0.5, 5) * 0.5, 1e-12);
  //! [ChainedScheduler]
  //! [LambdaLR]
  optim::LambdaLR lambda(sgd(), [](int64_t epoch) { return 1.0 / (1.0 + double(epoch)); });
  lambda.step();
  EXPECT_DOUBLE_EQ(lambda.last_lr(), 0.5);
  //! [LambdaLR]
  //! [OneCycleLR]
  optim::OneCycleLR cycle(sgd(), {.max_lr = 1.0, .total_steps = 10, .cycle_momentum = false});
  EXPECT_NEAR(cycle.last_lr(), 1.0 / 25, 1e-15);
  //! [OneCycleLR]
  //! [ReduceLROnPlateau]
  optim::ReduceLROnPlateau plateau(sgd(), {.factor = 0.1, .patience = 0});
  plateau.step(1.0);
  plateau.step(1.0);  // no better
  EXPECT_DOUBLE_EQ(plateau.last_lr(), 0.1);
  //! [ReduceLROnPlateau]
}

//! [Dataset]
class Squares : public data::Dataset {
 public:
  int64_t size() const override { return 10; }
  data::Example get(int64_t index) const override {
    const double x = static_cast<double>(index);
    return {.x = full({1}, x), .y = full({1}, x * x)};
  }
};
//! [Dataset]

TEST(Documentation, Data) {
  //! [DataLoader]
  data::DataLoader loader(Squares(), {.batch_size = 4, .shuffle = true, .workers = 1});
  int64_t seen = 0;
  for (const auto& [x, y] : loader) {
    EXPECT_EQ((x * x).to_vector<float>(), y.to_vector<float>());
    seen += x.size(0);
  }
  EXPECT_EQ(seen, 10);
  //! [DataLoader]
  //! [TensorDataset]
  const data::TensorDataset rows(randn({5, 3}), arange(5));
  EXPECT_EQ(rows.size(), 5);
  EXPECT_EQ(rows.get(4).y.item<int64_t>(), 4);
  //! [TensorDataset]
  //! [transforms]
  const data::Transform transform =
      data::Compose({data::RandomCrop(2, 1), data::RandomHorizontalFlip(),
                     data::Normalize(std::vector<double>{0.5}, std::vector<double>{0.25})});
  data::Image image{.channels = 1, .height = 2, .width = 2, .pixels = {1, 1, 1, 1}};
  Generator random(0);
  transform(image, random);
  EXPECT_EQ(image.pixels.size(), 4u);
  for (const float pixel : image.pixels) EXPECT_TRUE(pixel == 2 || pixel == -2);
  //! [transforms]
  //! [ImageDataset]
  const data::ImageDataset images({.channels = 1,
                                   .height = 1,
                                   .width = 2,
                                   .num_classes = 3,
                                   .pixels = {0, 255, 255, 0},
                                   .labels = {2, 1}});
  EXPECT_EQ(images.get(0).x.to_vector<float>(), (std::vector<float>{0, 1}));
  EXPECT_EQ(images.get(0).y.item<int64_t>(), 2);
  //! [ImageDataset]
}

// Two MNIST images of zeros, with classes 7 and 1.
void write_mnist(const fs::path& root) {
  const auto put = [&](const char* name, std::string bytes) {
    std::ofstream(root / name, std::ios::binary) << bytes;
  };
  const std::string two("\0\0\0\2", 4);
  const std::string side("\0\0\0\34", 4);
  put("t10k-images-idx3-ubyte",
      std::string("\0\0\10\3", 4) + two + side + side + std::string(2 * 28 * 28, '\0'));
  put("t10k-labels-idx1-ubyte", std::string("\0\0\10\1", 4) + two + "\7\1");
}

TEST(Documentation, Files) {
  const test::TemporaryDirectory directory;
  const std::string root = directory.path().string();
  write_mnist(root);
  std::ofstream(directory.path() / "test_batch.bin", std::ios::binary)
      << std::string(1, '\6') + std::string(3072, '\0');
  //! [Idx]
  const data::Idx array = data::read_idx(root + "/t10k-labels-idx1-ubyte");
  EXPECT_EQ(array.shape, (Shape{2}));
  EXPECT_EQ(array.bytes[0], 7);
  //! [Idx]
  //! [MNIST]
  const data::MNIST digits({.train = false, .root = root});
  EXPECT_EQ(digits.get(0).y.item<int64_t>(), 7);
  //! [MNIST]
  //! [IdxImages]
  const data::IdxImages nines({.images = root + "/t10k-images-idx3-ubyte",
                               .labels = root + "/t10k-labels-idx1-ubyte",
                               .num_classes = 9,  // 1 to 9
                               .first_label = 1});
  EXPECT_EQ(nines.get(0).y.item<int64_t>(), 6);
  //! [IdxImages]
  //! [CIFAR10]
  const data::CIFAR10 pictures({.train = false, .root = root});
  EXPECT_EQ(data::CIFAR10::class_names()[6], "frog");
  EXPECT_EQ(pictures.get(0).y.item<int64_t>(), 6);
  //! [CIFAR10]
  //! [FashionMNIST]
  const data::FashionMNIST clothes({.train = false});  // from Debian's package
  EXPECT_EQ(clothes.size(), 10000);
  EXPECT_EQ(clothes.get(0).x.shape(), (Shape{1, 28, 28}));
  //! [FashionMNIST]
  nn::Linear net(2, 2);
  optim::SGD sgd(net.parameters());
  //! [safetensors]
  io::save_safetensors(net.state_dict(), root + "/net.safetensors", {{"made by", "an example"}});
  net.load_state_dict(io::load_safetensors(root + "/net.safetensors"));
  EXPECT_EQ(io::load_safetensors_metadata(root + "/net.safetensors").at("made by"), "an example");
  //! [safetensors]
  //! [LoadSafetensorsOptions]
  // Reads everything now: the file may be overwritten while the tensors are in use.
  const StateDict weights = io::load_safetensors(root + "/net.safetensors", {.map = false});
  EXPECT_EQ(weights.names(), net.state_dict().names());
  //! [LoadSafetensorsOptions]
  //! [Checkpoint]
  io::save_checkpoint(root + "/last.safetensors", {.model = net.state_dict(),
                                                   .optimizer = sgd.state_dict(),
                                                   .random = default_generator().state(),
                                                   .epoch = 3});
  const io::Checkpoint checkpoint = io::load_checkpoint(root + "/last.safetensors");
  net.load_state_dict(checkpoint.model);
  sgd.load_state_dict(checkpoint.optimizer);
  default_generator().set_state(*checkpoint.random);
  EXPECT_EQ(checkpoint.epoch, 3);
  //! [Checkpoint]
}

}  // namespace
