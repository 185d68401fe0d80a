// SPDX-License-Identifier: Apache-2.0
// What an ONNX file holds (onnx/onnx.proto), as far as Tern writes and reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../../core/tensor.h"

namespace tern::io {

/// TensorProto.DataType
enum class OnnxType : int64_t {
  undefined = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  text = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  bf16 = 16
};

/// The type of Tern's elements in files.
OnnxType onnx_type(DType dtype);
/// The dtype that tensors of a type have in Tern: f32 for f16 and bf16, i64 for the integers
/// besides u8. Throws Error for types that Tern has no dtype for.
DType dtype_of(const char* op, OnnxType type);
/// "FLOAT", "INT32"; the number of one that is not known.
std::string to_string(OnnxType type);

/// An initializer, or a tensor among the attributes.
struct OnnxTensor {
  std::string name = {};
  Tensor value = {};
};

struct OnnxGraph;

/// An attribute of a node; `kind` says which member holds its value.
struct OnnxAttribute {
  enum class Kind : int64_t {
    real = 1,
    integer = 2,
    text = 3,
    tensor = 4,
    graph = 5,
    reals = 6,
    integers = 7,
    texts = 8
  };
  std::string name;
  Kind kind = Kind::integer;
  double real = 0;
  int64_t integer = 0;
  std::string text = {};
  Tensor tensor = {};
  std::vector<double> reals = {};
  std::vector<int64_t> integers = {};
  std::vector<std::string> texts = {};
};

struct OnnxNode {
  std::string op = {};      ///< "Conv"
  std::string domain = {};  ///< "" is ONNX's own
  std::string name = {};
  std::vector<std::string> inputs = {};  ///< an absent optional one is ""
  std::vector<std::string> outputs = {};
  std::vector<OnnxAttribute> attributes = {};

  /// The attribute of that name, or null.
  const OnnxAttribute* find(std::string_view wanted) const;
  /// "Conv node \"/conv/Conv\"", for messages.
  std::string describe() const;
};

/// The type of an input or an output of the graph.
struct OnnxValue {
  struct Dim {
    int64_t size = -1;      ///< -1: not known
    std::string name = {};  ///< "batch"
  };
  std::string name = {};
  OnnxType type = OnnxType::undefined;
  bool has_shape = false;
  std::vector<Dim> dims = {};
};

struct OnnxGraph {
  std::string name = {};
  std::vector<OnnxNode> nodes = {};
  std::vector<OnnxTensor> initializers = {};
  std::vector<OnnxValue> inputs = {};
  std::vector<OnnxValue> outputs = {};
};

struct OnnxModel {
  int64_t ir_version = 8;
  int64_t opset = 17;
  OnnxGraph graph = {};
};

/// Writes the model; the same model gives the same bytes.
void write_onnx(const OnnxModel& model, const std::string& path);
/// Reads a file, and checks that it is well-formed: names are defined once and before they are
/// used, tensors have the bytes that their sizes take.
OnnxModel read_onnx(const std::string& path);
/// Reads a tensor in a file of its own (TensorProto), as ONNX's test data are.
Tensor read_onnx_tensor(const std::string& path);

}  // namespace tern::io
