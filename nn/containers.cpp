// SPDX-License-Identifier: Apache-2.0
#include "containers.h"

#include "../core/error.h"
#include "activations.h"
#include "anomaly.h"

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

Tensor Sequential::forward(const Tensor& x) {
  const auto modules = children();
  Tensor y = x;
  for (size_t i = 0; i < modules.size(); ++i) {
    Module& module = *modules[i];
    const Module* next = i + 1 < modules.size() ? modules[i + 1] : nullptr;
    if (next && typeid(*next) == typeid(ReLU)) {
      const Running running(module);
      y = DetectAnomaly::check(module.forward_relu(y));
      ++i;
    } else {
      y = module(y);
    }
  }
  return y;
}

}  // namespace tern::nn
