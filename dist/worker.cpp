// SPDX-License-Identifier: Apache-2.0
#include "internal/worker.h"

#include <utility>

#include "../core/internal/resources.h"

namespace tern::dist {

Worker::Worker(Communicator world) : world_(std::move(world)) {
  if (world_.size() == 1) return;
  with_resources("DataParallel", [&] { thread_ = std::thread([this] { work(); }); });
}

Worker::~Worker() {
  if (!thread_.joinable()) return;
  bool busy = false;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    busy = !jobs_.empty();
  }
  changed_.notify_all();
  if (busy) world_.end("DataParallel has ended in the middle of a step");
  thread_.join();
}

void Worker::run(std::function<void()> job) {
  if (!thread_.joinable()) {
    job();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (error_) return;  // finish() rethrows it
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void Worker::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return jobs_.empty(); });
  if (error_) std::rethrow_exception(error_);
}

void Worker::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopped_ || !jobs_.empty(); });
    if (jobs_.empty() || stopped_) return;
    const std::function<void()> job = std::move(jobs_.front());
    lock.unlock();
    std::exception_ptr error;
    try {
      job();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    jobs_.pop_front();
    if (error) {
      error_ = error;
      jobs_.clear();
    }
    changed_.notify_all();
  }
}

}  // namespace tern::dist
