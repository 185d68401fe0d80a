// SPDX-License-Identifier: Apache-2.0
#include "idx.h"

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <memory>
#include <system_error>

#include "../core/error.h"
#include "../core/internal/resources.h"

namespace tern::data {
namespace {

/// A plain or gzipped file.
class GzFile {
 public:
  GzFile(const char* op, const std::string& path) : op_(op), path_(path) {
    struct stat status {};
    errno = 0;
    if (stat(path.c_str(), &status) != 0) fail_to_open();
    if (!S_ISREG(status.st_mode)) fail(op, "cannot read ", path, ": it is not a regular file");
    file_.reset(gzopen(path.c_str(), "rbe"));
    if (!file_) fail_to_open();
    gzbuffer(file_.get(), 1u << 18);
  }

  /// Reads up to `bytes` bytes; fewer only at the end of the file.
  size_t read(uint8_t* to, size_t bytes) {
    constexpr size_t kLargestRead = size_t{1} << 28;
    size_t done = 0;
    while (done < bytes) {
      const auto wanted = static_cast<unsigned>(std::min(bytes - done, kLargestRead));
      const int got = gzread(file_.get(), to + done, wanted);
      // At the end of a truncated file gzread says 0 and gzerror why.
      int error = Z_OK;
      const char* message = gzerror(file_.get(), &error);
      if (got < 0 || (error != Z_OK && error != Z_STREAM_END)) {
        const std::string reason =
            error == Z_ERRNO ? std::generic_category().message(errno) : message;
        fail(op_, path_, " is damaged or truncated (", reason, "): download it again");
      }
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  [[noreturn]] void fail_to_open() const {
    fail(op_, "cannot read ", path_, ": ",
         errno != 0 ? std::generic_category().message(errno) : "zlib has no memory");
  }
  struct Close {
    void operator()(gzFile file) const { gzclose(file); }
  };

  const char* op_;
  std::string path_;
  std::unique_ptr<gzFile_s, Close> file_;
};

/// Reads up to `most` bytes. Memory grows with the data that are there, not with the size that a
/// header declares.
std::vector<uint8_t> read_up_to(GzFile& file, uint64_t most) {
  constexpr uint64_t kPiece = uint64_t{1} << 24;
  std::vector<uint8_t> bytes;
  while (bytes.size() < most) {
    const size_t before = bytes.size();
    const auto piece = static_cast<size_t>(std::min<uint64_t>(kPiece, most - before));
    bytes.resize(before + piece);
    const size_t got = file.read(bytes.data() + before, piece);
    bytes.resize(before + got);
    if (got < piece) break;
  }
  return bytes;
}

}  // namespace

std::vector<uint8_t> read_gz(const std::string& path) {
  GzFile file("read_gz", path);
  return with_resources("read_gz",
                        [&] { return read_up_to(file, std::numeric_limits<uint64_t>::max()); });
}

Idx read_idx(const std::string& path) {
  constexpr char kOp[] = "read_idx";
  constexpr uint8_t kUnsignedByte = 0x08;
  GzFile file(kOp, path);
  std::array<uint8_t, 4> magic{};
  if (file.read(magic.data(), magic.size()) != magic.size() || magic[0] != 0 || magic[1] != 0) {
    fail(kOp, path, " does not begin with the magic number of an IDX file");
  }
  if (magic[2] != kUnsignedByte) {
    fail(kOp, path, ": the element type is ", int64_t{magic[2]}, ", want ", int64_t{kUnsignedByte},
         " (unsigned bytes)");
  }
  const size_t rank = magic[3];
  if (rank < 1 || rank > size_t{Shape::kMaxRank}) {
    fail(kOp, path, ": the header declares ", rank, " axes, want 1 to ", Shape::kMaxRank);
  }
  constexpr int64_t kMost = int64_t{1} << 48;
  std::vector<int64_t> sizes;
  int64_t count = 1;
  int64_t nonzero = 1;  // the product without zeros, which a Shape has to hold as well
  for (size_t axis = 0; axis < rank; ++axis) {
    std::array<uint8_t, 4> big_endian{};
    if (file.read(big_endian.data(), big_endian.size()) != big_endian.size()) {
      fail(kOp, path, " is truncated in its header: download it again");
    }
    int64_t size = 0;
    for (const uint8_t byte : big_endian) size = size * 256 + byte;
    if (nonzero > kMost / std::max<int64_t>(size, 1)) {
      fail(kOp, path, ": the header declares an impossible size");
    }
    nonzero *= std::max<int64_t>(size, 1);
    count *= size;
    sizes.push_back(size);
  }
  Idx result{Shape(sizes),
             with_resources(kOp, [&] { return read_up_to(file, static_cast<uint64_t>(count)); })};
  if (result.bytes.size() != static_cast<size_t>(count)) {
    fail(kOp, path, " is truncated: it has ", result.bytes.size(), " bytes of data, its header (",
         result.shape, ") declares ", count, ": download it again");
  }
  // Reading past the data also makes zlib verify its checksum.
  uint8_t beyond = 0;
  if (file.read(&beyond, 1) != 0) {
    fail(kOp, path, " has trailing data after the ", count, " bytes that its header (",
         result.shape, ") declares");
  }
  return result;
}

}  // namespace tern::data
