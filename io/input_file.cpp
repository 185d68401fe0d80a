// SPDX-License-Identifier: Apache-2.0
#include "internal/input_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "../core/error.h"

namespace tern::io {

InputFile::InputFile(const char* op, const std::string& path) : op_(op), path_(path) {
  struct stat status {};
  // A pipe or a device may block or act when it is opened: look first.
  if (stat(path.c_str(), &status) != 0) fail_with(errno);
  if (!S_ISREG(status.st_mode)) fail(op, "cannot read ", path, ": it is not a regular file");
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail_with(errno);
  if (fstat(fd_, &status) != 0) {
    const int error = errno;
    close(fd_);
    fail_with(error);
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { close(fd_); }

void InputFile::fail_with(int error) const {
  fail(op_, "cannot read ", path_, ": ", std::generic_category().message(error));
}

void InputFile::read(uint64_t position, void* to, uint64_t bytes) const {
  auto* next = static_cast<char*>(to);
  uint64_t left = bytes;
  while (left > 0) {
    const ssize_t count = pread(fd_, next, left, static_cast<off_t>(position + bytes - left));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      fail(op_, "cannot read ", bytes, " bytes at ", position, " of ", path_,
           ": the disk failed, or the file changed meanwhile");
    }
    next += count;
    left -= static_cast<uint64_t>(count);
  }
}

std::shared_ptr<std::byte> InputFile::map() const {
  if (size_ == 0) return nullptr;
  void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd_, 0);
  if (memory == MAP_FAILED) return nullptr;
  return {static_cast<std::byte*>(memory),
          [bytes = size_](std::byte* mapped) { munmap(mapped, bytes); }};
}

}  // namespace tern::io
