// SPDX-License-Identifier: Apache-2.0
// Nets trained where others want the processors as well: other threads of the program, and other
// processes.
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tern/tern.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "timing.h"

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

/// Several threads of a program, each training a small net of its own, against the same nets one
/// after the other. The target for `ratio` is at most 1.1 for any number of threads: more teams
/// than processors must not spin against each other.
void nets_at_once(benchmark::State& state) {
  const auto nets = static_cast<uint64_t>(state.range(0));
  constexpr int kSteps = 50;
  train(0, kSteps);
  std::vector<double> in_turn, at_once;
  for (auto _ : state) {
    in_turn.push_back(bench::milliseconds([&] {
      for (uint64_t i = 0; i < nets; ++i) train(i, kSteps);
    }));
    at_once.push_back(bench::milliseconds([&] {
      std::vector<std::thread> threads;
      for (uint64_t i = 0; i < nets; ++i) threads.emplace_back(train, i, kSteps);
      for (std::thread& thread : threads) thread.join();
    }));
  }
  const double before = bench::median(in_turn), after = bench::median(at_once);
  state.counters["in_turn_ms"] = before;
  state.counters["at_once_ms"] = after;
  state.counters["ratio"] = after / before;
}
BENCHMARK(nets_at_once)
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Arg(8)
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

/// A process that does nothing but keep a processor busy.
class BusyProcess {
 public:
  BusyProcess() : id_(fork()) {
    if (id_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int64_t n = 0;; ++n) benchmark::DoNotOptimize(n);
  }
  ~BusyProcess() {
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }
  BusyProcess(const BusyProcess&) = delete;
  BusyProcess& operator=(const BusyProcess&) = delete;

 private:
  pid_t id_;
};

/// A net trained beside busy processes, on one thread and on two in turns. `two_over_one` is to be
/// at most 1.2.
void beside_busy_processes(benchmark::State& state) {
  std::vector<std::unique_ptr<BusyProcess>> others;
  for (int64_t i = 0; i < state.range(0); ++i) others.push_back(std::make_unique<BusyProcess>());
  const int before = num_threads();
  std::vector<double> one, two, ratios;
  const auto with = [](int threads) {
    set_num_threads(threads);
    return bench::milliseconds([] { train(0, 100); });
  };
  for (auto _ : state) {
    one.push_back(with(1));
    two.push_back(with(2));
    ratios.push_back(two.back() / one.back());
  }
  set_num_threads(before);
  state.counters["one_ms"] = bench::median(one);
  state.counters["two_ms"] = bench::median(two);
  state.counters["two_over_one"] = bench::median(ratios);
}
BENCHMARK(beside_busy_processes)
    ->Arg(0)
    ->Arg(2)
    ->Arg(6)
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

}  // namespace
