// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#include "error.h"
#include "parallel.h"

namespace tern {

namespace {

// 0: nobody has asked for a number yet. Read lazily, so that nothing happens before main.
std::atomic<int> requested_threads{0};

}  // namespace

void set_num_threads(int n) {
  if (n < 1) fail("set_num_threads", "n is ", n, ", want at least 1");
  requested_threads.store(n, std::memory_order_relaxed);
}

int num_threads() {
  const int n = requested_threads.load(std::memory_order_relaxed);
  if (n > 0) return n;
  const int processors = std::max(1, omp_get_num_procs());  // those of the affinity mask
  requested_threads.store(processors, std::memory_order_relaxed);
  return processors;
}

void parallel_team(FunctionRef<void(int, int)> body) {
  const int wanted = omp_in_parallel() ? 1 : num_threads();
  if (wanted == 1) {
    body(0, 1);
    return;
  }
  std::exception_ptr error;
  std::mutex mutex;
#pragma omp parallel num_threads(wanted)
  {
    try {
      body(omp_get_thread_num(), omp_get_num_threads());
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (count <= 0) return;
  if (count <= grain || num_threads() == 1) {
    body(0, count);
    return;
  }
  parallel_team([&](int thread, int threads) {
    const int64_t pieces =
        std::min<int64_t>(threads, (count + grain - 1) / std::max<int64_t>(1, grain));
    if (thread >= pieces) return;
    body(count * thread / pieces, count * (thread + 1) / pieces);
  });
}

OpenMPThreads::OpenMPThreads() : OpenMPThreads(num_threads()) {}

OpenMPThreads::OpenMPThreads(int threads) : before_(omp_get_max_threads()), during_(threads) {
  if (during_ != before_) omp_set_num_threads(during_);
}

OpenMPThreads::~OpenMPThreads() {
  if (during_ != before_) omp_set_num_threads(before_);
}

}  // namespace tern
