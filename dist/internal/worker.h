// SPDX-License-Identifier: Apache-2.0
// A thread that exchanges while another one computes.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "../communicator.h"

namespace tern::dist {

/// Runs jobs in their order on a thread of its own, with a communicator that only it uses while it
/// has any. With one rank there is no thread: jobs run at once.
class Worker {
 public:
  explicit Worker(Communicator world);
  /// Ends the communicator if there is still something to do.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// To be used by jobs, and by others after finish().
  const Communicator& world() const { return world_; }
  void run(std::function<void()> job);
  /// Waits until all jobs have run; rethrows the first exception of one, after which no more run.
  void finish();

 private:
  void work();

  Communicator world_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // the first one runs
  std::exception_ptr error_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace tern::dist
