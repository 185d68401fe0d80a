// SPDX-License-Identifier: Apache-2.0
#include "mindspore.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "../core/error.h"
#include "../core/internal/resources.h"
#include "internal/elements.h"
#include "internal/input_file.h"
#include "internal/names.h"
#include "internal/protobuf.h"

// The format: mindspore/ccsrc/utils/checkpoint.proto, in protobuf's wire format:
//   Checkpoint { repeated Value value = 1 }   Value { string tag = 1; TensorProto tensor = 2 }
//   TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }
// Tensors of more than 512 MB come in several values of the same tag.
namespace tern::io {
namespace {

constexpr char kOp[] = "load_mindspore";
constexpr std::string_view kCrcMark = "crc_num";
constexpr uint64_t kCrcBytes = 10;  // big-endian
constexpr uint64_t kPiece = 1 << 16;

constexpr std::array<std::pair<std::string_view, FileDType>, 13> kTypes = {
    {{"float64", FileDType::f64},
     {"float32", FileDType::f32},
     {"float16", FileDType::f16},
     {"bfloat16", FileDType::bf16},
     {"int64", FileDType::i64},
     {"int32", FileDType::i32},
     {"int16", FileDType::i16},
     {"int8", FileDType::i8},
     {"uint64", FileDType::u64},
     {"uint32", FileDType::u32},
     {"uint16", FileDType::u16},
     {"uint8", FileDType::u8},
     {"bool", FileDType::boolean}}};

constexpr char kRemedy[] = "truncated, damaged, encrypted, or not a checkpoint of MindSpore";

/// A value, or consecutive ones of the same tag.
struct Value {
  std::string tag;
  std::vector<int64_t> dims;
  std::string type;
  std::vector<ByteRange> content;
  uint64_t position = 0;

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const ByteRange& part : content) sum += part.size();
    return sum;
  }
};

void read_tensor_proto(const ProtoFile& file, ByteRange range, Value& value) {
  ProtoFields fields(file, range);
  constexpr uint64_t kMostAxes = 64;
  while (fields.next()) {
    if (fields.number == 1) {
      fields.append_integers(value.dims, kMostAxes);
    } else if (fields.number == 2) {
      value.type = fields.text();
    } else if (fields.number == 3) {
      value.content.push_back(fields.message());
    }
  }
}

Value read_value(const ProtoFile& file, ByteRange range) {
  Value value;
  value.position = range.begin;
  bool has_tensor = false, has_map = false;
  ProtoFields fields(file, range);
  while (fields.next()) {
    if (fields.number == 1) value.tag = fields.text();
    has_map = has_map || fields.number == 3;
    if (fields.number != 2) continue;
    has_tensor = true;
    read_tensor_proto(file, fields.message(), value);
  }
  if (has_map) {
    fail(kOp, file.path(), ": ", in_quotes(value.tag), " at byte ", range.begin,
         " is a map parameter, want tensors: save the net without it");
  }
  if (value.tag.empty() || !has_tensor) file.broken(range.begin, "a value has no tag or tensor");
  if (!is_valid_name(value.tag)) file.broken(range.begin, "a tag has control characters");
  return value;
}

// Where the messages end: a checksum may follow them.
uint64_t check_crc(const InputFile& file) {
  constexpr uint64_t kTrailer = kCrcMark.size() + kCrcBytes;
  if (file.size() < kTrailer) return file.size();
  const uint64_t end = file.size() - kTrailer;
  std::string trailer(kTrailer, '\0');
  file.read(end, trailer.data(), kTrailer);
  if (!trailer.starts_with(kCrcMark)) return file.size();
  uint64_t wanted = 0;
  for (size_t i = kCrcMark.size(); i < kTrailer; ++i) {
    wanted = wanted << 8 | static_cast<unsigned char>(trailer[i]);
  }
  uLong crc = 0;
  std::string piece(std::min(end, kPiece), '\0');
  for (uint64_t at = 0; at < end; at += piece.size()) {
    const uint64_t count = std::min<uint64_t>(end - at, piece.size());
    file.read(at, piece.data(), count);
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(piece.data()), count);
  }
  if (crc != wanted) {
    fail(kOp, file.path(), ": the checksum at byte ", end, " is ", wanted, ", that of the file ",
         crc, ": the file is damaged");
  }
  return end;
}

std::vector<Value> read_values(const ProtoFile& file) {
  std::vector<Value> values;
  ProtoFields fields(file, {0, check_crc(file.file())});
  while (fields.next()) {
    if (fields.number != 1) {
      file.broken(fields.content.begin, "there is a field that no checkpoint has");
    }
    Value value = read_value(file, fields.message());
    Value* last = values.empty() ? nullptr : &values.back();
    if (last && last->tag == value.tag && last->dims == value.dims && last->type == value.type) {
      last->content.insert(last->content.end(), value.content.begin(), value.content.end());
    } else {
      values.push_back(std::move(value));
    }
  }
  return values;
}

// Undefined, with the reason, for what is no tensor of Tern's.
Tensor read_tensor(const ProtoFile& proto, const Value& value, std::string& refused) {
  const InputFile& file = proto.file();
  std::string_view type = value.type;
  constexpr std::string_view kModule = "mindspore.";
  if (type.starts_with(kModule)) type.remove_prefix(kModule.size());
  std::string lower(type);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto* known = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const auto& each) { return each.first == lower; });
  if (known == kTypes.end()) {
    refused = " has type " + in_quotes(value.type) + ", want numbers: convert it to Float32";
    return {};
  }
  const FileDType dtype = known->second;
  const uint64_t bytes = value.bytes();
  // A scalar's dims are none, or 0.
  const bool scalar = value.dims == std::vector<int64_t>{0} && bytes == size_of(dtype);
  Shape shape;
  if (!scalar && value.dims.size() > size_t{Shape::kMaxRank}) {
    refused = " has " + std::to_string(value.dims.size()) + " axes, want at most " +
              std::to_string(Shape::kMaxRank) + ": reshape it before it is saved";
    return {};
  }
  const std::vector<uint64_t> sizes(value.dims.begin(), value.dims.end());
  if (!scalar && !make_shape(sizes, shape)) {
    proto.broken(value.position, "a tensor is larger than any memory");
  }
  if (static_cast<uint64_t>(shape.numel()) * size_of(dtype) != bytes) {
    fail(kOp, file.path(), ": ", in_quotes(value.tag), " at byte ", value.position, " has ", bytes,
         " bytes, want those of ", value.type, " with shape ", shape,
         ": the file is truncated or damaged");
  }
  const Tensor x = empty(shape, loaded_dtype(dtype));
  std::string buffer(is_stored_as_is(dtype) ? 0 : bytes, '\0');
  char* to = is_stored_as_is(dtype) ? static_cast<char*>(x.raw_data()) : buffer.data();
  for (const ByteRange& part : value.content) {
    file.read(part.begin, to, part.end - part.begin);
    to += part.end - part.begin;
  }
  if (is_stored_as_is(dtype) ||
      read_elements(dtype, buffer.data(), row_major_strides(shape), false, x)) {
    return x;
  }
  refused = " has numbers above 2^63 - 1, want ones that fit i64";
  return {};
}

bool is_optimizer_state(const std::string& name, const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 14> kNumbers = {"learning_rate",
                                                         "momentum",
                                                         "global_step",
                                                         "epoch_num",
                                                         "step_num",
                                                         "beta1_power",
                                                         "beta2_power",
                                                         "scale_sense",
                                                         "loss_scale",
                                                         "current_iterator_step",
                                                         "last_overflow_iterator_step",
                                                         "weight_decay",
                                                         "dampening",
                                                         "batch_num"};
  if (std::find(kNumbers.begin(), kNumbers.end(), name) != kNumbers.end()) return true;
  const size_t dot = name.find('.');
  return dot != std::string::npos &&
         std::binary_search(names.begin(), names.end(), name.substr(dot + 1));
}

StateDict load(const std::string& path, bool optimizer_state) {
  const InputFile input(kOp, path);
  const ProtoFile file(kOp, input, kRemedy);
  const std::vector<Value> values = read_values(file);
  if (values.empty()) file.broken(0, "there is nothing");
  std::vector<std::string> names;
  for (const Value& value : values) names.push_back(value.tag);
  std::sort(names.begin(), names.end());
  StateDict dict;
  for (const Value& value : values) {
    const std::string what = path + ": " + in_quotes(value.tag);
    if (!optimizer_state && is_optimizer_state(value.tag, names)) {
      dict.refuse(value.tag, what + " is the optimizer's: load it with {.optimizer_state = true}");
      continue;
    }
    std::string refused;
    const Tensor x = read_tensor(file, value, refused);
    if (!refused.empty()) {
      dict.refuse(value.tag, what + refused);
      continue;
    }
    if (dict.contains(value.tag)) {
      fail(kOp, what, " at byte ", value.position, " occurs twice: the file is damaged");
    }
    dict.insert(value.tag, x);
  }
  return dict;
}

}  // namespace

StateDict load_mindspore(const std::string& path, const LoadMindsporeOptions& options) {
  return with_resources(kOp, [&] { return load(path, options.optimizer_state); });
}

}  // namespace tern::io
