// SPDX-License-Identifier: Apache-2.0
// The wire format of protocol buffers: what ONNX's and MindSpore's files are written in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "input_file.h"

namespace tern::io {

/// Bytes of a file.
struct ByteRange {
  uint64_t begin = 0, end = 0;

  uint64_t size() const { return end - begin; }
};

/// A file of messages, and how to speak of it.
class ProtoFile {
 public:
  /// `remedy` says what a broken file is. `file` has to outlive it.
  ProtoFile(const char* op, const InputFile& file, const char* remedy)
      : op_(op), file_(file), remedy_(remedy) {}

  const InputFile& file() const { return file_; }
  const std::string& path() const { return file_.path(); }
  /// As InputFile::read; of small pieces in order, the system is asked for few.
  void read(uint64_t position, void* to, uint64_t bytes) const;
  /// Throws Error that names the file and the position.
  [[noreturn]] void broken(uint64_t position, const std::string& what) const;

 private:
  const char* op_;
  const InputFile& file_;
  const char* remedy_;
  mutable std::string window_;  // of the file
  mutable uint64_t window_at_ = 0;
};

/// The fields of a message in a part of a file, one after the other. Throws Error for what is no
/// field; nothing is read but what the caller asks for.
class ProtoFields {
 public:
  ProtoFields(const ProtoFile& file, ByteRange range)
      : file_(file), next_(range.begin), end_(range.end) {}

  int number = 0;      ///< of the field that next() found; 0 for one that is beyond all others
  uint64_t value = 0;  ///< of a field that is a number
  ByteRange content;   ///< of one that has a length, or 4 or 8 bytes

  /// Goes to the next field; false at the end.
  bool next();
  bool is_number() const { return kind_ == 0; }
  bool has_length() const { return kind_ == 2; }

  /// The field as a text. Throws Error if it is none, or longer than names are.
  std::string text() const;
  /// The field's message. Throws Error if it is none.
  ByteRange message() const;
  /// The field as an integer. Throws Error if it is none.
  int64_t integer() const;
  /// Appends the integers of the field, packed or not, as far as there are at most `most`.
  void append_integers(std::vector<int64_t>& to, uint64_t most) const;
  /// Appends the float32 or float64 numbers of the field, packed or not.
  void append_reals(std::vector<double>& to, uint64_t most, size_t bytes = sizeof(float)) const;

 private:
  uint64_t varint();
  bool at_end() const { return next_ >= end_; }

  const ProtoFile& file_;
  uint64_t next_, end_;
  uint64_t begin_ = 0;  // of the field
  int kind_ = 0;
};

/// A message, put together field by field.
class ProtoMessage {
 public:
  void number(int field, int64_t value);
  void real(int field, float value);
  /// A text, or a message.
  void bytes(int field, std::string_view value);
  /// A message whose bytes follow elsewhere.
  void bytes_to_come(int field, uint64_t count);
  const std::string& str() const { return text_; }

 private:
  void varint(uint64_t value);
  void tag(int field, int kind) {
    varint(static_cast<uint64_t>(field) * 8 + static_cast<uint64_t>(kind));
  }

  std::string text_;
};

}  // namespace tern::io
