// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "counters_private.h"
#include "error.h"

namespace tern::memory {

namespace {

// Note [Size classes]
// Blocks come in sizes 64 * {4,5,6,7} * 2^k bytes (at most a quarter more than asked for), so that
// a loop with many batch sizes reuses a few classes. Each class keeps a list of free blocks. Fresh
// pages cost more than many operations, so nothing goes back to the system until trim(), or until
// the system refuses.
constexpr size_t kSmallest = 256;
constexpr int kClasses = 4 * 40;

struct SizeClass {
  int index;
  size_t bytes;
};

SizeClass size_class(size_t bytes) {
  if (bytes <= kSmallest) return {0, kSmallest};
  const int shift = static_cast<int>(std::bit_width(bytes - 1)) - 3;  // keeps three leading bits
  const size_t steps = ((bytes - 1) >> shift) + 1;                    // 5 to 8
  return {4 * (shift - 6) + static_cast<int>(steps) - 4, steps << shift};
}

class Cache {
 public:
  void* take(size_t bytes) {
    const SizeClass size = size_class(bytes);
    if (bytes > (size_t{1} << 46) || size.index >= kClasses) {
      fail("allocate", bytes, " bytes asked for, more than any machine has");
    }
    counts::allocations.fetch_add(1, std::memory_order_relaxed);
    counts::bytes_in_use.fetch_add(static_cast<int64_t>(size.bytes), std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      auto& blocks = free_[size.index];
      if (!blocks.empty()) {
        void* block = blocks.back();
        blocks.pop_back();
        counts::bytes_cached.fetch_sub(static_cast<int64_t>(size.bytes), std::memory_order_relaxed);
        return block;
      }
    }
    void* block = from_system(size.bytes);
    if (!block) {
      trim();
      block = from_system(size.bytes);
    }
    if (!block) {
      counts::bytes_in_use.fetch_sub(static_cast<int64_t>(size.bytes), std::memory_order_relaxed);
      fail("allocate", "out of memory: ", size.bytes, " bytes asked for, ",
           counts::bytes_in_use.load(std::memory_order_relaxed), " in use");
    }
    return block;
  }

  void give(void* block, size_t bytes) noexcept {
    const SizeClass size = size_class(bytes);
    const auto signed_bytes = static_cast<int64_t>(size.bytes);
    counts::bytes_in_use.fetch_sub(signed_bytes, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    try {
      free_[size.index].push_back(block);
      counts::bytes_cached.fetch_add(signed_bytes, std::memory_order_relaxed);
    } catch (...) {  // no room for one more pointer
      std::free(block);
    }
  }

  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& blocks : free_) {
      for (void* block : blocks) std::free(block);
      blocks.clear();
    }
    counts::bytes_cached.store(0, std::memory_order_relaxed);
  }

 private:
  static void* from_system(size_t bytes) {
    counts::system_allocations.fetch_add(1, std::memory_order_relaxed);
    constexpr size_t kHugePage = size_t{2} << 20;
    const bool large = bytes >= kHugePage;
    const size_t alignment = large ? kHugePage : 64;
    void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (block && large) madvise(block, bytes, MADV_HUGEPAGE);  // a hint; refusal does no harm
    return block;
  }

  std::mutex mutex_;
  std::vector<void*> free_[kClasses];
};

// Never destroyed: tensors with static storage may outlive it otherwise.
Cache& cache() {
  static Cache& instance = *new Cache;
  return instance;
}

}  // namespace

void* allocate(size_t bytes) { return cache().take(bytes); }
void release(void* block, size_t bytes) noexcept { cache().give(block, bytes); }
void trim() noexcept { cache().trim(); }

}  // namespace tern::memory
