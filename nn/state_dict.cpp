// SPDX-License-Identifier: Apache-2.0
#include "state_dict.h"

#include <unordered_set>

#include "../core/error.h"
#include "module.h"

namespace tern::nn {

namespace {

bool is_integer(DType dtype) { return dtype == DType::i64 || dtype == DType::u8; }

void append(std::string& text, const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  text += (text.empty() ? "" : "; ") + std::string(title) + ": ";
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : ", ") + names[i];
}

}  // namespace

std::string to_string(const LoadReport& report) {
  std::string text;
  append(text, "missing", report.missing);
  append(text, "unexpected", report.unexpected);
  append(text, "does not fit", report.mismatched);
  return text.empty() ? "everything fits" : text;
}

LoadReport Module::load_state_dict(const StateDict& dict, LoadOptions options) {
  StateDict source = dict;
  for (const auto& [path, module] : walk(false)) {
    module->adapt_state_dict(source, path.empty() ? "" : path + ".");
  }
  const StateDict own = state_dict();

  LoadReport report;
  std::vector<std::pair<Tensor, Tensor>> copies;  // from second to first
  std::unordered_set<const Storage*> written;
  for (const auto& [name, target] : own) {
    if (!source.contains(name) || !source.at(name).defined()) {
      report.missing.push_back(name);
      continue;
    }
    const Tensor& value = source.at(name);
    if (value.shape() != target.shape() ||
        is_integer(value.dtype()) != is_integer(target.dtype())) {
      report.mismatched.push_back(name + " (" + detail::text(value) + ", wanted " +
                                  detail::text(target) + ")");
      continue;
    }
    copies.emplace_back(target, value);
    written.insert(target.storage().get());
  }
  for (const auto& [name, value] : source) {
    if (!own.contains(name)) report.unexpected.push_back(name);
  }
  if (options.strict && !report.ok()) {
    fail("load_state_dict", "the names or shapes do not fit ", type_name(), ": ", to_string(report),
         ". Nothing was loaded; {.strict = false} loads what fits");
  }

  // A dict may hold the module's own tensors under each other's names.
  for (auto& [target, value] : copies) {
    if (written.contains(value.storage().get())) value = value.detach().clone();
  }
  for (const auto& [target, value] : copies) target.copy_(value.detach());
  return report;
}

}  // namespace tern::nn
