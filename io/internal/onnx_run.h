// SPDX-License-Identifier: Apache-2.0
// ONNX's operators, computed by Tern's operations.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "onnx_model.h"

namespace tern::io {

/// One node with its inputs. What is missing or of a wrong kind throws Error.
class OnnxCallIn {
 public:
  OnnxCallIn(const OnnxNode& node, int64_t opset, bool training, std::vector<Tensor> inputs)
      : node_(node), opset_(opset), training_(training), inputs_(std::move(inputs)) {}

  const char* op() const { return node_.op.c_str(); }
  int64_t opset() const { return opset_; }
  bool training() const { return training_; }  ///< of the module
  /// Whether a BatchNormalization uses the batch's statistics.
  bool trains() const { return training_ || (opset_ >= 14 && integer("training_mode", 0) != 0); }
  size_t inputs() const { return inputs_.size(); }
  size_t outputs() const { return node_.outputs.size(); }
  bool wants(size_t output) const { return output < outputs() && !node_.outputs[output].empty(); }

  bool has(size_t input) const { return input < inputs() && inputs_[input].defined(); }
  const Tensor& x(size_t input = 0) const;
  /// The input, or an undefined tensor.
  Tensor optional(size_t input) const { return has(input) ? inputs_[input] : Tensor(); }
  /// The input's whole numbers.
  std::vector<int64_t> integers(size_t input) const;
  int64_t integer(size_t input) const;
  double number(size_t input) const;

  bool has(const char* attribute) const { return node_.find(attribute) != nullptr; }
  int64_t integer(const char* attribute, int64_t otherwise) const;
  double number(const char* attribute, double otherwise) const;
  std::string text(const char* attribute, const char* otherwise) const;
  std::vector<int64_t> integers(const char* attribute) const;
  const OnnxAttribute* attribute(const char* name) const { return node_.find(name); }
  /// Numbers that are an attribute in old files and an input in newer ones; none if absent.
  std::vector<int64_t> integers(const char* attribute, size_t input) const;

  /// Throws Error about what Tern cannot compute.
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  const OnnxNode& node_;
  int64_t opset_;
  bool training_;
  std::vector<Tensor> inputs_;
};

using OnnxResults = std::vector<Tensor>;
using OnnxKernel = OnnxResults (*)(const OnnxCallIn& in);
using OnnxKernels = std::map<std::string, OnnxKernel>;

const OnnxKernels& arithmetic_kernels();
const OnnxKernels& reduction_kernels();
const OnnxKernels& movement_kernels();
const OnnxKernels& layer_kernels();
const OnnxKernels& image_kernels();
const OnnxKernels& recurrent_kernels();
/// @name Nodes that are computed as one
/// With the same bits. Undefined where there is no such way: compute them one after the other.
/// @{
Tensor onnx_conv_relu(const OnnxCallIn& conv);
Tensor onnx_conv_batch_norm(const OnnxCallIn& conv, const OnnxCallIn& norm, bool relu);
Tensor onnx_batch_norm_relu(const OnnxCallIn& norm);
Tensor onnx_add_relu(const OnnxCallIn& add);
/// @}

/// The operator's kernel, or null.
OnnxKernel find_onnx_kernel(const std::string& op);

}  // namespace tern::io
