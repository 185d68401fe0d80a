// SPDX-License-Identifier: Apache-2.0
// How modules print: the text of torch.nn.Module.__repr__.
#include <cxxabi.h>

#include <cstdlib>
#include <ostream>

#include "module.h"

namespace tern::nn {

namespace {

// "tern::nn::Conv2d" and "f()::Net<int>" without what stands before the last name and after it.
std::string last_name(const std::string& type) {
  size_t begin = 0;
  size_t end = type.size();
  int depth = 0;
  for (size_t i = 0; i < type.size(); ++i) {
    const char c = type[i];
    if (c == '<' && depth == 0 && i > begin) end = i;
    if (c == '<' || c == '(') ++depth;
    if (c == '>' || c == ')') --depth;
    if (depth == 0 && c == ':') {
      begin = i + 1;
      end = type.size();
    }
  }
  return type.substr(begin, end - begin);
}

// Every line but the first moved to the right.
std::string indent(const std::string& text) {
  std::string indented;
  for (const char c : text) {
    indented += c;
    if (c == '\n') indented += "  ";
  }
  return indented;
}

}  // namespace

std::string Module::type_name() const {
  const char* mangled = typeid(*this).name();
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr), std::free);
  return last_name(readable ? readable.get() : mangled);
}

std::string to_string(const Module& module) {
  const auto children = module.named_children();
  const std::string arguments = module.extra_repr();
  std::string text = module.type_name() + "(";
  if (children.empty() && arguments.find('\n') == std::string::npos) return text + arguments + ")";
  if (!arguments.empty()) text += "\n  " + indent(arguments);
  for (const auto& [name, child] : children) {
    text += "\n  (" + name + "): " + indent(to_string(*child));
  }
  return text + "\n)";
}

std::ostream& operator<<(std::ostream& out, const Module& module) {
  return out << to_string(module);
}

}  // namespace tern::nn
