// SPDX-License-Identifier: Apache-2.0
// Writing down what a net computes, operation by operation.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "../../core/op_listener.h"
#include "../../nn/module.h"

namespace tern::io {

/// A tensor that was seen; what changes in place is a new value afterwards.
struct TraceValue {
  enum class Kind : uint8_t {
    input,     ///< of the net
    state,     ///< a parameter or a buffer
    constant,  ///< depends on neither, and on no random numbers
    computed,
    nowhere  ///< made meanwhile by something that is no operation
  };
  Tensor tensor = {};
  Kind kind = Kind::computed;
  std::string name = {};     ///< of inputs and state
  Tensor snapshot = {};      ///< a constant as it was
  bool of_input = false;     ///< whether it depends on an input
  bool from_before = false;  ///< a constant that the run did not make
  bool replaced = false;     ///< whether it was changed in place
};

/// An operation with the operations that it consists of. Numbers are places in Trace::values, -1
/// an absent tensor.
struct TraceOp {
  OpCall call = {};  ///< without tensors
  std::vector<int> inputs = {};
  std::vector<int> results = {};
  std::vector<TraceOp> parts = {};
  int first_new = 0;         ///< values from this one on were made by it
  std::string problem = {};  ///< why its parts do not say what it computes
};

struct Trace {
  std::vector<TraceValue> values = {};
  std::vector<TraceOp> ops = {};
  std::vector<int> outputs = {};
  std::vector<std::string> problems = {};  ///< what cannot be exported, outside of operations
  int64_t batch = 0;                       ///< the length of the batch axis of the inputs
  int64_t batch_axis = 0;
  /// The weight of new statistics in running ones, by the name of the running mean: what fused
  /// operations do not say.
  std::map<std::string, double> momenta = {};
};

/// What the net is as a function: tensors to tensors.
using TracedFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

/// Runs the function, under NoGrad, and writes down its operations. `state` are the parameters and
/// buffers by name.
Trace trace_of(const TracedFunction& function, const std::vector<Tensor>& inputs,
               const std::vector<std::string>& input_names,
               const std::vector<std::pair<std::string, Tensor>>& state);

}  // namespace tern::io
