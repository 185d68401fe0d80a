// SPDX-License-Identifier: Apache-2.0
// Writing a file piece by piece, atomically.
#pragma once

#include <cstddef>
#include <string>

namespace tern::io {

/// A file that appears under its name at commit(), or not at all: until then, it is a temporary
/// file beside it. A symbolic link stays, and an existing file's mode and owner (where permitted).
/// Removes what killed writers of this file have left. `op` is for messages.
class AtomicFile {
 public:
  AtomicFile(const char* op, const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void commit();

 private:
  void discard();
  [[noreturn]] void fail_with(const char* action, int error) const;

  const char* op_;
  std::string path_;
  std::string directory_;
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace tern::io
