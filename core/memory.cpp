// SPDX-License-Identifier: Apache-2.0
#include "internal/memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include "error.h"
#include "internal/counters.h"
#include "internal/poison.h"

namespace tern::memory {

namespace {

void add(std::atomic<int64_t>& count, size_t bytes) {
  count.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed);
}
void subtract(std::atomic<int64_t>& count, size_t bytes) {
  count.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
}
void count_system_allocation() {
  counts::system_allocations.fetch_add(1, std::memory_order_relaxed);
}

// Fresh pages cost more than many operations, so memory returns to the system only by trim(), which
// also runs when the system refuses a request.

// Note [Size classes]
// Blocks below 1 MB come in sizes 64 * {4,5,6,7} * 2^k bytes (at most a quarter more than asked
// for), so that a loop with many batch sizes reuses a few classes. Each class has a list of free
// blocks.
class SmallBlocks {
 public:
  static size_t rounded(size_t bytes) { return size_class(bytes).bytes; }

  // nullptr when the system has no more.
  void* take(size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      auto& blocks = free_[size_class(bytes).index];
      if (!blocks.empty()) {
        void* block = blocks.back();
        blocks.pop_back();
        subtract(counts::bytes_cached, bytes);
        return block;
      }
    }
    count_system_allocation();
    void* block = std::aligned_alloc(64, bytes);
    if (block) forbid(block, bytes);
    return block;
  }

  void give(void* block, size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      free_[size_class(bytes).index].push_back(block);
      add(counts::bytes_cached, bytes);
    } catch (...) {  // no memory for one more pointer
      std::free(block);
    }
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& blocks : free_) {
      subtract(counts::bytes_cached,
               blocks.size() * class_bytes(static_cast<int>(&blocks - free_)));
      for (void* block : blocks) std::free(block);
      blocks.clear();
    }
  }

 private:
  static constexpr size_t kSmallest = 256;
  static constexpr int kClasses = 4 * 13;

  struct SizeClass {
    int index;
    size_t bytes;
  };
  static SizeClass size_class(size_t bytes) {
    if (bytes <= kSmallest) return {0, kSmallest};
    const int shift = static_cast<int>(std::bit_width(bytes - 1)) - 3;  // keeps three leading bits
    const size_t steps = ((bytes - 1) >> shift) + 1;                    // 5 to 8
    return {4 * (shift - 6) + static_cast<int>(steps) - 4, steps << shift};
  }
  static size_t class_bytes(int index) {
    return static_cast<size_t>(4 + index % 4) << (6 + index / 4);
  }

  std::mutex mutex_;
  std::vector<void*> free_[kClasses];
};

// Note [Large blocks]
// Blocks of 1 MB and more are cut from segments of address space, whose pages become memory when
// they are first written. Of the free blocks of exactly the requested size, the one freed last is
// reused first, because each half of it is still in the caches of the thread that will process that
// half again (Note [Data stay with their thread]). If there is none, and all blocks together exceed
// the caches, free neighbours are merged, so that memory freed by the late, small layers of a net
// serves the early, large ones: with a list per size only, resnet20 took a sixth more memory.
// (Merging always made a small net a tenth slower.)
class LargeBlocks {
 public:
  static size_t rounded(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

  // nullptr when the system has no more.
  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto same = std::find_if(free_.rbegin(), free_.rend(),
                                   [=](const Range& range) { return range.bytes == bytes; });
    if (same != free_.rend()) {
      char* block = same->begin;
      free_.erase(std::next(same).base());
      subtract(counts::bytes_cached, bytes);
      return block;
    }
    if (used_ + bytes <= kCaches) return take_fresh(bytes, 0);
    merge_neighbours();
    auto best = free_.end();
    for (auto range = free_.begin(); range != free_.end(); ++range) {
      if (range->bytes < bytes) continue;
      if (best == free_.end() || range->bytes < best->bytes) best = range;
    }
    if (best == free_.end()) return extend_last(bytes);
    char* block = best->begin;
    subtract(counts::bytes_cached, bytes);
    best->begin += bytes;
    best->bytes -= bytes;
    if (best->bytes == 0) free_.erase(best);
    return block;
  }

  void give(void* block, size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      free_.push_back({static_cast<char*>(block), bytes});
      add(counts::bytes_cached, bytes);
    } catch (...) {  // no memory for one more range
      unmap({static_cast<char*>(block), bytes});
      used_ -= bytes;
    }
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    drop_fresh();
    for (const Range& range : free_) {
      unmap(range);
      used_ -= range.bytes;
      subtract(counts::bytes_cached, range.bytes);
    }
    free_.clear();
  }

 private:
  static constexpr size_t kPage = 4096;
  static constexpr size_t kHugePage = size_t{2} << 20;
  static constexpr size_t kSegment = size_t{256} << 20;
  static constexpr size_t kCaches = size_t{64} << 20;

  struct Range {
    char* begin;
    size_t bytes;
  };

  static void unmap(const Range& range) {
    permit(range.begin, range.bytes);  // whoever gets these addresses next
    munmap(range.begin, range.bytes);
  }

  void merge_neighbours() {
    std::sort(free_.begin(), free_.end(),
              [](const Range& a, const Range& b) { return a.begin < b.begin; });
    size_t merged = 0;
    for (size_t i = 1; i < free_.size(); ++i) {
      if (free_[merged].begin + free_[merged].bytes == free_[i].begin) {
        free_[merged].bytes += free_[i].bytes;
      } else {
        free_[++merged] = free_[i];
      }
    }
    if (!free_.empty()) free_.resize(merged + 1);
  }

  // Extends the free range that ends where unused memory begins by as much as is missing.
  void* extend_last(size_t bytes) {
    const auto last = std::find_if(free_.begin(), free_.end(), [&](const Range& range) {
      return range.begin + range.bytes == fresh_.begin;
    });
    if (last == free_.end() || last->bytes + fresh_.bytes < bytes) return take_fresh(bytes, 0);
    const size_t below = last->bytes;
    free_.erase(last);
    subtract(counts::bytes_cached, below);
    return take_fresh(bytes - below, below);
  }

  // Memory that was never used, together with the `below` bytes before it.
  void* take_fresh(size_t bytes, size_t below) {
    count_system_allocation();
    if (fresh_.bytes < bytes && !map_segment(bytes)) return nullptr;
    char* block = fresh_.begin - below;
    fresh_ = {fresh_.begin + bytes, fresh_.bytes - bytes};
    used_ += bytes;
    return block;
  }

  // Never used, so it is address space only.
  void drop_fresh() {
    if (fresh_.bytes > 0) unmap(fresh_);
    fresh_ = {};
  }

  // Maps a new segment, in place of what is left of the one before. Without MAP_NORESERVE, the
  // system refuses what it would refuse malloc.
  bool map_segment(size_t bytes) {
    for (const size_t size : {std::max(kSegment, bytes), bytes}) {
      void* segment = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (segment == MAP_FAILED) continue;
      drop_fresh();
      const size_t before =
          (kHugePage - reinterpret_cast<uintptr_t>(segment) % kHugePage) % kHugePage;
      fresh_ = {static_cast<char*>(segment) + before, size};
      if (before > 0) munmap(segment, before);
      munmap(fresh_.begin + size, kHugePage - before);
      madvise(fresh_.begin, size, MADV_HUGEPAGE);  // a hint; refusal does no harm
      forbid(fresh_.begin, size);
      return true;
    }
    return false;
  }

  std::mutex mutex_;
  std::vector<Range> free_;  // used before; the last freed is the last
  Range fresh_ = {};         // the rest of the newest segment: never used
  size_t used_ = 0;          // bytes that are blocks or free ranges
};

class Cache {
 public:
  void* take(size_t asked) {
    if (asked > (size_t{1} << 46)) {
      fail("allocate", "the request is ", asked, " bytes, want at most what a machine has");
    }
    const size_t bytes = rounded(asked);
    counts::allocations.fetch_add(1, std::memory_order_relaxed);
    void* block = take_rounded(bytes);
    if (!block) {
      trim();
      block = take_rounded(bytes);
    }
    if (!block) {
      fail("allocate", "out of memory: ", bytes, " bytes requested, ",
           counts::bytes_in_use.load(std::memory_order_relaxed), " in use");
    }
    add(counts::bytes_in_use, bytes);
    permit(block, asked);
    return block;
  }

  void give(void* block, size_t asked) noexcept {
    const size_t bytes = rounded(asked);
    subtract(counts::bytes_in_use, bytes);
    forbid(block, bytes);
    is_large(bytes) ? large_.give(block, bytes) : small_.give(block, bytes);
  }

  void trim() noexcept {
    small_.trim();
    large_.trim();
  }

  // A child process has only the thread that called fork: no other may hold a lock meanwhile.
  void lock() {
    small_.lock();
    large_.lock();
  }
  void unlock() {
    large_.unlock();
    small_.unlock();
  }

 private:
  static bool is_large(size_t bytes) { return bytes >= size_t{1} << 20; }
  static size_t rounded(size_t bytes) {
    return is_large(bytes) ? LargeBlocks::rounded(bytes) : SmallBlocks::rounded(bytes);
  }
  void* take_rounded(size_t bytes) {
    return is_large(bytes) ? large_.take(bytes) : small_.take(bytes);
  }

  SmallBlocks small_;
  LargeBlocks large_;
};

// Never destroyed, because tensors with static storage duration may outlive it.
Cache& cache() {
  static Cache& instance = []() -> Cache& {
    pthread_atfork([] { cache().lock(); }, [] { cache().unlock(); }, [] { cache().unlock(); });
    return *new Cache;
  }();
  return instance;
}

}  // namespace

void* allocate(size_t bytes) { return cache().take(bytes); }
void release(void* block, size_t bytes) noexcept { cache().give(block, bytes); }
void trim() noexcept { cache().trim(); }

}  // namespace tern::memory
