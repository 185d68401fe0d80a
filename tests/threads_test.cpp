// SPDX-License-Identifier: Apache-2.0
// Several threads of a program use Tern at once: each its own net, or one net together in
// evaluation. Built with ThreadSanitizer too; it does not know libgomp's barriers, so there every
// thread computes alone.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <functional>
#include <thread>
#include <vector>

using namespace tern;

namespace {

#ifdef __SANITIZE_THREAD__
constexpr int kTeam = 1;
#else
constexpr int kTeam = 2;
#endif

/// num_threads() for a scope.
class Team {
 public:
  explicit Team(int threads) : before_(num_threads()) { set_num_threads(threads); }
  ~Team() { set_num_threads(before_); }

 private:
  int before_;
};

nn::Sequential net_of(uint64_t seed) {
  manual_seed(seed);
  return nn::Sequential(nn::Conv2d(3, 8, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(8),
                        nn::ReLU(), nn::Conv2d(8, 8, 3, {.stride = 2}), nn::BatchNorm2d(8),
                        nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Dropout(0.1),
                        nn::Linear(72, 5));
}

/// Everything that a few training steps leave behind.
std::vector<double> trained(uint64_t seed) {
  nn::Sequential net = net_of(seed);
  optim::Adam adam(net.parameters(), {.lr = 1e-2});
  const data::TensorDataset images(randn({24, 3, 14, 14}), (rand({24}) * 5.0).to(DType::i64));
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (auto [x, y] : data::DataLoader(images, {.batch_size = 8, .shuffle = true})) {
      const Tensor loss = cross_entropy(net(x), y);
      adam.zero_grad();
      loss.backward();
      adam.step();
    }
  }
  std::vector<double> numbers;
  for (const auto& [name, value] : net.state_dict()) {
    const auto values = value.to(DType::f64).to_vector<double>();
    numbers.insert(numbers.end(), values.begin(), values.end());
  }
  return numbers;
}

/// body(0), ..., body(count - 1), each on a thread of its own.
void on_threads(size_t count, const std::function<void(size_t)>& body) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

constexpr size_t kThreads = 4;

TEST(Threads, EachTrainsItsOwnNetToTheSameBitsAsAlone) {
  const Team team(kTeam);
  std::vector<std::vector<double>> alone(kThreads), together(kThreads);
  // Together first, so that whatever is made at first use is made by several threads at once.
  on_threads(kThreads, [&](size_t i) { together[i] = trained(i); });
  for (size_t i = 0; i < kThreads; ++i) alone[i] = trained(i);
  for (size_t i = 0; i < kThreads; ++i) EXPECT_TRUE(alone[i] == together[i]) << "net " << i;
  EXPECT_FALSE(alone[0] == alone[1]);
}

// Every kind of operation that divides its work, large enough to do so.
TEST(Threads, DividesWorkTheSameWayWithAndWithoutATeam) {
  const Team team(kTeam);
  const auto everything = [](size_t i) {
    manual_seed(i);
    nn::Sequential net(
        nn::Conv2d(3, 32, 5, {.stride = 2, .padding = 2}), nn::BatchNorm2d(32), nn::Tanh(),
        nn::Conv2d(32, 160, 3, {.padding = 1}), nn::GELU(), nn::Conv2d(160, 32, 3, {.padding = 1}),
        nn::Conv2d(32, 32, 3, {.padding = 1}), nn::ReLU(), nn::AvgPool2d(2), nn::Flatten(),
        nn::Linear(32 * 64, 96), nn::SiLU(), nn::Linear(96, 300), nn::Dropout(0.5));
    const Tensor x = randn({24, 3, 32, 32});
    const Tensor y = (rand({24}) * 300.0).to(DType::i64);
    Tensor loss = cross_entropy(net(x), y);
    loss = loss + mean(matmul(randn({6, 200, 64}), randn({6, 64, 100})));
    std::vector<float> all = {loss.item<float>()};
    for (const Tensor& g : grad(loss, net.parameters())) {
      const auto values = g.to_vector<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  std::vector<std::vector<float>> alone, together(kThreads);
  for (size_t i = 0; i < kThreads; ++i) alone.push_back(everything(i));
  on_threads(kThreads, [&](size_t i) { together[i] = everything(i); });
  for (size_t i = 0; i < kThreads; ++i) EXPECT_TRUE(alone[i] == together[i]) << "thread " << i;
}

TEST(Threads, ShareANetInEvaluation) {
  const Team team(kTeam);
  nn::Sequential net = net_of(7);
  net.eval();
  const Tensor x = randn({8, 3, 14, 14});
  // Together first here as well: what the net's first use makes, it makes for several at once.
  std::vector<std::vector<std::vector<float>>> together(kThreads);
  on_threads(kThreads, [&](size_t i) {
    const NoGrad no_grad;
    for (int round = 0; round < 10; ++round) together[i].push_back(net(x).to_vector<float>());
  });
  const auto alone = net(x).to_vector<float>();
  for (size_t i = 0; i < kThreads; ++i) {
    for (const auto& result : together[i]) EXPECT_TRUE(result == alone) << "thread " << i;
  }
}

TEST(Threads, BackwardThroughSharedParametersGivesEachThreadItsOwnGradients) {
  const Team team(kTeam);
  nn::Sequential net = net_of(7);
  net.eval();
  const auto parameters = net.parameters();
  const auto gradients_of = [&](size_t i) {
    manual_seed(100 + i);
    const Tensor x = randn({8, 3, 14, 14});
    const Tensor y = (rand({8}) * 5.0).to(DType::i64);
    std::vector<float> all;
    for (const Tensor& g : grad(cross_entropy(net(x), y), parameters)) {
      const auto values = g.to_vector<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  std::vector<std::vector<float>> alone, together(kThreads);
  for (size_t i = 0; i < kThreads; ++i) alone.push_back(gradients_of(i));
  on_threads(kThreads, [&](size_t i) { together[i] = gradients_of(i); });
  for (size_t i = 0; i < kThreads; ++i) EXPECT_TRUE(alone[i] == together[i]) << "thread " << i;
}

TEST(Threads, GradModeAndSeedBelongToTheThread) {
  const NoGrad no_grad;
  manual_seed(5);
  const float first = rand({1}).item<float>();
  manual_seed(5);
  bool enabled = false;
  std::thread([&] {
    enabled = grad_enabled();
    manual_seed(9);
  }).join();
  EXPECT_TRUE(enabled);
  EXPECT_FALSE(grad_enabled());
  EXPECT_EQ(rand({1}).item<float>(), first);
}

}  // namespace
