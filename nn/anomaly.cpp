// SPDX-License-Identifier: Apache-2.0
#include "anomaly.h"

#include <algorithm>
#include <cmath>

namespace tern::nn {

namespace {
thread_local bool detecting = false;
}

DetectAnomaly::DetectAnomaly() : before_(detecting) { detecting = true; }
DetectAnomaly::~DetectAnomaly() { detecting = before_; }

bool DetectAnomaly::active() { return detecting; }

const Tensor& DetectAnomaly::check(const Tensor& y) {
  if (!detecting || !y.defined() || !is_floating(y.dtype())) return y;
  const int64_t wrong = visit_floating(y.dtype(), [&](auto t) {
    const auto* values = y.raw<decltype(t)>();
    return static_cast<int64_t>(
        std::count_if(values, values + y.numel(), [](auto v) { return !std::isfinite(v); }));
  });
  if (wrong == 0) return y;
  const std::string path = ErrorScope::path();
  throw AnomalyError(path, "[DetectAnomaly] " + std::to_string(wrong) + " of " +
                               std::to_string(y.numel()) + " elements of the output " +
                               detail::text(y) + " are not finite (in " +
                               (path.empty() ? "the outermost module" : path) + ")");
}

}  // namespace tern::nn
