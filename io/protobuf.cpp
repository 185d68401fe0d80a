// SPDX-License-Identifier: Apache-2.0
#include "internal/protobuf.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "../core/error.h"
#include "internal/elements.h"
#include "internal/names.h"

namespace tern::io {

namespace {
constexpr int kVarint = 0, kEightBytes = 1, kLength = 2, kFourBytes = 5;
}

void ProtoFile::broken(uint64_t position, const std::string& what) const {
  fail(op_, path(), ": at byte ", position, " ", what, ": the file is ", remedy_);
}

void ProtoFile::read(uint64_t position, void* to, uint64_t bytes) const {
  constexpr uint64_t kWindow = 1 << 16, kSmall = 1 << 10;
  if (bytes > kSmall) return file_.read(position, to, bytes);
  if (position < window_at_ || position + bytes > window_at_ + window_.size()) {
    window_.resize(std::max(bytes, std::min(kWindow, file_.size() - position)));
    file_.read(position, window_.data(), window_.size());
    window_at_ = position;
  }
  std::memcpy(to, window_.data() + (position - window_at_), bytes);
}

bool ProtoFields::next() {
  if (at_end()) return false;
  begin_ = next_;
  const uint64_t tag = varint();
  constexpr uint64_t kMostFields = 1 << 29;
  if (tag / 8 == 0 || tag / 8 >= kMostFields) {
    file_.broken(begin_, "there is no field of a message");
  }
  number = static_cast<int>(tag / 8);
  kind_ = static_cast<int>(tag % 8);
  if (kind_ == kVarint) {
    value = varint();
    return true;
  }
  uint64_t length = kind_ == kEightBytes ? 8 : 4;
  if (kind_ == kLength) length = varint();
  if (kind_ != kEightBytes && kind_ != kLength && kind_ != kFourBytes) {
    file_.broken(begin_, "there is no field of a message");
  }
  if (length > end_ - next_) file_.broken(begin_, "a field ends behind its message");
  content = {next_, next_ + length};
  next_ += length;
  return true;
}

uint64_t ProtoFields::varint() {
  constexpr uint64_t kLongest = 10;
  std::array<char, kLongest> bytes{};
  const uint64_t there = std::min(end_ - next_, kLongest);
  file_.read(next_, bytes.data(), there);
  uint64_t result = 0;
  for (uint64_t i = 0; i < there; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    result |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte >= 0x80) continue;
    next_ += i + 1;
    return result;
  }
  file_.broken(next_, "a number has no end");
}

std::string ProtoFields::text() const {
  if (!has_length() || content.size() > kMaxNameBytes) {
    file_.broken(begin_, "a text is too long, or no text");
  }
  std::string bytes(content.size(), '\0');
  file_.read(content.begin, bytes.data(), bytes.size());
  return bytes;
}

ByteRange ProtoFields::message() const {
  if (!has_length()) file_.broken(begin_, "there is something else than a message");
  return content;
}

int64_t ProtoFields::integer() const {
  if (!is_number()) file_.broken(begin_, "there is something else than an integer");
  return static_cast<int64_t>(value);
}

void ProtoFields::append_integers(std::vector<int64_t>& to, uint64_t most) const {
  const auto check = [&] {
    if (to.size() >= most) file_.broken(begin_, "there are more numbers than can be right");
  };
  if (is_number()) {
    check();
    to.push_back(static_cast<int64_t>(value));
    return;
  }
  ProtoFields packed(file_, message());
  while (!packed.at_end()) {
    check();
    to.push_back(static_cast<int64_t>(packed.varint()));
  }
}

void ProtoFields::append_reals(std::vector<double>& to, uint64_t most, size_t bytes) const {
  const bool one = kind_ == (bytes == sizeof(float) ? kFourBytes : kEightBytes);
  if ((!one && !has_length()) || content.size() % bytes != 0) {
    file_.broken(begin_, "there is something else than real numbers");
  }
  const uint64_t count = content.size() / bytes;
  if (count > most - std::min<uint64_t>(most, to.size())) {
    file_.broken(begin_, "there are more numbers than can be right");
  }
  std::string numbers(content.size(), '\0');
  file_.read(content.begin, numbers.data(), numbers.size());
  for (uint64_t i = 0; i < count; ++i) {
    const char* at = numbers.data() + i * bytes;
    to.push_back(bytes == sizeof(float) ? double{little_endian<float>(at)}
                                        : little_endian<double>(at));
  }
}

void ProtoMessage::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
  text_ += static_cast<char>(value);
}
void ProtoMessage::number(int field, int64_t value) {
  tag(field, kVarint);
  varint(static_cast<uint64_t>(value));
}
void ProtoMessage::real(int field, float value) {
  tag(field, kFourBytes);
  append_number(text_, value);
}
void ProtoMessage::bytes(int field, std::string_view value) {
  bytes_to_come(field, value.size());
  text_ += value;
}
void ProtoMessage::bytes_to_come(int field, uint64_t count) {
  tag(field, kLength);
  varint(count);
}

}  // namespace tern::io
