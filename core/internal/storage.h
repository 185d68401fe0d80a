// SPDX-License-Identifier: Apache-2.0
// The memory of a tensor.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "memory.h"

namespace tern {

/// A block of memory that tensors share, and a number that grows with every change in place.
class Storage {
 public:
  explicit Storage(size_t bytes) : data_(memory::allocate(bytes)), bytes_(bytes), ours_(true) {}
  ~Storage() {
    if (ours_) memory::release(data_, bytes_);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// Whether Tern allocated it. Memory that is not ours is never reused for a result.
  bool is_ours() const { return ours_; }
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 protected:
  Storage(void* data, size_t bytes) : data_(data), bytes_(bytes), ours_(false) {}

 private:
  void* data_;
  size_t bytes_;
  bool ours_;
  std::atomic<uint64_t> version_{0};
};

/// Memory of the program's (from_blob), which `release` gives back. Made by make_shared, which
/// remembers the type to destroy: Storage needs no virtual destructor.
class ExternalStorage final : public Storage {
 public:
  ExternalStorage(void* data, size_t bytes, std::function<void(void*)> release)
      : Storage(data ? data : &nothing_, bytes), given_(data), release_(std::move(release)) {}
  ~ExternalStorage() {
    if (release_) release_(given_);
  }

 private:
  void* given_;
  std::function<void(void*)> release_;
  double nothing_ = 0;  // no elements may lie at null, which memcpy must not be given
};

}  // namespace tern
