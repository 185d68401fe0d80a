// SPDX-License-Identifier: Apache-2.0
#include "loader.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/resources.h"
#include "../core/profiler.h"
#include "../core/random.h"
#include "internal/example_random.h"

namespace tern::data {
namespace {

constexpr char kOp[] = "DataLoader";

// Example i draws from stream i, the order from a stream that no example uses.
constexpr uint64_t kOrderStream = std::numeric_limits<uint64_t>::max();
constexpr int64_t kMostEpochs = int64_t{1} << 53;    // never reached by counting
constexpr uint64_t kBatchStream = kOrderStream - 1;  // of batch 0; the others are below

std::vector<int64_t> make_order(int64_t size, bool shuffle, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  if (!shuffle) return order;
  Generator random(seed, kOrderStream);
  for (int64_t i = size - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.integer(i + 1))]);
  }
  return order;
}

/// A tensor like x, of no examples.
Tensor without_examples(const Tensor& x) {
  if (!x.defined()) return x;
  std::vector<int64_t> sizes{0};
  for (int64_t axis = 1; axis < x.dim(); ++axis) sizes.push_back(x.size(axis));
  return empty(Shape(sizes), x.dtype(), x.memory_format());
}

}  // namespace

/// One pass over the data. Batch k goes through slot k mod slots. A worker that has taken number k
/// waits until the loop is within `slots` of it, so that at most `slots` finished batches wait, and
/// the loop receives them in order whichever worker made them.
class DataLoader::Iterator::Epoch {
 public:
  Epoch(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options, int64_t batches,
        std::shared_ptr<Position> position)
      : dataset_(std::move(dataset)),
        batch_size_(options.batch_size),
        shard_(options.shard),
        batches_(batches),
        seed_(position->seed),
        position_(std::move(position)),
        order_(make_order(dataset_->size(), options.shuffle, seed_)),
        taken_(position_->batch),
        consumed_(position_->batch) {
    const int64_t left = batches_ - consumed_;
    const int64_t workers = std::min(options.workers, left);
    // More than there are batches would serve nothing, and might overflow.
    if (workers > 0) {
      const int64_t prefetch = std::min(options.prefetch, (left + workers - 1) / workers);
      slots_.resize(static_cast<size_t>(workers * prefetch));
    }
    try {
      for (int64_t i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Epoch() { stop(); }
  Epoch(const Epoch&) = delete;
  Epoch& operator=(const Epoch&) = delete;

  /// False at the end of the epoch.
  bool next(Batch& batch) {
    if (is_forked()) fail(kOp, "the epoch was begun by the parent process: begin one in the child");
    if (consumed_ == batches_) {
      position_->over = true;
      return false;
    }
    if (workers_.empty()) {
      batch = make(consumed_++);
      position_->batch = consumed_;
      return true;
    }
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[static_cast<size_t>(consumed_) % slots_.size()];
    finished_.wait(lock, [&] { return slot.full; });
    slot.full = false;
    batch = std::exchange(slot.batch, {});
    const std::exception_ptr error = std::exchange(slot.error, nullptr);
    ++consumed_;
    lock.unlock();
    slot_free_.notify_all();
    if (error) std::rethrow_exception(error);
    position_->batch = consumed_;
    return true;
  }

  /// Whether this is a child of the process that began the epoch: it has none of the workers.
  bool is_forked() const { return !workers_.empty() && getpid() != process_; }

 private:
  struct Slot {
    Batch batch = {};
    std::exception_ptr error = nullptr;
    bool full = false;
  };

  Batch make(int64_t k) const {
    NoGrad no_grad;
    const int64_t part = shard_.first + k % shard_.own;
    const int64_t start = k / shard_.own * batch_size_;
    const int64_t whole = std::min(batch_size_, static_cast<int64_t>(order_.size()) - start);
    const int64_t begin = part * whole / shard_.of, end = (part + 1) * whole / shard_.of;
    // For data sets that override batch(); those that do not reseed it for each example.
    const ExampleRandom random(
        seed_, kBatchStream - static_cast<uint64_t>(k / shard_.own * shard_.of + part));
    const auto examples = std::span(order_).subspan(static_cast<size_t>(start));
    if (begin < end) {
      return dataset_->batch(
          examples.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), seed_);
    }
    const Batch one = dataset_->batch(examples.first(1), seed_);
    return {without_examples(one.x), without_examples(one.y)};
  }

  void work() {
    manual_seed(seed_);  // not the next unseeded stream: the program's own threads have those
    std::unique_lock lock(mutex_);
    while (!stopped_ && taken_ < batches_) {
      const int64_t k = taken_++;
      slot_free_.wait(
          lock, [&] { return stopped_ || k < consumed_ + static_cast<int64_t>(slots_.size()); });
      if (stopped_) return;
      lock.unlock();
      Slot made{.full = true};
      try {
        made.batch = make(k);
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      slots_[static_cast<size_t>(k) % slots_.size()] = std::move(made);
      finished_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    slot_free_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  const std::shared_ptr<const Dataset> dataset_;
  const int64_t batch_size_;
  const Shard shard_;
  const int64_t batches_;  // or parts of them
  const uint64_t seed_;
  const pid_t process_ = getpid();
  const std::shared_ptr<Position> position_;  // for the loader
  const std::vector<int64_t> order_;

  std::mutex mutex_;
  std::condition_variable slot_free_;
  std::condition_variable finished_;
  std::vector<Slot> slots_;
  int64_t taken_;
  int64_t consumed_;
  bool stopped_ = false;
  std::vector<std::thread> workers_;
};

DataLoader::Iterator::Iterator(std::shared_ptr<Epoch> epoch) : epoch_(std::move(epoch)) { ++*this; }

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  if (!epoch_) fail(kOp, "the epoch has ended, want a new one: call begin()");
  const ProfilerRange range("data::DataLoader");
  batch_ = {};  // so that the next one can reuse its memory
  try {
    if (!with_resources(kOp, [&] { return epoch_->next(batch_); })) epoch_.reset();
  } catch (...) {
    epoch_.reset();
    throw;
  }
  return *this;
}

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
  if (!dataset_) fail(kOp, "dataset is a null pointer, want a data set");
  if (options.batch_size < 1) {
    fail(kOp, "batch_size is ", options.batch_size, ", want at least 1");
  }
  if (options.workers < 0 || options.prefetch < 1) {
    fail(kOp, "workers and prefetch are ", options.workers, " and ", options.prefetch,
         ", want at least 0 and 1");
  }
  const Shard& shard = options.shard;
  if (shard.of < 1 || shard.own < 1 || shard.first < 0 || shard.first > shard.of - shard.own) {
    fail(kOp, "shard is {.first = ", shard.first, ", .own = ", shard.own, ", .of = ", shard.of,
         "}, want parts from 0 to ", shard.of - 1);
  }
  if (shard.of > 1 && options.shuffle && !options.seed) {
    fail(kOp,
         "shard is a part of batches that are shuffled, and there is no seed, so that every "
         "loader would have an order of its own: give all of them one seed");
  }
  if (dataset_->size() < 1) fail(kOp, "the data set is empty, want at least one example");
  if (size() == 0) {
    fail(kOp, "batch_size is ", options.batch_size, ", want at most ", dataset_->size(),
         ", the number of examples, as drop_last leaves no batch: use a smaller batch_size or keep "
         "the last batch");
  }
}

int64_t DataLoader::size() const {
  const int64_t examples = dataset_->size();
  const int64_t whole = examples / options_.batch_size;
  const bool drops = options_.drop_last || examples % options_.batch_size == 0;
  return (drops ? whole : whole + 1) * options_.shard.own;
}

void DataLoader::set_epoch(int64_t epoch) {
  if (epoch < 0 || epoch > kMostEpochs) {
    fail(kOp, "the epoch is ", epoch, ", want 0 to ", kMostEpochs);
  }
  epoch_ = epoch;
  position_ = nullptr;
  resumed_ = nullptr;
}

StateDict DataLoader::state_dict() const {
  const auto number = [](int64_t value) { return tensor(std::vector<int64_t>{value}, Shape{}); };
  const Position* at = resumed_ ? resumed_.get() : position_.get();
  const bool inside = at && !at->over;
  const int64_t epoch = inside && !resumed_ ? epoch_ - 1 : epoch_;
  const int64_t parts = inside ? at->batch : 0, own = options_.shard.own;
  if (parts % own != 0) {
    fail("DataLoader::state_dict", "the loop is in the middle of a batch, it has received ",
         parts % own, " of its ", own, " parts: ask between batches");
  }
  return {{"epoch", number(epoch)},
          {"seed", number(inside ? std::bit_cast<int64_t>(at->seed) : 0)},
          {"batch", number(parts / own)}};
}

void DataLoader::load_state_dict(const StateDict& dict) {
  const char* op = "DataLoader::load_state_dict";
  for (const auto& [name, value] : dict) {
    if (name != "epoch" && name != "seed" && name != "batch") {
      fail(op, "'", name, "' is unexpected, want epoch, seed and batch");
    }
    if (!value.defined() || value.dtype() != DType::i64 || value.numel() != 1) {
      fail(op, "'", name, "' is ", value, ", want one number of i64");
    }
  }
  const auto number = [&](const char* name) { return dict.at(name).item<int64_t>(); };
  const int64_t epoch = number("epoch"), seed = number("seed"), batch = number("batch");
  const int64_t own = options_.shard.own, batches = size() / own;
  if (epoch < 0 || epoch > kMostEpochs || batch < 0 || batch > batches) {
    fail(op, "epoch and batch are ", epoch, " and ", batch, ", want at least 0, and at most ",
         batches, " batches and ", kMostEpochs, " epochs");
  }
  epoch_ = epoch;
  position_ = nullptr;
  resumed_ = batch == 0 ? nullptr
                        : std::make_shared<Position>(Position{.seed = std::bit_cast<uint64_t>(seed),
                                                              .batch = batch * own});
}

DataLoader::Iterator DataLoader::begin() {
  auto position = std::make_shared<Position>();
  if (resumed_) {
    *position = *resumed_;
  } else if (options_.seed) {
    position->seed = Generator::bits_at({.seed = *options_.seed}, static_cast<uint64_t>(epoch_));
  } else {
    position->seed = default_generator().bits();
  }
  resumed_ = nullptr;
  position_ = position;
  ++epoch_;
  return with_resources(kOp, [&] {
    // A child process cannot end the parent's workers, nor what they wait for.
    const auto end = [](Iterator::Epoch* epoch) {
      if (!epoch->is_forked()) delete epoch;
    };
    return Iterator({new Iterator::Epoch(dataset_, options_, size(), position), end});
  });
}

}  // namespace tern::data
