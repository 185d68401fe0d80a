// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tern {

/// Says which module runs on this thread for as long as it lives: the one stack that errors, the
/// profiler and other listeners (OpListener) read. nn::Module declares it around `forward`.
class ModuleScope {
 public:
  /// Enters the module called `name`, which must outlive the scope; an empty name adds nothing to
  /// the path. nn::Module passes itself as `module`.
  [[nodiscard]] explicit ModuleScope(const std::string* name, const void* module = nullptr);
  ~ModuleScope();
  ModuleScope(const ModuleScope&) = delete;
  ModuleScope& operator=(const ModuleScope&) = delete;

  /// "layer1.0.bn", or "" outside of every module.
  static std::string path();
  /// The scope entered last on this thread, or null.
  static const ModuleScope* innermost();

  const ModuleScope* outer() const { return outer_; }  ///< the scope around it, or null
  const void* module() const { return module_; }       ///< what the constructor was given

 private:
  const std::string* name_;
  const void* module_;
  const ModuleScope* outer_;
};
using ErrorScope = ModuleScope;  ///< its old name

}  // namespace tern
