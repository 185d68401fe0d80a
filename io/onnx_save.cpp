// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/resources.h"
#include "../core/random.h"
#include "../nn/batch_norm.h"
#include "../ops/movement.h"
#include "internal/onnx_emit.h"
#include "internal/onnx_model.h"
#include "internal/onnx_trace.h"
#include "onnx.h"

namespace tern::io {

namespace {

constexpr char kOp[] = "save_onnx";

// `count` names: those given, or "x" (one), "x0", "x1"...
std::vector<std::string> names_of(const std::vector<std::string>& given, size_t count,
                                  const char* what, const std::string& usual) {
  if (!given.empty() && given.size() != count) {
    fail(kOp, "there are ", given.size(), " ", what, "_names, want one for each of ", count, " ",
         what, count == 1 ? "" : "s");
  }
  std::vector<std::string> names = given;
  for (size_t i = names.size(); i < count; ++i) {
    names.push_back(count == 1 ? usual : usual + std::to_string(i));
  }
  for (const std::string& name : names) {
    if (name.empty()) fail(kOp, "a name of an ", what, " is empty, want a name");
  }
  return names;
}

// The rows of x along an axis, again and again, as a batch of `count`.
Tensor with_batch(const Tensor& x, int64_t axis, int64_t count) {
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(narrow(x, axis, i % x.size(axis), 1));
  return cat(rows, axis);
}

void save(const nn::Module& module, const detail::OnnxFunction& function,
          const std::vector<Tensor>& inputs, const std::string& path,
          const SaveOnnxOptions& options, const std::map<std::string, double>& momenta) {
  if (inputs.empty()) fail(kOp, "there are no inputs, want an example of what forward takes");
  const int64_t axis = options.batch_axis;
  if (axis < 0 || axis >= Shape::kMaxRank) fail(kOp, "batch_axis is ", axis, ", want 0 to 7");
  for (const Tensor& x : inputs) {
    if (!x.defined()) fail(kOp, "an input is undefined, want an example of what forward takes");
    if (!options.dynamic_batch) continue;
    if (x.dim() <= axis || inputs[0].dim() <= axis || x.size(axis) < 1 ||
        x.size(axis) != inputs[0].size(axis)) {
      fail(kOp, "inputs are ", inputs[0], " and ", x,
           ", want the same number of rows, at least 1, "
           "in each along axis ",
           axis, ": give batches, {.batch_axis}, or {.dynamic_batch = false}");
    }
  }
  const std::vector<std::string> input_names =
      names_of(options.input_names, inputs.size(), "input", "x");
  std::vector<std::pair<std::string, Tensor>> state = module.named_parameters();
  for (const auto& buffer : module.named_buffers()) state.push_back(buffer);

  nn::Module handle = module;
  const nn::EvalMode eval(handle);
  const auto traced = [&](int64_t batch) {
    std::vector<Tensor> example;
    for (const Tensor& x : inputs) {
      const NoGrad no_grad;
      example.push_back(batch == 0 ? x.detach() : with_batch(x.detach(), axis, batch));
    }
    const Generator::State before = default_generator().state();
    Trace trace;
    try {
      trace = trace_of(function, example, input_names, state);
    } catch (const Error& error) {
      default_generator().set_state(before);
      if (batch == 0) throw;
      fail(kOp, "with ", batch, " rows of the example as a batch, the net throws ", error.what(),
           ": let it take any number of rows, or export with {.dynamic_batch = false}");
    }
    default_generator().set_state(before);
    trace.batch = batch;
    trace.batch_axis = axis;
    trace.momenta = momenta;
    return trace;
  };
  // Two batch sizes tell what depends on them; two runs, what is made anew.
  const Trace first = traced(options.dynamic_batch ? 2 : 0);
  const Trace second = traced(options.dynamic_batch ? 3 : 0);
  if (first.outputs.empty()) fail(kOp, "the net has no outputs, want a tensor or several");
  OnnxModel model;
  model.graph = OnnxEmitter(first, second)
                    .emit(names_of(options.output_names, first.outputs.size(), "output", "y"));
  write_onnx(model, path);
}

}  // namespace

void detail::save_onnx(const nn::Module& module, const OnnxFunction& function,
                       const std::vector<Tensor>& inputs, const std::string& path,
                       const SaveOnnxOptions& options) {
  std::map<std::string, double> momenta;
  for (const auto& [name, part] : module.named_modules()) {
    const std::string prefix = name.empty() ? "" : name + ".";
    if (const auto* norm = dynamic_cast<const nn::BatchNorm*>(part)) {
      if (norm->momentum().is_cumulative()) continue;
      momenta[prefix + "running_mean"] = norm->momentum().weight_of_new(1);
    } else if (const auto* net = dynamic_cast<const OnnxNet*>(part)) {
      for (const auto& [mean, keep] : net->momenta()) momenta[prefix + mean] = 1 - keep;
    }
  }
  with_resources(kOp, [&] { save(module, function, inputs, path, options, momenta); });
}

}  // namespace tern::io
