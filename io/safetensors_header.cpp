// SPDX-License-Identifier: Apache-2.0
#include "internal/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "../core/error.h"

namespace tern::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kOp[] = "load_safetensors";

constexpr std::array<std::pair<std::string_view, FileDType>, 13> kDTypes = {
    {{"F64", FileDType::f64},
     {"F32", FileDType::f32},
     {"F16", FileDType::f16},
     {"BF16", FileDType::bf16},
     {"I64", FileDType::i64},
     {"I32", FileDType::i32},
     {"I16", FileDType::i16},
     {"I8", FileDType::i8},
     {"U64", FileDType::u64},
     {"U32", FileDType::u32},
     {"U16", FileDType::u16},
     {"U8", FileDType::u8},
     {"BOOL", FileDType::boolean}}};

/// Receives the parser's events and stops at the first unexpected one, so that a hostile header
/// costs no more memory than its own size.
class Reader final : public Json::json_sax_t {
 public:
  SafetensorsHeader header;
  std::string mistake;

  bool start_object(std::size_t) override {
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

  bool key(std::string& name) override {
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
                     ", which is not part of the format");
    }
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      for (size_t i = 0; i < kKeys.size(); ++i) {
        if (!seen_[i]) return wrong(in_quotes(entry_.name) + " has no " + kKeys[i]);
      }
      header.tensors.push_back(std::move(entry_));
    }
    place_ = place_ == Place::top ? Place::end : Place::top;
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header.metadata.emplace(key_, std::move(value));
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") return unexpected("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") return unexpected("an array");
    place_ = Place::array;
    numbers_.clear();
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (place_ != Place::array) return unexpected("a number");
    const size_t most = key_ == "shape" ? size_t{Shape::kMaxRank} : 2;
    if (numbers_.size() == most) {
      return wrong(key_ + " of " + in_quotes(entry_.name) + " has more than " +
                   std::to_string(most) + " numbers");
    }
    numbers_.push_back(value);
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    if (key_ == "shape") return take_shape();
    if (numbers_.size() != 2)
      return wrong("data_offsets of " + in_quotes(entry_.name) + " has fewer than 2 numbers");
    entry_.begin = numbers_[0];
    entry_.end = numbers_[1];
    return true;
  }

  bool number_integer(int64_t) override { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) override {
    return unexpected("a number that is not an integer of 64 bits");
  }
  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool binary(Json::binary_t&) override { return unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
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
    if (place_ == Place::start) return wrong(std::string("it is ") + what + ", want an object");
    return wrong(std::string("there is ") + what + " in the wrong place, at " + in_quotes(key_));
  }

  bool take_shape() {
    if (!make_shape(numbers_, entry_.shape)) {
      return wrong("the shape of " + in_quotes(entry_.name) + " is too large");
    }
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
    const std::optional<FileDType> dtype = safetensors_dtype(t.dtype);
    if (t.begin > t.end || t.end > data_bytes) {
      fail(kOp, path, ": tensor ", in_quotes(t.name), " is at bytes ", t.begin, " to ", t.end,
           ", want at most ", data_bytes,
           ", the bytes of data: the file is truncated, or its header is wrong");
    }
    const auto numel = static_cast<uint64_t>(t.shape.numel());
    // Division, because the product might overflow. How large other dtypes are is not known.
    const uint64_t element = dtype ? size_of(*dtype) : 0;
    if (dtype && ((t.end - t.begin) % element != 0 || (t.end - t.begin) / element != numel)) {
      fail(kOp, path, ": tensor ", in_quotes(t.name), " has ", t.end - t.begin,
           " bytes, want those of ", t.dtype, " with shape ", t.shape);
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
           " of the data, want ", covered, ", where the one before ends: tensors ",
           t->begin < covered ? "overlap" : "leave a hole");
    }
    covered = t->end;
  }
  if (covered != data_bytes) {
    fail(kOp, path, ": ", data_bytes - covered, " bytes after the last tensor belong to no tensor");
  }
}

}  // namespace

std::optional<FileDType> safetensors_dtype(std::string_view name) {
  for (const auto& [known, dtype] : kDTypes) {
    if (known == name) return dtype;
  }
  return std::nullopt;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path) {
  if (json.empty() || json.front() != '{') {
    fail(kOp, path, ": the header does not begin with '{': it is not a safetensors file");
  }
  // The parser would take a NUL byte for the end of the text.
  if (json.find('\0') != std::string_view::npos) {
    fail(kOp, path, ": the header is wrong: it contains a NUL byte");
  }
  Reader reader;
  Json::json_sax_t* events = &reader;  // so that the parser is there once for both readers
  if (!Json::sax_parse(json.begin(), json.end(), events)) {
    fail(kOp, path, ": the header is wrong: ", reader.mistake);
  }
  check_layout(reader.header.tensors, data_bytes, path);
  return std::move(reader.header);
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  Json json = Json::object();
  if (!header.metadata.empty()) json[std::string(kMetadataName)] = header.metadata;
  for (const TensorEntry& t : header.tensors) {
    Json entry;
    entry["dtype"] = t.dtype;
    entry["shape"] = std::vector<int64_t>(t.shape.begin(), t.shape.end());
    entry["data_offsets"] = {t.begin, t.end};
    // operator[] searches linearly, which would make large dicts quadratic.
    json.get_ref<Json::object_t&>().emplace_back(t.name, std::move(entry));
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::exception&) {
    fail("save_safetensors", "a name or the metadata is invalid, want UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace tern::io
