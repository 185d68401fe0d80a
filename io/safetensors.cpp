// SPDX-License-Identifier: Apache-2.0
#include "safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <system_error>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "atomic_file.h"
#include "safetensors_header.h"

namespace tern::io {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

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
    default:
      return nullptr;
  }
}

/// What Tern makes of a dtype in a file.
DType dtype_of(const std::string& name) {
  if (name == "F64") return DType::f64;
  if (name == "F32" || name == "F16" || name == "BF16") return DType::f32;
  if (name == "U8" || name == "BOOL") return DType::u8;
  return DType::i64;
}

float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float from_f16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormal numbers, multiples of 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t biased = exponent == 0x1f ? 0xffu : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (biased << 23) | (fraction << 13));
}

class InputFile {
 public:
  explicit InputFile(const std::string& path) : path_(path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) fail_with(errno);
    if (!S_ISREG(status.st_mode)) fail(kLoad, "cannot read ", path, ": it is not a regular file");
    size_ = static_cast<uint64_t>(status.st_size);
    file_.reset(std::fopen(path.c_str(), "rbe"));
    if (!file_) fail_with(errno);
  }

  uint64_t size() const { return size_; }

  void read(uint64_t position, void* to, uint64_t bytes) {
    if (bytes == 0) return;
    if (fseeko(file_.get(), static_cast<off_t>(position), SEEK_SET) != 0 ||
        std::fread(to, 1, bytes, file_.get()) != bytes) {
      fail(kLoad, "cannot read ", bytes, " bytes at ", position, " of ", path_,
           ": the disk failed, or the file changed meanwhile");
    }
  }

 private:
  [[noreturn]] void fail_with(int error) const {
    fail(kLoad, "cannot read ", path_, ": ", std::generic_category().message(error));
  }
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::string path_;
  uint64_t size_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
};

/// Reads and checks the header; `data` becomes the position of the first byte after it.
SafetensorsHeader read_header(InputFile& file, const std::string& path, uint64_t& data) {
  constexpr uint64_t kLengthBytes = 8;
  if (file.size() < kLengthBytes) {
    fail(kLoad, path, " has ", file.size(), " bytes: this is not a safetensors file");
  }
  uint64_t length = 0;
  file.read(0, &length, kLengthBytes);
  if (length > kMaxHeaderBytes) {
    fail(kLoad, path, ": the header is said to have ", length, " bytes, at most ", kMaxHeaderBytes,
         " are allowed: this is not a safetensors file");
  }
  if (length > file.size() - kLengthBytes) {
    fail(kLoad, path, ": the header is said to have ", length, " bytes, the file has ", file.size(),
         ": it is truncated, or no safetensors file");
  }
  std::string json(length, '\0');
  file.read(kLengthBytes, json.data(), length);
  data = kLengthBytes + length;
  return parse_safetensors_header(json, file.size() - data, path);
}

template <class Source, class Convert>
void read_converted(InputFile& file, uint64_t position, const Tensor& to, const Convert& convert) {
  std::vector<Source> values(static_cast<size_t>(to.numel()));
  file.read(position, values.data(), values.size() * sizeof(Source));
  using Target = decltype(convert(Source{}));
  std::transform(values.begin(), values.end(), to.raw<Target>(), convert);
}

Tensor read_tensor(InputFile& file, uint64_t data, const TensorEntry& entry) {
  Tensor x = empty(entry.shape, dtype_of(entry.dtype));
  const uint64_t position = data + entry.begin;
  const std::string& dtype = entry.dtype;
  const auto integer = [](auto value) { return static_cast<int64_t>(value); };
  if (dtype == "BF16") {
    read_converted<uint16_t>(file, position, x, from_bf16);
  } else if (dtype == "F16") {
    read_converted<uint16_t>(file, position, x, from_f16);
  } else if (dtype == "I32") {
    read_converted<int32_t>(file, position, x, integer);
  } else if (dtype == "I16") {
    read_converted<int16_t>(file, position, x, integer);
  } else if (dtype == "I8") {
    read_converted<int8_t>(file, position, x, integer);
  } else if (dtype == "U32") {
    read_converted<uint32_t>(file, position, x, integer);
  } else if (dtype == "U16") {
    read_converted<uint16_t>(file, position, x, integer);
  } else {
    file.read(position, x.raw_data(), entry.end - entry.begin);
  }
  return x;
}

}  // namespace

void save_safetensors(const StateDict& dict, const std::string& path,
                      const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header;
  header.metadata = metadata;
  std::vector<Tensor> tensors;
  for (const auto& [name, x] : dict) {
    if (!is_valid_name(name)) {
      fail(kSave, "cannot write ", path, ": a tensor cannot be called ", in_quotes(name));
    }
    if (!x.defined()) fail(kSave, "cannot write ", path, ": ", in_quotes(name), " is undefined");
    const char* dtype = name_of(x.dtype());
    if (!dtype) fail(kSave, "cannot write ", path, ": ", in_quotes(name), " is ", x);
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
    fail(kSave, "cannot write ", path, ": its header would have ", json.size(), " bytes");
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

StateDict load_safetensors(const std::string& path) {
  InputFile file(path);
  uint64_t data = 0;
  const SafetensorsHeader header = read_header(file, path, data);
  StateDict dict;
  for (const TensorEntry& entry : header.tensors) {
    dict.insert(entry.name, read_tensor(file, data, entry));
  }
  return dict;
}

std::map<std::string, std::string> load_safetensors_metadata(const std::string& path) {
  InputFile file(path);
  uint64_t data = 0;
  return read_header(file, path, data).metadata;
}

}  // namespace tern::io
