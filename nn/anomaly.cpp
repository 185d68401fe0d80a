// SPDX-License-Identifier: Apache-2.0
#include "anomaly.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/op_listener.h"

namespace tern::nn {

namespace {

int64_t not_finite(const Tensor& x) {
  if (!x.defined() || !is_floating(x.dtype())) return 0;
  return visit_floating(x.dtype(), [&]<class T>(T) {
    const T* values = x.raw<T>();
    return static_cast<int64_t>(
        std::count_if(values, values + x.numel(), [](T v) { return !std::isfinite(v); }));
  });
}

bool is_within(const std::string& module, const std::string& outer) {
  return outer.empty() || module == outer || module.starts_with(outer + ".");
}

std::string message(int64_t wrong, const char* of, const Tensor& y, const std::string& operation,
                    const std::string& module) {
  return "[DetectAnomaly] " + std::to_string(wrong) + " of " + std::to_string(y.numel()) +
         " elements of the " + of + " " + error_text(y) + " are not finite" +
         (operation.empty() ? "" : ", first those of " + operation) + " (in " +
         (module.empty() ? "the outermost module" : module) + ")";
}

}  // namespace

/// Remembers which operations of the modules that run gave what is not finite. They are no error by
/// themselves: a mask may be made of infinities, and a module may choose others of its numbers.
struct DetectAnomaly::Watch final : OpListener {
  struct Suspect {
    std::string module, operation;
    bool first;  // its inputs were finite
  };
  std::vector<Suspect> suspects;
  OpListening listening{*this};

  void result(const OpCall& call) override {
    if (call.kind == OpCall::Kind::range) return;
    const bool backward = call.kind == OpCall::Kind::backward;
    if (!backward && (call.depth > 0 || !ModuleScope::innermost())) return;
    for (const Tensor& y : call.results) {
      const int64_t wrong = not_finite(y);
      if (wrong == 0) continue;
      if (backward) {
        throw AnomalyError(call.module, call.name,
                           message(wrong, "gradient", y, call.name, call.module));
      }
      const bool first = std::none_of(call.inputs.begin(), call.inputs.end(),
                                      [](const Tensor* x) { return not_finite(*x) > 0; });
      suspects.push_back({call.module, call.name, first});
      return;
    }
  }

  /// The first operation within `module` that made infinities of finite numbers, or else the first
  /// that gave any; "" if there is none.
  std::string suspect(const std::string& module) const {
    std::string any;
    for (const Suspect& one : suspects) {
      if (!is_within(one.module, module)) continue;
      if (one.first) return one.operation;
      if (any.empty()) any = one.operation;
    }
    return any;
  }
};

namespace {
thread_local DetectAnomaly* innermost = nullptr;
}

DetectAnomaly::DetectAnomaly() {
  if (innermost) return;
  watch_ = std::make_unique<Watch>();
  innermost = this;
}

DetectAnomaly::~DetectAnomaly() {
  if (innermost == this) innermost = nullptr;
}

bool DetectAnomaly::active() { return innermost != nullptr; }

const Tensor& DetectAnomaly::check(const Tensor& y) {
  if (!innermost) return y;
  Watch& watch = *innermost->watch_;
  const std::string path = ModuleScope::path();
  if (const int64_t wrong = not_finite(y); wrong > 0) {
    const std::string operation = watch.suspect(path);
    throw AnomalyError(path, operation, message(wrong, "output", y, operation, path));
  }
  std::erase_if(watch.suspects,
                [&](const Watch::Suspect& one) { return is_within(one.module, path); });
  return y;
}

}  // namespace tern::nn
