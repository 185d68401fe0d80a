// SPDX-License-Identifier: Apache-2.0
// What the tables of operations use.
#include <algorithm>
#include <cmath>

#include "../core/error.h"
#include "internal/onnx_emit.h"

namespace tern::io {

void OnnxCall::depends(const char* what) const {
  throw Error(std::string(what) +
              " depends on the batch size: use what is the same for all, or "
              "export with {.dynamic_batch = false}");
}

const Tensor& OnnxCall::input_tensor(size_t input) const {
  return emitter_.first_.values[static_cast<size_t>(op_.inputs.at(input))].tensor;
}

DType OnnxCall::result_dtype(size_t result) const {
  return emitter_.first_.values[static_cast<size_t>(op_.results.at(result))].tensor.dtype();
}

bool OnnxCall::has_attribute(const char* name) const {
  const auto& all = op_.call.attributes;
  return std::any_of(all.begin(), all.end(),
                     [&](const OpAttribute& one) { return one.name == name; });
}

TracedSizes OnnxCall::sizes(size_t input) const {
  const auto number = static_cast<size_t>(op_.inputs.at(input));
  const Shape& a = emitter_.first_.values[number].tensor.shape();
  const Shape& b = emitter_.second_.values[number].tensor.shape();
  TracedSizes sizes;
  for (int d = 0; d < a.rank(); ++d) sizes.push_back({a[d], b[d]});
  return sizes;
}

TracedSizes OnnxCall::result_sizes(size_t result) const {
  const auto number = static_cast<size_t>(op_.results.at(result));
  const Shape& a = emitter_.first_.values[number].tensor.shape();
  const Shape& b = emitter_.second_.values[number].tensor.shape();
  TracedSizes sizes;
  for (int d = 0; d < a.rank(); ++d) sizes.push_back({a[d], b[d]});
  return sizes;
}

int64_t OnnxCall::fixed(size_t input, int64_t axis) const {
  const TracedSizes all = sizes(input);
  const TracedSize size = all.at(static_cast<size_t>(axis < 0 ? axis + rank(input) : axis));
  if (size.varies()) depends(("the length of axis " + std::to_string(axis)).c_str());
  return size.first;
}

int64_t OnnxCall::result_fixed(size_t result, int64_t axis) const {
  const TracedSizes all = result_sizes(result);
  const TracedSize size =
      all.at(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(all.size()) : axis));
  if (size.varies()) depends("the length of the result");
  return size.first;
}

double OnnxCall::number(const char* name) const {
  const auto value = op_.call.attribute<double>(name), other = other_.call.attribute<double>(name);
  if (value != other && !(std::isnan(value) && std::isnan(other))) depends(name);
  return value;
}

TracedSize OnnxCall::size_of(const char* name) const {
  return {op_.call.attribute<int64_t>(name), other_.call.attribute<int64_t>(name)};
}

int64_t OnnxCall::axis(const char* name, size_t input) const {
  const auto value = get<int64_t>(name);
  return value < 0 ? value + rank(input) : value;
}

std::vector<int64_t> OnnxCall::axes(const char* name) const {
  std::vector<int64_t> list = get<std::vector<int64_t>>(name);
  if (list.empty()) {
    for (int64_t each = 0; each < rank(0); ++each) list.push_back(each);
  }
  for (int64_t& each : list) each = each < 0 ? each + rank(0) : each;
  return list;
}

std::vector<int64_t> OnnxCall::numbers(const char* name) const {
  for (const OpAttribute& one : op_.call.attributes) {
    if (one.name == name && std::holds_alternative<int64_t>(one.value)) return {get<int64_t>(name)};
  }
  return get<std::vector<int64_t>>(name);
}

// ---- Values -------------------------------------------------------------------------------------

std::string OnnxCall::in(size_t input) const {
  return has(input) ? emitter_.value_name(op_.inputs[input]) : "";
}

std::string OnnxCall::in_or(size_t input, const Shape& shape, double otherwise) const {
  return has(input) ? in(input) : constant(full(shape, otherwise, dtype(0)));
}

double OnnxCall::momentum(size_t input, double otherwise) const {
  const auto found = emitter_.first_.momenta.find(in(input));
  return found == emitter_.first_.momenta.end() ? otherwise : found->second;
}

std::string OnnxCall::cast(const std::string& value, DType from, DType to) const {
  if (from == to) return value;
  return node("Cast", {value}, {attribute("to", static_cast<int64_t>(onnx_type(to)))});
}

std::string OnnxCall::scalar(double value, DType dtype) const {
  return constant(full({}, value, dtype));
}
std::string OnnxCall::integers(const std::vector<int64_t>& values) const {
  return constant(tensor(values, {static_cast<int64_t>(values.size())}));
}
std::string OnnxCall::integer(int64_t value) const {
  return constant(tensor(std::vector<int64_t>{value}, {}));
}
std::string OnnxCall::constant(const Tensor& value) const { return emitter_.add_constant(value); }

std::string OnnxCall::sizes_value(const TracedSizes& sizes) const {
  std::vector<std::string> parts;
  std::vector<int64_t> run;  // of sizes that do not vary
  const auto end_run = [&] {
    if (!run.empty()) parts.push_back(integers(run));
    run.clear();
  };
  const int64_t batch = emitter_.first_.batch, other = emitter_.second_.batch;
  for (const TracedSize& size : sizes) {
    if (!size.varies()) {
      run.push_back(size.first);
      continue;
    }
    end_run();
    if (batch == 0 || size.first % batch != 0 || size.second != size.first / batch * other) {
      depends("a size, in another way than as a multiple,");
    }
    const int64_t factor = size.first / batch;
    parts.push_back(factor == 1 ? emitter_.batch()
                                : node("Mul", {emitter_.batch(), integers({factor})}));
  }
  end_run();
  if (parts.empty()) return integers({});
  if (parts.size() == 1) return parts[0];
  return node("Concat", parts, {attribute("axis", int64_t{0})});
}

// ---- Nodes --------------------------------------------------------------------------------------

std::vector<std::string> OnnxCall::nodes(const char* op, std::vector<std::string> inputs,
                                         std::vector<OnnxAttribute> attributes,
                                         size_t outputs) const {
  return emitter_.add_node(op_.call.module, op, std::move(inputs), std::move(attributes), outputs);
}

std::string OnnxCall::node(const char* op, std::vector<std::string> inputs,
                           std::vector<OnnxAttribute> attributes) const {
  return nodes(op, std::move(inputs), std::move(attributes), 1)[0];
}

std::string OnnxCall::reshape(const std::string& x, const TracedSizes& from,
                              const TracedSizes& to) const {
  if (from == to) return x;
  std::vector<int64_t> shape;
  bool infer = false, zero = false, computed = false;
  for (size_t d = 0; d < to.size(); ++d) {
    zero = zero || to[d].first == 0;
    if (!to[d].varies()) {
      shape.push_back(to[d].first);
    } else if (d < from.size() && from[d] == to[d]) {
      shape.push_back(0);  // as long as it was
    } else {
      computed = computed || infer;
      infer = true;
      shape.push_back(-1);
    }
  }
  if (computed || zero) {
    return node("Reshape", {x, sizes_value(to)}, {attribute("allowzero", int64_t{1})});
  }
  return node("Reshape", {x, integers(shape)});
}

std::string OnnxCall::transpose(const std::string& x, std::vector<int64_t> axes) const {
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  return node("Transpose", {x}, {attribute("perm", std::move(axes))});
}

void OnnxCall::result(const std::string& name, size_t result) const {
  const int number = op_.results.at(result);
  if (number >= 0) emitter_.names_[static_cast<size_t>(number)] = name;
}

}  // namespace tern::io
