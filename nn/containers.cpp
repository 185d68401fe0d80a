// SPDX-License-Identifier: Apache-2.0
#include "containers.h"

#include "../core/error.h"
#include "activations.h"
#include "anomaly.h"
#include "batch_norm.h"
#include "conv.h"
#include "flatten.h"

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

namespace {

using Modules = std::vector<Module*>;

/// Module number i if it is an M and nothing derived from it, which may compute something else.
template <class M>
M* exactly(const Modules& modules, size_t i) {
  if (i >= modules.size()) return nullptr;
  Module& module = *modules[i];
  return typeid(module) == typeid(M) ? static_cast<M*>(&module) : nullptr;
}

/// The next module that does something: folding leaves Identity in batch norm's place.
size_t after(const Modules& modules, size_t i) {
  do ++i;
  while (exactly<Identity>(modules, i));
  return i;
}

}  // namespace

Tensor Sequential::forward(const Tensor& x) {
  const Modules modules = children();
  Tensor y = x;
  for (size_t i = 0; i < modules.size(); ++i) {
    Module& module = *modules[i];
    const size_t second = after(modules, i), third = after(modules, second);
    auto* conv = exactly<Conv2d>(modules, i);
    auto* norm = exactly<BatchNorm2d>(modules, second);
    if (conv && norm && !DetectAnomaly::active()) {  // which looks at every module's result
      const bool relu = exactly<ReLU>(modules, third);
      y = conv->forward_batch_norm(y, *norm, relu);
      i = relu ? third : second;
    } else if (exactly<ReLU>(modules, second)) {
      const Running running(module);
      y = DetectAnomaly::check(module.forward_relu(y));
      i = second;
    } else {
      y = module(y);
    }
  }
  return y;
}

}  // namespace tern::nn
