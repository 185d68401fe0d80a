// SPDX-License-Identifier: Apache-2.0
#include "internal/onnx_trace.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include "../core/autograd.h"
#include "../core/op_scope.h"

namespace tern::io {

namespace {

constexpr std::array<std::string_view, 9> kRandom = {"rand",        "randn",     "randint",
                                                     "randperm",    "bernoulli", "normal",
                                                     "multinomial", "dropout",   "dropout2d"};

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw_data(), b.raw_data(),
                     static_cast<size_t>(a.numel()) * size_of(a.dtype())) == 0;
}

std::string at(const std::string& module) {
  return module.empty() ? "the net itself" : "module " + module;
}

class Tracer : public OpListener {
 public:
  explicit Tracer(Trace& trace) : trace_(trace) {}

  void begin(const OpCall& call) noexcept override {
    if (call.kind == OpCall::Kind::range) return;
    TraceOp op;
    op.call.kind = call.kind;
    op.call.name = call.name;
    op.call.attributes = call.attributes;
    op.call.module = call.module;
    for (const Tensor* input : call.inputs) op.inputs.push_back(used(*input, op));
    op.first_new = static_cast<int>(trace_.values.size());
    open_.push_back(std::move(op));
  }

  void result(const OpCall& call) override {
    if (call.kind == OpCall::Kind::range) return;
    TraceOp& op = open_.back();
    const bool in_place = op.call.name.ends_with('_');
    bool of_input = false, constant = !random(op.call.name);
    for (const int input : op.inputs) {
      if (input < 0) continue;
      const TraceValue& value = trace_.values[static_cast<size_t>(input)];
      of_input = of_input || value.of_input;
      constant = constant && value.kind == TraceValue::Kind::constant;
    }
    for (const Tensor& tensor : call.results) {
      int known = tensor.defined() ? find(tensor) : -1;
      if (in_place && known >= 0 && known < op.first_new) {
        check_unshared(op, known);
        trace_.values[static_cast<size_t>(known)].replaced = true;
        known = -1;
      }
      if (known < 0 && tensor.defined()) known = add({tensor, TraceValue::Kind::computed});
      op.results.push_back(known);
      if (known < op.first_new) continue;  // an input, as it was
      TraceValue& value = trace_.values[static_cast<size_t>(known)];
      value.of_input = value.of_input || of_input;
      value.kind = constant ? TraceValue::Kind::constant : TraceValue::Kind::computed;
      if (constant) value.snapshot = tensor.clone();
    }
  }

  void end(const OpCall& call) noexcept override {
    if (call.kind == OpCall::Kind::range) return;
    TraceOp op = std::move(open_.back());
    open_.pop_back();
    (open_.empty() ? trace_.ops : open_.back().parts).push_back(std::move(op));
  }

  void note(const OpCall* call, const OpNote& note) noexcept override {
    if (note.what == OpNote::What::makes) {
      made_.insert(note.tensor->storage());
    } else if (note.what == OpNote::What::shows) {
      const int known = find(*note.tensor);
      const bool matters = known < 0 ? made_.contains(note.tensor->storage())
                                     : trace_.values[static_cast<size_t>(known)].of_input;
      if (!matters) return;
      const bool inside = call && call->kind != OpCall::Kind::range && !open_.empty();
      if (inside) {
        open_.back().problem = "reads values of tensors";
      } else if (known >= 0) {
        trace_.problems.push_back(
            at(OpScope::module()) + ": the values of " + error_text(*note.tensor) +
            " leave the graph (item, data or to_vector): the result would be that of the example "
            "for every input; compute with tensor operations, such as where");
      }
    }
  }

  int add(TraceValue value) {
    const auto number = static_cast<int>(trace_.values.size());
    by_storage_[value.tensor.storage().get()].push_back(number);
    trace_.values.push_back(std::move(value));
    return number;
  }

  // The value that a tensor is now, or -1.
  int find(const Tensor& tensor) const {
    const auto found = by_storage_.find(tensor.storage().get());
    if (found == by_storage_.end()) return -1;
    for (auto i = found->second.rbegin(); i != found->second.rend(); ++i) {
      if (trace_.values[static_cast<size_t>(*i)].tensor.is_same(tensor)) return *i;
    }
    return -1;
  }

 private:
  static bool random(const std::string& name) {
    return std::find(kRandom.begin(), kRandom.end(), name) != kRandom.end();
  }

  int used(const Tensor& tensor, TraceOp& op) {
    if (!tensor.defined()) return -1;
    const int known = find(tensor);
    if (known >= 0) {
      const TraceValue& value = trace_.values[static_cast<size_t>(known)];
      if (value.kind == TraceValue::Kind::constant && !same_bytes(value.tensor, value.snapshot)) {
        op.problem = "an input was changed by something that is no operation";
        trace_.problems.push_back(at(op.call.module) + ": an input of " + op.call.name + ", " +
                                  error_text(tensor) + ", " +
                                  "was changed through its memory: change it with operations");
      }
      return known;
    }
    if (const int other = reshaped(tensor, op.call.module); other >= 0) return other;
    // One that was there before is a constant; its memory is nobody else's that is known.
    const bool made =
        made_.contains(tensor.storage()) || by_storage_.contains(tensor.storage().get());
    TraceValue value{tensor, made ? TraceValue::Kind::nowhere : TraceValue::Kind::constant};
    value.of_input = made;
    value.from_before = !made;
    if (!made) value.snapshot = tensor.clone();
    return add(std::move(value));
  }

  // Operations also make a tensor of another shape over the same memory, without a call: as a value
  // of its own, or -1 if it is none.
  int reshaped(const Tensor& tensor, const std::string& module) {
    const auto found = by_storage_.find(tensor.storage().get());
    if (found == by_storage_.end() || tensor.memory_format() != MemoryFormat::row_major) return -1;
    for (auto i = found->second.rbegin(); i != found->second.rend(); ++i) {
      const TraceValue& value = trace_.values[static_cast<size_t>(*i)];
      if (value.replaced || value.kind == TraceValue::Kind::nowhere ||
          value.tensor.dtype() != tensor.dtype() || value.tensor.numel() != tensor.numel() ||
          value.tensor.memory_format() != MemoryFormat::row_major) {
        continue;
      }
      TraceOp op;
      op.call.name = "reshape";
      op.call.module = module;
      op.inputs = {*i};
      TraceValue made{tensor, TraceValue::Kind::computed};
      made.of_input = value.of_input;
      if (value.kind == TraceValue::Kind::constant) {
        made.kind = TraceValue::Kind::constant;
        made.snapshot = tensor.clone();
      }
      op.first_new = static_cast<int>(trace_.values.size());
      op.results = {add(std::move(made))};
      const int result = op.results[0];
      (open_.empty() ? trace_.ops : open_.back().parts).push_back(std::move(op));
      return result;
    }
    return -1;
  }

  // What shares its memory would change as well.
  void check_unshared(const TraceOp& op, int known) {
    const Tensor& tensor = trace_.values[static_cast<size_t>(known)].tensor;
    const TraceValue& changed = trace_.values[static_cast<size_t>(known)];
    const bool state = changed.kind == TraceValue::Kind::state;
    if (state || changed.kind == TraceValue::Kind::input || changed.from_before) {
      const std::string what = changed.name.empty()
                                   ? "a tensor that was there before"
                                   : (state ? "the state " : "the input ") + changed.name;
      trace_.problems.push_back(at(op.call.module) + ": " + op.call.name + " changes " + what +
                                ": a graph changes nothing; return what is new instead");
    }
    for (const int other : by_storage_.at(tensor.storage().get())) {
      const TraceValue& value = trace_.values[static_cast<size_t>(other)];
      if (value.replaced || value.tensor.is_same(tensor)) continue;
      trace_.problems.push_back(at(op.call.module) + ": " + op.call.name + " changes " +
                                error_text(tensor) + ", whose memory " + error_text(value.tensor) +
                                " shares: change a clone() instead");
      return;
    }
  }

  Trace& trace_;
  std::vector<TraceOp> open_;
  std::unordered_set<std::shared_ptr<Storage>> made_;
  std::unordered_map<const Storage*, std::vector<int>> by_storage_;
};

}  // namespace

Trace trace_of(const TracedFunction& function, const std::vector<Tensor>& inputs,
               const std::vector<std::string>& input_names,
               const std::vector<std::pair<std::string, Tensor>>& state) {
  const NoGrad no_grad;
  Trace trace;
  Tracer tracer(trace);
  for (size_t i = 0; i < inputs.size(); ++i) {
    TraceValue value{inputs[i], TraceValue::Kind::input, input_names[i]};
    value.of_input = true;
    tracer.add(std::move(value));
  }
  for (const auto& [name, tensor] : state) {
    tracer.add({tensor, TraceValue::Kind::state, name});
  }
  std::vector<Tensor> outputs;
  {
    const OpListening listening(tracer);
    outputs = function(inputs);
  }
  for (const Tensor& output : outputs) {
    const int known = output.defined() ? tracer.find(output) : -1;
    if (known < 0) {
      trace.problems.push_back(
          "output " + std::to_string(trace.outputs.size()) + ", " + error_text(output) +
          ", was made by something that is no operation: declare an OpScope there");
    }
    trace.outputs.push_back(known);
  }
  return trace;
}

}  // namespace tern::io
