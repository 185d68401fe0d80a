// SPDX-License-Identifier: Apache-2.0
// The caching allocator behind tensors and scratch memory.
#pragma once

#include <cstddef>
#include <utility>

namespace tern::memory {

/// A block of at least `bytes` bytes, 64-byte aligned, from the cache if one fits. Uninitialized.
/// Thread-safe. Throws Error when out of memory.
void* allocate(size_t bytes);
void release(void* block, size_t bytes) noexcept;

/// Returns cached blocks to the system.
void trim() noexcept;

/// Scratch memory, freed with the object.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : block_(bytes ? allocate(bytes) : nullptr), bytes_(bytes) {}
  ~Scratch() {
    if (block_) release(block_, bytes_);
  }
  Scratch(Scratch&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), bytes_(other.bytes_) {}
  Scratch& operator=(Scratch&&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(block_);
  }

 private:
  void* block_;
  size_t bytes_;
};

}  // namespace tern::memory
