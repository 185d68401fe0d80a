// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "../core/error.h"
#include "../core/tensor.h"

namespace tern::nn {

/// Thrown inside a DetectAnomaly scope when a module's output, or a gradient, is not finite.
class AnomalyError : public Error {
 public:
  /// `module` is the path of the module that gave the output, `operation` the name of the first of
  /// its operations that did.
  AnomalyError(const std::string& module, const std::string& operation, const std::string& message)
      : Error(message), module_(module), operation_(operation) {}
  /// As above, where no operation is known.
  AnomalyError(const std::string& module, const std::string& message)
      : AnomalyError(module, "", message) {}
  /// The module's path, as in state_dict: "layer1.0.conv".
  const std::string& module() const { return module_; }
  /// "log", or "log backward"; "" where the output was not an operation's.
  const std::string& operation() const { return operation_; }

 private:
  std::string module_, operation_;
};

/// While it lives, every module that runs on this thread checks its output, and every backward
/// function its gradients. The first with an element that is infinite or not a number throws
/// AnomalyError, which also names the operation. Costs a pass over every result: use it to explain
/// a loss that is no number, not to train.
class DetectAnomaly {
 public:
  [[nodiscard]] DetectAnomaly();
  ~DetectAnomaly();
  DetectAnomaly(const DetectAnomaly&) = delete;
  DetectAnomaly& operator=(const DetectAnomaly&) = delete;

  /// Whether one lives on this thread.
  static bool active();
  /// What modules call on their results: returns `y`, or throws inside a scope.
  static const Tensor& check(const Tensor& y);

 private:
  struct Watch;
  std::unique_ptr<Watch> watch_;  // null inside of another one
};

}  // namespace tern::nn
