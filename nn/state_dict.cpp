// SPDX-License-Identifier: Apache-2.0
#include "state_dict.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_set>

#include "../core/error.h"
#include "module.h"

namespace tern::nn {

namespace {

bool is_integer(DType dtype) { return !is_floating(dtype); }

void append(std::string& text, const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  text += (text.empty() ? "" : "; ") + std::string(title) + ": ";
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : ", ") + names[i];
}

// `dict` with the names that begin with `prefix`, without it and behind `added`; the others go to
// `unexpected`.
StateDict with_prefixes(const StateDict& dict, const std::string& prefix, const std::string& added,
                        std::vector<std::string>& unexpected) {
  StateDict result;
  for (const auto& [name, value] : dict) {
    if (name.starts_with(prefix)) {
      result.insert(added + name.substr(prefix.size()), value);
    } else {
      unexpected.push_back(name);
    }
  }
  for (const auto& [name, reason] : dict.refused()) {
    if (name.starts_with(prefix)) result.refuse(added + name.substr(prefix.size()), reason);
  }
  return result;
}

bool fits(const Tensor& value, const Tensor& target) {
  return value.shape() == target.shape() && is_integer(value.dtype()) == is_integer(target.dtype());
}

// The entries of `dict` that `own` lacks under the names that `dict` lacks, in their order; or why
// that cannot be.
std::string name_by_order(StateDict& dict, const StateDict& own) {
  std::vector<std::string> wanted, given;
  for (const auto& [name, value] : own) {
    if (!dict.contains(name)) wanted.push_back(name);
  }
  for (const auto& [name, value] : dict) {
    if (!own.contains(name)) given.push_back(name);
  }
  if (wanted.size() != given.size()) {
    return std::to_string(given.size()) + " names that the module lacks, want " +
           std::to_string(wanted.size()) + ", as many as the dict lacks";
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Tensor &value = dict.at(given[i]), &target = own.at(wanted[i]);
    if (value.defined() && fits(value, target)) continue;
    return given[i] + " is " + error_text(value) + ", want " + error_text(target) + " for " +
           wanted[i];
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Tensor value = dict.at(given[i]);
    dict.erase(given[i]);
    dict.insert(wanted[i], value);
  }
  return "";
}

// The prefixes "a.", "a.b." of names.
std::set<std::string> prefixes(const StateDict& dict) {
  std::set<std::string> result;
  for (const auto& [name, value] : dict) {
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      result.insert(name.substr(0, dot + 1));
    }
  }
  return result;
}

// How many names of `longer` are `prefix` and a name of `shorter`.
size_t count_behind(const std::string& prefix, const StateDict& longer, const StateDict& shorter) {
  size_t count = 0;
  for (const auto& [name, value] : longer) {
    count +=
        name.starts_with(prefix) && shorter.contains(std::string_view(name).substr(prefix.size()));
  }
  return count;
}

// The prefix without which most names of `longer` are names of `shorter`, if they are more than
// without a change, else "".
std::string needless_prefix(const StateDict& longer, const StateDict& shorter) {
  std::string best;
  size_t most = count_behind("", longer, shorter);
  for (const std::string& prefix : prefixes(longer)) {
    const size_t count = count_behind(prefix, longer, shorter);
    if (count <= most) continue;
    most = count;
    best = prefix;
  }
  return best;
}

// What would make the names fit, or "".
std::string advice(const StateDict& source, const StateDict& own, const LoadOptions& options,
                   const std::string& type) {
  if (const std::string prefix = needless_prefix(source, own); !prefix.empty()) {
    const auto others = std::count_if(source.begin(), source.end(), [&](const auto& entry) {
      return !entry.first.starts_with(prefix);
    });
    const std::string which =
        others == 0 ? "all" : std::to_string(source.size() - static_cast<size_t>(others));
    return which + " names of the dict begin with " + prefix + ", those of " + type +
           " do not: load it with {.prefix = \"" + options.prefix + prefix + "\"}";
  }
  if (const std::string prefix = needless_prefix(own, source); !prefix.empty()) {
    return "names of " + type + " begin with " + prefix +
           ", those of the dict do not: load it with {.add_prefix = \"" + prefix +
           options.add_prefix + "\"}";
  }
  StateDict renamed = source;
  if (name_by_order(renamed, own).empty() && renamed.names() != source.names()) {
    const auto first = std::find_if(source.begin(), source.end(),
                                    [&](const auto& entry) { return !own.contains(entry.first); });
    const auto target = std::find_if(
        own.begin(), own.end(), [&](const auto& entry) { return !source.contains(entry.first); });
    return "the shapes fit those of " + type + " in their order under other names (" +
           first->first + " would be " + target->first +
           "): load it with {.by_order = true}, or rename it with io::rename";
  }
  return "";
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
  LoadReport report;
  StateDict source = with_prefixes(dict, options.prefix, options.add_prefix, report.unexpected);
  for (const auto& [path, module] : walk(false)) {
    module->adapt_state_dict(source, path.empty() ? "" : path + ".");
  }
  const StateDict own = state_dict();
  if (options.by_order) {
    if (const std::string wrong = name_by_order(source, own); !wrong.empty()) {
      fail("load_state_dict", "the dict does not fit ", type_name(), " by order: ", wrong,
           ". Nothing was loaded");
    }
  }

  std::vector<std::pair<Tensor, Tensor>> copies;  // from second to first
  std::unordered_set<const Storage*> written;
  for (const auto& [name, target] : own) {
    if (!source.contains(name) || !source.at(name).defined()) {
      const auto refused =
          std::find_if(source.refused().begin(), source.refused().end(),
                       [&wanted = name](const auto& entry) { return entry.first == wanted; });
      if (refused == source.refused().end()) {
        report.missing.push_back(name);
      } else {
        report.mismatched.push_back(name + " (" + refused->second + ")");
      }
      continue;
    }
    const Tensor& value = source.at(name);
    if (!fits(value, target)) {
      report.mismatched.push_back(name + " (" + error_text(value) + ", wanted " +
                                  error_text(target) + ")");
      continue;
    }
    copies.emplace_back(target, value);
    written.insert(target.storage().get());
  }
  for (const auto& [name, value] : source) {
    if (!own.contains(name)) report.unexpected.push_back(name);
  }
  if (options.strict && !report.ok()) {
    if (const std::string help = advice(source, own, options, type_name()); !help.empty()) {
      fail("load_state_dict", help, ". Nothing was loaded");
    }
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
