// SPDX-License-Identifier: Apache-2.0
#include "declared.h"

#include <filesystem>
#include <regex>
#include <vector>

#include "support.h"

namespace tern::test {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> headers_of(const fs::path& folder) {
  std::vector<fs::path> headers;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".h") headers.push_back(entry.path());
  }
  return headers;
}

/// Calls f with what the first group matches.
template <class F>
void for_matches(const std::string& text, const std::regex& pattern, const F& f) {
  for (std::sregex_iterator i(text.begin(), text.end(), pattern), end; i != end; ++i) f((*i)[1]);
}

}  // namespace

std::map<std::string, int> declared_operations(const std::string& root) {
  const fs::path ops = fs::path(root) / "ops";
  std::vector<fs::path> headers = headers_of(ops);
  headers.push_back(fs::path(root) / "core/tensor.h");
  for (const char* name : {"attention.h", "conv_batch_norm.h", "rnn.h"})
    headers.push_back(ops / "internal" / name);
  const std::regex function(
      R"((?:^|\n)(?:inline )?(?:Tensor|std::vector<Tensor>|std::pair<Tensor, Tensor>|std::tuple<Tensor[^\n]*>|\[\[nodiscard\]\] Tensor) (operator.|\w+)\()");
  const std::regex method(R"(\n  (?:Tensor|std::vector<Tensor>) (\w+)\([^\n]*\) const)");
  const std::regex in_place(R"(\n  void (\w+_)\()");
  std::map<std::string, int> names;
  for (const fs::path& header : headers) {
    const std::string text = read_file(header);
    for (const std::regex* pattern : {&function, &method, &in_place})
      for_matches(text, *pattern, [&](const std::string& name) { ++names[name]; });
  }
  return names;
}

std::set<std::string> declared_in(const std::string& folder, const std::string& pattern) {
  std::set<std::string> names;
  for (const fs::path& header : headers_of(folder)) {
    for_matches(read_file(header), std::regex(pattern),
                [&](const std::string& name) { names.insert(name); });
  }
  return names;
}

}  // namespace tern::test
