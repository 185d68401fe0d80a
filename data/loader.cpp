// SPDX-License-Identifier: Apache-2.0
#include "loader.h"

#include <algorithm>
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
#include "../core/profiler.h"
#include "../core/random.h"

namespace tern::data {
namespace {

constexpr char kOp[] = "DataLoader";

// Example i draws from stream i, the order from one that no example has.
constexpr uint64_t kOrderStream = std::numeric_limits<uint64_t>::max();

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

}  // namespace

/// One pass over the data. Batch k goes through slot k mod slots: a worker that takes number k
/// waits until the loop has come within `slots` of it, so finished batches never outrun the loop by
/// more, and the loop takes them in order whoever made them.
class DataLoader::Iterator::Epoch {
 public:
  Epoch(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options, int64_t batches,
        uint64_t seed)
      : dataset_(std::move(dataset)),
        batch_size_(options.batch_size),
        batches_(batches),
        seed_(seed),
        order_(make_order(dataset_->size(), options.shuffle, seed)) {
    const int64_t workers = std::min(options.workers, batches);
    slots_.resize(static_cast<size_t>(workers * options.prefetch));
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
    if (consumed_ == batches_) return false;
    if (workers_.empty()) {
      batch = make(consumed_++);
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
    room_.notify_all();
    if (error) std::rethrow_exception(error);
    return true;
  }

 private:
  struct Slot {
    Batch batch = {};
    std::exception_ptr error = nullptr;
    bool full = false;
  };

  Batch make(int64_t k) const {
    NoGrad no_grad;
    const int64_t start = k * batch_size_;
    const int64_t count = std::min(batch_size_, static_cast<int64_t>(order_.size()) - start);
    return dataset_->batch(
        std::span(order_).subspan(static_cast<size_t>(start), static_cast<size_t>(count)), seed_);
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!stopped_ && taken_ < batches_) {
      const int64_t k = taken_++;
      room_.wait(lock,
                 [&] { return stopped_ || k < consumed_ + static_cast<int64_t>(slots_.size()); });
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
    room_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  const std::shared_ptr<const Dataset> dataset_;
  const int64_t batch_size_;
  const int64_t batches_;
  const uint64_t seed_;
  const std::vector<int64_t> order_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable finished_;
  std::vector<Slot> slots_;
  int64_t taken_ = 0;
  int64_t consumed_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> workers_;
};

DataLoader::Iterator::Iterator(std::shared_ptr<Epoch> epoch) : epoch_(std::move(epoch)) { ++*this; }

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  const ProfilerRange range("data::DataLoader");
  batch_ = {};  // its memory can serve the next one
  try {
    if (!epoch_->next(batch_)) epoch_.reset();
  } catch (...) {
    epoch_.reset();
    throw;
  }
  return *this;
}

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
  if (!dataset_) fail(kOp, "the data set is a null pointer");
  if (options.batch_size < 1) {
    fail(kOp, "batch_size is ", options.batch_size, ", it must be 1 or more");
  }
  if (options.workers < 0 || options.prefetch < 1) {
    fail(kOp, "workers and prefetch are ", options.workers, " and ", options.prefetch,
         ", they must be at least 0 and 1");
  }
  if (dataset_->size() < 1) fail(kOp, "the data set is empty");
  if (size() == 0) {
    fail(
        kOp, "batch_size is ", options.batch_size, " and the data set has ", dataset_->size(),
        " examples, so drop_last leaves no batch: use a smaller batch_size or keep the last batch");
  }
}

int64_t DataLoader::size() const {
  const int64_t examples = dataset_->size();
  const int64_t whole = examples / options_.batch_size;
  return options_.drop_last || examples % options_.batch_size == 0 ? whole : whole + 1;
}

DataLoader::Iterator DataLoader::begin() {
  const uint64_t seed =
      options_.seed ? Generator::bits_at({.seed = *options_.seed}, static_cast<uint64_t>(epoch_))
                    : default_generator().bits();
  ++epoch_;
  return Iterator(std::make_shared<Iterator::Epoch>(dataset_, options_, size(), seed));
}

}  // namespace tern::data
