// SPDX-License-Identifier: Apache-2.0
// Several threads of a program use Tern at once: each its own net, or all of them one net in
// evaluation. Built with ThreadSanitizer too, which does not know libgomp's barriers, so there
// every thread computes alone.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <tern/tern.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <thread>
#include <vector>

#include "../../core/internal/parallel.h"
#include "support.h"

using namespace tern;
using namespace std::chrono_literals;

namespace {

#ifdef __SANITIZE_THREAD__
constexpr int kTeam = 1;
#else
constexpr int kTeam = 2;
#endif

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
  const test::ThreadCount team(kTeam);
  std::vector<std::vector<double>> alone(kThreads), together(kThreads);
  // Together first, so that whatever is made at first use is made by several threads at once.
  on_threads(kThreads, [&](size_t i) { together[i] = trained(i); });
  for (size_t i = 0; i < kThreads; ++i) alone[i] = trained(i);
  for (size_t i = 0; i < kThreads; ++i) EXPECT_TRUE(alone[i] == together[i]) << "net " << i;
  EXPECT_FALSE(alone[0] == alone[1]);
}

// Every kind of operation that divides its work, large enough to do so.
TEST(Threads, DividesWorkTheSameWayWithAndWithoutATeam) {
  const test::ThreadCount team(kTeam);
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

#ifndef __SANITIZE_THREAD__
// Two members on one processor are what a busy machine does to a team: each waits for the other.
TEST(Threads, ATeamThatHasToWaitForItsMembersIsLeftAlone) {
  const test::ThreadCount team(kTeam);
  int alone = 0, together = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    const auto self = std::this_thread::get_id();
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(2)) {
      std::atomic<bool> helped = false;
      parallel_for(2, 1, [&](int64_t first, int64_t last) {
        if (std::this_thread::get_id() != self) helped = true;
        const auto start = std::chrono::steady_clock::now();
        while (std::chrono::steady_clock::now() - start < (last - first) * 1ms) {
        }
      });
      ++(helped ? together : alone);
    }
  }).join();
  EXPECT_GT(together, 0);  // it is tried
  EXPECT_GT(alone, 4 * together);
}
#endif

TEST(Threads, ShareANetInEvaluation) {
  const test::ThreadCount team(kTeam);
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
  const test::ThreadCount team(kTeam);
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

// One graph, which all threads differentiate at once, for other inputs each: what a pass wants is
// its own. Whole numbers, so that the sums have the same bits in any order.
class OneGraph : public ::testing::Test {
 protected:
  static constexpr size_t kPasses = 8;
  static constexpr int kRounds = 40;

  static Tensor numbers(const Shape& shape, double factor) {
    const Tensor x = zeros(shape, DType::f64);
    auto values = x.mutable_data<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<double>(i % 5) * factor - 2;
    }
    return x.set_requires_grad();
  }

  const test::ThreadCount team{kTeam};
  const std::vector<Tensor> inputs = {numbers({6, 4}, 1), numbers({4, 4}, 2), numbers({4}, 1),
                                      numbers({6, 4}, 3)};

  Tensor build() const {
    Tensor h = inputs[0];
    for (int i = 0; i < 2; ++i) h = relu(linear(h, inputs[1], inputs[2]));
    const auto parts = chunk(h * inputs[3], 2, 1);
    const Tensor product = checkpoint(
        [w = inputs[1]](const Tensor& v) { return matmul(v, slice(w, 0, 0, 2)); }, parts[0]);
    return sum(product * inputs[0]) + sum(cat(unbind(parts[1])) * 2.0) + sum(inputs[1] * inputs[1]);
  }
};

TEST_F(OneGraph, GradFromEveryThreadWantsOtherInputs) {
  const Tensor y = build();
  const auto gradient = [&](size_t i) {
    return grad(y, {inputs[i % inputs.size()]},
                {.create_graph = i % 3 == 0, .retain_graph = true})[0]
        .to_vector<double>();
  };
  std::vector<std::vector<double>> alone;
  for (size_t i = 0; i < kPasses; ++i) alone.push_back(gradient(i));
  std::vector<int> wrong(kPasses);
  on_threads(kPasses, [&](size_t i) {
    for (int round = 0; round < kRounds; ++round) wrong[i] += gradient(i) != alone[i];
  });
  EXPECT_EQ(wrong, std::vector<int>(kPasses));
}

TEST_F(OneGraph, BackwardFromEveryThreadAddsToSharedLeaves) {
  const Tensor y = build();
  const auto once = grad(y, inputs, {.retain_graph = true});
  std::atomic<int> calls{0};
  inputs[1].register_post_accumulate_grad_hook([&](const Tensor& w) {
    EXPECT_TRUE(w.grad().defined());
    ++calls;
  });
  on_threads(kPasses, [&](size_t i) {
    for (int round = 0; round < kRounds; ++round) {
      if (i % 2 == 0) {
        y.backward({}, {.retain_graph = true});
      } else {
        build().backward();  // a graph of its own, to the same leaves
      }
    }
  });
  const double passes = kPasses * kRounds;
  EXPECT_EQ(calls, passes);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(inputs[i].grad().to_vector<double>(), (once[i] * passes).to_vector<double>()) << i;
  }
}

// The second pass finds the saved tensors freed and throws; no freed memory is read.
TEST_F(OneGraph, WithoutRetainGraphOnePassOrAnErrorForEachThread) {
  const auto expected = grad(build(), {inputs[0]})[0].to_vector<double>();
  for (int round = 0; round < kRounds; ++round) {
    const Tensor y = build();
    std::vector<int> fine(kPasses);
    on_threads(kPasses, [&](size_t i) {
      try {
        fine[i] = grad(y, {inputs[0]})[0].to_vector<double>() == expected ? 1 : -1;
      } catch (const Error&) {
      }
    });
    for (const int ok : fine) EXPECT_GE(ok, 0) << "a wrong gradient";
  }
}

TEST(Threads, DrawDifferentNumbersUnlessSeededAlike) {
  const auto draw = [](bool seeded) {
    std::vector<std::vector<float>> drawn(3);
    const auto numbers = [&](size_t i) {
      if (seeded) manual_seed(4);
      nn::Linear layer(3, 2);
      drawn[i] = layer.weight().to_vector<float>();
      for (const float x : dropout(ones({64})).to_vector<float>()) drawn[i].push_back(x);
    };
    for (size_t i = 0; i + 1 < drawn.size(); ++i) std::thread(numbers, i).join();
    const Generator::State before = default_generator().state();
    default_generator().set_state({});  // the main thread's while it is unseeded
    numbers(drawn.size() - 1);
    default_generator().set_state(before);
    return drawn;
  };
  const auto unseeded = draw(false), seeded = draw(true);
  EXPECT_NE(unseeded[0], unseeded[1]);
  EXPECT_NE(unseeded[0], unseeded[2]);
  EXPECT_NE(unseeded[1], unseeded[2]);
  EXPECT_EQ(seeded[0], seeded[1]);
  EXPECT_EQ(seeded[0], seeded[2]);
}

/// Runs f in a child process; whether it returned true within 20 seconds.
bool in_child(const std::function<bool()>& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(f() ? 0 : 1);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0;
}

TEST(Threads, AChildProcessComputesOnOneThread) {
  const test::ThreadCount team(kTeam);
  const Tensor x = randn({4, 8, 40, 40}), w = randn({8, 8, 5, 5}), wide = randn({64, 128});
  const auto compute = [&] {
    const Tensor leaf = x.clone().set_requires_grad();
    const Tensor loss = sum(relu(conv2d(leaf, w)));
    loss.backward();
    return std::vector<double>{loss.item<double>(), sum(leaf.grad()).item<double>(),
                               sum(matmul(wide, reshape(wide, {128, 64}))).item<double>()};
  };
  const std::vector<double> expected = compute();
  EXPECT_TRUE(in_child([&] {
    const std::vector<double> found = compute();
    if (kTeam > 1) set_num_threads(4);
    bool good = num_threads() == 1;
    for (size_t i = 0; i < found.size(); ++i) {
      good &= std::abs(found[i] - expected[i]) <= 1e-3 * (1 + std::abs(expected[i]));
    }
    return good && in_child([&] { return compute() == found; });
  }));
  EXPECT_EQ(num_threads(), kTeam);
  EXPECT_EQ(compute(), expected);
}

TEST(Threads, ForkWhileOthersAllocateIsSafe) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!stop) {
        const Tensor small = empty({100}), large = empty({1 << 19});
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(in_child([] {
      const Tensor small = zeros({100}), large = zeros({1 << 19}), other = zeros({1 << 19});
      return small.raw_data() != nullptr && large.raw_data() != other.raw_data();
    })) << i;
  }
  stop = true;
  for (std::thread& thread : busy) thread.join();
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
