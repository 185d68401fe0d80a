// SPDX-License-Identifier: Apache-2.0
#include "safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "../core/error.h"

namespace tern::io {
namespace {

constexpr char kOp[] = "load_safetensors";

constexpr std::array<std::pair<std::string_view, uint64_t>, 11> kDTypes = {{{"F64", 8},
                                                                            {"F32", 4},
                                                                            {"F16", 2},
                                                                            {"BF16", 2},
                                                                            {"I64", 8},
                                                                            {"I32", 4},
                                                                            {"I16", 2},
                                                                            {"I8", 1},
                                                                            {"U32", 4},
                                                                            {"U16", 2},
                                                                            {"U8", 1}}};

/// Takes the header from the parser piece by piece and stops at the first thing that does not
/// belong there, so that a hostile header costs no more memory than its own size.
class Reader {
 public:
  using Json = nlohmann::json;

  SafetensorsHeader header;
  std::string mistake;

  bool start_object(std::size_t) {
    if (place_ == Place::start) {
      place_ = Place::top;
      return true;
    }
    if (place_ != Place::top) return unexpected("an object");
    if (key_ == kMetadataName) {
      place_ = Place::metadata;
      return true;
    }
    place_ = Place::tensor;
    entry_ = {};
    entry_.name = key_;
    seen_ = {};
    return true;
  }

  bool key(std::string& name) {
    key_ = name;
    switch (place_) {
      case Place::top:
        if (!names_.insert(name).second)
          return wrong("the name " + in_quotes(name) + " occurs twice");
        if (name != kMetadataName && !is_valid_name(name)) {
          return wrong("the name " + in_quotes(name) + " has control characters or is too long");
        }
        return true;
      case Place::metadata:
        if (header.metadata.contains(name)) {
          return wrong("the metadata " + in_quotes(name) + " occurs twice");
        }
        return true;
      default:
        for (size_t i = 0; i < kKeys.size(); ++i) {
          if (name != kKeys[i]) continue;
          if (seen_[i])
            return wrong(in_quotes(name) + " occurs twice in " + in_quotes(entry_.name));
          seen_[i] = true;
          return true;
        }
        return wrong(in_quotes(entry_.name) + " has " + in_quotes(name) +
                     ", which the format does not know");
    }
  }

  bool end_object() {
    if (place_ == Place::tensor) {
      for (size_t i = 0; i < kKeys.size(); ++i) {
        if (!seen_[i]) return wrong(in_quotes(entry_.name) + " lacks " + kKeys[i]);
      }
      header.tensors.push_back(std::move(entry_));
    }
    place_ = place_ == Place::top ? Place::end : Place::top;
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata) {
      header.metadata.emplace(key_, std::move(value));
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") return unexpected("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool start_array(std::size_t) {
    if (place_ != Place::tensor || key_ == "dtype") return unexpected("an array");
    place_ = Place::array;
    numbers_.clear();
    return true;
  }

  bool number_unsigned(uint64_t value) {
    if (place_ != Place::array) return unexpected("a number");
    const size_t most = key_ == "shape" ? size_t{Shape::kMaxRank} : 2;
    if (numbers_.size() == most) {
      return wrong(key_ + " of " + in_quotes(entry_.name) + " has more than " +
                   std::to_string(most) + " numbers");
    }
    numbers_.push_back(value);
    return true;
  }

  bool end_array() {
    place_ = Place::tensor;
    if (key_ == "shape") return take_shape();
    if (numbers_.size() != 2)
      return wrong("data_offsets of " + in_quotes(entry_.name) + " are not two");
    entry_.begin = numbers_[0];
    entry_.end = numbers_[1];
    return true;
  }

  bool number_integer(int64_t) { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) {
    return unexpected("a number that is not an integer of 64 bits");
  }
  bool null() { return unexpected("null"); }
  bool boolean(bool) { return unexpected("a boolean"); }
  bool binary(Json::binary_t&) { return unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return wrong("it is not valid JSON at byte " + std::to_string(position));
  }

 private:
  enum class Place : uint8_t { start, top, metadata, tensor, array, end };
  static constexpr std::array<const char*, 3> kKeys = {"dtype", "shape", "data_offsets"};

  bool wrong(std::string what) {
    mistake = std::move(what);
    return false;
  }
  bool unexpected(const char* what) {
    if (place_ == Place::start) return wrong(std::string("it is ") + what + ", not an object");
    return wrong(std::string("there is ") + what + " where it does not belong, at " +
                 in_quotes(key_));
  }

  bool take_shape() {
    constexpr uint64_t kMost = uint64_t{1} << 62;
    std::vector<int64_t> sizes;
    uint64_t product = 1;
    for (const uint64_t size : numbers_) {
      // Zeros count as ones here: no part of the product may overflow.
      if (size > kMost || product > kMost / std::max<uint64_t>(size, 1)) {
        return wrong("the shape of " + in_quotes(entry_.name) + " is too large");
      }
      product *= std::max<uint64_t>(size, 1);
      sizes.push_back(static_cast<int64_t>(size));
    }
    entry_.shape = Shape(sizes);
    return true;
  }

  Place place_ = Place::start;
  std::string key_;
  std::set<std::string> names_;
  TensorEntry entry_;
  std::array<bool, kKeys.size()> seen_ = {};
  std::vector<uint64_t> numbers_;
};

void check_layout(const std::vector<TensorEntry>& tensors, uint64_t data_bytes,
                  const std::string& path) {
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& t : tensors) {
    const uint64_t element = bytes_of_safetensors_dtype(t.dtype);
    if (element == 0) {
      fail(kOp, path, ": tensor ", in_quotes(t.name), " has dtype ", in_quotes(t.dtype),
           ", which Tern does not read: convert it to F32");
    }
    if (t.begin > t.end || t.end > data_bytes) {
      fail(kOp, path, ": tensor ", in_quotes(t.name), " is said to lie at bytes ", t.begin, " to ",
           t.end, ", the file has ", data_bytes,
           " bytes of data: it is truncated, or its header is wrong");
    }
    const auto numel = static_cast<uint64_t>(t.shape.numel());
    // Division, because the product might overflow.
    if ((t.end - t.begin) % element != 0 || (t.end - t.begin) / element != numel) {
      fail(kOp, path, ": tensor ", in_quotes(t.name), " has ", t.end - t.begin, " bytes, ", t.dtype,
           " of shape ", t.shape, " takes another number");
    }
    order.push_back(&t);
  }
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return std::tie(a->begin, a->end) < std::tie(b->begin, b->end);
  });
  uint64_t covered = 0;
  for (const TensorEntry* t : order) {
    if (t->begin != covered) {
      fail(kOp, path, ": tensor ", in_quotes(t->name), " begins at byte ", t->begin,
           " of the data, the one before ends at ", covered, ": tensors ",
           t->begin < covered ? "overlap" : "leave a hole");
    }
    covered = t->end;
  }
  if (covered != data_bytes) {
    fail(kOp, path, ": ", data_bytes - covered, " bytes after the last tensor belong to none");
  }
}

}  // namespace

uint64_t bytes_of_safetensors_dtype(std::string_view dtype) {
  if (dtype == "BOOL") return 1;
  for (const auto& [name, bytes] : kDTypes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

bool is_valid_name(std::string_view name) {
  if (name.size() > kMaxNameBytes || name == kMetadataName) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return code < 0x20 || code == 0x7f;
  });
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string result = "'";
  for (const char c : text.substr(0, kMost)) {
    const auto code = static_cast<unsigned char>(c);
    result += code < 0x20 || code == 0x7f ? '?' : c;
  }
  return result + (text.size() > kMost ? "...'" : "'");
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path) {
  if (json.empty() || json.front() != '{') {
    fail(kOp, path, ": the header does not begin with '{': this is not a safetensors file");
  }
  Reader reader;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    fail(kOp, path, ": the header is wrong: ", reader.mistake);
  }
  check_layout(reader.header.tensors, data_bytes, path);
  return std::move(reader.header);
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) json[std::string(kMetadataName)] = header.metadata;
  for (const TensorEntry& t : header.tensors) {
    nlohmann::ordered_json entry;
    entry["dtype"] = t.dtype;
    entry["shape"] = std::vector<int64_t>(t.shape.begin(), t.shape.end());
    entry["data_offsets"] = {t.begin, t.end};
    // A linear search for every name would make big dicts quadratic.
    json.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(t.name, std::move(entry));
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception&) {
    fail("save_safetensors", "a name or the metadata is not valid UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace tern::io
