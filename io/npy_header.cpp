// SPDX-License-Identifier: Apache-2.0
#include "internal/npy_header.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "../core/error.h"
#include "internal/names.h"

// The format: numpy.lib.format. The header is a Python dict in any spelling.
namespace tern::io {
namespace {

constexpr std::array<std::pair<std::string_view, FileDType>, 12> kTypes = {
    {{"f8", FileDType::f64},
     {"f4", FileDType::f32},
     {"f2", FileDType::f16},
     {"i8", FileDType::i64},
     {"i4", FileDType::i32},
     {"i2", FileDType::i16},
     {"i1", FileDType::i8},
     {"u8", FileDType::u64},
     {"u4", FileDType::u32},
     {"u2", FileDType::u16},
     {"u1", FileDType::u8},
     {"b1", FileDType::boolean}}};

/// Reads the dict of a header; throws Error at what it cannot be.
class Parser {
 public:
  Parser(const char* op, std::string_view text, uint64_t base, const std::string& where)
      : op_(op), text_(text), base_(base), where_(where) {}

  void parse(NpyHeader& header) {
    bool seen[3] = {};
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      const size_t which = key == "descr" ? 0 : key == "fortran_order" ? 1 : 2;
      if (which == 2 && key != "shape") wrong("'descr', 'fortran_order' or 'shape'");
      if (std::exchange(seen[which], true)) wrong("each key once");
      if (which == 0) descr(header);
      if (which == 1) header.fortran_order = boolean();
      if (which == 2) shape(header);
      if (!accept(',') && peek() != '}') wrong("',' or '}'");
    }
    if (!seen[0] || !seen[1] || !seen[2]) wrong("the keys descr, fortran_order and shape");
    if (peek() != '\0') wrong("its end");
  }

 private:
  [[noreturn]] void wrong(const char* wanted) const {
    fail(op_, where_, ": the header is not what NumPy writes at byte ", base_ + next_, ", want ",
         wanted, ": the file is truncated or damaged");
  }
  char peek() {
    while (next_ < text_.size() && (text_[next_] == ' ' || text_[next_] == '\n')) ++next_;
    return next_ < text_.size() ? text_[next_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++next_;
    return true;
  }
  void expect(char c) {
    const char text[] = {'\'', c, '\'', '\0'};
    if (!accept(c)) wrong(text);
  }
  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') wrong("a string");
    const size_t end = text_.find(quote, next_ + 1);
    if (end == std::string_view::npos) wrong("the end of a string");
    const std::string_view value = text_.substr(next_ + 1, end - next_ - 1);
    next_ = end + 1;
    return value;
  }
  bool boolean() {
    for (const std::string_view word : {"True", "False"}) {
      if (peek() == word[0] && text_.substr(next_).starts_with(word)) {
        next_ += word.size();
        return word == "True";
      }
    }
    wrong("True or False");
  }
  uint64_t number() {
    uint64_t value = 0;
    peek();
    const char* begin = text_.data() + next_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error != std::errc()) wrong("a number of 64 bits");
    next_ += static_cast<size_t>(end - begin);
    accept('L');  // Python 2's
    return value;
  }
  void shape(NpyHeader& header) {
    std::vector<uint64_t> sizes;
    expect('(');
    while (!accept(')')) {
      sizes.push_back(number());
      if (!accept(',') && peek() != ')') wrong("',' or ')'");
    }
    if (make_shape(sizes, header.shape)) return;
    if (sizes.size() <= size_t{Shape::kMaxRank}) wrong("a shape that memory can hold");
    header.unreadable = "has " + std::to_string(sizes.size()) + " axes, want at most " +
                        std::to_string(Shape::kMaxRank) + ": reshape it in NumPy";
  }
  void descr(NpyHeader& header) {
    if (peek() == '[') {
      skip_list();
      header.unreadable = "has a structured type, want numbers: save each field by itself";
      return;
    }
    std::string_view type = string();
    const std::string quoted = in_quotes(type);
    header.big_endian = type.starts_with('>');
    if (!type.empty() && std::string_view("<>|=").find(type[0]) != std::string_view::npos) {
      type.remove_prefix(1);
    }
    for (const auto& [name, dtype] : kTypes) {
      if (name != type) continue;
      header.dtype = dtype;
      return;
    }
    const char kind = type.empty() ? '\0' : type[0];
    header.unreadable = "has type " + quoted;
    header.unreadable += kind == 'O'   ? ", objects in a pickle, want numbers: convert it in NumPy"
                         : kind == 'c' ? ", want real numbers: save x.real and x.imag"
                         : kind == 'V' ? ", which NumPy itself does not know (bfloat16?), want "
                                         "numbers: save x.astype('float32')"
                                       : ", want numbers: save x.astype('float32')";
  }
  // Lists may be nested, but hold no brackets outside of strings that do not belong to them.
  void skip_list() {
    int64_t depth = 0;
    do {
      const char c = peek();
      if (c == '\0') wrong("the end of a list");
      if (c == '\'' || c == '"') {
        string();
        continue;
      }
      if (c == '[' || c == '(') ++depth;
      if (c == ']' || c == ')') --depth;
      ++next_;
    } while (depth > 0);
  }

  const char* op_;
  std::string_view text_;
  uint64_t base_;
  const std::string& where_;
  size_t next_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(const char* op, std::string_view begin, uint64_t size,
                           const std::string& where) {
  constexpr uint64_t kVersionBytes = 2;
  const char* wrong = ": the file is truncated or damaged";
  if (!begin.starts_with(kNpyMagic)) {
    fail(op, where, " does not begin with \\x93NUMPY, want what numpy.save writes", wrong);
  }
  const uint64_t at = kNpyMagic.size() + kVersionBytes;
  const int version = begin.size() > at ? begin[kNpyMagic.size()] : 0;
  const uint64_t length_bytes = version == 1 ? 2 : 4;
  if (begin.size() < at + length_bytes) {
    fail(op, where, " has ", size, " bytes, want a header", wrong);
  }
  if (version < 1 || version > 3) {
    fail(op, where, ": the version of the format is ", version,
         ", want 1, 2 or 3: save it with numpy.save");
  }
  const uint64_t length = version == 1 ? little_endian<uint16_t>(begin.data() + at)
                                       : little_endian<uint32_t>(begin.data() + at);
  NpyHeader header;
  header.bytes = at + length_bytes + length;
  if (header.bytes > begin.size()) {
    fail(op, where, ": the length of the header is ", length, ", want at most ",
         begin.size() - at - length_bytes, wrong);
  }
  Parser(op, begin.substr(at + length_bytes, length), at + length_bytes, where).parse(header);
  if (!header.unreadable.empty()) return header;
  const uint64_t wanted = static_cast<uint64_t>(header.shape.numel()) * size_of(header.dtype);
  if (size - header.bytes != wanted) {
    fail(op, where, " has ", size - header.bytes, " bytes after the header, want ", wanted,
         ", those of shape ", header.shape,
         size - header.bytes < wanted
             ? ": the file is truncated or damaged"
             : ": save several arrays with numpy.savez, not one after the other");
  }
  return header;
}

std::string format_npy_header(DType dtype, const Shape& shape) {
  std::string type = "|b1";
  if (dtype == DType::f32) type = "<f4";
  if (dtype == DType::f64) type = "<f8";
  if (dtype == DType::i64) type = "<i8";
  if (dtype == DType::u8) type = "|u1";
  std::string dict = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (";
  for (const int64_t size : shape) dict += std::to_string(size) + (shape.rank() == 1 ? "," : ", ");
  if (shape.rank() > 1) dict.resize(dict.size() - 2);
  dict += "), }";
  constexpr size_t kAlignment = 64, kPrefixBytes = 10;
  while ((kPrefixBytes + dict.size() + 1) % kAlignment != 0) dict += ' ';
  dict += '\n';
  std::string header(kNpyMagic);
  header += std::string("\1\0", 2);
  append_number(header, static_cast<uint16_t>(dict.size()));
  return header + dict;
}

}  // namespace tern::io
