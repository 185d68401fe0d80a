// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <unordered_set>

#include "../core/error.h"
#include "internal/elements.h"
#include "internal/names.h"
#include "internal/onnx_model.h"
#include "internal/protobuf.h"

namespace tern::io {

namespace {

constexpr char kOp[] = "load_onnx";
constexpr char kRemedy[] = "truncated, damaged, or no ONNX model";
constexpr uint64_t kMostAxes = 64;

struct TypeRow {
  OnnxType type;
  const char* name;
  std::optional<FileDType> stored;
  int field;  // the one that has the elements if raw_data has not
};
constexpr int kFloatData = 4, kInt32Data = 5, kInt64Data = 7, kRawData = 9, kDoubleData = 10,
              kUint64Data = 11;
constexpr TypeRow kTypes[] = {{OnnxType::undefined, "UNDEFINED", std::nullopt, 0},
                              {OnnxType::f32, "FLOAT", FileDType::f32, kFloatData},
                              {OnnxType::u8, "UINT8", FileDType::u8, kInt32Data},
                              {OnnxType::i8, "INT8", FileDType::i8, kInt32Data},
                              {OnnxType::u16, "UINT16", FileDType::u16, kInt32Data},
                              {OnnxType::i16, "INT16", FileDType::i16, kInt32Data},
                              {OnnxType::i32, "INT32", FileDType::i32, kInt32Data},
                              {OnnxType::i64, "INT64", FileDType::i64, kInt64Data},
                              {OnnxType::text, "STRING", std::nullopt, 0},
                              {OnnxType::boolean, "BOOL", FileDType::boolean, kInt32Data},
                              {OnnxType::f16, "FLOAT16", FileDType::f16, kInt32Data},
                              {OnnxType::f64, "DOUBLE", FileDType::f64, kDoubleData},
                              {OnnxType::u32, "UINT32", FileDType::u32, kUint64Data},
                              {OnnxType::u64, "UINT64", FileDType::u64, kUint64Data},
                              {OnnxType::bf16, "BFLOAT16", FileDType::bf16, kInt32Data}};

const TypeRow* row_of(OnnxType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

// The file of external data. Nothing outside of the model's folder is read.
std::string external_path(const ProtoFile& file, const std::string& location, uint64_t position) {
  namespace fs = std::filesystem;
  const fs::path relative(location);
  const bool leaves =
      relative.is_absolute() || std::any_of(relative.begin(), relative.end(),
                                            [](const fs::path& part) { return part == ".."; });
  if (location.empty() || leaves || location.find('\0') != std::string::npos) {
    file.broken(position,
                "external data is in " + in_quotes(location) + ", want a file beside the model");
  }
  const fs::path folder = fs::absolute(fs::path(file.path())).parent_path();
  std::error_code error;
  const fs::path real = fs::canonical(folder / relative, error);
  if (error) {
    fail(kOp, file.path(), ": the external data ", in_quotes(location),
         " is not there: put the file beside the model");
  }
  const fs::path inside = fs::canonical(folder, error);
  if (std::mismatch(inside.begin(), inside.end(), real.begin(), real.end()).first != inside.end()) {
    file.broken(position, "external data is in " + in_quotes(location) +
                              ", which is a link out of the model's folder");
  }
  return real.string();
}

uint64_t whole_number(const ProtoFile& file, const std::string& text, uint64_t position) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    file.broken(position, "a place in external data is " + in_quotes(text) + ", want a number");
  }
  return value;
}

/// A TensorProto as it is described.
struct Described {
  std::string name;
  std::vector<int64_t> dims;
  int64_t type = 0;
  std::optional<ByteRange> raw;
  std::vector<int64_t> integers;
  std::vector<double> reals;
  bool external = false;
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
};

void read_place(const ProtoFile& file, ByteRange range, Described& tensor) {
  ProtoFields fields(file, range);
  std::string key, value;
  while (fields.next()) {
    if (fields.number == 1) key = fields.text();
    if (fields.number == 2) value = fields.text();
  }
  if (key == "location") tensor.location = value;
  if (key == "offset") tensor.offset = whole_number(file, value, range.begin);
  if (key == "length") tensor.length = whole_number(file, value, range.begin);
}

Described describe(const ProtoFile& file, ByteRange range) {
  Described tensor;
  ProtoFields fields(file, range);
  const uint64_t most = range.size();  // a number takes a byte
  while (fields.next()) {
    switch (fields.number) {
      case 1:
        fields.append_integers(tensor.dims, kMostAxes);
        break;
      case 2:
        tensor.type = fields.integer();
        break;
      case 8:
        tensor.name = fields.text();
        break;
      case kRawData:
        tensor.raw = fields.message();
        break;
      case kFloatData:
        fields.append_reals(tensor.reals, most);
        break;
      case kDoubleData:
        fields.append_reals(tensor.reals, most, sizeof(double));
        break;
      case kInt32Data:
      case kInt64Data:
      case kUint64Data:
        fields.append_integers(tensor.integers, most);
        break;
      case 13:
        read_place(file, fields.message(), tensor);
        break;
      case 14:
        tensor.external = fields.integer() == 1;
        break;
      default:
        break;
    }
  }
  return tensor;
}

// The elements' bytes, of fields that have numbers.
std::string bytes_of(const Described& tensor, FileDType dtype, int field) {
  std::string bytes;
  if (field == kFloatData) {
    for (const double value : tensor.reals) append_number(bytes, static_cast<float>(value));
  } else if (field == kDoubleData) {
    for (const double value : tensor.reals) append_number(bytes, value);
  } else {
    for (const int64_t value : tensor.integers) {
      std::string one;
      append_number(one, dtype == FileDType::boolean ? int64_t{value != 0} : value);
      bytes += one.substr(0, size_of(dtype));
    }
  }
  return bytes;
}

OnnxTensor read_tensor(const ProtoFile& file, ByteRange range) {
  const Described described = describe(file, range);
  const std::string what = "tensor " + in_quotes(described.name);
  const TypeRow* row = row_of(static_cast<OnnxType>(described.type));
  if (!row || !row->stored) {
    fail(kOp, file.path(), ": ", what, " at byte ", range.begin, " has type ",
         to_string(static_cast<OnnxType>(described.type)),
         ", want numbers: convert the model to FLOAT");
  }
  const FileDType dtype = *row->stored;
  Shape shape;
  const std::vector<uint64_t> sizes(described.dims.begin(), described.dims.end());
  if (sizes.size() > size_t{Shape::kMaxRank} || !make_shape(sizes, shape)) {
    file.broken(range.begin, what + " has more axes or elements than can be");
  }
  const uint64_t wanted = static_cast<uint64_t>(shape.numel()) * size_of(dtype);
  std::string bytes;
  std::optional<InputFile> beside;
  const InputFile* input = &file.file();
  ByteRange place;
  bool in_file = true;
  if (described.external) {
    beside.emplace(kOp, external_path(file, described.location, range.begin));
    input = &*beside;
    const uint64_t length = described.length.value_or(wanted);
    if (described.offset > input->size() || length > input->size() - described.offset) {
      file.broken(range.begin, what + " ends behind the external data");
    }
    place = {described.offset, described.offset + length};
  } else if (described.raw) {
    place = *described.raw;
  } else {
    bytes = bytes_of(described, dtype, row->field);
    in_file = false;
  }
  const uint64_t there = in_file ? place.size() : bytes.size();
  if (there != wanted) {
    file.broken(range.begin, what + " has " + std::to_string(there) + " bytes, want those of " +
                                 row->name + to_string(shape));
  }
  const Tensor value = empty(shape, loaded_dtype(dtype));
  if (is_stored_as_is(dtype) && in_file && dtype != FileDType::boolean) {
    input->read(place.begin, value.raw_data(), wanted);
  } else {
    if (in_file) {
      bytes.resize(wanted);
      input->read(place.begin, bytes.data(), wanted);
    }
    if (!read_elements(dtype, bytes.data(), row_major_strides(shape), false, value)) {
      file.broken(range.begin, what + " has numbers above 2^63 - 1");
    }
  }
  return {described.name, value};
}

OnnxAttribute read_attribute(const ProtoFile& file, ByteRange range) {
  using Kind = OnnxAttribute::Kind;
  OnnxAttribute attribute{"", Kind::integer};
  std::optional<Kind> kind, found;
  ProtoFields fields(file, range);
  const uint64_t most = range.size();
  std::vector<double> real;
  while (fields.next()) {
    switch (fields.number) {
      case 1:
        attribute.name = fields.text();
        break;
      case 2:
        fields.append_reals(real, 1);
        attribute.real = real.empty() ? 0 : real[0];
        found = Kind::real;
        break;
      case 3:
        attribute.integer = fields.integer();
        found = Kind::integer;
        break;
      case 4:
        attribute.text = fields.text();
        found = Kind::text;
        break;
      case 5:
        attribute.tensor = read_tensor(file, fields.message()).value;
        found = Kind::tensor;
        break;
      case 6:
        found = Kind::graph;
        break;
      case 7:
        fields.append_reals(attribute.reals, most);
        found = Kind::reals;
        break;
      case 8:
        fields.append_integers(attribute.integers, most);
        found = Kind::integers;
        break;
      case 9:
        attribute.texts.push_back(fields.text());
        found = Kind::texts;
        break;
      case 20:
        kind = static_cast<Kind>(fields.integer());
        break;
      default:
        break;
    }
  }
  // Files of IR version 1 do not say the kind.
  attribute.kind = kind.value_or(found.value_or(Kind::integer));
  return attribute;
}

OnnxNode read_node(const ProtoFile& file, ByteRange range) {
  OnnxNode node;
  ProtoFields fields(file, range);
  while (fields.next()) {
    if (fields.number == 1) node.inputs.push_back(fields.text());
    if (fields.number == 2) node.outputs.push_back(fields.text());
    if (fields.number == 3) node.name = fields.text();
    if (fields.number == 4) node.op = fields.text();
    if (fields.number == 5) node.attributes.push_back(read_attribute(file, fields.message()));
    if (fields.number == 7) node.domain = fields.text();
  }
  if (node.domain == "ai.onnx") node.domain.clear();
  if (node.op.empty() || node.outputs.empty()) {
    file.broken(range.begin, "a node has no op_type or no outputs");
  }
  return node;
}

void read_shape(const ProtoFile& file, ByteRange range, OnnxValue& value) {
  value.has_shape = true;
  ProtoFields fields(file, range);
  while (fields.next()) {
    if (fields.number != 1) continue;
    OnnxValue::Dim dim;
    ProtoFields parts(file, fields.message());
    while (parts.next()) {
      if (parts.number == 1) dim.size = parts.integer();
      if (parts.number == 2) dim.name = parts.text();
    }
    value.dims.push_back(dim);
  }
}

OnnxValue read_value(const ProtoFile& file, ByteRange range) {
  OnnxValue value;
  ProtoFields fields(file, range);
  while (fields.next()) {
    if (fields.number == 1) value.name = fields.text();
    if (fields.number != 2) continue;
    ProtoFields type(file, fields.message());
    while (type.next()) {
      if (type.number != 1) continue;
      ProtoFields tensor(file, type.message());
      while (tensor.next()) {
        if (tensor.number == 1) value.type = static_cast<OnnxType>(tensor.integer());
        if (tensor.number == 2) read_shape(file, tensor.message(), value);
      }
    }
  }
  return value;
}

OnnxGraph read_graph(const ProtoFile& file, ByteRange range) {
  OnnxGraph graph;
  ProtoFields fields(file, range);
  while (fields.next()) {
    if (fields.number == 1) graph.nodes.push_back(read_node(file, fields.message()));
    if (fields.number == 2) graph.name = fields.text();
    if (fields.number == 5) graph.initializers.push_back(read_tensor(file, fields.message()));
    if (fields.number == 11) graph.inputs.push_back(read_value(file, fields.message()));
    if (fields.number == 12) graph.outputs.push_back(read_value(file, fields.message()));
    if (fields.number == 15) {
      file.broken(fields.content.begin, "there is a sparse initializer, which Tern does not read");
    }
  }
  return graph;
}

void check_names(const ProtoFile& file, OnnxGraph& graph) {
  std::unordered_set<std::string> known, initialized;
  const auto define = [&](const std::string& name, const std::string& where) {
    if (!is_valid_name(name) || !known.insert(name).second) {
      file.broken(
          0, "(the graph) " + in_quotes(name) + " of " + where + " is defined twice, or no name");
    }
  };
  for (const OnnxTensor& one : graph.initializers) {
    define(one.name, "the initializers");
    initialized.insert(one.name);
  }
  // Before IR version 4, initializers were among the inputs.
  std::erase_if(graph.inputs,
                [&](const OnnxValue& input) { return initialized.contains(input.name); });
  for (const OnnxValue& input : graph.inputs) define(input.name, "the inputs");
  for (const OnnxNode& node : graph.nodes) {
    for (const std::string& input : node.inputs) {
      if (!input.empty() && !known.contains(input)) {
        file.broken(0, "(the graph) " + in_quotes(input) + ", an input of " + node.describe() +
                           ", is not defined before it");
      }
    }
    for (const std::string& output : node.outputs) {
      if (!output.empty()) define(output, node.describe());
    }
  }
  if (graph.outputs.empty()) file.broken(0, "(the graph) there are no outputs");
  for (const OnnxValue& output : graph.outputs) {
    if (!known.contains(output.name)) {
      file.broken(0, "(the graph) the output " + in_quotes(output.name) + " is not defined");
    }
  }
}

}  // namespace

OnnxType onnx_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return OnnxType::f32;
    case DType::f64:
      return OnnxType::f64;
    case DType::bf16:
      return OnnxType::bf16;
    case DType::i64:
      return OnnxType::i64;
    case DType::u8:
      return OnnxType::u8;
    case DType::boolean:
      return OnnxType::boolean;
  }
  return OnnxType::undefined;
}

DType dtype_of(const char* op, OnnxType type) {
  const TypeRow* row = row_of(type);
  if (!row || !row->stored) fail(op, "type ", to_string(type), " is none of Tern's, want numbers");
  return loaded_dtype(*row->stored);
}

std::string to_string(OnnxType type) {
  const TypeRow* row = row_of(type);
  return row ? row->name : std::to_string(static_cast<int64_t>(type));
}

const OnnxAttribute* OnnxNode::find(std::string_view wanted) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [&](const OnnxAttribute& one) { return one.name == wanted; });
  return found == attributes.end() ? nullptr : &*found;
}

std::string OnnxNode::describe() const {
  const std::string& place = !name.empty() || outputs.empty() ? name : outputs[0];
  return op + " node " + in_quotes(place);
}

Tensor read_onnx_tensor(const std::string& path) {
  const InputFile input(kOp, path);
  const ProtoFile file(kOp, input, kRemedy);
  return read_tensor(file, {0, input.size()}).value;
}

OnnxModel read_onnx(const std::string& path) {
  const InputFile input(kOp, path);
  const ProtoFile file(kOp, input, kRemedy);
  OnnxModel model;
  model.ir_version = model.opset = 0;
  bool has_graph = false;
  ProtoFields fields(file, {0, input.size()});
  while (fields.next()) {
    if (fields.number == 1) model.ir_version = fields.integer();
    if (fields.number == 7) {
      model.graph = read_graph(file, fields.message());
      has_graph = true;
    }
    if (fields.number != 8) continue;
    ProtoFields opset(file, fields.message());
    std::string domain;
    int64_t version = 0;
    while (opset.next()) {
      if (opset.number == 1) domain = opset.text();
      if (opset.number == 2) version = opset.integer();
    }
    if (domain.empty() || domain == "ai.onnx") model.opset = version;
  }
  if (!has_graph || model.ir_version < 1) file.broken(0, "there is no graph");
  if (model.opset == 0) model.opset = 1;
  check_names(file, model.graph);
  return model;
}

}  // namespace tern::io
