// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string_view>
#include <tuple>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/resources.h"
#include "internal/elements.h"
#include "internal/names.h"
#include "internal/zip.h"
#include "pytorch.h"

namespace tern::io {
namespace {

constexpr char kOp[] = "save_pytorch";

const char* storage_class(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "FloatStorage";
    case DType::f64:
      return "DoubleStorage";
    case DType::i64:
      return "LongStorage";
    case DType::u8:
      return "ByteStorage";
    case DType::boolean:
      return "BoolStorage";
    case DType::bf16:
      break;
  }
  fail(kOp, "a tensor is bf16, want f32, f64, i64, u8 or bool");
}

void append_text(std::string& pickle, std::string_view text) {
  pickle += 'X';
  append_number(pickle, static_cast<uint32_t>(text.size()));
  pickle += text;
}

void append_integer(std::string& pickle, int64_t value) {
  if (value >= 0 && value <= INT32_MAX) {
    pickle += 'J';
    append_number(pickle, static_cast<int32_t>(value));
  } else {
    pickle += "\x8a\x08";
    append_number(pickle, value);
  }
}

void append_tuple(std::string& pickle, const std::vector<int64_t>& values) {
  pickle += '(';
  for (const int64_t value : values) append_integer(pickle, value);
  pickle += 't';
}

constexpr std::string_view kOrderedDict = "ccollections\nOrderedDict\n)R";

// _rebuild_tensor_v2(storage, 0, shape, strides, requires_grad, hooks)
void append_tensor(std::string& pickle, const Tensor& x, int64_t storage) {
  pickle += "ctorch._utils\n_rebuild_tensor_v2\n((";
  append_text(pickle, "storage");
  pickle += "ctorch\n" + std::string(storage_class(x.dtype())) + "\n";
  append_text(pickle, std::to_string(storage));
  append_text(pickle, "cpu");
  append_integer(pickle, x.numel());
  pickle += "tQ";
  append_integer(pickle, 0);
  append_tuple(pickle, {x.shape().begin(), x.shape().end()});
  append_tuple(pickle, row_major_strides(x.shape()));
  pickle.append("\x89").append(kOrderedDict).append("tR");
}

void save(const StateDict& dict, const std::string& path) {
  check_savable(kOp, path, dict);
  const NoGrad no_grad;
  // Tensors over the same memory are one storage.
  std::map<std::tuple<const void*, DType, int64_t, MemoryFormat>, int64_t> numbers;
  std::vector<Tensor> storages;
  std::string pickle = "\x80\x02";
  pickle += "}(";  // a plain dict, which torch::pickle_load in C++ reads, too
  for (const auto& [name, value] : dict) {
    const Tensor x = value.detach();
    const auto [place, added] =
        numbers.try_emplace({x.raw_data(), x.dtype(), x.numel(), x.memory_format()},
                            static_cast<int64_t>(storages.size()));
    const bool shared = !added && x.numel() > 0;
    if (!shared) storages.push_back(x);
    append_text(pickle, name);
    append_tensor(pickle, x, shared ? place->second : static_cast<int64_t>(storages.size()) - 1);
  }
  pickle += "u.";

  AtomicFile file(kOp, path);
  ZipWriter zip(file);
  zip.add("archive/data.pkl", {pickle});
  zip.add("archive/byteorder", {"little"});
  for (size_t i = 0; i < storages.size(); ++i) {
    const Tensor x = contiguous(storages[i]);
    zip.add("archive/data/" + std::to_string(i),
            {{static_cast<const char*>(x.raw_data()),
              static_cast<size_t>(x.numel()) * size_of(x.dtype())}});
  }
  zip.add("archive/version", {"3\n"});
  zip.finish();
  file.commit();
}

}  // namespace

void save_pytorch(const StateDict& dict, const std::string& path) {
  with_resources(kOp, [&] { save(dict, path); });
}

}  // namespace tern::io
