// SPDX-License-Identifier: Apache-2.0
#include "weights.h"

#include <regex.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "../core/error.h"
#include "../core/internal/resources.h"
#include "checkpoint.h"
#include "internal/elements.h"
#include "internal/input_file.h"
#include "internal/names.h"
#include "internal/npy_header.h"
#include "internal/safetensors_header.h"
#include "internal/zip.h"
#include "mindspore.h"
#include "numpy.h"
#include "pytorch.h"
#include "safetensors.h"

namespace tern::io {
namespace {

constexpr char kOp[] = "load_weights";

StateDict load_zip(const InputFile& file) {
  const ZipReader zip(kOp, file, true);
  const auto has = [&](std::string_view ending) {
    return std::any_of(zip.entries().begin(), zip.entries().end(),
                       [&](const ZipEntry& entry) { return entry.name.ends_with(ending); });
  };
  if (has("/data.pkl")) return load_pytorch(file.path());
  if (has(".npy")) return load_npz(file.path());
  if (has("model.weights.h5")) {
    fail(kOp, file.path(), " is a model of Keras, want weights: docs/weights.md converts it");
  }
  fail(kOp, file.path(),
       " is a zip archive without weights, want data.pkl (PyTorch) or .npy "
       "(NumPy) in it: unpack it");
}

// Whether the file begins as a safetensors file: the length of the header, and "{".
bool is_safetensors(std::string_view begin, uint64_t size) {
  constexpr size_t kLengthBytes = 8;
  if (begin.size() <= kLengthBytes || begin[kLengthBytes] != '{') return false;
  return little_endian<uint64_t>(begin.data()) <= std::min(size - kLengthBytes, kMaxHeaderBytes);
}

// "conv" of "net/conv.npy"
std::string stem(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  return name.substr(0, name.find_last_of('.'));
}

StateDict load(const std::string& path) {
  const InputFile file(kOp, path);
  std::string begin(std::min<uint64_t>(file.size(), 16), '\0');
  file.read(0, begin.data(), begin.size());
  if (is_safetensors(begin, file.size())) {
    const auto metadata = load_safetensors_metadata(path);
    const auto format = metadata.find("format");
    const bool checkpoint = format != metadata.end() && format->second == "tern-checkpoint-1";
    return checkpoint ? load_checkpoint(path).model : load_safetensors(path);
  }
  if (begin.starts_with('{')) return load_safetensors(path);  // an index
  if (begin.starts_with("PK\3\4")) return load_zip(file);
  if (begin.starts_with('\x80')) return load_pytorch(path);
  if (begin.starts_with(kNpyMagic)) return {{stem(path), load_npy(path)}};
  if (begin.starts_with("\x0a")) return load_mindspore(path);
  const char* known = nullptr;
  if (begin.starts_with("\x89HDF")) known = "an HDF5 file (Keras?): docs/weights.md converts it";
  if (begin.starts_with("\x1f\x8b")) known = "compressed by gzip: unpack it with gunzip";
  if (begin.starts_with("\x08")) known = "an ONNX model: read it with io::load_onnx";
  if (known) fail(kOp, path, " is ", known);
  fail(kOp, path, " of ", file.size(),
       " bytes begins as no format does that Tern knows, want "
       "safetensors, PyTorch's, MindSpore's or NumPy's: convert it in Python to safetensors");
}

/// A compiled pattern.
class Pattern {
 public:
  explicit Pattern(const std::string& text) {
    const int error = regcomp(&regex_, text.c_str(), REG_EXTENDED);
    if (error == 0) return;
    char reason[128] = {};
    regerror(error, &regex_, reason, sizeof reason);
    fail("rename", "the pattern is ", in_quotes(text),
         ", want a POSIX extended regular expression: ", reason);
  }
  ~Pattern() { regfree(&regex_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  std::string replace(const std::string& text, const std::string& replacement) const {
    std::string result;
    size_t next = 0;
    regmatch_t groups[kGroups];
    while (next <= text.size() &&
           regexec(&regex_, text.c_str() + next, kGroups, groups, next > 0 ? REG_NOTBOL : 0) == 0) {
      const auto begin = static_cast<size_t>(groups[0].rm_so);
      const auto end = static_cast<size_t>(groups[0].rm_eo);
      result.append(text, next, begin);
      for (size_t i = 0; i < replacement.size(); ++i) {
        const bool group = replacement[i] == '\\' && i + 1 < replacement.size();
        if (group) ++i;
        if (!group || replacement[i] < '0' || replacement[i] > '9') {
          result += replacement[i];
          continue;
        }
        const regmatch_t& part = groups[replacement[i] - '0'];
        if (part.rm_so < 0) continue;
        result.append(text, next + static_cast<size_t>(part.rm_so),
                      static_cast<size_t>(part.rm_eo - part.rm_so));
      }
      next += end;
      if (begin != end) continue;
      // Nothing was matched: go on behind the next character.
      if (next < text.size()) result += text[next];
      ++next;
    }
    if (next < text.size()) result.append(text, next);
    return result;
  }

 private:
  static constexpr size_t kGroups = 10;
  regex_t regex_{};
};

}  // namespace

StateDict load_weights(const std::string& path) {
  return with_resources(kOp, [&] { return load(path); });
}

StateDict rename(const StateDict& dict, const std::vector<Renaming>& rules) {
  std::vector<std::unique_ptr<Pattern>> patterns;
  for (const Renaming& rule : rules) patterns.push_back(std::make_unique<Pattern>(rule.pattern));
  const auto renamed = [&](std::string name) {
    for (size_t i = 0; i < rules.size(); ++i) {
      name = patterns[i]->replace(name, rules[i].replacement);
    }
    return name;
  };
  StateDict result;
  for (const auto& [name, value] : dict) {
    const std::string changed = renamed(name);
    if (result.contains(changed)) {
      fail("rename", "two tensors would be called ", changed, ", the second of them ", name,
           ": write patterns that keep them apart");
    }
    result.insert(changed, value);
  }
  for (const auto& [name, reason] : dict.refused()) result.refuse(renamed(name), reason);
  return result;
}

StateDict pick(const StateDict& dict, const std::string& prefix) {
  StateDict result;
  for (const auto& [name, value] : dict) {
    if (name.starts_with(prefix)) result.insert(name.substr(prefix.size()), value);
  }
  for (const auto& [name, reason] : dict.refused()) {
    if (name.starts_with(prefix)) result.refuse(name.substr(prefix.size()), reason);
  }
  if (!result.empty() || !result.refused().empty()) return result;
  fail("pick", "no name of the dict begins with ", prefix,
       dict.empty() ? "; it is empty" : ", the first is ", dict.empty() ? "" : dict.begin()->first,
       ": print dict.names()");
}

}  // namespace tern::io
