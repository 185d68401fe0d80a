// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>
#include <memory>

#include "../core/error.h"
#include "../core/log.h"
#include "internal/elements.h"
#include "internal/names.h"
#include "internal/zip.h"

// The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Sizes and sums are read
// from the directory at the end of the file only: PyTorch writes zeros before the data.
namespace tern::io {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kLocatorBytes = 20;
constexpr uint64_t kEnd64Bytes = 56, kLongestComment = 0xffff;
constexpr uint64_t kMost16 = 0xffff, kMost32 = 0xffffffff;
// Deflate makes at most 1032 bytes of one.
constexpr uint64_t kMostInflation = 1032;

}  // namespace

template <class... Parts>
void ZipReader::broken(const Parts&... parts) const {
  fail(op_, file_.path(), ": ", parts..., ": the file is truncated or damaged");
}

ZipReader::ZipReader(const char* op, const InputFile& file, bool warn_of_checksums)
    : op_(op), file_(file), warn_of_checksums_(warn_of_checksums) {
  read_directory();
  check_overlaps();
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!index_.emplace(entries_[i].name, i).second) {
      broken("the zip archive has two entries called ", in_quotes(entries_[i].name));
    }
  }
}

void ZipReader::read_directory() {
  const uint64_t size = file_.size();
  const uint64_t tail_bytes = std::min(size, kEndBytes + kLongestComment);
  std::string tail(tail_bytes, '\0');
  file_.read(size - tail_bytes, tail.data(), tail_bytes);
  // The end record is the last one whose comment ends with the file.
  uint64_t end = size;
  for (uint64_t at = tail_bytes < kEndBytes ? 0 : tail_bytes - kEndBytes + 1; at-- > 0;) {
    if (little_endian<uint32_t>(&tail[at]) == kEnd &&
        little_endian<uint16_t>(&tail[at + 20]) == tail_bytes - at - kEndBytes) {
      end = size - tail_bytes + at;
      break;
    }
  }
  if (end == size) broken("a zip archive without its directory, of ", size, " bytes");
  const char* record = &tail[end - (size - tail_bytes)];
  uint64_t disk = little_endian<uint16_t>(record + 4) | little_endian<uint16_t>(record + 6);
  uint64_t count = little_endian<uint16_t>(record + 10);
  uint64_t bytes = little_endian<uint32_t>(record + 12);
  uint64_t begin = little_endian<uint32_t>(record + 16);
  uint64_t limit = end;

  char locator[kLocatorBytes] = {};
  if (end >= kLocatorBytes) file_.read(end - kLocatorBytes, locator, kLocatorBytes);
  if (little_endian<uint32_t>(locator) == kLocator64) {
    limit = little_endian<uint64_t>(locator + 8);
    char large[kEnd64Bytes] = {};
    if (limit > end - kLocatorBytes || end - kLocatorBytes - limit < kEnd64Bytes) {
      broken("the zip64 record is at byte ", limit, ", behind the end");
    }
    file_.read(limit, large, kEnd64Bytes);
    if (little_endian<uint32_t>(large) != kEnd64)
      broken("there is no zip64 record at byte ", limit);
    disk = little_endian<uint32_t>(large + 16) | little_endian<uint32_t>(large + 20);
    count = little_endian<uint64_t>(large + 32);
    bytes = little_endian<uint64_t>(large + 40);
    begin = little_endian<uint64_t>(large + 48);
  }
  if (disk != 0 && disk != kMost16) {
    fail(op_, file_.path(), ": the zip archive is in several parts, want it in one file");
  }
  if (begin > limit || bytes > limit - begin) {
    broken("the zip directory is at byte ", begin, " and has ", bytes, " bytes, want it before ",
           limit);
  }
  std::string directory(bytes, '\0');
  file_.read(begin, directory.data(), bytes);
  size_t next = 0;
  while (next < directory.size()) read_entry(directory, begin, next);
  if (entries_.size() != count) {
    broken("the zip directory has ", entries_.size(), " entries, want ", count);
  }
  for (ZipEntry& entry : entries_) find_data(entry, begin);
}

// Appends the entry that is described at directory[next].
void ZipReader::read_entry(const std::string& directory, uint64_t base, size_t& next) {
  const char* record = directory.data() + next;
  const uint64_t at = base + next, left = directory.size() - next;
  if (left < kCentralBytes || little_endian<uint32_t>(record) != kCentral) {
    broken("there is no zip directory entry at byte ", at);
  }
  const auto u16 = [&](size_t i) { return uint64_t{little_endian<uint16_t>(record + i)}; };
  const auto u32 = [&](size_t i) { return uint64_t{little_endian<uint32_t>(record + i)}; };
  const uint64_t name_bytes = u16(28), extra_bytes = u16(30),
                 bytes = name_bytes + extra_bytes + u16(32);
  if (bytes > left - kCentralBytes) broken("the zip directory entry at byte ", at, " is cut off");
  ZipEntry entry;
  entry.name.assign(record + kCentralBytes, name_bytes);
  entry.crc = little_endian<uint32_t>(record + 16);
  entry.compressed = u32(20);
  entry.size = u32(24);
  entry.position = u32(42);  // of its local header, until find_data
  // Values of 4 GB and more are in an extra field, in this order.
  const char* extra = record + kCentralBytes + name_bytes;
  for (uint64_t i = 0; i + 4 <= extra_bytes;) {
    const uint64_t kind = little_endian<uint16_t>(extra + i);
    const uint64_t length = little_endian<uint16_t>(extra + i + 2);
    i += 4;
    if (length > extra_bytes - i) break;
    uint64_t used = 0;
    for (uint64_t* value : {&entry.size, &entry.compressed, &entry.position}) {
      if (kind != 1 || *value != kMost32 || used + 8 > length) continue;
      *value = little_endian<uint64_t>(extra + i + used);
      used += 8;
    }
    i += length;
  }
  const std::string what = "the zip entry " + in_quotes(entry.name);
  const uint64_t flags = u16(8), method = u16(10);
  if ((flags & 1) != 0) fail(op_, file_.path(), ": ", what, " is encrypted: decrypt the archive");
  if (method != 0 && method != 8) {
    fail(op_, file_.path(), ": ", what, " is compressed by method ", method,
         ", want stored (0) or deflated (8): pack it anew");
  }
  entry.deflated = method == 8;
  if (entry.deflated ? entry.size / kMostInflation > entry.compressed
                     : entry.size != entry.compressed) {
    broken(what, " claims ", entry.size, " bytes in ", entry.compressed);
  }
  entries_.push_back(std::move(entry));
  next += kCentralBytes + bytes;
}

// Sets entry.position to that of its data, which has to end before `limit`.
void ZipReader::find_data(ZipEntry& entry, uint64_t limit) const {
  const uint64_t header = entry.position;
  const std::string what = "the zip entry " + in_quotes(entry.name);
  if (header > limit || limit - header < kLocalBytes + entry.name.size()) {
    broken(what, " is at byte ", header, ", behind the data");
  }
  std::string local(kLocalBytes + entry.name.size(), '\0');
  file_.read(header, local.data(), local.size());
  const uint64_t name_bytes = little_endian<uint16_t>(&local[26]);
  const uint64_t extra_bytes = little_endian<uint16_t>(&local[28]);
  if (little_endian<uint32_t>(local.data()) != kLocal || name_bytes != entry.name.size() ||
      local.compare(kLocalBytes, name_bytes, entry.name) != 0) {
    broken(what, " is not at byte ", header);
  }
  entry.position = header + local.size() + extra_bytes;
  if (entry.position > limit || entry.compressed > limit - entry.position) {
    broken(what, " has ", entry.compressed, " bytes at ", entry.position, ", more than there are");
  }
}

void ZipReader::check_overlaps() const {
  std::vector<const ZipEntry*> order;
  for (const ZipEntry& entry : entries_) order.push_back(&entry);
  std::sort(order.begin(), order.end(),
            [](const ZipEntry* a, const ZipEntry* b) { return a->position < b->position; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->position - order[i - 1]->position < order[i - 1]->compressed) {
      broken("the zip entries ", in_quotes(order[i - 1]->name), " and ", in_quotes(order[i]->name),
             " overlap at byte ", order[i]->position);
    }
  }
}

const ZipEntry* ZipReader::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

std::string ZipReader::read(const ZipEntry& entry) const {
  if (entry.deflated) return inflated(entry);
  std::string bytes(entry.size, '\0');
  read(entry, bytes.data());
  return bytes;
}

void ZipReader::read(const ZipEntry& entry, void* to) const {
  if (entry.deflated) {
    const std::string bytes = inflated(entry);
    std::copy(bytes.begin(), bytes.end(), static_cast<char*>(to));
    return;
  }
  file_.read(entry.position, to, entry.size);
  check_crc(entry, to);
}

std::string ZipReader::inflated(const ZipEntry& entry) const {
  constexpr uint64_t kPiece = 1 << 16;
  const auto wrong = [&](uint64_t at) {
    broken("the zip entry ", in_quotes(entry.name), " cannot be inflated at byte ", at);
  };
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  std::string bytes, piece(std::min(entry.compressed, kPiece), '\0');
  uint64_t taken = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    if (stream.avail_in == 0) {
      const uint64_t count = std::min<uint64_t>(entry.compressed - taken, kPiece);
      file_.read(entry.position + taken, piece.data(), count);
      taken += count;
      stream.next_in = reinterpret_cast<Bytef*>(piece.data());
      stream.avail_in = static_cast<uInt>(count);
    }
    // One byte more than there should be, to notice it.
    const size_t before = bytes.size();
    bytes.resize(before + std::min<uint64_t>(entry.size + 1 - before, 4 * kPiece));
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data() + before);
    stream.avail_out = static_cast<uInt>(bytes.size() - before);
    state = inflate(&stream, Z_NO_FLUSH);
    bytes.resize(bytes.size() - stream.avail_out);
    const bool stuck = stream.avail_in == 0 && taken == entry.compressed && state == Z_OK;
    if (bytes.size() > entry.size || stuck) break;
  }
  if (state != Z_STREAM_END || bytes.size() != entry.size) wrong(entry.position + taken);
  check_crc(entry, bytes.data());
  return bytes;
}

void ZipReader::check_crc(const ZipEntry& entry, const void* bytes) const {
  const uint32_t crc =
      static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(bytes), entry.size));
  if (crc == entry.crc) return;
  const std::string what = "the checksum of the zip entry " + in_quotes(entry.name) + " is " +
                           std::to_string(entry.crc) + ", that of its bytes " + std::to_string(crc);
  if (!warn_of_checksums_) broken(what);
  log_message(LogLevel::warn, file_.path() + ": " + what + ": the file may be damaged");
}

}  // namespace tern::io
