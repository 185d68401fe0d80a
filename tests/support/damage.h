// SPDX-License-Identifier: Apache-2.0
// Damaged files, and little memory to read them with.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <tern/core/error.h>
#include <tern/core/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace tern::test {

/// Damage as it happens and as an attacker makes it: bits, numbers, and parts that come twice, are
/// missing or lie elsewhere.
inline std::string damaged(std::string bytes, Generator& generator) {
  constexpr uint64_t kNumbers[] = {0,
                                   1,
                                   2,
                                   127,
                                   128,
                                   255,
                                   256,
                                   0x7fff,
                                   0xffff,
                                   0x7fffffff,
                                   1u << 31,
                                   0xffffffff,
                                   0xfffffff0,
                                   uint64_t(1) << 62,
                                   uint64_t(1) << 63,
                                   ~uint64_t{0}};
  const auto random = [&](size_t bound) {
    return static_cast<size_t>(generator.integer(static_cast<int64_t>(bound)));
  };
  for (size_t count = 1 + random(3); count > 0 && !bytes.empty(); --count) {
    const size_t at = random(bytes.size());
    const size_t length = 1 + random(std::min<size_t>(bytes.size() - at, 64));
    switch (random(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random(256));
        break;
      case 2: {
        const uint64_t number =
            random(4) == 0 ? bytes.size() : kNumbers[random(std::size(kNumbers))];
        const size_t width = size_t{1} << random(4);
        std::memcpy(&bytes[at], &number, std::min(width, bytes.size() - at));
        break;
      }
      case 3:
        bytes.erase(at, length);
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 5:
        bytes.insert(at, bytes.substr(random(bytes.size()), length));
        break;
      default:
        bytes.replace(at, length, bytes.substr(random(bytes.size()), length));
    }
  }
  return bytes;
}

/// Writes over a file: file systems flush one that is truncated to nothing and written again.
inline void overwrite(const std::string& path, const std::string& bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const auto size = static_cast<ssize_t>(bytes.size());
  if (file < 0 || pwrite(file, bytes.data(), bytes.size(), 0) != size ||
      ftruncate(file, size) != 0 || close(file) != 0) {
    fail("test", "cannot write ", path);
  }
}

/// No more than so many further bytes of addresses for as long as it lives.
class LittleMemory {
 public:
  explicit LittleMemory(size_t bytes) {
    getrlimit(RLIMIT_AS, &before_);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit little = before_;
    little.rlim_cur = pages * 4096 + bytes;
    setrlimit(RLIMIT_AS, &little);
  }
  ~LittleMemory() { setrlimit(RLIMIT_AS, &before_); }
  LittleMemory(const LittleMemory&) = delete;
  LittleMemory& operator=(const LittleMemory&) = delete;

 private:
  rlimit before_{};
};

}  // namespace tern::test
