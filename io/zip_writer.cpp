// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>

#include "internal/elements.h"
#include "internal/zip.h"

namespace tern::io {
namespace {

constexpr uint64_t kMost16 = 0xffff, kMost32 = 0xffffffff, kAlignment = 64;
constexpr uint16_t kUtf8Names = 0x0800, kVersion = 20, kVersion64 = 45;
constexpr uint32_t kDate = 0x00210000;  // 1980-01-01 00:00, the earliest there is

void append16(std::string& text, uint64_t value) {
  append_number(text, static_cast<uint16_t>(std::min(value, kMost16)));
}
void append32(std::string& text, uint64_t value) {
  append_number(text, static_cast<uint32_t>(std::min(value, kMost32)));
}

// The extra field of entries with sizes or positions of 4 GB and more.
std::string zip64_field(std::initializer_list<uint64_t> values) {
  std::string field;
  append16(field, 1);
  append16(field, values.size() * sizeof(uint64_t));
  for (const uint64_t value : values) append_number(field, value);
  return field;
}

}  // namespace

void ZipWriter::write(std::string_view bytes) {
  file_.write(bytes.data(), bytes.size());
  position_ += bytes.size();
}

void ZipWriter::add(const std::string& name, std::initializer_list<std::string_view> parts) {
  uint64_t size = 0;
  uLong crc = 0;
  for (const std::string_view part : parts) {
    size += part.size();
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(part.data()), part.size());
  }
  const uint64_t header = position_;
  const bool large = size >= kMost32 || header >= kMost32;
  // What both headers have in common, from the version to the lengths of name and extra field.
  std::string common;
  append16(common, large ? kVersion64 : kVersion);
  append16(common, kUtf8Names);
  append16(common, 0);  // stored
  append32(common, kDate);
  append32(common, crc);
  append32(common, large ? kMost32 : size);
  append32(common, large ? kMost32 : size);
  append16(common, name.size());

  // The local header has no place for its own position.
  const std::string extra = large ? zip64_field({size, size, header}) : "";
  std::string local_extra = large ? zip64_field({size, size}) : "";
  std::string local = "PK\3\4" + common;
  constexpr uint64_t kLengthBytes = 2, kFieldBytes = 4;
  const uint64_t unpadded =
      header + local.size() + kLengthBytes + name.size() + local_extra.size() + kFieldBytes;
  local_extra += "FB";  // PyTorch's name for what aligns the data
  append16(local_extra, (kAlignment - unpadded % kAlignment) % kAlignment);
  local_extra.append((kAlignment - unpadded % kAlignment) % kAlignment, '\0');
  append16(local, local_extra.size());
  write(local + name + local_extra);
  for (const std::string_view part : parts) write(part);

  directory_ += "PK\1\2";
  append16(directory_, large ? kVersion64 : kVersion);
  directory_ += common;
  append16(directory_, extra.size());
  append16(directory_, 0);  // no comment
  append16(directory_, 0);  // the first disk
  append16(directory_, 0);
  append32(directory_, 0);
  append32(directory_, large ? kMost32 : header);
  directory_ += name + extra;
  ++count_;
}

void ZipWriter::finish() {
  const uint64_t begin = position_, bytes = directory_.size();
  write(directory_);
  std::string end;
  if (count_ >= kMost16 || begin >= kMost32 || bytes >= kMost32) {
    const uint64_t record = position_;
    end += "PK\6\6";
    append_number(end, uint64_t{44});  // bytes of the record after this
    append16(end, kVersion64);
    append16(end, kVersion64);
    append32(end, 0);
    append32(end, 0);
    for (const uint64_t value : {count_, count_, bytes, begin}) append_number(end, value);
    end += "PK\6\7";
    append32(end, 0);
    append_number(end, record);
    append32(end, 1);
  }
  end += "PK\5\6";
  append16(end, 0);
  append16(end, 0);
  append16(end, count_);
  append16(end, count_);
  append32(end, bytes);
  append32(end, begin);
  append16(end, 0);
  write(end);
}

}  // namespace tern::io
