// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../nn/module_of.h"

namespace tern::io {

/// Options of save_onnx.
struct SaveOnnxOptions {
  std::vector<std::string> input_names = {};   ///< "x", or "x0", "x1"... unless given
  std::vector<std::string> output_names = {};  ///< "y", or "y0", "y1"... unless given
  /// Whether the batch may have any length in the file. All inputs must have one, of the same
  /// length in the example.
  bool dynamic_batch = true;
  /// The axis of the inputs that is the batch: 1 for sequences that are [L,N,E].
  int64_t batch_axis = 0;
};

/// @cond
namespace detail {
using OnnxFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
void save_onnx(const nn::Module& module, const OnnxFunction& function,
               const std::vector<Tensor>& inputs, const std::string& path,
               const SaveOnnxOptions& options);

// The module called with the first tensors of the list, as many as its forward takes.
template <class M, size_t... I>
std::vector<Tensor> call_module(const M& module, const std::vector<Tensor>& inputs,
                                std::index_sequence<I...>) {
  std::vector<Tensor> outputs;
  auto result = module(inputs[I]...);
  tern::detail::for_each_tensor(result, [&](Tensor& y) { outputs.push_back(y); });
  return outputs;
}
template <class M, size_t... I>
constexpr bool takes_tensors(std::index_sequence<I...>) {
  if constexpr (sizeof...(I) == 1 && std::is_same_v<M, nn::Module>) {
    return true;
  } else if constexpr (std::is_same_v<M, nn::Module>) {
    return false;
  } else {
    return tern::detail::runs_on<M, decltype((static_cast<void>(I),
                                              std::declval<const Tensor&>()))...>;
  }
}
template <class M, size_t Count = 1>
std::vector<Tensor> run_module(const M& module, const std::vector<Tensor>& inputs) {
  constexpr size_t kMost = 8;
  if constexpr (requires {
                  { module.run(inputs) } -> std::same_as<std::vector<Tensor>>;
                }) {
    return module.run(inputs);
  }
  if (inputs.size() == Count) {
    if constexpr (takes_tensors<M>(std::make_index_sequence<Count>())) {
      return call_module(module, inputs, std::make_index_sequence<Count>());
    } else {
      fail("save_onnx", "the example has ", Count, " tensors, which no forward of ",
           module.type_name(), " takes: give it what forward takes");
    }
  }
  if constexpr (Count < kMost) {
    return run_module<M, Count + 1>(module, inputs);
  } else {
    fail("save_onnx", "the example has ", inputs.size(), " tensors, want 1 to ", kMost);
  }
}
}  // namespace detail
/// @endcond

/// Writes what the module computes, in evaluation mode, as an ONNX model (opset 17, IR 8), which
/// ONNX Runtime, TensorRT, OpenCV and others run.
///
///     io::save_onnx(net, {x}, "net.onnx", {.input_names = {"image"}, .output_names = {"scores"}});
///
/// The module runs on the example, with two batch sizes if the batch is dynamic, and the operations
/// that it calls are written down; `forward` may be anything. Parameters and buffers keep their
/// names in state_dict(). The same net gives the same bytes. float64 stays float64, which few
/// runtimes compute convolutions of: net.to(DType::f32) first.
///
/// Throws one Error that lists all that a graph cannot be, with the modules: operations that ONNX
/// does not have, numbers that depend on the batch size other than as a multiple, values that leave
/// the graph (`item`), tensors that something which is no operation made.
template <std::derived_from<nn::Module> M>
void save_onnx(const M& module, const std::vector<Tensor>& inputs, const std::string& path,
               const SaveOnnxOptions& options = {}) {
  detail::save_onnx(
      module,
      [&module](const std::vector<Tensor>& tensors) { return detail::run_module(module, tensors); },
      inputs, path, options);
}

/// An ONNX model as a module: its nodes, computed by Tern's operations. It trains and is saved,
/// cloned and exported as any other.
///
/// The initializers that layers use are its parameters, running statistics its buffers, under the
/// names that they have in the file; what nodes have as constants stays as it is. In training mode,
/// BatchNormalization normalizes with the batch's statistics and updates its own, with the node's
/// momentum (Momentum::keep), and Dropout drops.
class OnnxNet : public nn::Module {
 public:
  /// The output of a model with one input and one output. Throws Error for other models: use run.
  Tensor forward(const Tensor& x) override;
  /// The outputs, in the order of the model, for the inputs in that order. Throws Error if an
  /// input's dtype or a size that the model fixes is another.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs) const;

  std::vector<std::string> input_names() const;   ///< of the model, in its order
  std::vector<std::string> output_names() const;  ///< of the model, in its order
  std::string extra_repr() const override;        ///< "57 nodes, opset 17"

 private:
  friend OnnxNet load_onnx(const std::string& path);
  friend void detail::save_onnx(const nn::Module& module, const detail::OnnxFunction& function,
                                const std::vector<Tensor>& inputs, const std::string& path,
                                const SaveOnnxOptions& options);
  struct Program;
  class Run;

  explicit OnnxNet(const std::string& path);
  void check_inputs(const std::vector<Tensor>& inputs) const;
  std::vector<Tensor> compute(const std::vector<Tensor>& inputs) const;
  std::vector<std::pair<std::string, double>> momenta() const;  // by the running mean's name

  std::shared_ptr<const Program> program_;
  std::vector<Tensor> values_;  // of the initializers
};

/// Reads an ONNX model of opset 1 to 22, in evaluation mode: for inference it is ready; to train it
/// further, call train().
///
///     io::OnnxNet net = io::load_onnx("resnet18.onnx");
///     Tensor scores = net(images);
///
/// float16 and bfloat16 become f32, the integers besides uint8 become i64. Throws Error that lists
/// all operators that Tern does not have, and for a file that is truncated, damaged or none.
OnnxNet load_onnx(const std::string& path);

}  // namespace tern::io
