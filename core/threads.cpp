// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>

#include "error.h"
#include "parallel.h"

namespace tern {

namespace {

// 0: nobody has asked for a number yet. Read lazily, so that nothing happens before main.
std::atomic<int> requested_threads{0};

int processors() {
  static const int count = std::max(1, omp_get_num_procs());  // those of the affinity mask
  return count;
}

// Note [Several threads at once]
// Threads of the program that compute at the same time share the processors. Each still divides its
// work into num_threads() parts, as the bits depend on that, but has fewer threads do them: teams
// that together are larger than the machine wait at their barriers for members that have no
// processor (four small nets on two processors took three times as long as one after the other).
// A thread counts for a while after it computed, as the gaps between operations are short.
constexpr int64_t kForgotten = 2'000'000;  // ns
constexpr int64_t kAtWork = std::numeric_limits<int64_t>::max();
std::array<std::atomic<int64_t>, 64> seen{};  // when a thread was last at work; 0: nobody's place
std::atomic<int> places_taken{0};

int64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

// A thread's place among those that compute. One that comes when all are taken does without.
class Place {
 public:
  Place() {
    for (std::atomic<int64_t>& place : seen) {
      int64_t nobody = 0;
      if (!place.compare_exchange_strong(nobody, kAtWork)) continue;
      place_ = &place;
      places_taken.fetch_add(1);
      return;
    }
  }
  ~Place() {
    if (!place_) return;
    places_taken.fetch_sub(1);
    place_->store(0);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  void enter() {
    if (place_) place_->store(kAtWork, std::memory_order_relaxed);
  }
  void leave() {
    if (place_) place_->store(others_exist() ? now() : 1, std::memory_order_relaxed);
  }
  // How many other threads compute, or did so a moment ago.
  int others() const {
    if (!others_exist()) return 0;
    const int64_t oldest = now() - kForgotten;
    int count = 0;
    for (const std::atomic<int64_t>& place : seen) {
      count += &place != place_ && place.load(std::memory_order_relaxed) > oldest;
    }
    return count;
  }

 private:
  bool others_exist() const {
    return places_taken.load(std::memory_order_relaxed) > (place_ ? 1 : 0);
  }

  std::atomic<int64_t>* place_ = nullptr;
};

Place& own_place() {
  thread_local Place place;
  return place;
}

}  // namespace

void set_num_threads(int n) {
  if (n < 1) fail("set_num_threads", "n is ", n, ", want at least 1");
  requested_threads.store(n, std::memory_order_relaxed);
}

int num_threads() {
  const int n = requested_threads.load(std::memory_order_relaxed);
  if (n > 0) return n;
  requested_threads.store(processors(), std::memory_order_relaxed);
  return processors();
}

Team::Team() : size_(omp_in_parallel() ? 1 : num_threads()) {
  if (size_ == 1) return;
  Place& place = own_place();
  counted_ = true;
  place.enter();
  if (const int others = place.others()) {
    size_ = std::clamp(processors() / (1 + others), 1, size_);
  }
}

Team::~Team() {
  if (counted_) own_place().leave();
}

void parallel_team(FunctionRef<void(int, int)> body) {
  const int parts = omp_in_parallel() ? 1 : num_threads();
  if (parts == 1) {
    body(0, 1);
    return;
  }
  const Team team;
  if (team.size() == 1) {
    for (int part = 0; part < parts; ++part) body(part, parts);
    return;
  }
  std::exception_ptr error;
  std::mutex mutex;
#pragma omp parallel num_threads(team.size())
  {
    try {
      for (int part = omp_get_thread_num(); part < parts; part += omp_get_num_threads()) {
        body(part, parts);
      }
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
