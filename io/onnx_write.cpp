// SPDX-License-Identifier: Apache-2.0
#include "../core/error.h"
#include "../core/version.h"
#include "internal/atomic_file.h"
#include "internal/onnx_model.h"
#include "internal/protobuf.h"

namespace tern::io {

namespace {

constexpr char kOp[] = "save_onnx";

size_t bytes_of(const Tensor& x) { return static_cast<size_t>(x.numel()) * size_of(x.dtype()); }

// All of a TensorProto but its elements, which follow it.
ProtoMessage head_of(const std::string& name, const Tensor& x) {
  ProtoMessage head;
  for (const int64_t size : x.shape()) head.number(1, size);
  head.number(2, static_cast<int64_t>(onnx_type(x.dtype())));
  if (!name.empty()) head.bytes(8, name);
  head.bytes_to_come(9, bytes_of(x));
  return head;
}

std::string attribute_bytes(const OnnxAttribute& attribute) {
  using Kind = OnnxAttribute::Kind;
  ProtoMessage message;
  message.bytes(1, attribute.name);
  if (attribute.kind == Kind::real) message.real(2, static_cast<float>(attribute.real));
  if (attribute.kind == Kind::integer) message.number(3, attribute.integer);
  if (attribute.kind == Kind::text) message.bytes(4, attribute.text);
  if (attribute.kind == Kind::tensor) {
    const Tensor& x = attribute.tensor;
    std::string bytes = head_of("", x).str();
    bytes.append(static_cast<const char*>(x.raw_data()), bytes_of(x));
    message.bytes(5, bytes);
  }
  for (const double number : attribute.reals) message.real(7, static_cast<float>(number));
  for (const int64_t number : attribute.integers) message.number(8, number);
  for (const std::string& text : attribute.texts) message.bytes(9, text);
  message.number(20, static_cast<int64_t>(attribute.kind));
  return message.str();
}

std::string node_bytes(const OnnxNode& node) {
  ProtoMessage message;
  for (const std::string& input : node.inputs) message.bytes(1, input);
  for (const std::string& output : node.outputs) message.bytes(2, output);
  message.bytes(3, node.name);
  message.bytes(4, node.op);
  for (const OnnxAttribute& attribute : node.attributes) {
    message.bytes(5, attribute_bytes(attribute));
  }
  return message.str();
}

std::string value_bytes(const OnnxValue& value) {
  ProtoMessage shape;
  for (const OnnxValue::Dim& dim : value.dims) {
    ProtoMessage one;
    if (dim.size >= 0) one.number(1, dim.size);
    if (!dim.name.empty()) one.bytes(2, dim.name);
    shape.bytes(1, one.str());
  }
  ProtoMessage tensor, type, message;
  tensor.number(1, static_cast<int64_t>(value.type));
  tensor.bytes(2, shape.str());
  type.bytes(1, tensor.str());
  message.bytes(1, value.name);
  message.bytes(2, type.str());
  return message.str();
}

}  // namespace

void write_onnx(const OnnxModel& model, const std::string& path) {
  ProtoMessage nodes, values;
  for (const OnnxNode& node : model.graph.nodes) nodes.bytes(1, node_bytes(node));
  nodes.bytes(2, model.graph.name);
  for (const OnnxValue& value : model.graph.inputs) values.bytes(11, value_bytes(value));
  for (const OnnxValue& value : model.graph.outputs) values.bytes(12, value_bytes(value));

  std::vector<std::string> heads;  // of initializers, with the field's own
  uint64_t size = nodes.str().size() + values.str().size();
  for (const auto& [name, value] : model.graph.initializers) {
    const std::string head = head_of(name, value).str();
    ProtoMessage field;
    field.bytes_to_come(5, head.size() + bytes_of(value));
    heads.push_back(field.str() + head);
    size += heads.back().size() + bytes_of(value);
  }
  ProtoMessage opset, file;
  opset.bytes(1, "");
  opset.number(2, model.opset);
  file.number(1, model.ir_version);
  file.bytes(2, "tern");
  file.bytes(3, kVersion);
  file.bytes(8, opset.str());
  file.bytes_to_come(7, size);
  constexpr uint64_t kMost = (uint64_t{1} << 31) - 1;
  if (size + file.str().size() > kMost) {
    fail(kOp, path, " would have ", size + file.str().size(),
         " bytes, want less than 2 GiB, protobuf's limit: save the weights with "
         "save_safetensors, or export a part of the net");
  }

  AtomicFile out(kOp, path);
  const auto write = [&](const std::string& bytes) { out.write(bytes.data(), bytes.size()); };
  write(file.str());
  write(nodes.str());
  for (size_t i = 0; i < heads.size(); ++i) {
    const Tensor& value = model.graph.initializers[i].value;
    write(heads[i]);
    out.write(value.raw_data(), bytes_of(value));
  }
  write(values.str());
  out.commit();
}

}  // namespace tern::io
