// SPDX-License-Identifier: Apache-2.0
#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

#include "../core/error.h"
#include "atomic_file.h"

namespace tern::io {
namespace {

constexpr size_t kLargestWrite = size_t{1} << 30;

std::string directory_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Two processes, or two threads, may write the same path at once.
std::string unique_suffix() {
  static std::atomic<unsigned> count{0};
  return ".tmp-" + std::to_string(getpid()) + "-" + std::to_string(count++);
}

}  // namespace

AtomicFile::AtomicFile(const char* op, const std::string& path)
    : op_(op), path_(path), directory_(directory_of(path)) {
  if (path.empty() || path.back() == '/' || path.find('\0') != std::string::npos) {
    fail(op_, "cannot write '", path, "': this is not the name of a file");
  }
  struct stat status {};
  // Renaming onto a device would replace the device.
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail(op_, "cannot write ", path, ": it exists and is ",
         S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
  }
  const std::string temporary = path + unique_suffix();
  fd_ = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_with("write", errno);
  temporary_ = temporary;
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail_with(const char* action, int error) const {
  std::string hint;
  if (error == ENOENT || error == ENOTDIR) hint = "; create the directory " + directory_;
  if (error == EACCES || error == EROFS) hint = "; choose a place that you may write to";
  if (error == ENOSPC || error == EDQUOT) hint = "; make room on the disk";
  fail(op_, "cannot ", action, " ", path_, ": ", std::generic_category().message(error), hint);
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(fd_, next, std::min(bytes, kLargestWrite));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_with("write", errno);
    }
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  // Some file systems cannot flush one file, and say EINVAL.
  if (fsync(fd_) != 0 && errno != EINVAL) fail_with("write", errno);
  const int closed = close(fd_);
  fd_ = -1;
  if (closed != 0) fail_with("write", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_with("replace", errno);
  temporary_.clear();
  // The rename itself survives a power cut once the directory is on the disk. The data is safe
  // either way, so a directory that cannot be opened or flushed is no error.
  const int directory = open(directory_.c_str(), O_RDONLY | O_CLOEXEC);
  if (directory >= 0) {
    fsync(directory);
    close(directory);
  }
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file("write_file_atomically", path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace tern::io
