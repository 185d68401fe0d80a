// SPDX-License-Identifier: Apache-2.0
#include "module_scope.h"

namespace tern {

namespace {
thread_local const ModuleScope* current = nullptr;
}

ModuleScope::ModuleScope(const std::string* name, const void* module)
    : name_(name), module_(module), outer_(current) {
  current = this;
}

ModuleScope::~ModuleScope() { current = outer_; }

const ModuleScope* ModuleScope::innermost() { return current; }

std::string ModuleScope::path() {
  std::string path;
  for (const ModuleScope* scope = current; scope; scope = scope->outer_) {
    if (scope->name_->empty()) continue;
    path = path.empty() ? *scope->name_ : *scope->name_ + "." + path;
  }
  return path;
}

}  // namespace tern
