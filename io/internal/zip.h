// SPDX-License-Identifier: Apache-2.0
// Zip archives: what NumPy's and PyTorch's files are.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "atomic_file.h"
#include "input_file.h"

namespace tern::io {

/// A file inside of an archive.
struct ZipEntry {
  std::string name;
  uint64_t size = 0;        ///< bytes of its contents
  uint64_t compressed = 0;  ///< bytes that they take in the archive
  uint64_t position = 0;    ///< of its first byte in the archive
  uint32_t crc = 0;
  bool deflated = false;
};

/// The entries of an archive, of any size (zip64), stored or deflated. The constructor checks the
/// whole directory: entries lie in the file, do not overlap, and are no larger than deflate can
/// make them. Throws Error that names the file and the position.
class ZipReader {
 public:
  /// `file` has to outlive it. `op` is for messages. PyTorch can be told to write no checksums, so
  /// a wrong one may be a warning in the log.
  ZipReader(const char* op, const InputFile& file, bool warn_of_checksums = false);

  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// The entry of exactly this name, or null.
  const ZipEntry* find(std::string_view name) const;

  /// What an entry holds. Memory grows with what is really there.
  std::string read(const ZipEntry& entry) const;
  /// As above, into entry.size bytes at `to`.
  void read(const ZipEntry& entry, void* to) const;

 private:
  void read_directory();
  void read_entry(const std::string& directory, uint64_t base, size_t& next);
  void find_data(ZipEntry& entry, uint64_t limit) const;
  void check_overlaps() const;
  std::string inflated(const ZipEntry& entry) const;
  void check_crc(const ZipEntry& entry, const void* bytes) const;
  template <class... Parts>
  [[noreturn]] void broken(const Parts&... parts) const;

  const char* op_;
  const InputFile& file_;
  bool warn_of_checksums_;
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string_view, size_t> index_;
};

/// Writes an archive of stored entries; the same entries give the same bytes.
class ZipWriter {
 public:
  explicit ZipWriter(AtomicFile& file) : file_(file) {}

  /// Adds an entry that consists of these parts. Its first byte is at a multiple of 64 in the file,
  /// where readers can map it.
  void add(const std::string& name, std::initializer_list<std::string_view> parts);
  /// Writes the directory.
  void finish();

 private:
  void write(std::string_view bytes);

  AtomicFile& file_;
  uint64_t position_ = 0;
  std::string directory_;
  uint64_t count_ = 0;
};

}  // namespace tern::io
