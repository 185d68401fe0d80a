// SPDX-License-Identifier: Apache-2.0
// The memory of a tensor. Private: not installed.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory.h"

namespace tern {

/// A block of memory that tensors share, and a number that grows with every change in place.
class Storage {
 public:
  explicit Storage(size_t bytes) : data_(memory::allocate(bytes)), bytes_(bytes) {}
  ~Storage() { memory::release(data_, bytes_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void* data_;
  size_t bytes_;
  std::atomic<uint64_t> version_{0};
};

}  // namespace tern
