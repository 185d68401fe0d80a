// SPDX-License-Identifier: Apache-2.0
#include "internal/onnx_emit.h"

#include <algorithm>
#include <cstring>

#include "../core/error.h"

namespace tern::io {

namespace {

constexpr char kOp[] = "save_onnx";
using Kind = TraceValue::Kind;

std::string bytes_of(const Tensor& x) {
  return {static_cast<const char*>(x.raw_data()),
          static_cast<size_t>(x.numel()) * size_of(x.dtype())};
}

std::string where(const TraceOp& op) {
  return (op.call.module.empty() ? "the net itself" : op.call.module) + ": " + op.call.name;
}

}  // namespace

OnnxAttribute attribute(const char* name, int64_t value) {
  OnnxAttribute one{name, OnnxAttribute::Kind::integer};
  one.integer = value;
  return one;
}
OnnxAttribute attribute(const char* name, double value) {
  OnnxAttribute one{name, OnnxAttribute::Kind::real};
  one.real = value;
  return one;
}
OnnxAttribute attribute(const char* name, const char* value) {
  OnnxAttribute one{name, OnnxAttribute::Kind::text};
  one.text = value;
  return one;
}
OnnxAttribute attribute(const char* name, std::vector<int64_t> value) {
  OnnxAttribute one{name, OnnxAttribute::Kind::integers};
  one.integers = std::move(value);
  return one;
}

// ---- Two traces ---------------------------------------------------------------------------------

void OnnxEmitter::check_same() const {
  const auto& a = first_.ops;
  const auto& b = second_.ops;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].call.name == b[i].call.name && a[i].inputs == b[i].inputs &&
        a[i].results == b[i].results) {
      continue;
    }
    fail(kOp, where(b[i]), " is another operation, or one of other values, with batch size ",
         second_.batch, " than ", a[i].call.name, " with ", first_.batch,
         ": let the net compute the same for every batch size, or export with {.dynamic_batch = "
         "false}");
  }
  if (a.size() != b.size() || first_.outputs != second_.outputs ||
      first_.values.size() != second_.values.size()) {
    fail(
        kOp, "the net has ", a.size(), " operations with batch size ", first_.batch, " and ",
        b.size(), " with ", second_.batch,
        ": it loops over the batch, or calls other operations; use operations of whole batches, or "
        "export with {.dynamic_batch = false}");
  }
}

std::vector<bool> OnnxEmitter::needed_ops() const {
  std::vector<bool> value(first_.values.size(), false), op(first_.ops.size(), false);
  for (const int output : first_.outputs) value[static_cast<size_t>(output)] = true;
  for (size_t i = first_.ops.size(); i-- > 0;) {
    const TraceOp& one = first_.ops[i];
    op[i] = std::any_of(one.results.begin(), one.results.end(), [&](int result) {
      return result >= one.first_new && value[static_cast<size_t>(result)];
    });
    if (!op[i]) continue;
    for (const int input : one.inputs) {
      if (input >= 0) value[static_cast<size_t>(input)] = true;
    }
  }
  return op;
}

bool OnnxEmitter::same_constant(int value) const {
  const TraceValue& a = first_.values[static_cast<size_t>(value)];
  const TraceValue& b = second_.values[static_cast<size_t>(value)];
  return a.kind == Kind::constant && b.kind == Kind::constant &&
         a.snapshot.dtype() == b.snapshot.dtype() && a.snapshot.shape() == b.snapshot.shape() &&
         bytes_of(a.snapshot) == bytes_of(b.snapshot);
}

bool OnnxEmitter::has_name(const TraceOp& op) const {
  return std::all_of(op.results.begin(), op.results.end(), [&](int result) {
    return result < op.first_new || !names_[static_cast<size_t>(result)].empty();
  });
}

void OnnxEmitter::emit_all(const std::vector<TraceOp>& ops, const std::vector<TraceOp>& others,
                           const std::vector<bool>& needed) {
  for (size_t i = 0; i < ops.size(); ++i) {
    if (!needed.empty() && !needed[i]) continue;
    try {
      emit_op(ops[i], others[i]);
    } catch (const Error& error) {
      const std::string line = where(ops[i]) + ": " + error.what();
      if (problems_.insert(line).second) listed_.push_back(line);
    }
    for (const int result : ops[i].results) {  // what depends on it is no problem of its own
      if (result >= 0 && names_[static_cast<size_t>(result)].empty()) {
        names_[static_cast<size_t>(result)] = "?";
      }
    }
  }
}

void OnnxEmitter::emit_op(const TraceOp& op, const TraceOp& other) {
  bool all_constant = true;
  for (const int result : op.results) {
    if (result < op.first_new) continue;
    if (same_constant(result)) {
      value_name(result);
    } else {
      all_constant = false;
    }
  }
  if (all_constant || has_name(op)) return;
  const OnnxCall call(*this, op, other);
  for (const auto* table :
       {&arithmetic_emits(), &movement_emits(), &layer_emits(), &image_emits()}) {
    const auto found = table->find(op.call.name);
    if (found == table->end()) continue;
    found->second(call);
    return;
  }
  const auto refused = not_exported().find(op.call.name);
  if (refused != not_exported().end()) throw Error(refused->second);
  const int made = op.results.empty() ? -1 : op.results[0];
  if (made >= 0 && first_.values[static_cast<size_t>(made)].kind == Kind::constant &&
      op.parts.empty()) {
    throw Error(
        "it makes a constant that depends on the batch size: make it of a fixed size, or "
        "export with {.dynamic_batch = false}");
  }
  if (op.parts.empty()) {
    throw Error("there is no way to say it in ONNX: compute it with Tern's operations");
  }
  if (!op.problem.empty() || op.call.kind != OpCall::Kind::operation) {
    throw Error("it " + (op.problem.empty() ? "is a backward pass" : op.problem) +
                ", which a graph cannot do");
  }
  if (op.parts.size() != other.parts.size())
    throw Error("it is computed otherwise with another batch size");
  for (size_t i = 0; i < op.parts.size(); ++i) {
    const TraceOp &part = op.parts[i], &twin = other.parts[i];
    if (part.call.name != twin.call.name || part.inputs != twin.inputs) {
      throw Error("it is computed otherwise with another batch size");
    }
    emit_op(part, twin);
  }
  if (!has_name(op)) throw Error("it consists of more than operations");
}

// ---- Names --------------------------------------------------------------------------------------

std::string OnnxEmitter::unique(const std::string& name) {
  std::string result = name;
  for (int i = 1; !taken_.insert(result).second; ++i) result = name + "_" + std::to_string(i);
  return result;
}

std::string OnnxEmitter::add_constant(const Tensor& value) {
  const std::string key = to_string(value.dtype()) + to_string(value.shape()) +
                          (value.memory_format() == MemoryFormat::row_major ? "" : "'") +
                          bytes_of(value);
  std::string& name = constants_[key];
  if (name.empty()) {
    OnnxAttribute content{"value", OnnxAttribute::Kind::tensor};
    content.tensor = contiguous(value);
    name = add_node("", "Constant", {}, {content}, 1)[0];
  }
  return name;
}

std::string OnnxEmitter::value_name(int number) {
  std::string& name = names_[static_cast<size_t>(number)];
  if (!name.empty()) return name;
  const TraceValue& value = first_.values[static_cast<size_t>(number)];
  if (value.kind == Kind::state) {
    name = value.name;
    graph_.initializers.push_back({name, contiguous(value.tensor)});
  } else if (same_constant(number)) {
    name = add_constant(value.snapshot);
  } else if (value.kind == Kind::constant) {
    throw Error("input " + error_text(value.tensor) +
                " is a constant that depends on the batch size");
  } else {
    throw Error("input " + error_text(value.tensor) +
                " comes from nowhere: something that is no operation made it while the net ran "
                "(declare an OpScope there)");
  }
  return name;
}

std::string OnnxEmitter::batch() {
  if (batch_.empty()) {
    const int64_t axis = first_.batch_axis;
    batch_ = add_node("", "Shape", {names_[0]},
                      {attribute("start", axis), attribute("end", axis + 1)}, 1)[0];
  }
  return batch_;
}

std::vector<std::string> OnnxEmitter::add_node(const std::string& module, const char* op,
                                               std::vector<std::string> inputs,
                                               std::vector<OnnxAttribute> attributes,
                                               size_t outputs) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  std::string path = "/";
  for (const char c : module) path += c == '.' ? '/' : c;
  if (!module.empty()) path += '/';
  OnnxNode node{op, "", unique(path + op), std::move(inputs), {}, std::move(attributes)};
  for (size_t i = 0; i < outputs; ++i) {
    node.outputs.push_back(unique(node.name + "_output_" + std::to_string(i)));
  }
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().outputs;
}

// ---- The graph ----------------------------------------------------------------------------------

// Drops what no output needs, and what nothing uses.
void OnnxEmitter::prune() {
  std::set<std::string> used;
  for (const OnnxValue& output : graph_.outputs) used.insert(output.name);
  std::vector<OnnxNode> nodes;
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    const bool wanted = std::any_of(node->outputs.begin(), node->outputs.end(),
                                    [&](const std::string& name) { return used.contains(name); });
    if (!wanted) continue;
    used.insert(node->inputs.begin(), node->inputs.end());
    nodes.push_back(std::move(*node));
  }
  graph_.nodes.assign(std::make_move_iterator(nodes.rbegin()),
                      std::make_move_iterator(nodes.rend()));
  std::erase_if(graph_.initializers,
                [&](const OnnxTensor& one) { return !used.contains(one.name); });
}

OnnxValue OnnxEmitter::describe(int number, const std::string& name) const {
  const Tensor& a = first_.values[static_cast<size_t>(number)].tensor;
  const Tensor& b = second_.values[static_cast<size_t>(number)].tensor;
  OnnxValue value{name, onnx_type(a.dtype()), true, {}};
  for (int d = 0; d < a.dim(); ++d) {
    OnnxValue::Dim dim{a.shape()[d], ""};
    if (a.shape()[d] != b.shape()[d]) {
      dim.size = -1;
      if (a.shape()[d] == first_.batch && b.shape()[d] == second_.batch) dim.name = "batch";
    }
    value.dims.push_back(dim);
  }
  return value;
}

OnnxGraph OnnxEmitter::emit(const std::vector<std::string>& output_names) {
  graph_.name = "net";
  names_.resize(std::max(first_.values.size(), second_.values.size()));
  for (const std::string& problem : first_.problems) listed_.push_back(problem);
  if (listed_.empty()) check_same();
  for (size_t i = 0; listed_.empty() && i < first_.values.size(); ++i) {
    // What was there before is there in both runs.
    const TraceValue& value = first_.values[i];
    if (!value.from_before || value.tensor.is_same(second_.values[i].tensor)) continue;
    listed_.push_back("a tensor " + error_text(value.tensor) +
                      " comes from nowhere: it is made while the net runs, by something that is no "
                      "operation, or on another thread");
  }
  for (size_t i = 0; i < first_.values.size(); ++i) {
    const TraceValue& value = first_.values[i];
    if (value.kind != Kind::input && value.kind != Kind::state) continue;
    if (!taken_.insert(value.name).second) {
      fail(kOp, "two values would be called ", value.name,
           ", want names of their own: give "
           "{.input_names} that no parameter has");
    }
    if (value.kind != Kind::input) continue;
    names_[i] = value.name;
    graph_.inputs.push_back(describe(static_cast<int>(i), value.name));
  }
  for (const std::string& name : output_names) {
    if (!taken_.insert(name).second) {
      fail(kOp, "two values would be called ", name,
           ", want names of their own: give {.output_names} that nothing else has");
    }
  }
  if (listed_.empty()) emit_all(first_.ops, second_.ops, needed_ops());
  if (!listed_.empty()) {
    std::string all;
    for (const std::string& line : listed_) all += "\n  " + line;
    fail(kOp, "the net cannot be written as a graph:", all);
  }
  for (size_t i = 0; i < first_.outputs.size(); ++i) {
    const int number = first_.outputs[i];
    std::string name;
    try {
      name = value_name(number);
    } catch (const Error& error) {
      fail(kOp, "output ", i, ": ", error.what());
    }
    graph_.outputs.push_back(describe(number, output_names[i]));
    // The node writes the output, unless that is an input, an initializer, or another output, too.
    OnnxNode* writer = nullptr;
    for (OnnxNode& node : graph_.nodes) {
      if (std::find(node.outputs.begin(), node.outputs.end(), name) != node.outputs.end()) {
        writer = &node;
      }
    }
    const bool again = std::count(first_.outputs.begin(), first_.outputs.end(), number) > 1;
    const bool taken = std::any_of(graph_.outputs.begin(), graph_.outputs.end() - 1,
                                   [&](const OnnxValue& o) { return o.name == name; });
    if (!writer || again || taken) {
      graph_.nodes.push_back({"Identity", "", unique("/Identity"), {name}, {output_names[i]}, {}});
      continue;
    }
    for (OnnxNode& node : graph_.nodes) {
      std::replace(node.inputs.begin(), node.inputs.end(), name, output_names[i]);
      std::replace(node.outputs.begin(), node.outputs.end(), name, output_names[i]);
    }
    for (std::string& other : names_) {
      if (other == name) other = output_names[i];
    }
  }
  prune();
  return std::move(graph_);
}

}  // namespace tern::io
