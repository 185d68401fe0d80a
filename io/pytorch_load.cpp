// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "../core/error.h"
#include "../core/internal/resources.h"
#include "internal/input_file.h"
#include "internal/names.h"
#include "internal/pytorch_tensors.h"
#include "internal/zip.h"
#include "pytorch.h"

// The formats: torch/serialization.py, _save and _legacy_save.
namespace tern::io {
namespace {

constexpr char kOp[] = "load_pytorch";
constexpr uint64_t kMostPickle = 100'000'000;
constexpr const char* kDamaged = ": the file is truncated or damaged";

/// Where the bytes of a storage are.
struct Place {
  const ZipEntry* entry = nullptr;  // or null: in the file at `position`
  uint64_t position = 0;
  uint64_t bytes = 0;
};

/// A file and its storages.
struct Archive {
  const InputFile& file;
  const ZipReader* zip = nullptr;
  std::map<std::string, Place> storages = {};
  bool big_endian = false;

  void read(const Place& place, void* to) const {
    if (place.entry) {
      zip->read(*place.entry, to);
    } else {
      file.read(place.position, to, place.bytes);
    }
  }
  std::string read(const Place& place) const {
    if (place.entry) return zip->read(*place.entry);
    std::string bytes(place.bytes, '\0');
    read(place, bytes.data());
    return bytes;
  }
};

// A file of some kilobytes may describe an expanded tensor of any size.
void check_total(const std::vector<PytorchTensor>& tensors, const Archive& archive) {
  constexpr double kMostFactor = 64, kFree = 1 << 26;
  double there = 0, wanted = 0;
  for (const auto& [key, place] : archive.storages) there += static_cast<double>(place.bytes);
  for (const PytorchTensor& tensor : tensors) {
    wanted +=
        static_cast<double>(tensor.shape.numel()) * static_cast<double>(size_of(tensor.dtype));
  }
  if (wanted <= kMostFactor * there + kFree) return;
  fail(kOp, archive.file.path(), ": its tensors of ", wanted, " bytes are all views of ", there,
       " bytes in the file, want at most ", kMostFactor,
       " times as many: save x.contiguous() of them");
}

Tensor read_tensor(const PytorchTensor& tensor, const std::string& bytes, const Archive& archive) {
  const Tensor x = empty(tensor.shape, loaded_dtype(tensor.dtype));
  const char* first = bytes.data() + tensor.offset * size_of(tensor.dtype);
  if (x.numel() == 0) return x;
  const bool fits = read_elements(tensor.dtype, first, tensor.strides, archive.big_endian, x);
  return fits ? x : Tensor();
}

// Whether the tensor is its storage, byte for byte.
bool is_whole_storage(const PytorchTensor& tensor, const Place& place, bool big_endian) {
  return is_stored_as_is(tensor.dtype) && (!big_endian || size_of(tensor.dtype) == 1) &&
         !(place.entry && place.entry->deflated) && tensor.offset == 0 &&
         static_cast<uint64_t>(tensor.shape.numel()) * size_of(tensor.dtype) == place.bytes &&
         tensor.strides == row_major_strides(tensor.shape);
}

// What tells tensors of a storage apart: offset, dtype, sizes and strides.
using View = std::tuple<uint64_t, FileDType, std::vector<int64_t>, std::vector<int64_t>>;

// Reads storage by storage, each once.
std::vector<Tensor> read_tensors(const std::vector<PytorchTensor>& tensors,
                                 const Archive& archive) {
  std::map<std::string, std::vector<size_t>> users;
  for (size_t i = 0; i < tensors.size(); ++i) users[tensors[i].storage.key].push_back(i);
  std::vector<Tensor> read(tensors.size());
  for (const auto& [key, indices] : users) {
    const auto found = archive.storages.find(key);
    const PytorchTensor& first = tensors[indices[0]];
    if (found == archive.storages.end()) {
      fail(kOp, archive.file.path(), ": tensor ", in_quotes(first.name), " is in storage ",
           in_quotes(key), ", which the file does not have", kDamaged);
    }
    const Place& place = found->second;
    for (const size_t i : indices) {
      if (tensors[i].storage.bytes() == place.bytes) continue;
      fail(kOp, archive.file.path(), ": storage ", in_quotes(key), " of tensor ",
           in_quotes(tensors[i].name), " has ", place.bytes, " bytes, want ",
           tensors[i].storage.bytes(), kDamaged);
    }
    if (indices.size() == 1 && is_whole_storage(first, place, archive.big_endian)) {
      const Tensor x = empty(first.shape, loaded_dtype(first.dtype));
      archive.read(place, x.raw_data());
      read[indices[0]] = x;
      continue;
    }
    const std::string bytes = archive.read(place);
    std::map<View, Tensor> views;  // tied weights are one
    for (const size_t i : indices) {
      const PytorchTensor& tensor = tensors[i];
      const Shape& shape = tensor.shape;
      Tensor& x =
          views[{tensor.offset, tensor.dtype, {shape.begin(), shape.end()}, tensor.strides}];
      if (!x.defined()) x = read_tensor(tensor, bytes, archive);
      read[i] = x;
    }
  }
  return read;
}

StateDict make_dict(const PytorchTensors& found, const Archive& archive) {
  check_total(found.tensors, archive);
  const std::vector<Tensor> tensors = read_tensors(found.tensors, archive);
  StateDict dict;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = found.tensors[i].name;
    if (tensors[i].defined()) {
      dict.set(name, tensors[i]);
    } else {
      dict.refuse(name, archive.file.path() + ": tensor " + in_quotes(name) +
                            " has numbers above 2^63 - 1, want ones that fit i64");
    }
  }
  for (const auto& [name, reason] : found.refused) dict.refuse(name, reason);
  return dict;
}

void check_pickle_size(const std::string& where, uint64_t bytes) {
  if (bytes <= kMostPickle) return;
  fail(kOp, where, " has ", bytes, " bytes, want at most ", kMostPickle,
       ": save tensors rather than Python objects");
}

StateDict load_zip(const InputFile& file, const std::string& key) {
  const ZipReader zip(kOp, file, true);
  constexpr std::string_view kPickle = "/data.pkl";
  const auto pickled =
      std::find_if(zip.entries().begin(), zip.entries().end(),
                   [&](const ZipEntry& entry) { return entry.name.ends_with(kPickle); });
  if (pickled == zip.entries().end()) {
    const bool keras = zip.find("model.weights.h5") != nullptr;
    fail(kOp, file.path(), " is a zip archive without data.pkl, want what torch.save writes: ",
         keras ? "docs/weights.md converts Keras's files" : "load_npz reads NumPy's arrays");
  }
  const std::string folder = pickled->name.substr(0, pickled->name.size() - kPickle.size() + 1);
  Archive archive{.file = file, .zip = &zip};
  if (const ZipEntry* order = zip.find(folder + "byteorder")) {
    const std::string text = order->size <= 6 ? zip.read(*order) : "";
    if (text != "little" && text != "big") {
      fail(kOp, file.path(), ": byteorder is ", in_quotes(text), ", want little or big", kDamaged);
    }
    archive.big_endian = text == "big";
  }
  const std::string data = folder + "data/";
  for (const ZipEntry& entry : zip.entries()) {
    if (!entry.name.starts_with(data)) continue;
    archive.storages[entry.name.substr(data.size())] = {.entry = &entry, .bytes = entry.size};
  }
  const std::string where = file.path() + ": " + in_quotes(pickled->name);
  check_pickle_size(where, pickled->size);
  const std::string bytes = zip.read(*pickled);
  const Pickle pickle(kOp, bytes, 0, where);
  return make_dict(find_pytorch_tensors(kOp, pickle.root(), key, where), archive);
}

// Pickles of a magic number, a version, the system, the object and the keys; then the storages.
StateDict load_legacy(const InputFile& file, const std::string& key) {
  constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  constexpr int64_t kVersion = 1001;
  const std::string& where = file.path();
  std::string bytes(std::min(file.size(), kMostPickle), '\0');
  file.read(0, bytes.data(), bytes.size());
  const Pickle magic(kOp, bytes, 0, where);
  if (!magic.root().is_text(kMagic)) {
    fail(kOp, where,
         " is a pickle that torch.save did not write, want one that begins with its "
         "magic number: save net.state_dict() with torch.save");
  }
  const Pickle version(kOp, bytes, magic.end(), where);
  if (version.root().integer != kVersion) {
    fail(kOp, where, ": the version of the format is ", version.root().integer, ", want ", kVersion,
         ": save it with PyTorch 1.6 or later");
  }
  const Pickle system(kOp, bytes, version.end(), where);
  const Pickle object(kOp, bytes, system.end(), where);
  const Pickle keys(kOp, bytes, object.end(), where);

  Archive archive{.file = file};  // whose numbers are little-endian, whatever the system was
  std::map<std::string, size_t> element_bytes;
  for (const PickleValue* value : object.persistent()) {
    if (const auto storage = pytorch_storage(kOp, *value, where)) {
      element_bytes[storage->key] = storage->element_bytes;
    }
  }
  uint64_t position = keys.end();
  for (const PickleValue* name : keys.root().items) {
    const auto size = element_bytes.find(name->text);
    int64_t count = 0;
    if (size == element_bytes.end() || file.size() - position < sizeof count) {
      fail(kOp, where, ": storage ", in_quotes(name->text), " at byte ", position,
           " is not there or not used", kDamaged);
    }
    file.read(position, &count, sizeof count);
    position += sizeof count;
    if (count < 0 || static_cast<uint64_t>(count) > (file.size() - position) / size->second) {
      fail(kOp, where, ": storage ", in_quotes(name->text), " at byte ", position, " has ", count,
           " elements, more than there are", kDamaged);
    }
    const uint64_t length = static_cast<uint64_t>(count) * size->second;
    archive.storages[name->text] = {.position = position, .bytes = length};
    position += length;
  }
  return make_dict(find_pytorch_tensors(kOp, object.root(), key, where), archive);
}

StateDict load(const std::string& path, const std::string& key) {
  const InputFile file(kOp, path);
  std::string begin(std::min<uint64_t>(file.size(), 4), '\0');
  file.read(0, begin.data(), begin.size());
  if (begin == "PK\3\4") return load_zip(file, key);
  if (begin.starts_with('\x80')) return load_legacy(file, key);
  fail(kOp, path,
       " is neither a zip archive nor a pickle, want what torch.save writes: "
       "load_weights tells formats apart");
}

}  // namespace

StateDict load_pytorch(const std::string& path, const LoadPytorchOptions& options) {
  return with_resources(kOp, [&] { return load(path, options.key); });
}

}  // namespace tern::io
