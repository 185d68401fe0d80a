// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "../core/error.h"
#include "internal/safetensors_header.h"

namespace tern::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kOp[] = "load_safetensors";

/// Receives the parser's events: {"metadata": {...}, "weight_map": {"tensor": "file"}}.
class IndexReader final : public Json::json_sax_t {
 public:
  std::vector<std::pair<std::string, std::string>> weights;
  std::string mistake;
  bool found = false;

  bool start_object(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return inside_ ? other() : open(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    key_ = name;
    if (depth_ == 1) {
      inside_ = name == "weight_map";
      found = found || inside_;
    }
    return true;
  }
  bool string(std::string& value) override {
    if (!inside_) return true;
    if (depth_ != 2) return other();
    weights.emplace_back(key_, value);
    return true;
  }
  bool number_unsigned(uint64_t) override { return other(); }
  bool number_integer(int64_t) override { return other(); }
  bool number_float(double, const std::string&) override { return other(); }
  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool binary(Json::binary_t&) override { return other(); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    mistake = "it is not valid JSON at byte " + std::to_string(position);
    return false;
  }

 private:
  bool open() {
    ++depth_;
    return depth_ <= 2 || other();
  }
  bool close() {
    --depth_;
    return true;
  }
  // What only metadata may hold.
  bool other() {
    if (inside_) mistake = "weight_map has no name of a file at " + in_quotes(key_);
    return !inside_;
  }

  int64_t depth_ = 0;
  bool inside_ = false;
  std::string key_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view json,
                                                                         const std::string& path) {
  IndexReader reader;
  Json::json_sax_t* events = &reader;
  const bool good = json.find('\0') == std::string_view::npos &&
                    Json::sax_parse(json.begin(), json.end(), events);
  if (!good || !reader.found) {
    fail(kOp, path, " is not an index of safetensors files: ",
         !reader.mistake.empty() ? reader.mistake : "it has no weight_map");
  }
  for (const auto& [name, file] : reader.weights) {
    if (!is_valid_name(name) || !is_valid_name(file) || file.empty() || file == "." ||
        file == ".." || file.find('/') != std::string::npos) {
      fail(kOp, path, ": ", in_quotes(name), " is in ", in_quotes(file),
           ", want the name of a file beside the index: the index is damaged or hostile");
    }
  }
  return std::move(reader.weights);
}

}  // namespace tern::io
