// SPDX-License-Identifier: Apache-2.0
// Reading files piece by piece, or mapped into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tern::io {

/// A regular file, open for reading. `op` is for messages.
class InputFile {
 public:
  InputFile(const char* op, const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  /// Throws Error if the bytes cannot be read.
  void read(uint64_t position, void* to, uint64_t bytes) const;
  /// The whole file mapped privately: pages are read when touched, writes do not reach the file.
  /// The mapping outlives the InputFile. Null if the system cannot map it.
  std::shared_ptr<std::byte> map() const;

 private:
  [[noreturn]] void fail_with(int error) const;

  const char* op_;
  std::string path_;
  uint64_t size_ = 0;
  int fd_ = -1;
};

}  // namespace tern::io
