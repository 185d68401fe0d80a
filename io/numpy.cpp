// SPDX-License-Identifier: Apache-2.0
#include "numpy.h"

#include <algorithm>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/resources.h"
#include "internal/atomic_file.h"
#include "internal/elements.h"
#include "internal/input_file.h"
#include "internal/names.h"
#include "internal/npy_header.h"
#include "internal/zip.h"

namespace tern::io {
namespace {

constexpr char kLoad[] = "load_npy", kLoadAll[] = "load_npz";
constexpr char kSave[] = "save_npy", kSaveAll[] = "save_npz";
constexpr std::string_view kSuffix = ".npy";

Tensor load(const std::string& path) {
  const InputFile file(kLoad, path);
  std::string begin(std::min(file.size(), kMostNpyHeader), '\0');
  file.read(0, begin.data(), begin.size());
  const NpyHeader header = parse_npy_header(kLoad, begin, file.size(), path);
  if (!header.unreadable.empty()) fail(kLoad, path, " ", header.unreadable);
  const Tensor x = empty(header.shape, loaded_dtype(header.dtype));
  const uint64_t bytes = file.size() - header.bytes;
  if (is_stored_as_is(header.dtype) && !header.big_endian && !header.fortran_order) {
    file.read(header.bytes, x.raw_data(), bytes);
    return x;
  }
  std::string data(bytes, '\0');
  file.read(header.bytes, data.data(), bytes);
  const auto strides =
      header.fortran_order ? column_major_strides(header.shape) : row_major_strides(header.shape);
  if (!read_elements(header.dtype, data.data(), strides, header.big_endian, x)) {
    fail(kLoad, path, " has numbers above 2^63 - 1, want ones that fit i64: save them as float64");
  }
  return x;
}

// The tensor in an array of an archive, or why there is none.
Tensor read_array(const std::string& bytes, const std::string& where, std::string& unreadable) {
  const NpyHeader header = parse_npy_header(kLoadAll, bytes, bytes.size(), where);
  unreadable = header.unreadable;
  if (!unreadable.empty()) return {};
  const Tensor x = empty(header.shape, loaded_dtype(header.dtype));
  const auto strides =
      header.fortran_order ? column_major_strides(header.shape) : row_major_strides(header.shape);
  if (!read_elements(header.dtype, bytes.data() + header.bytes, strides, header.big_endian, x)) {
    unreadable = "has numbers above 2^63 - 1, want ones that fit i64: save them as float64";
  }
  return x;
}

StateDict load_all(const std::string& path) {
  const InputFile file(kLoadAll, path);
  const ZipReader zip(kLoadAll, file);
  StateDict dict;
  for (const ZipEntry& entry : zip.entries()) {
    std::string name = entry.name;
    const std::string where = path + ": " + in_quotes(name);
    if (name == "model.weights.h5") {
      fail(kLoadAll, where, " is Keras's, want NumPy's arrays: docs/weights.md converts it");
    }
    if (name.ends_with("/data.pkl")) {
      fail(kLoadAll, where, " is PyTorch's, want NumPy's arrays: load it with load_pytorch");
    }
    if (!name.ends_with(kSuffix)) {
      dict.refuse(name, where + " is not an array, want a name that ends with .npy");
      continue;
    }
    name.resize(name.size() - kSuffix.size());
    if (!is_valid_name(name)) {
      fail(kLoadAll, where, ": the name has control characters or is too long: rename the array");
    }
    std::string unreadable;
    const Tensor x = read_array(zip.read(entry), where, unreadable);
    if (unreadable.empty()) {
      dict.insert(name, x);
    } else {
      dict.refuse(name, where + " " + unreadable);
    }
  }
  return dict;
}

std::string_view bytes_of(const Tensor& x) {
  return {static_cast<const char*>(x.raw_data()),
          static_cast<size_t>(x.numel()) * size_of(x.dtype())};
}

}  // namespace

Tensor load_npy(const std::string& path) {
  return with_resources(kLoad, [&] { return load(path); });
}

void save_npy(const Tensor& x, const std::string& path) {
  with_resources(kSave, [&] {
    check_savable(kSave, path, {{"x", x}});
    const NoGrad no_grad;
    const Tensor plain = contiguous(x.detach());
    const std::string header = format_npy_header(plain.dtype(), plain.shape());
    AtomicFile file(kSave, path);
    file.write(header.data(), header.size());
    file.write(plain.raw_data(), bytes_of(plain).size());
    file.commit();
  });
}

StateDict load_npz(const std::string& path) {
  return with_resources(kLoadAll, [&] { return load_all(path); });
}

void save_npz(const StateDict& dict, const std::string& path) {
  with_resources(kSaveAll, [&] {
    check_savable(kSaveAll, path, dict);
    const NoGrad no_grad;
    AtomicFile file(kSaveAll, path);
    ZipWriter zip(file);
    for (const auto& [name, x] : dict) {
      const Tensor plain = contiguous(x.detach());
      const std::string header = format_npy_header(plain.dtype(), plain.shape());
      zip.add(name + std::string(kSuffix), {header, bytes_of(plain)});
    }
    zip.finish();
    file.commit();
  });
}

}  // namespace tern::io
