// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "../core/error.h"
#include "../core/internal/resources.h"
#include "../ops/matmul.h"
#include "internal/names.h"
#include "internal/onnx_model.h"
#include "internal/onnx_run.h"
#include "onnx.h"

namespace tern::io {

namespace {

constexpr char kOp[] = "load_onnx";
constexpr char kRun[] = "OnnxNet";
constexpr size_t kNone = SIZE_MAX;

/// The operators whose inputs from `first` to `last` are trained.
struct Trained {
  std::string_view op;
  size_t first, last;
};
constexpr size_t kAll = SIZE_MAX;
constexpr std::array<Trained, 18> kTrained = {{{"Conv", 1, 2},
                                               {"ConvTranspose", 1, 2},
                                               {"Gemm", 0, kAll},
                                               {"MatMul", 0, kAll},
                                               {"Einsum", 0, kAll},
                                               {"BatchNormalization", 1, 2},
                                               {"InstanceNormalization", 1, 2},
                                               {"LayerNormalization", 1, 2},
                                               {"GroupNormalization", 1, 2},
                                               {"PRelu", 1, 1},
                                               {"Gather", 0, 0},
                                               {"RNN", 1, 3},
                                               {"GRU", 1, 3},
                                               {"LSTM", 1, 3},
                                               {"Add", 0, kAll},
                                               {"Sub", 0, kAll},
                                               {"Mul", 0, kAll},
                                               {"Div", 0, kAll}}};
// What weights pass through on their way.
constexpr std::array<std::string_view, 8> kMoves = {"Transpose", "Reshape", "Unsqueeze", "Squeeze",
                                                    "Split",     "Concat",  "Identity",  "Expand"};

bool is_trained(const OnnxNode& node, size_t input) {
  return std::any_of(kTrained.begin(), kTrained.end(), [&](const Trained& one) {
    return one.op == node.op && input >= one.first && input <= one.last;
  });
}

// The names of values that layers use as weights.
std::unordered_set<std::string> weights_of(const OnnxGraph& graph) {
  std::unordered_set<std::string> weights;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const bool moves = std::find(kMoves.begin(), kMoves.end(), node->op) != kMoves.end() &&
                       std::any_of(node->outputs.begin(), node->outputs.end(),
                                   [&](const std::string& name) { return weights.contains(name); });
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const bool moved = moves && (i == 0 || node->op == "Concat");
      if (moved || is_trained(*node, i)) weights.insert(node->inputs[i]);
    }
  }
  return weights;
}

void check_operators(const std::string& path, const OnnxGraph& graph) {
  std::map<std::string, std::pair<int, std::string>> missing;  // count, and where the first is
  for (const OnnxNode& node : graph.nodes) {
    if (node.domain.empty() && find_onnx_kernel(node.op)) continue;
    auto& [count, where] = missing[node.domain.empty() ? node.op : node.domain + "." + node.op];
    if (count++ == 0) where = node.describe();
  }
  if (missing.empty()) return;
  std::string all;
  for (const auto& [op, place] : missing) {
    all += "\n  " + op + ", " + std::to_string(place.first) + " times, first " + place.second;
  }
  fail(kOp, path, " has operators that Tern does not have:", all);
}

/// A module that others are registered in by name.
class Folder : public nn::Module {
 public:
  void add(const std::string& name, const Tensor& value, bool trained) {
    trained ? register_parameter(name, value) : register_buffer(name, value);
  }
  void add(const std::string& name, const Folder& child) { register_module(name, child); }
  std::string type_name() const override { return "Weights"; }
};

/// Registers tensors by their paths ("layer1.0.conv.weight") in modules that are made for it.
class Folders {
 public:
  using AddTensor = std::function<void(const std::string&, const Tensor&, bool)>;
  using AddFolder = std::function<void(const std::string&, const Folder&)>;
  Folders(AddTensor add_tensor, AddFolder add_folder)
      : add_tensor_(std::move(add_tensor)), add_folder_(std::move(add_folder)) {}

  void add(std::string path, const Tensor& value, bool trained) {
    if (!is_free(path)) {  // no path: one name, of its own
      std::replace(path.begin(), path.end(), '.', '_');
      while (tensors_.contains(path) || folders_.contains(path)) path += '_';
    }
    tensors_.insert(path);
    const size_t dot = path.rfind('.');
    if (dot == std::string::npos) return add_tensor_(path, value, trained);
    folder(path.substr(0, dot)).add(path.substr(dot + 1), value, trained);
  }

 private:
  bool is_free(const std::string& path) const {
    if (path.empty() || path.front() == '.' || path.back() == '.' ||
        path.find("..") != std::string::npos || tensors_.contains(path) ||
        folders_.contains(path)) {
      return false;
    }
    for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1)) {
      if (tensors_.contains(path.substr(0, dot))) return false;
    }
    return true;
  }
  Folder& folder(const std::string& path) {
    const auto found = folders_.find(path);
    if (found != folders_.end()) return found->second;
    Folder made;
    const size_t dot = path.rfind('.');
    if (dot == std::string::npos) {
      add_folder_(path, made);
    } else {
      folder(path.substr(0, dot)).add(path.substr(dot + 1), made);
    }
    return folders_.emplace(path, made).first->second;
  }

  AddTensor add_tensor_;
  AddFolder add_folder_;
  std::map<std::string, Folder> folders_;
  std::set<std::string> tensors_;
};

}  // namespace

// ---- Nodes --------------------------------------------------------------------------------------

const Tensor& OnnxCallIn::x(size_t input) const {
  if (!has(input)) refuse("lacks input " + std::to_string(input));
  return inputs_[input];
}

std::vector<int64_t> OnnxCallIn::integers(size_t input) const {
  const Tensor& numbers = x(input);
  if (is_floating(numbers.dtype()) || numbers.dim() > 1) {
    refuse("has " + error_text(numbers) + " as input " + std::to_string(input) +
           ", want whole numbers along one axis");
  }
  return numbers.to(DType::i64).to_vector<int64_t>();
}
int64_t OnnxCallIn::integer(size_t input) const {
  const std::vector<int64_t> numbers = integers(input);
  if (numbers.size() != 1) refuse("has no single number as input " + std::to_string(input));
  return numbers[0];
}
double OnnxCallIn::number(size_t input) const {
  const Tensor& value = x(input);
  if (value.numel() != 1) refuse("has no single number as input " + std::to_string(input));
  return value.to(DType::f64).item<double>();
}

int64_t OnnxCallIn::integer(const char* attribute, int64_t otherwise) const {
  const OnnxAttribute* found = node_.find(attribute);
  return found ? found->integer : otherwise;
}
double OnnxCallIn::number(const char* attribute, double otherwise) const {
  const OnnxAttribute* found = node_.find(attribute);
  return found ? found->real : otherwise;
}
std::string OnnxCallIn::text(const char* attribute, const char* otherwise) const {
  const OnnxAttribute* found = node_.find(attribute);
  return found ? found->text : otherwise;
}
std::vector<int64_t> OnnxCallIn::integers(const char* attribute) const {
  const OnnxAttribute* found = node_.find(attribute);
  return found ? found->integers : std::vector<int64_t>();
}
std::vector<int64_t> OnnxCallIn::integers(const char* attribute, size_t input) const {
  return has(input) ? integers(input) : integers(attribute);
}

void OnnxCallIn::refuse(const std::string& what) const {
  throw Error("it " + what + ": Tern does not compute that");
}

OnnxKernel find_onnx_kernel(const std::string& op) {
  for (const auto* table : {&arithmetic_kernels(), &reduction_kernels(), &movement_kernels(),
                            &layer_kernels(), &image_kernels(), &recurrent_kernels()}) {
    const auto found = table->find(op);
    if (found != table->end()) return found->second;
  }
  return nullptr;
}

// ---- The net ------------------------------------------------------------------------------------

/// The graph, with a place for each value: inputs, initializers, then what nodes give.
struct OnnxNet::Program {
  struct Step {
    OnnxKernel kernel = nullptr;
    std::vector<size_t> inputs = {};   // kNone: absent
    std::vector<size_t> outputs = {};  // kNone: not wanted
    std::vector<size_t> unused = {};   // places that nothing needs afterwards
    size_t next = kNone;               // the step that alone takes the output, as its first input
    size_t weight = kNone;             // of a MatMul with a transposed weight: the weight
    bool awaited = false;              // whether it transposes such a weight
  };
  OnnxModel model;
  std::vector<Step> steps;
  std::vector<size_t> outputs;
  size_t places = 0;
};

OnnxNet::OnnxNet(const std::string& path) {
  auto program = std::make_shared<Program>();
  program->model = read_onnx(path);
  OnnxGraph& graph = program->model.graph;
  constexpr int64_t kOldest = 1, kNewest = 22;
  if (program->model.opset < kOldest || program->model.opset > kNewest) {
    fail(kOp, path, " has opset ", program->model.opset, ", want ", kOldest, " to ", kNewest,
         ": convert it with onnx.version_converter");
  }
  check_operators(path, graph);

  std::unordered_map<std::string, size_t> places;
  const auto place_of = [&](const std::string& name) {
    return name.empty() ? kNone : places.try_emplace(name, places.size()).first->second;
  };
  for (const OnnxValue& input : graph.inputs) place_of(input.name);
  for (const OnnxTensor& one : graph.initializers) {
    place_of(one.name);
    values_.push_back(one.value);
  }
  const size_t given = places.size();
  for (const OnnxNode& node : graph.nodes) {
    Program::Step step{find_onnx_kernel(node.op)};
    for (const std::string& name : node.inputs) step.inputs.push_back(place_of(name));
    for (const std::string& name : node.outputs) step.outputs.push_back(place_of(name));
    program->steps.push_back(std::move(step));
  }
  program->places = places.size();
  for (const OnnxValue& output : graph.outputs) program->outputs.push_back(place_of(output.name));
  std::vector<size_t> uses(places.size(), 0), user(places.size(), kNone),
      multiplier(places.size(), kNone);  // who takes a place as its first, and a product's second
  for (const size_t output : program->outputs) ++uses[output];
  for (size_t i = 0; i < program->steps.size(); ++i) {
    const std::vector<size_t>& inputs = program->steps[i].inputs;
    for (size_t k = 0; k < inputs.size(); ++k) {
      if (inputs[k] == kNone) continue;
      ++uses[inputs[k]];
      if (k == 0) user[inputs[k]] = i;
      if (k == 1 && graph.nodes[i].op == "MatMul") multiplier[inputs[k]] = i;
    }
  }
  for (Program::Step& step : program->steps) {
    const size_t output = step.outputs.size() == 1 ? step.outputs[0] : kNone;
    if (output != kNone && uses[output] == 1) step.next = user[output];
  }
  // A product with a transposed weight is a linear layer.
  for (size_t i = 0; i < program->steps.size(); ++i) {
    Program::Step& step = program->steps[i];
    const OnnxAttribute* axes = graph.nodes[i].find("perm");
    if (graph.nodes[i].op != "Transpose" || step.inputs.size() != 1 || step.inputs[0] >= given ||
        step.outputs.size() != 1 || step.outputs[0] == kNone || uses[step.outputs[0]] != 1 ||
        multiplier[step.outputs[0]] == kNone || !axes ||
        axes->integers != std::vector<int64_t>{1, 0}) {
      continue;
    }
    program->steps[multiplier[step.outputs[0]]].weight = step.inputs[0];
    step.awaited = true;
  }
  std::vector<bool> needed(places.size(), false);
  for (const size_t output : program->outputs) needed[output] = true;
  for (auto step = program->steps.rbegin(); step != program->steps.rend(); ++step) {
    for (const std::vector<size_t>* list : {&step->inputs, &step->outputs}) {
      for (const size_t place : *list) {
        if (place == kNone || place < given || needed[place]) continue;
        needed[place] = true;
        step->unused.push_back(place);
      }
    }
  }

  std::unordered_set<std::string> statistics;
  for (const OnnxNode& node : graph.nodes) {
    if (node.op != "BatchNormalization") continue;
    for (size_t i = 3; i < node.inputs.size(); ++i) statistics.insert(node.inputs[i]);
  }
  const std::unordered_set<std::string> weights = weights_of(graph);
  Folders folders(
      [this](const std::string& name, const Tensor& value, bool trained) {
        return trained ? register_parameter(name, value) : register_buffer(name, value);
      },
      [this](const std::string& name, const Folder& child) { register_module(name, child); });
  for (size_t i = 0; i < graph.initializers.size(); ++i) {
    const OnnxTensor& one = graph.initializers[i];
    if (!is_floating(one.value.dtype()) || one.value.dim() == 0) continue;  // a constant
    folders.add(one.name, one.value, weights.contains(one.name) && !statistics.contains(one.name));
  }
  for (OnnxTensor& one : graph.initializers) one.value = Tensor();
  program_ = std::move(program);
}

void OnnxNet::check_inputs(const std::vector<Tensor>& inputs) const {
  const OnnxGraph& graph = program_->model.graph;
  if (inputs.size() != graph.inputs.size()) {
    fail(kRun, "there are ", inputs.size(), " inputs, want ", graph.inputs.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const OnnxValue& wanted = graph.inputs[i];
    const auto refuse = [&](const std::string& what) {
      fail(kRun, "input ", i, ", ", in_quotes(wanted.name), ", is ", inputs[i], ", want ", what);
    };
    if (!inputs[i].defined()) refuse("a tensor");
    if (wanted.type != OnnxType::undefined && inputs[i].dtype() != dtype_of(kRun, wanted.type)) {
      refuse(std::string(to_string(dtype_of(kRun, wanted.type))) + ": convert it with .to");
    }
    if (!wanted.has_shape) continue;
    if (inputs[i].dim() != static_cast<int64_t>(wanted.dims.size())) {
      refuse(std::to_string(wanted.dims.size()) + " axes");
    }
    for (int d = 0; d < inputs[i].dim(); ++d) {
      const int64_t size = wanted.dims[static_cast<size_t>(d)].size;
      if (size < 0 || size == inputs[i].shape()[d]) continue;
      refuse("length " + std::to_string(size) + " along axis " + std::to_string(d));
    }
  }
}

/// One run of a model.
class OnnxNet::Run {
 public:
  Run(const Program& program, bool training, const std::vector<Tensor>& given)
      : program_(program), training_(training), values_(given) {
    values_.resize(program.places);
  }

  std::vector<Tensor> operator()() {
    std::vector<bool> done(program_.steps.size(), false);
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      const bool later = program_.steps[i].awaited && is_matrix(program_.steps[i].inputs[0]);
      if (!done[i] && !later) compute(i, done);
      for (const size_t place : program_.steps[i].unused) values_[place] = Tensor();
    }
    std::vector<Tensor> outputs;
    for (const size_t place : program_.outputs) outputs.push_back(values_[place]);
    return outputs;
  }

 private:
  const OnnxNode& node(size_t i) const { return program_.model.graph.nodes[i]; }
  bool is(size_t i, const char* op) const { return i != kNone && node(i).op == op; }
  OnnxCallIn call(size_t i) const {
    std::vector<Tensor> arguments;
    for (const size_t place : program_.steps[i].inputs) {
      arguments.push_back(place == kNone ? Tensor() : values_[place]);
    }
    return {node(i), program_.model.opset, training_, std::move(arguments)};
  }

  // Nodes that follow each other, as one: the last of them, and its result.
  std::pair<size_t, Tensor> fused(size_t i) const {
    const size_t next = program_.steps[i].next, weight = program_.steps[i].weight;
    if (weight != kNone && is_matrix(weight)) {
      const bool biased = is(next, "Add") && program_.model.opset >= 7 && !values_missing(next);
      const Tensor bias = biased ? values_[program_.steps[next].inputs.at(1)] : Tensor();
      const bool fits = biased && bias.shape() == Shape{values_[weight].size(0)};
      const Tensor& x = values_[program_.steps[i].inputs[0]];
      return {fits ? next : i, linear(x, values_[weight], fits ? bias : Tensor())};
    }
    if (next == kNone) return {};
    const size_t last = program_.steps[next].next;
    if (is(i, "Conv") && is(next, "BatchNormalization") && !values_missing(next)) {
      const bool relu = is(last, "Relu");
      return {relu ? last : next, onnx_conv_batch_norm(call(i), call(next), relu)};
    }
    if (!is(next, "Relu")) return {};
    if (is(i, "Conv")) return {next, onnx_conv_relu(call(i))};
    if (is(i, "BatchNormalization")) return {next, onnx_batch_norm_relu(call(i))};
    if (is(i, "Add") && program_.model.opset >= 7) return {next, onnx_add_relu(call(i))};
    return {};
  }
  bool is_matrix(size_t place) const {
    return values_[place].dim() == 2 && is_floating(values_[place].dtype());
  }
  // Whether a step has other inputs than the first that are not known yet.
  bool values_missing(size_t i) const {
    const std::vector<size_t>& inputs = program_.steps[i].inputs;
    return std::any_of(inputs.begin() + 1, inputs.end(),
                       [&](size_t place) { return place == kNone || !values_[place].defined(); });
  }

  void compute(size_t i, std::vector<bool>& done) {
    try {
      if (const auto [last, y] = fused(i); y.defined()) {
        for (size_t k = i; k != last; k = program_.steps[k].next) {
          done[program_.steps[k].next] = true;
        }
        values_[program_.steps[last].outputs[0]] = y;
        return;
      }
      OnnxResults results = program_.steps[i].kernel(call(i));
      const std::vector<size_t>& outputs = program_.steps[i].outputs;
      for (size_t k = 0; k < outputs.size(); ++k) {
        if (outputs[k] == kNone) continue;
        if (k >= results.size() || !results[k].defined()) {
          throw Error("Tern does not compute its output " + std::to_string(k));
        }
        values_[outputs[k]] = std::move(results[k]);
      }
    } catch (const Error& error) {
      fail(kRun, node(i).describe(), ": ", error.what());
    }
  }

  const Program& program_;
  const bool training_;
  std::vector<Tensor> values_;
};

std::vector<Tensor> OnnxNet::compute(const std::vector<Tensor>& inputs) const {
  check_inputs(inputs);
  std::vector<Tensor> given = inputs;
  given.insert(given.end(), values_.begin(), values_.end());
  return with_resources(kRun, [&] { return Run(*program_, is_training(), given)(); });
}

std::vector<Tensor> OnnxNet::run(const std::vector<Tensor>& inputs) const {
  return call([this](const std::vector<Tensor>& given) { return compute(given); }, inputs);
}

Tensor OnnxNet::forward(const Tensor& x) {
  if (program_->outputs.size() != 1) {
    fail(kRun, "the model has ", program_->outputs.size(), " outputs: call run({x})");
  }
  return compute({x})[0];
}

std::vector<std::string> OnnxNet::input_names() const {
  std::vector<std::string> names;
  for (const OnnxValue& value : program_->model.graph.inputs) names.push_back(value.name);
  return names;
}
std::vector<std::string> OnnxNet::output_names() const {
  std::vector<std::string> names;
  for (const OnnxValue& value : program_->model.graph.outputs) names.push_back(value.name);
  return names;
}

std::vector<std::pair<std::string, double>> OnnxNet::momenta() const {
  std::vector<std::pair<std::string, double>> list;
  for (const OnnxNode& node : program_->model.graph.nodes) {
    if (node.op != "BatchNormalization" || node.inputs.size() < 4) continue;
    const OnnxAttribute* momentum = node.find("momentum");
    list.emplace_back(node.inputs[3], momentum ? momentum->real : 0.9);
  }
  return list;
}

std::string OnnxNet::extra_repr() const {
  return std::to_string(program_->steps.size()) + " nodes, opset " +
         std::to_string(program_->model.opset);
}

OnnxNet load_onnx(const std::string& path) {
  return with_resources(kOp, [&] {
    OnnxNet net(path);
    net.eval();
    return net;
  });
}

}  // namespace tern::io
