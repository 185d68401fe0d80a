// SPDX-License-Identifier: Apache-2.0
// From operations to ONNX's nodes.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "onnx_model.h"
#include "onnx_trace.h"

namespace tern::io {

/// A size with each of the two batches of a trace.
struct TracedSize {
  int64_t first = 0, second = 0;

  bool varies() const { return first != second; }
  bool operator==(const TracedSize& other) const = default;
};
using TracedSizes = std::vector<TracedSize>;

/// @name Attributes
/// @{
OnnxAttribute attribute(const char* name, int64_t value);
OnnxAttribute attribute(const char* name, double value);
OnnxAttribute attribute(const char* name, const char* value);
OnnxAttribute attribute(const char* name, std::vector<int64_t> value);
/// @}

class OnnxEmitter;

/// One operation, as what emits its nodes sees it. Whatever must not depend on the batch size
/// throws Error if it does.
class OnnxCall {
 public:
  OnnxCall(OnnxEmitter& emitter, const TraceOp& op, const TraceOp& other)
      : emitter_(emitter), op_(op), other_(other) {}

  /// @name The operation
  /// @{
  const std::string& op() const { return op_.call.name; }
  size_t inputs() const { return op_.inputs.size(); }
  size_t results() const { return op_.results.size(); }
  bool has(size_t input) const { return input < inputs() && op_.inputs[input] >= 0; }
  bool has_attribute(const char* name) const;
  DType dtype(size_t input) const { return input_tensor(input).dtype(); }
  DType result_dtype(size_t result = 0) const;
  int64_t rank(size_t input) const { return input_tensor(input).dim(); }
  TracedSizes sizes(size_t input) const;
  TracedSizes result_sizes(size_t result = 0) const;
  /// Sizes and axes that are the same for every batch.
  int64_t fixed(size_t input, int64_t axis) const;
  int64_t result_fixed(size_t result, int64_t axis) const;
  /// The attribute, the same for every batch.
  template <class T>
  T get(const char* name) const {
    const T& value = op_.call.attribute<T>(name);
    if (value != other_.call.attribute<T>(name)) depends(name);
    return value;
  }
  double number(const char* name) const;  ///< of a double, where NaN is a number as well
  TracedSize size_of(const char* name) const;
  int64_t axis(const char* name, size_t input = 0) const;  ///< from 0 on
  std::vector<int64_t> axes(const char* name) const;       ///< likewise; none are all
  /// A number or numbers for each spatial axis.
  std::vector<int64_t> numbers(const char* name) const;
  /// @}

  /// @name Values, by their names in the graph
  /// @{
  std::string in(size_t input) const;
  /// The input, or a constant of one value if it is absent.
  std::string in_or(size_t input, const Shape& shape, double otherwise) const;
  /// The weight of new statistics in the running mean that the input is, or `otherwise`.
  double momentum(size_t input, double otherwise) const;
  /// The input, converted to a dtype.
  std::string in_as(size_t input, DType dtype) const {
    return cast(in(input), this->dtype(input), dtype);
  }
  std::string cast(const std::string& value, DType from, DType to) const;
  std::string scalar(double value, DType dtype) const;
  std::string integers(const std::vector<int64_t>& values) const;  ///< one axis
  std::string integer(int64_t value) const;                        ///< no axis
  std::string constant(const Tensor& value) const;
  /// Sizes as a tensor, computed if they depend on the batch.
  std::string sizes_value(const TracedSizes& sizes) const;
  /// @}

  /// @name Nodes
  /// @{
  std::string node(const char* op, std::vector<std::string> inputs,
                   std::vector<OnnxAttribute> attributes = {}) const;
  std::vector<std::string> nodes(const char* op, std::vector<std::string> inputs,
                                 std::vector<OnnxAttribute> attributes, size_t outputs) const;
  std::string reshape(const std::string& x, const TracedSizes& from, const TracedSizes& to) const;
  std::string transpose(const std::string& x, std::vector<int64_t> axes) const;
  std::string binary(const char* op, const std::string& a, const std::string& b) const {
    return node(op, {a, b});
  }
  /// Says what a result is called.
  void result(const std::string& name, size_t result = 0) const;
  /// @}

 private:
  const Tensor& input_tensor(size_t input) const;
  [[noreturn]] void depends(const char* what) const;

  OnnxEmitter& emitter_;
  const TraceOp& op_;
  const TraceOp& other_;
};

/// Emits the nodes of a call.
using OnnxEmit = void (*)(const OnnxCall& call);
using OnnxEmits = std::map<std::string, OnnxEmit>;

/// The tables: elementwise and reductions; shapes and indices; layers; convolutions and pooling.
const OnnxEmits& arithmetic_emits();
const OnnxEmits& movement_emits();
const OnnxEmits& layer_emits();
const OnnxEmits& image_emits();
/// What ONNX cannot say, and why.
const std::map<std::string, std::string>& not_exported();

/// Makes the graph of two traces of one net.
class OnnxEmitter {
 public:
  OnnxEmitter(const Trace& first, const Trace& second) : first_(first), second_(second) {}

  /// Throws one Error that lists all that cannot be exported.
  OnnxGraph emit(const std::vector<std::string>& output_names);

 private:
  friend class OnnxCall;

  void check_same() const;
  void emit_all(const std::vector<TraceOp>& ops, const std::vector<TraceOp>& others,
                const std::vector<bool>& needed);
  void emit_op(const TraceOp& op, const TraceOp& other);
  std::vector<bool> needed_ops() const;
  std::string value_name(int value);
  bool same_constant(int value) const;
  bool has_name(const TraceOp& op) const;
  std::string add_constant(const Tensor& value);
  std::string unique(const std::string& name);
  std::string batch();
  std::vector<std::string> add_node(const std::string& module, const char* op,
                                    std::vector<std::string> inputs,
                                    std::vector<OnnxAttribute> attributes, size_t outputs);
  void prune();
  OnnxValue describe(int value, const std::string& name) const;

  const Trace& first_;
  const Trace& second_;
  OnnxGraph graph_;
  std::vector<std::string> names_;  // of values
  std::set<std::string> taken_;
  std::map<std::string, std::string> constants_;  // names by dtype, shape and bytes
  std::string batch_;
  std::set<std::string> problems_;
  std::vector<std::string> listed_;
};

}  // namespace tern::io
