// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <omp.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <utility>

#include "error.h"
#include "internal/parallel.h"

namespace tern {

namespace {

// 0: not known yet. Determined lazily, so that nothing runs before main.
std::atomic<int> requested_threads{0};

int processors() {
  static const int count = std::max(1, omp_get_num_procs());  // those of the affinity mask
  return count;
}

// Note [After fork]
// OpenMP's threads do not exist in a child process, but the OpenMP of the thread that called fork
// would wait for them for ever. So the child of a process that has computed on several threads
// computes on one.
std::atomic<bool> single_threaded{false};

void expect_fork() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    single_threaded.store(true);
    requested_threads.store(1);
  });
  static_cast<void>(registered);
}

// Note [Several threads at once]
// Threads of the program that compute concurrently share the processors. Each still divides its
// work into num_threads() parts, as the bits depend on that, but uses fewer threads for them: teams
// that oversubscribe the machine wait at their barriers for members without a processor (four small
// nets on two processors took three times as long as one after the other). A thread counts for a
// while after it has computed, as the gaps between operations are short.
constexpr int64_t kForgotten = 2'000'000;  // ns
constexpr int64_t kAtWork = std::numeric_limits<int64_t>::max();
std::array<std::atomic<int64_t>, 64> seen{};  // when each thread last computed; 0: slot is free
std::atomic<int> places_taken{0};

int64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

// A thread's slot among those that compute. When all slots are taken, a thread is not counted.
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
  // How many other threads compute, or have just done so.
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

// Note [Busy processors]
// A team is done when its last member is. Where other processes are running, the system may let a
// member wait for a whole time slice, or two members share a processor and one waits for the other
// to end its spinning: beside two busy processes, two threads took 5 to 25 times as long as one. So
// each thread of the program adds up for how long its teams waited because of that. Where it is too
// much it works without them for a while, with the same bits (Note [Several threads at once]), then
// tries again. A member that is late because it has more to do does not count: it has begun in time
// and was not interrupted.
class Patience {
 public:
  /// Whether the thread is to work without a team.
  bool alone() const { return alone_until_ > 0 && now() < alone_until_; }

  /// A team took `elapsed` ns, the last of which it waited for interrupted members.
  void add(int64_t elapsed, int64_t waited) {
    elapsed_ += elapsed;
    waited_ += waited;
    if (elapsed_ < kWindow) return;
    if (waited_ * 4 > elapsed_) {
      pause_ = std::clamp(2 * pause_, kShortestPause, kLongestPause);
      alone_until_ = now() + pause_;
    } else {
      pause_ = 0;
    }
    elapsed_ = waited_ = 0;
  }

 private:
  static constexpr int64_t kWindow = 5'000'000, kShortestPause = 100'000'000,
                           kLongestPause = 800'000'000;  // ns
  int64_t elapsed_ = 0, waited_ = 0, pause_ = 0, alone_until_ = 0;
};

Patience& own_patience() {
  thread_local Patience patience;
  return patience;
}

// Whether another process has taken the processor from this thread since the last call.
bool interrupted() {
  thread_local long before = 0;
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return std::exchange(before, usage.ru_nivcsw) != usage.ru_nivcsw;
}

// When the members of a team began and ended, as far as Note [Busy processors] needs it.
class Timing {
 public:
  /// On each of the team's threads.
  template <class Work>
  void run(const Work& work) {
    const int64_t begin = omp_get_thread_num() == 0 ? begin_ : now();
    work();
    const int64_t end = now();
    int64_t first_end = 0;
    if (first_end_.compare_exchange_strong(first_end, end)) return;
    const int64_t late = end - first_end;
    if (late < kLate || (begin - begin_ < kLate && !interrupted())) return;
    int64_t waited = waited_.load();
    while (waited < late && !waited_.compare_exchange_weak(waited, late)) {
    }
  }
  int64_t elapsed() const { return now() - begin_; }
  int64_t waited() const { return waited_.load(); }

 private:
  static constexpr int64_t kLate = 200'000;  // ns; a sleeping thread needs 50'000 to wake up
  const int64_t begin_ = now();
  std::atomic<int64_t> first_end_{0}, waited_{0};
};

}  // namespace

void set_num_threads(int n) {
  if (n < 1) fail("set_num_threads", "n is ", n, ", want at least 1");
  requested_threads.store(single_threaded.load() ? 1 : n, std::memory_order_relaxed);
}

int num_threads() {
  const int n = requested_threads.load(std::memory_order_relaxed);
  if (n > 0) return n;
  requested_threads.store(processors(), std::memory_order_relaxed);
  return processors();
}

Team::Team() : size_(omp_in_parallel() ? 1 : num_threads()) {
  if (size_ == 1) return;
  expect_fork();
  Place& place = own_place();
  counted_ = true;
  place.enter();
  if (const int others = place.others()) {
    size_ = std::clamp(processors() / (1 + others), 1, size_);
  }
  if (size_ > 1 && own_patience().alone()) size_ = 1;
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
  Timing timing;
#pragma omp parallel num_threads(team.size())
  timing.run([&] {
    try {
      for (int part = omp_get_thread_num(); part < parts; part += omp_get_num_threads()) {
        body(part, parts);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
    }
  });
  own_patience().add(timing.elapsed(), timing.waited());
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
  if (during_ > 1) expect_fork();
  if (during_ != before_) omp_set_num_threads(during_);
}

OpenMPThreads::~OpenMPThreads() {
  if (during_ != before_) omp_set_num_threads(before_);
}

}  // namespace tern
