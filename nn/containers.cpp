// SPDX-License-Identifier: Apache-2.0
#include "containers.h"

#include <algorithm>

#include "../core/error.h"
#include "internal/fusion.h"

namespace tern::nn {

Module& ModuleList::operator[](int64_t i) const {
  const auto modules = children();
  const auto count = static_cast<int64_t>(modules.size());
  if (i < -count || i >= count) {
    fail("operator[]", type_name(), " of ", count, " modules has no number ", i);
  }
  return *modules[static_cast<size_t>(i < 0 ? i + count : i)];
}

Tensor ModuleList::forward(const Tensor&) {
  fail("forward", type_name(), " does not say how its modules are connected: run them one by one, ",
       "or use a Sequential");
}

std::vector<std::string> ModuleDict::keys() const {
  std::vector<std::string> names;
  for (const auto& [name, module] : named_children()) names.push_back(name);
  return names;
}

bool ModuleDict::contains(const std::string& name) const {
  const std::vector<std::string> names = keys();
  return std::find(names.begin(), names.end(), name) != names.end();
}

Module& ModuleDict::operator[](const std::string& name) const {
  std::string names;
  for (const auto& [key, module] : named_children()) {
    if (key == name) return *module;
    names += (names.empty() ? "\"" : ", \"") + key + "\"";
  }
  fail("operator[]", type_name(), " has no module \"", name, "\": it has ",
       names.empty() ? "none" : names);
}

Tensor ModuleDict::forward(const Tensor&) {
  fail("forward", type_name(), " does not say how its modules are connected: run them by name");
}

ParameterList::ParameterList(const std::vector<Tensor>& parameters) {
  for (const Tensor& parameter : parameters) push_back(parameter);
}

void ParameterList::push_back(const Tensor& parameter) {
  list_->push_back(register_parameter(std::to_string(size()), parameter));
}

const Tensor& ParameterList::operator[](int64_t i) const {
  const int64_t count = size();
  if (i < -count || i >= count) {
    fail("operator[]", type_name(), " of ", count, " parameters has no number ", i);
  }
  return (*list_)[static_cast<size_t>(i < 0 ? i + count : i)];
}

Tensor ParameterList::forward(const Tensor&) {
  fail("forward", type_name(), " computes nothing: use its parameters one by one");
}

Tensor Sequential::forward(const Tensor& x) {
  const std::vector<Module*> modules = children();
  Tensor y = x;
  for (size_t i = 0; i < modules.size();) {
    if (Fused fused = run_fused(std::span(modules).subspan(i), y); fused.found) {
      y = std::move(fused.y);
      i += fused.count;
    } else {
      y = (*modules[i++])(y);
    }
  }
  return y;
}

}  // namespace tern::nn
