// SPDX-License-Identifier: Apache-2.0
#include "safetensors.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <set>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/resources.h"
#include "internal/atomic_file.h"
#include "internal/input_file.h"
#include "internal/safetensors_header.h"

namespace tern::io {
namespace {

constexpr char kLoad[] = "load_safetensors";
constexpr char kSave[] = "save_safetensors";

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::i64:
      return "I64";
    case DType::u8:
      return "U8";
    case DType::boolean:
      return "BOOL";
    case DType::bf16:
      break;
  }
  return nullptr;
}

/// Smaller files are read: mapping their pages costs more.
constexpr uint64_t kMapFrom = 1 << 20;

/// Files of other formats, by their first bytes.
void refuse_others(const std::string& path, std::string_view begin) {
  const bool zip = begin.starts_with("PK\3\4"), pickle = begin.starts_with("\x80\x02");
  if (!zip && !pickle) return;
  fail(kLoad, path, " is ", zip ? "a zip archive" : "a pickle",
       ", as torch.save writes, want a safetensors file: load it with load_pytorch or "
       "load_weights");
}

/// Reads and checks the header; `data` becomes the position of the first byte after it.
SafetensorsHeader read_header(const InputFile& file, uint64_t& data) {
  const std::string& path = file.path();
  constexpr uint64_t kLengthBytes = 8;
  if (file.size() < kLengthBytes) {
    fail(kLoad, path, " has ", file.size(), " bytes, want at least ", kLengthBytes,
         ": it is not a safetensors file");
  }
  uint64_t length = 0;
  file.read(0, &length, kLengthBytes);
  refuse_others(path, {reinterpret_cast<const char*>(&length), kLengthBytes});
  if (length > kMaxHeaderBytes) {
    fail(kLoad, path, ": the length of the header is ", length, ", want at most ", kMaxHeaderBytes,
         ": it is not a safetensors file");
  }
  if (length > file.size() - kLengthBytes) {
    fail(kLoad, path, ": the length of the header is ", length,
         ", want less than that of the file, ", file.size(),
         ": it is truncated, or not a safetensors file");
  }
  std::string json(length, '\0');
  file.read(kLengthBytes, json.data(), length);
  data = kLengthBytes + length;
  return parse_safetensors_header(json, file.size() - data, path);
}

/// `mapped` is the file in memory, or null.
Tensor read_tensor(const InputFile& file, const std::shared_ptr<std::byte>& mapped, uint64_t data,
                   const TensorEntry& entry, FileDType dtype) {
  const uint64_t position = data + entry.begin, bytes = entry.end - entry.begin;
  if (mapped && is_stored_as_is(dtype) && position % size_of(dtype) == 0) {
    return from_blob(mapped.get() + position, entry.shape, loaded_dtype(dtype),
                     [mapped](void*) { /* goes with this function */ });
  }
  Tensor x = empty(entry.shape, loaded_dtype(dtype));
  if (is_stored_as_is(dtype)) {
    file.read(position, x.raw_data(), bytes);
    return x;
  }
  std::string elements(bytes, '\0');
  file.read(position, elements.data(), bytes);
  const bool fits = read_elements(dtype, elements.data(), row_major_strides(entry.shape), false, x);
  return fits ? x : Tensor();
}

void save(const StateDict& dict, const std::string& path,
          const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header;
  header.metadata = metadata;
  std::vector<Tensor> tensors;
  check_savable(kSave, path, dict);
  for (const auto& [name, x] : dict) {
    const char* dtype = name_of(x.dtype());
    if (!dtype)
      fail(kSave, "cannot write ", path, ": ", in_quotes(name), " is ", x,
           ", want f32, f64, i64 or u8: convert it first");
    header.tensors.push_back({.name = name, .dtype = dtype, .shape = x.shape()});
    tensors.push_back(x.detach());
  }

  // The data of wide types comes first, so that every tensor is aligned to its element; the header
  // keeps the order of the dict.
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(tensors[a].dtype()) > size_of(tensors[b].dtype());
  });
  uint64_t position = 0;
  for (const size_t i : order) {
    header.tensors[i].begin = position;
    position += static_cast<uint64_t>(tensors[i].numel()) * size_of(tensors[i].dtype());
    header.tensors[i].end = position;
  }
  const std::string json = format_safetensors_header(header);
  if (json.size() > kMaxHeaderBytes) {
    fail(kSave, "cannot write ", path, ": the length of its header is ", json.size(),
         ", want at most ", kMaxHeaderBytes, ": split the dict over several files");
  }

  NoGrad no_grad;
  AtomicFile file(kSave, path);
  const uint64_t length = json.size();
  file.write(&length, sizeof length);
  file.write(json.data(), json.size());
  for (const size_t i : order) {
    const Tensor x = contiguous(tensors[i]);
    file.write(x.raw_data(), header.tensors[i].end - header.tensors[i].begin);
  }
  file.commit();
}

/// Adds the tensors of a file, or those of them that are in `names`, to `dict`.
void load_file(const std::string& path, bool map, const std::set<std::string>* names,
               StateDict& dict) {
  const InputFile file(kLoad, path);
  uint64_t data = 0;
  const SafetensorsHeader header = read_header(file, data);
  const std::shared_ptr<std::byte> mapped = map && file.size() >= kMapFrom ? file.map() : nullptr;
  for (const TensorEntry& entry : header.tensors) {
    if (names && !names->contains(entry.name)) continue;
    const std::string what = path + ": tensor " + in_quotes(entry.name);
    const std::optional<FileDType> dtype = safetensors_dtype(entry.dtype);
    if (!dtype) {
      dict.refuse(entry.name, what + " has dtype " + in_quotes(entry.dtype) +
                                  ", want one that Tern reads: convert it to F32");
      continue;
    }
    const Tensor x = read_tensor(file, mapped, data, entry, *dtype);
    if (x.defined()) {
      dict.insert(entry.name, x);
    } else {
      dict.refuse(entry.name, what + " has numbers of U64 above 2^63 - 1, want ones that fit I64");
    }
  }
}

/// Whether a file is JSON. Of the length that a safetensors file begins with, some bytes are 0.
bool is_index(const InputFile& file) {
  std::string begin(std::min<uint64_t>(file.size(), sizeof(uint64_t)), '\0');
  file.read(0, begin.data(), begin.size());
  return begin.starts_with('{') && begin.find('\0') == std::string::npos;
}

bool is_refused(const StateDict& dict, const std::string& name) {
  return std::any_of(dict.refused().begin(), dict.refused().end(),
                     [&](const auto& entry) { return entry.first == name; });
}

/// The tensors of the files that an index names.
void load_shards(const InputFile& file, bool map, const std::set<std::string>* names,
                 StateDict& dict) {
  const std::string& path = file.path();
  if (file.size() > kMaxHeaderBytes) {
    fail(kLoad, path, " has ", file.size(), " bytes, want at most ", kMaxHeaderBytes,
         ": it is not an index of safetensors files");
  }
  std::string json(file.size(), '\0');
  file.read(0, json.data(), json.size());
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [name, shard] : parse_safetensors_index(json, path)) {
    if (!names || names->contains(name)) shards[shard].insert(name);
  }
  const std::string directory = path.substr(0, path.find_last_of('/') + 1);
  for (const auto& [shard, wanted] : shards) {
    StateDict part;
    load_file(directory + shard, map, &wanted, part);
    for (const std::string& name : wanted) {
      if (!part.contains(name) && !is_refused(part, name)) {
        fail(kLoad, path, " says that ", in_quotes(name), " is in ", shard,
             ", which has no such tensor: the files do not belong together");
      }
    }
    dict.merge(part);
  }
}

StateDict load(const std::string& path, const LoadSafetensorsOptions& options) {
  const std::set<std::string> wanted(options.names.begin(), options.names.end());
  const std::set<std::string>* names = wanted.empty() ? nullptr : &wanted;
  StateDict dict;
  if (const InputFile file(kLoad, path); is_index(file)) {
    load_shards(file, options.map, names, dict);
  } else {
    load_file(path, options.map, names, dict);
  }
  for (const std::string& name : wanted) {
    if (dict.contains(name)) continue;
    if (is_refused(dict, name)) dict.at(name);  // throws the reason
    fail(kLoad, path, " has no tensor called ", in_quotes(name),
         ": load_safetensors(path).names() lists all");
  }
  return dict;
}

}  // namespace

void save_safetensors(const StateDict& dict, const std::string& path,
                      const std::map<std::string, std::string>& metadata) {
  with_resources(kSave, [&] { save(dict, path, metadata); });
}

StateDict load_safetensors(const std::string& path, const LoadSafetensorsOptions& options) {
  return with_resources(kLoad, [&] { return load(path, options); });
}

std::map<std::string, std::string> load_safetensors_metadata(const std::string& path) {
  return with_resources(kLoad, [&] {
    const InputFile file(kLoad, path);
    uint64_t data = 0;
    return read_header(file, data).metadata;
  });
}

}  // namespace tern::io
