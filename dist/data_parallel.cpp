// SPDX-License-Identifier: Apache-2.0
#include "data_parallel.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/random.h"
#include "internal/buffer_sums.h"
#include "internal/gradient_sums.h"
#include "internal/loops.h"
#include "internal/parameter_hashes.h"
#include "internal/worker.h"
#include "sync_batch_norm.h"

namespace tern::dist {

namespace {

constexpr char kOp[] = "DataParallel";
constexpr char kBackward[] = "DataParallel::backward";

using Named = GradientSums::Named;

/// The parameters that are trained, or those that are not.
Named parameters_of(const nn::Module& net, bool trained) {
  Named result;
  for (auto& [name, x] : net.named_parameters()) {
    if (x.requires_grad() == trained) result.emplace_back(name, x);
  }
  return result;
}

/// All that has to be the same on every rank, a line for each thing.
std::string layout(const nn::Module& net, const DataParallelOptions& options) {
  std::string text = "shards = " + std::to_string(options.shards) +
                     "\nbucket_bytes = " + std::to_string(options.bucket_bytes) +
                     "\ncheck_every = " + std::to_string(options.check_every) + "\n";
  for (const auto& [name, x] : net.named_parameters()) {
    text += "parameter " + name + " " + error_text(x) + (x.requires_grad() ? "\n" : ", frozen\n");
  }
  for (const auto& [name, x] : net.named_buffers()) {
    text += "buffer " + name + " " + error_text(x) + "\n";
  }
  return text;
}

}  // namespace

struct DataParallel::Impl {
  nn::Module net;
  DataParallelOptions options;
  Worker worker;
  GradientSums gradients;
  Named frozen;
  BufferSums buffers;
  bool seeded;  // whether it sets the default generator
  uint64_t seed;
  int shards_here;
  std::vector<Tensor> before;  // grad() as it was before the step
  std::vector<HookHandle> hooks;
  int64_t steps = 0;
  int64_t shard = 0;     // of this rank, in this step
  int64_t examples = 0;  // of this rank, in this step so far
  int accumulating = 0;  // how many NoSync there are
  bool in_step = false;
  bool has_begun = false;  // the net has run since the last backward

  Impl(const nn::Module& of, const Communicator& world, const DataParallelOptions& given)
      : net(of),
        options(given),
        worker(world.duplicate()),
        gradients(parameters_of(of, true), worker, given.bucket_bytes),
        frozen(parameters_of(of, false)),
        buffers(of.named_buffers()),
        seeded(given.seed || given.shards > 1),
        seed(given.seed ? *given.seed
             : seeded   ? default_generator().bits()
                        : 0),
        shards_here(options.shards / world.size()) {}

  const Communicator& world() const { return worker.world(); }
  bool is_alone() const { return options.shards == 1; }

  void share();
  void watch();
  void begin_shard();
  void begin_step();
  void backward(const Tensor& loss, int64_t count);
  void finish();
  void write_gradients(const std::vector<bool>& used, double total);
  void reset();
  void give_up(const std::string& why);
};

/// Everything as rank 0 has it.
void DataParallel::Impl::share() {
  world().require_same("the net of DataParallel", layout(net, options));
  for (const auto& [name, x] : net.named_parameters()) world().broadcast(x, 0, name);
  for (const auto& [name, x] : net.named_buffers()) world().broadcast(x, 0, name);
  seed = std::stoull(world().broadcast(std::to_string(seed), 0, "the seed"));
}

void DataParallel::Impl::watch() {
  const Named& parameters = gradients.parameters();
  for (size_t i = 0; world().size() > 1 && i < parameters.size(); ++i) {
    hooks.push_back(
        parameters[i].second.register_post_accumulate_grad_hook([this, i](const Tensor&) {
          if (gradients.exchanging()) gradients.add(i);
        }));
  }
  if (!seeded && shards_here == 1) return;
  hooks.push_back(net.register_forward_pre_hook([this](nn::Module&, std::vector<Tensor>&) {
    if (net.is_training() && !has_begun) begin_shard();
  }));
}

void DataParallel::Impl::begin_shard() {
  has_begun = true;
  if (seeded) {
    const int64_t number = steps * options.shards + world().rank() * shards_here + shard;
    default_generator().set_state({.seed = seed, .stream = static_cast<uint64_t>(number)});
  }
  if (shards_here > 1) buffers.begin_shard(shard == 0);
}

void DataParallel::Impl::begin_step() {
  in_step = true;
  before.clear();
  for (const auto& [name, x] : gradients.parameters()) {
    before.push_back(x.grad());
    x.set_grad({});
  }
}

void DataParallel::Impl::backward(const Tensor& loss, int64_t count) {
  if (count > 0) {
    // n times the gradient of the mean: what is added up counts every example once.
    loss.backward(full(loss.shape(), static_cast<double>(count), loss.dtype()));
  } else if (loss.defined() && loss.requires_grad()) {
    // The mean over nothing is NaN. Synchronised layers take part in the pass, parameters do not.
    std::vector<Tensor> inputs;
    for (const auto& [name, x] : gradients.parameters()) inputs.push_back(x);
    if (!inputs.empty()) grad(loss, inputs, {.allow_unused = true});
  }
}

void DataParallel::Impl::finish() {
  gradients.add_others();
  worker.finish();
  const Named& parameters = gradients.parameters();
  // Examples, who has gradients, which buffers have changed, and counters of all ranks.
  std::vector<int64_t> mine{examples};
  for (size_t i = 0; i < parameters.size(); ++i) mine.push_back(gradients.has(i));
  buffers.describe(mine);
  const auto all = world().all_gather(std::as_bytes(std::span(mine)), "the numbers of examples");
  int64_t total = 0;
  std::vector<bool> used(parameters.size());
  std::vector<std::vector<int64_t>> of_rank;
  for (const auto& bytes : all) {
    std::vector<int64_t>& theirs = of_rank.emplace_back(bytes.size() / sizeof(int64_t));
    std::memcpy(theirs.data(), bytes.data(), bytes.size());
    total += theirs[0];
    for (size_t i = 0; i < used.size(); ++i) used[i] = used[i] || theirs[i + 1] != 0;
    theirs.erase(theirs.begin(), theirs.begin() + static_cast<std::ptrdiff_t>(used.size() + 1));
  }
  if (total == 0) {
    fail(kBackward, "no rank has an example in step ", steps,
         ", want at least one: leave the step out on all ranks");
  }
  write_gradients(used, static_cast<double>(total));
  buffers.average(world(), of_rank, examples, total);
  ++steps;
  if (options.check_every > 0 && steps % options.check_every == 0) {
    check_parameters_agree(world(), net.named_parameters(), steps);
  }
  gradients.end();
}

void DataParallel::Impl::write_gradients(const std::vector<bool>& used, double total) {
  for (size_t i = 0; i < used.size(); ++i) {
    const Tensor& x = gradients.parameters()[i].second;
    if (!used[i]) {
      x.set_grad(std::exchange(before[i], Tensor()));
      continue;
    }
    const Tensor sum = gradients.sum(i);
    Tensor mean = std::exchange(before[i], Tensor());
    const bool adds = mean.defined();
    if (!adds) mean = empty_like(x);
    visit_floating(x.dtype(), [&]<class T>(T) {
      parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
        T* const from = sum.raw<T>() + begin;
        T* const to = mean.raw<T>() + begin;
        const auto count = static_cast<size_t>(end - begin);
        divide(from, static_cast<T>(total), count);
        if (adds) {
          add(to, from, count);
        } else {
          std::copy_n(from, count, to);
        }
      });
    });
    x.set_grad(std::move(mean));
  }
}

void DataParallel::Impl::reset() {
  gradients.reset();
  buffers.reset();
  before.clear();
  shard = examples = 0;
  in_step = has_begun = false;
}

/// After an exception: nothing of this step remains, and with several ranks the others end as well.
void DataParallel::Impl::give_up(const std::string& why) {
  world().end("rank " + std::to_string(world().rank()) + " has failed: " + why);
  try {
    worker.finish();
  } catch (const std::exception&) {  // says no more than `why`
  }
  reset();
}

DataParallel::DataParallel(const nn::Module& net, Communicator world,
                           const DataParallelOptions& options) {
  DataParallelOptions checked = options;
  if (options.bucket_bytes < 1 || options.check_every < 0) {
    fail(kOp, "bucket_bytes and check_every are ", options.bucket_bytes, " and ",
         options.check_every, ", want at least 1 and 0");
  }
  const int ranks = world.size();
  if (checked.shards == 0) checked.shards = ranks;
  if (checked.shards < 0 || checked.shards % ranks != 0) {
    fail(kOp, "shards is ", options.shards, ", want a multiple of the ", ranks, " ranks");
  }
  const bool power = std::has_single_bit(static_cast<unsigned>(checked.shards));
  if (checked.shards > ranks && !power) {
    fail(kOp, "shards is ", checked.shards, ", want a power of two where it is more than the ",
         ranks, " ranks");
  }
  if (checked.shards > ranks && has_sync_batch_norm(net)) {
    fail(kOp, "shards is ", checked.shards, " on ", ranks,
         " ranks, and the net has SyncBatchNorm, ",
         "whose batch would be what runs at one time: use as many shards as ranks");
  }
  impl_ = std::make_unique<Impl>(net, world, checked);
  if (ranks > 1) impl_->share();
  impl_->watch();
}

DataParallel::~DataParallel() {
  for (HookHandle& hook : impl_->hooks) hook.remove();
}

bool DataParallel::backward(const Tensor& loss, int64_t examples) {
  Impl& impl = *impl_;
  if (examples < 0) fail(kBackward, "examples is ", examples, ", want at least 0");
  if (examples > 0 && (!loss.defined() || loss.numel() != 1 || !loss.requires_grad())) {
    fail(kBackward, "loss is ", loss, ", want one number that requires a gradient");
  }
  if (examples == 0 && !loss.defined() && impl.world().size() > 1 &&
      has_sync_batch_norm(impl.net)) {
    fail(kBackward,
         "loss is undefined, and the net has SyncBatchNorm, whose other ranks would wait ",
         "for this one: give the loss of an empty batch, sum(net(x))");
  }
  for (const auto& [name, x] : impl.frozen) {
    if (!x.requires_grad()) continue;
    fail(kBackward, "parameter ", name, " requires a gradient, and did not when DataParallel was ",
         "made: make it after unfreezing parameters");
  }
  if (impl.accumulating > 0 && impl.shards_here > 1) {
    fail(kBackward, "there are ", impl.shards_here,
         " shards per rank and a no_sync(), want one of ", "the two");
  }
  if (impl.shards_here > 1 && !impl.has_begun) {
    fail(kBackward, "the net has not run in training mode since the last shard: run it by ",
         "operator(), with an empty batch as well");
  }
  try {
    if (impl.is_alone() && impl.accumulating == 0 && !impl.in_step && examples > 0) {
      loss.backward();
      impl.has_begun = false;
      ++impl.steps;
      return true;
    }
    if (!impl.in_step) impl.begin_step();
    impl.examples += examples;
    const bool is_last = impl.accumulating == 0 && impl.shard + 1 == impl.shards_here;
    if (is_last) impl.gradients.begin();
    impl.backward(loss, examples);
    if (impl.shards_here > 1) impl.buffers.end_shard(examples);
    impl.has_begun = false;
    if (!is_last) {
      if (impl.accumulating == 0) {
        impl.gradients.keep();
        ++impl.shard;
      }
      return false;
    }
    impl.finish();
    impl.reset();
    return true;
  } catch (const std::exception& error) {
    impl.give_up(error.what());
    throw;
  }
}

DataParallel::NoSync::NoSync(DataParallel& parallel) : parallel_(parallel) {
  ++parallel.impl_->accumulating;
}

DataParallel::NoSync::~NoSync() { --parallel_.impl_->accumulating; }

DataParallel::NoSync DataParallel::no_sync() { return NoSync(*this); }

data::Shard DataParallel::shard() const {
  const Impl& impl = *impl_;
  return {.first = impl.world().rank() * impl.shards_here,
          .own = impl.shards_here,
          .of = impl.options.shards};
}

int64_t DataParallel::steps() const { return impl_->steps; }

StateDict DataParallel::state_dict() const {
  const auto number = [](int64_t value) { return tensor(std::vector<int64_t>{value}, Shape{}); };
  return {{"steps", number(impl_->steps)}, {"seed", number(std::bit_cast<int64_t>(impl_->seed))}};
}

void DataParallel::load_state_dict(const StateDict& dict) {
  const auto number = [&](const char* name) {
    const Tensor& value = dict.at(name);
    if (!value.defined() || value.dtype() != DType::i64 || value.numel() != 1) {
      fail("DataParallel::load_state_dict", "'", name, "' is ", value, ", want one number of i64");
    }
    return value.item<int64_t>();
  };
  const int64_t steps = number("steps"), seed = number("seed");
  impl_->steps = steps;
  impl_->seed = std::bit_cast<uint64_t>(seed);
}

}  // namespace tern::dist
