// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../core/error.h"
#include "../core/tensor.h"

namespace tern::nn {

/// Thrown inside a DetectAnomaly scope when a module's output is not finite.
class AnomalyError : public Error {
 public:
  /// `module` is the path of the module that gave the output.
  AnomalyError(const std::string& module, const std::string& message)
      : Error(message), module_(module) {}
  /// The module's path, as in state_dict: "layer1.0.conv".
  const std::string& module() const { return module_; }

 private:
  std::string module_;
};

/// While it lives, every module that runs on this thread checks its output, and the first with an
/// element that is infinite or not a number throws AnomalyError. Costs a pass over every output:
/// use it to explain a loss that is no number, not to train.
class DetectAnomaly {
 public:
  DetectAnomaly();
  ~DetectAnomaly();
  DetectAnomaly(const DetectAnomaly&) = delete;
  DetectAnomaly& operator=(const DetectAnomaly&) = delete;

  /// Whether one lives on this thread.
  static bool active();
  /// What modules call on their results: returns `y`, or throws inside a scope.
  static const Tensor& check(const Tensor& y);

 private:
  bool before_;
};

}  // namespace tern::nn
