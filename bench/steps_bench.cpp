// SPDX-License-Identifier: Apache-2.0
// Whole training steps compared with PyTorch's, with the sum of their own operations, and with the
// sum of oneDNN's primitives; on two threads and on one; with growing batches; and their memory.
//
//     steps_bench [--benchmark_filter=step/resnet20]            Tern and oneDNN
//     steps_bench --peer [--benchmark_filter=step/resnet20]     and PyTorch
//
// Each library is in a process of its own; they run in turns within each iteration, a turn of about
// 20 ms after a pause for the threads of the one before. The counters are medians, times in
// milliseconds; `faster` is the median over the iterations of PyTorch's time, in its faster memory
// format, divided by Tern's. report.py makes the tables and the chart from the JSON.
#include <benchmark/benchmark.h>
#include <dnnl.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../core/internal/parallel.h"
#include "peer.h"
#include "timing.h"
#include "work.h"

namespace {

using namespace bench;

constexpr int kRounds = 9, kRoundsOfShortSteps = 25;
bool with_peer = false;
bool failed = false;

/// PyTorch's steps of a work, in either memory format; null without PyTorch, and the second one
/// where there are no images.
struct Peers {
  std::unique_ptr<Peer> contiguous, channels_last;

  explicit Peers(const Work& work) {
    if (!with_peer) return;
    contiguous = std::make_unique<Peer>(work, Peer::Format::contiguous);
    if (work.x.dim() != 4) return;
    channels_last = std::make_unique<Peer>(work, Peer::Format::channels_last);
  }
};

struct Agreement {
  bool contiguous = true, channels_last = true;
};
/// All start from the same weights: their first three results have to agree.
Agreement compare(const Work& work, const Peers& peers) {
  Agreement result;
  for (int i = 0; i < 3; ++i) {
    const double ours = work.step();
    const auto agrees = [&](const std::unique_ptr<Peer>& peer, const char* order) {
      if (!peer) return true;
      const double theirs = peer->step();
      if (std::abs(ours - theirs) <= 1e-3 * (1 + std::abs(theirs))) return true;
      std::fprintf(stderr, "%s: step %d gives %.7g in Tern and %.7g in PyTorch, %s\n",
                   work.name.c_str(), i, ours, theirs, order);
      return false;
    };
    result.contiguous &= agrees(peers.contiguous, "contiguous");
    result.channels_last &= agrees(peers.channels_last, "channels_last");
  }
  return result;
}

/// f() after the threads of the process that ran before have gone to sleep.
template <class F>
auto turn(const F& f) {
  if (with_peer) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return f();
}

/// Enough calls of a step for the clock's resolution.
int calls_of(const Step& step) {
  return static_cast<int>(std::clamp(20 / milliseconds(step, 3), 1.0, 2e4));
}

/// The step beside the sum of its operations and the sum of oneDNN's primitives.
void add_parts(benchmark::State& state, const Work& work, int calls) {
  std::vector<double> cached, from_memory, direct, winograd;
  std::vector<double> of_cached, of_memory, of_direct, of_winograd;
  for (int round = 0; round < 3;
       ++round) {  // the machine's speed drifts: each ratio is of one moment
    const auto steps = [&] { return milliseconds(work.step, std::max(calls, 5)); };
    const double before = steps();
    const auto operations = operations_of(work.layers, work.training, work.net->parameters());
    const double between = steps();
    const Floor floor = floor_of(work.layers, work.training);
    const double after = steps();
    cached.push_back(operations.cached);
    from_memory.push_back(operations.from_memory);
    direct.push_back(floor.direct);
    winograd.push_back(floor.winograd);
    of_cached.push_back((before + between) / 2 / operations.cached);
    of_memory.push_back((before + between) / 2 / operations.from_memory);
    of_direct.push_back((between + after) / 2 / floor.direct);
    of_winograd.push_back((between + after) / 2 / floor.winograd);
  }
  state.counters["operations_ms"] = median(cached);
  state.counters["of_operations"] = median(of_cached);
  state.counters["operations_from_memory_ms"] = median(from_memory);
  state.counters["of_operations_from_memory"] = median(of_memory);
  state.counters["floor_ms"] = median(direct);
  state.counters["of_floor"] = median(of_direct);
  state.counters["winograd_floor_ms"] = median(winograd);
  state.counters["of_winograd_floor"] = median(of_winograd);
}

void step(benchmark::State& state, const std::string& name) {
  const Work work = bench::work(name);
  const Peers peers(work);
  const Agreement agreement = compare(work, peers);
  if (!agreement.contiguous) {
    failed = true;
    return state.SkipWithError("Tern and PyTorch disagree");
  }
  // If PyTorch disagrees with itself, the table says so; its time counts all the same.
  if (!agreement.channels_last) state.counters["channels_last_wrong"] = 1;
  const int calls = calls_of(work.step);
  std::vector<double> ours, contiguous, channels_last, faster;
  for (auto _ : state) {
    ours.push_back(turn([&] { return milliseconds(work.step, calls); }));
    state.SetIterationTime(ours.back() * calls / 1e3);
    if (!peers.contiguous) continue;
    contiguous.push_back(turn([&] { return peers.contiguous->milliseconds(); }));
    double best = contiguous.back();
    if (peers.channels_last) {
      channels_last.push_back(turn([&] { return peers.channels_last->milliseconds(); }));
      best = std::min(best, channels_last.back());
    }
    faster.push_back(best / ours.back());
  }
  state.counters["tern_ms"] = median(ours);
  if (!contiguous.empty()) state.counters["pytorch_ms"] = median(contiguous);
  if (!channels_last.empty()) state.counters["pytorch_channels_last_ms"] = median(channels_last);
  if (!faster.empty()) state.counters["faster"] = median(faster);
  if (!work.layers.empty()) add_parts(state, work, calls);
}

/// Additions in registers, divided among Tern's threads: the speed of the processors at this
/// moment, independent of caches and memory.
void add_in_registers() {
  using Vec = float __attribute__((vector_size(16)));
  tern::parallel_for(1 << 26, 1, [](int64_t begin, int64_t end) {
    Vec sums[8] = {};
    for (int64_t n = begin; n < end; ++n) {
      for (Vec& sum : sums) sum += 1.0f;
    }
    for (Vec& sum : sums) benchmark::DoNotOptimize(sum);
  });
}

/// Two threads against one: `faster` is the speed-up of the step, `registers` that of additions in
/// registers.
void threads(benchmark::State& state, const std::string& name) {
  const int before = tern::num_threads();
  const Work work = bench::work(name);
  std::vector<double> one, two, faster, registers;
  const auto with = [](int count, const auto& run) {
    tern::set_num_threads(count);
    run();
    return milliseconds(run);
  };
  for (auto _ : state) {
    one.push_back(with(1, work.step));
    two.push_back(with(2, work.step));
    state.SetIterationTime(two.back() / 1e3);
    faster.push_back(one.back() / two.back());
    registers.push_back(with(1, add_in_registers) / with(2, add_in_registers));
  }
  tern::set_num_threads(before);
  state.counters["one_ms"] = median(one);
  state.counters["two_ms"] = median(two);
  state.counters["faster"] = median(faster);
  state.counters["registers"] = median(registers);
}

/// Time of a step per image, for batches of 16 to 512 images, in turns.
void batch(benchmark::State& state, const std::string& name) {
  constexpr int kLargest = 512;
  std::vector<Work> works;
  for (int64_t size = 16; size <= kLargest; size *= 2) works.push_back(work(name, size));
  for (const Work& work : works) work.step();
  std::vector<std::vector<double>> image_ms(works.size());
  for (auto _ : state) {
    double seconds = 0;
    for (size_t i = 0; i < works.size(); ++i) {
      const auto size = static_cast<int>(works[i].x.size(0));
      const int calls = kLargest / size;
      image_ms[i].push_back(milliseconds(works[i].step, calls) / size);
      seconds += image_ms[i].back() * kLargest / 1e3;
    }
    state.SetIterationTime(seconds);
  }
  for (size_t i = 0; i < works.size(); ++i) {
    state.counters["image_ms_" + std::to_string(works[i].x.size(0))] = median(image_ms[i]);
  }
}

// ---- memory: each figure from a process that does nothing else ----------------------------------

constexpr int kStepsForMemory = 5;

/// Prints the peak memory of this process, in kB.
void print_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) std::printf("%lld\n", std::atoll(line.c_str() + 6));
  }
}

int print_peak_of_steps(const std::string& name) {
  const Step step = work(name).step;
  for (int i = 0; i < kStepsForMemory; ++i) step();
  print_peak();
  return 0;
}

/// 10,000 steps with 50 batch sizes at random: the peak after the first thousand, and after all.
int print_peaks_of_batches() {
  const auto net = work("cnn28").net;
  tern::optim::SGD optimizer(net->parameters(), {.lr = 1e-3, .momentum = 0.9});
  std::mt19937 engine(0);
  for (int step = 1; step <= 10'000; ++step) {
    const auto images = static_cast<int64_t>(2 * (1 + engine() % 50));
    const tern::Tensor x = tern::randn({images, 1, 28, 28});
    const tern::Tensor classes = tern::zeros({images}, tern::DType::i64);
    optimizer.zero_grad();
    tern::cross_entropy((*net)(x), classes).backward();
    optimizer.step();
    if (step == 1000 || step == 10'000) print_peak();
  }
  return 0;
}

/// The peaks that this program prints with these arguments, in MB; empty if it fails.
std::vector<double> megabytes(const std::string& arguments) {
  std::vector<double> result;
  FILE* output = popen(("'" + this_program().string() + "' " + arguments).c_str(), "r");
  if (!output) return result;
  for (long long kilobytes = 0; std::fscanf(output, "%lld", &kilobytes) == 1;) {
    result.push_back(static_cast<double>(kilobytes) / 1024);
  }
  return pclose(output) == 0 ? result : std::vector<double>();
}

void memory(benchmark::State& state, const std::string& name) {
  std::vector<double> tern;
  for (auto _ : state) tern = megabytes("--peak-memory " + name);
  if (tern.empty()) {
    failed = true;
    return state.SkipWithError("a process whose memory was to be measured failed");
  }
  state.counters["tern_mb"] = tern[0];
  if (!with_peer) return;
  const Peers peers(work(name));
  const auto peak = [](Peer& peer) {
    for (int i = 0; i < kStepsForMemory; ++i) peer.step();
    return peer.peak_megabytes();
  };
  const double contiguous = peak(*peers.contiguous), channels_last = peak(*peers.channels_last);
  state.counters["pytorch_mb"] = contiguous;
  state.counters["pytorch_channels_last_mb"] = channels_last;
  state.counters["ratio"] = tern[0] / std::min(contiguous, channels_last);
}

void memory_of_batches(benchmark::State& state) {
  std::vector<double> peaks;
  for (auto _ : state) peaks = megabytes("--memory-of-batches");
  if (peaks.size() != 2) {
    failed = true;
    return state.SkipWithError("a process whose memory was to be measured failed");
  }
  state.counters["early_mb"] = peaks[0];
  state.counters["late_mb"] = peaks[1];
}

// ---- turns: two builds compared by compare.py ---------------------------------------------------

/// Runs a step for each line of standard input, for about 20 ms, and prints its milliseconds.
int run_turns(const std::string& name) {
  const Work work = bench::work(name);
  const int calls = calls_of(work.step);
  while (std::getchar() != EOF) {
    std::printf("%.6g\n", milliseconds(work.step, calls));
    std::fflush(stdout);
  }
  return 0;
}

// ---- the program ------------------------------------------------------------------------------

/// The value of `key` in a file of "key: value" or "key=value" lines.
std::string value_of(const char* file, const std::string& key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key, 0) != 0) continue;
    std::string value = line.substr(line.find_first_of(":=") + 1);
    value.erase(0, value.find_first_not_of(" \t\""));
    return value.substr(0, value.find('"'));
  }
  return {};
}

void add_context() {
  const dnnl_version_t* onednn = dnnl_version();
  const auto text = [](int number) { return std::to_string(number); };
  const char* isa = std::getenv("ONEDNN_MAX_CPU_ISA");
  for (const auto& [key, value] : std::initializer_list<std::pair<std::string, std::string>>{
           {"cpu", value_of("/proc/cpuinfo", "model name") + ", family " +
                       value_of("/proc/cpuinfo", "cpu family")},
           {"system", value_of("/etc/os-release", "PRETTY_NAME")},
           {"compiler", __VERSION__},
           {"tern", tern::kVersion},
           {"tern_threads", text(tern::num_threads())},
           {"onednn", text(onednn->major) + "." + text(onednn->minor) + "." + text(onednn->patch)},
           {"pytorch", with_peer ? Peer(work("add"), Peer::Format::contiguous).description() : ""},
           {"isa", isa ? isa : ""}}) {
    benchmark::AddCustomContext(key, value);
  }
}

void register_all() {
  const auto timed = [](benchmark::internal::Benchmark* benchmark, int rounds = kRounds) {
    return benchmark->Iterations(rounds)->UseManualTime()->Unit(benchmark::kMillisecond);
  };
  for (const auto& [name, rounds] :
       std::initializer_list<std::pair<const char*, int>>{{"cnn28", kRounds},
                                                          {"resnet20", kRounds},
                                                          {"resnet18", kRounds},
                                                          {"resnet18_eval", kRounds},
                                                          {"resnet18_folded", kRounds},
                                                          {"mlp", kRoundsOfShortSteps},
                                                          {"batch_norm_relu", kRoundsOfShortSteps},
                                                          {"add", kRoundsOfShortSteps}}) {
    timed(benchmark::RegisterBenchmark((std::string("step/") + name).c_str(), step, name), rounds);
  }
  timed(benchmark::RegisterBenchmark("threads/resnet18", threads, "resnet18"));
  timed(benchmark::RegisterBenchmark("batch/resnet20", batch, "resnet20"));
  benchmark::RegisterBenchmark("memory/resnet20", memory, "resnet20")->Iterations(1);
  benchmark::RegisterBenchmark("memory/batches", memory_of_batches)->Iterations(1);
}

}  // namespace

int main(int argc, char** argv) {
  tern::manual_seed(0);
  if (argc == 3 && std::string(argv[1]) == "--peak-memory") return print_peak_of_steps(argv[2]);
  if (argc == 3 && std::string(argv[1]) == "--turns") return run_turns(argv[2]);
  if (argc == 2 && std::string(argv[1]) == "--memory-of-batches") return print_peaks_of_batches();
  if (argc > 1 && std::string(argv[1]) == "--peer") {
    if (!Peer::available()) {
      std::fprintf(stderr,
                   "there is no pytorch_steps beside this program: it is built with libtorch\n");
      return 1;
    }
    with_peer = true;
    argv[1] = argv[0];
    ++argv;
    --argc;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  add_context();
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return failed ? 1 : 0;
}
