// SPDX-License-Identifier: Apache-2.0
#include "file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "../core/error.h"
#include "internal/atomic_file.h"

namespace tern::io {
namespace {

constexpr size_t kLargestWrite = size_t{1} << 30;

std::string directory_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Where `path` leads if it is a symbolic link, to a file that need not exist.
std::string followed(std::string path) {
  constexpr int kMostLinks = 40;  // as Linux
  std::error_code error;
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(path, error); ++i) {
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = (std::filesystem::path(directory_of(path)) / target).string();
  }
  return path;
}

// Note [Temporary files]
// The temporary file of `path` is called path.tmp-<process>-<number> and is locked by its writer,
// however many write the same path. One that can be locked belongs to a writer that was killed: the
// next one removes it. Numbers of processes come back (in a container they are always the same), so
// a name that is taken is not an error.
constexpr std::string_view kTemporary = ".tmp-";

bool is_temporary_of(std::string_view name, std::string_view file) {
  if (!name.starts_with(file)) return false;
  name.remove_prefix(file.size());
  if (!name.starts_with(kTemporary)) return false;
  name.remove_prefix(kTemporary.size());
  const size_t dash = name.find('-');
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return dash != std::string_view::npos && is_number(name.substr(0, dash)) &&
         is_number(name.substr(dash + 1));
}

void remove_if_abandoned(const std::string& temporary) {
  const int fd = open(temporary.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  struct stat status {};
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0) {
    unlink(temporary.c_str());
  }
  close(fd);
}

void remove_abandoned(const std::string& path, const std::string& directory) {
  const std::string file = path.substr(path.find_last_of('/') + 1);
  std::vector<std::string> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (is_temporary_of(name, file)) found.push_back(directory + "/" + name);
  }
  for (const std::string& temporary : found) remove_if_abandoned(temporary);
}

/// Opens and locks a new file; -1 with errno if that cannot be.
int open_temporary(const std::string& path, std::string& name) {
  static std::atomic<unsigned> count{0};
  while (true) {
    name =
        path + std::string(kTemporary) + std::to_string(getpid()) + "-" + std::to_string(count++);
    const int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return -1;
    // File systems without locks do without the removal.
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
      struct stat status {};
      if (fstat(fd, &status) != 0 || status.st_nlink > 0) return fd;
    }
    close(fd);  // another writer took it for abandoned, before it was locked
  }
}

}  // namespace

AtomicFile::AtomicFile(const char* op, const std::string& path) : op_(op), path_(path) {
  if (path.empty() || path.back() == '/' || path.find('\0') != std::string::npos) {
    fail(op_, "path is '", path, "', want the name of a file");
  }
  path_ = followed(path);
  directory_ = directory_of(path_);
  struct stat status {};
  const bool exists = stat(path_.c_str(), &status) == 0;
  if (!exists && errno == ELOOP) fail_with("write", ELOOP);
  // Renaming onto a device would replace the device node.
  if (exists && !S_ISREG(status.st_mode)) {
    fail(op_, "cannot write ", path, ": it exists and is ",
         S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
  }
  remove_abandoned(path_, directory_);
  std::string temporary;
  fd_ = open_temporary(path_, temporary);
  if (fd_ < 0) fail_with("write", errno);
  temporary_ = temporary;
  if (exists) {
    // As if the file itself had been written. Only root may set the owner; the mode comes second,
    // as a change of owner resets parts of it.
    [[maybe_unused]] const int owned = fchown(fd_, status.st_uid, status.st_gid);
    constexpr mode_t kPermissions = 0777;
    if (fchmod(fd_, status.st_mode & kPermissions) != 0) {
      const int error = errno;
      discard();
      fail_with("write", error);
    }
  }
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() {
  // Removed first: what is closed is unlocked.
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void AtomicFile::fail_with(const char* action, int error) const {
  std::string hint;
  if (error == ENOENT || error == ENOTDIR) hint = ": create the directory " + directory_;
  if (error == EACCES || error == EROFS) hint = ": choose a directory with write permission";
  if (error == ENOSPC || error == EDQUOT) hint = ": free some disk space";
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
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_with("replace", errno);
  temporary_.clear();
  close(fd_);  // fsync has said what there is to say
  fd_ = -1;
  // The rename survives a power failure once the directory is on the disk. The data are safe either
  // way, so a directory that cannot be opened or flushed is no error.
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

void check_writable(const std::string& path) { const AtomicFile file("check_writable", path); }

}  // namespace tern::io
