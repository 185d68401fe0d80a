// SPDX-License-Identifier: Apache-2.0
// Batch norm + ReLU, forward and backward, three ways in turn within each iteration: Tern's own
// loops, oneDNN's primitives fed with Tern's exact statistics (BatchNormAlgorithm::onednn), and
// oneDNN's own pair, which takes the statistics itself. The counters are the fastest of each, in
// milliseconds, and the time of Tern's loops divided by the others'. The first two include the
// public call, the tape and the allocator.
//
//     batch_norm_bench [--benchmark_filter=nhwc]
//
// On a busy machine, compare with one thread: oneDNN's threads spin while they wait for each other.
#include <benchmark/benchmark.h>
#include <tern/tern.h>

#include <algorithm>
#include <chrono>
#include <dnnl.hpp>
#include <limits>

#include "../core/internal/onednn_compat.h"
#include "../core/internal/parallel.h"

namespace {

using namespace tern;
namespace compat = onednn::compat;
using dnnl::memory;

/// oneDNN's forward_training and backward with fuse_norm_relu.
class OneDnn {
 public:
  OneDnn(const Shape& s, bool nhwc, float* x, float* y, float* dy, float* dx)
      : channels_(s[1]), numbers_(6 * static_cast<size_t>(s[1]), 1.0f) {
    const memory::desc data({s[0], s[1], s[2], s[3]}, memory::data_type::f32,
                            nhwc ? memory::format_tag::nhwc : memory::format_tag::nchw);
    const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift |
                       dnnl::normalization_flags::fuse_norm_relu;
    const auto forward = compat::batch_norm_forward(engine_, {}, dnnl::prop_kind::forward_training,
                                                    data, 1e-5f, flags);
    const auto backward = compat::batch_norm_backward(
        engine_, {}, forward, dnnl::prop_kind::backward, data, 1e-5f, flags);
    forward_ = dnnl::batch_normalization_forward(forward);
    backward_ = dnnl::batch_normalization_backward(backward);
    const memory workspace(forward.workspace_desc(), engine_);
    const auto of_data = [&](float* p) { return memory(data, engine_, p); };
    forward_args_ = {{DNNL_ARG_SRC, of_data(x)},     {DNNL_ARG_DST, of_data(y)},
                     {DNNL_ARG_MEAN, vector(0)},     {DNNL_ARG_VARIANCE, vector(1)},
                     {DNNL_ARG_SCALE, vector(2)},    {DNNL_ARG_SHIFT, vector(3)},
                     {DNNL_ARG_WORKSPACE, workspace}};
    backward_args_ = {{DNNL_ARG_SRC, of_data(x)},       {DNNL_ARG_DIFF_DST, of_data(dy)},
                      {DNNL_ARG_DIFF_SRC, of_data(dx)}, {DNNL_ARG_MEAN, vector(0)},
                      {DNNL_ARG_VARIANCE, vector(1)},   {DNNL_ARG_SCALE, vector(2)},
                      {DNNL_ARG_DIFF_SCALE, vector(4)}, {DNNL_ARG_DIFF_SHIFT, vector(5)},
                      {DNNL_ARG_WORKSPACE, workspace}};
    if (compat::kBatchNormBackwardTakesShift) backward_args_[DNNL_ARG_SHIFT] = vector(3);
  }

  void run() {
    forward_.execute(stream_, forward_args_);
    backward_.execute(stream_, backward_args_);
    stream_.wait();
  }

 private:
  memory vector(int64_t i) {
    const memory::desc line({channels_}, memory::data_type::f32, memory::format_tag::x);
    return memory(line, engine_, numbers_.data() + i * channels_);
  }

  int64_t channels_;
  std::vector<float> numbers_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::batch_normalization_forward forward_;
  dnnl::batch_normalization_backward backward_;
  std::unordered_map<int, memory> forward_args_, backward_args_;
};

template <class F>
double milliseconds(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

void compare(benchmark::State& state, const Shape& shape, bool nhwc, int threads) {
  set_num_threads(threads);
  const OpenMPThreads as_many;  // a primitive runs with the threads that it was created for
  const MemoryFormat order = nhwc ? MemoryFormat::channels_last : MemoryFormat::row_major;
  const Tensor x = to_memory_format(randn(shape), order).detach().set_requires_grad();
  const Tensor dy = to_memory_format(randn(shape), order), y = empty_like(dy), dx = empty_like(dy);
  const Tensor weight = ones({shape[1]}).set_requires_grad();
  const Tensor bias = zeros({shape[1]}).set_requires_grad();
  const Tensor mean = zeros({shape[1]}), var = ones({shape[1]});
  OneDnn onednn(shape, nhwc, x.raw<float>(), y.raw<float>(), dy.raw<float>(), dx.raw<float>());
  const auto step = [&](BatchNormAlgorithm algorithm) {
    batch_norm_relu(x, mean, var, weight, bias, {.training = true, .algorithm = algorithm})
        .backward(dy);
    for (const Tensor& t : {x, weight, bias}) t.set_grad({});
  };
  double own = std::numeric_limits<double>::infinity(), fed = own, theirs = own;
  for (auto _ : state) {
    theirs = std::min(theirs, milliseconds([&] { onednn.run(); }));
    own = std::min(own, milliseconds([&] { step(BatchNormAlgorithm::automatic); }));
    fed = std::min(fed, milliseconds([&] { step(BatchNormAlgorithm::onednn); }));
  }
  state.counters["tern_ms"] = own;
  state.counters["fed_ms"] = fed;
  state.counters["onednn_ms"] = theirs;
  state.counters["tern_by_fed"] = own / fed;
  state.counters["tern_by_onednn"] = own / theirs;
}

const int registered = [] {
  const Shape shapes[] = {{32, 16, 56, 56}, {64, 64, 32, 32}, {64, 128, 16, 16}, {64, 256, 8, 8},
                          {64, 3, 56, 56},  {64, 17, 28, 28}, {64, 24, 28, 28},  {1, 64, 56, 56}};
  std::vector<int> counts = {1};
  if (num_threads() > 1) counts.push_back(num_threads());
  for (int threads : counts) {
    for (bool nhwc : {true, false}) {
      for (const Shape& shape : shapes) {
        const std::string name =
            (nhwc ? "nhwc" : "nchw") + to_string(shape) + "/threads:" + std::to_string(threads);
        benchmark::RegisterBenchmark(name.c_str(), compare, shape, nhwc, threads)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
  return 0;
}();

}  // namespace
