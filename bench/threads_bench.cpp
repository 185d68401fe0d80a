// SPDX-License-Identifier: Apache-2.0
// Several threads of a program, each training a small net of its own, against the same nets one
// after the other. `ratio` should stay below 1.1 however many threads there are: more teams than
// processors must not spin against each other.
#include <benchmark/benchmark.h>
#include <tern/tern.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

using namespace tern;

namespace {

void train(uint64_t seed, int steps) {
  manual_seed(seed);
  nn::Sequential net(nn::Conv2d(3, 16, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(16),
                     nn::ReLU(), nn::MaxPool2d(2), nn::Conv2d(16, 32, 3, {.padding = 1}),
                     nn::ReLU(), nn::Flatten(), nn::Linear(32 * 64, 10));
  optim::Adam adam(net.parameters());
  const Tensor x = randn({32, 3, 16, 16});
  const Tensor y = (rand({32}) * 10.0).to(DType::i64);
  for (int step = 0; step < steps; ++step) {
    const Tensor loss = cross_entropy(net(x), y);
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
}

double seconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void nets_at_once(benchmark::State& state) {
  const auto nets = static_cast<uint64_t>(state.range(0));
  constexpr int kSteps = 50;
  train(0, kSteps);
  std::vector<double> in_turn, at_once;
  for (auto _ : state) {
    in_turn.push_back(seconds([&] {
      for (uint64_t i = 0; i < nets; ++i) train(i, kSteps);
    }));
    at_once.push_back(seconds([&] {
      std::vector<std::thread> threads;
      for (uint64_t i = 0; i < nets; ++i) threads.emplace_back(train, i, kSteps);
      for (std::thread& thread : threads) thread.join();
    }));
  }
  const auto median = [](std::vector<double>& v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
  };
  const double before = median(in_turn), after = median(at_once);
  state.counters["in_turn_ms"] = before * 1e3;
  state.counters["at_once_ms"] = after * 1e3;
  state.counters["ratio"] = after / before;
}
BENCHMARK(nets_at_once)
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Arg(8)
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

}  // namespace
