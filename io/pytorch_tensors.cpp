// SPDX-License-Identifier: Apache-2.0
#include "internal/pytorch_tensors.h"

#include <algorithm>
#include <array>

#include "../core/error.h"
#include "internal/names.h"

namespace tern::io {
namespace {

using Value = PickleValue;
using Kind = PickleValue::Kind;

constexpr int kDeepest = 128;
constexpr size_t kMostVisits = 5'000'000;
constexpr const char* kDamaged = ": the file is damaged, or not what torch.save writes";

struct TorchType {
  std::string_view storage, dtype;
  size_t bytes;
  std::optional<FileDType> read_as;
};
// Complex and quantized numbers have no dtype in Tern.
constexpr std::array<TorchType, 21> kTypes = {
    {{"DoubleStorage", "float64", 8, FileDType::f64},
     {"FloatStorage", "float32", 4, FileDType::f32},
     {"HalfStorage", "float16", 2, FileDType::f16},
     {"BFloat16Storage", "bfloat16", 2, FileDType::bf16},
     {"LongStorage", "int64", 8, FileDType::i64},
     {"IntStorage", "int32", 4, FileDType::i32},
     {"ShortStorage", "int16", 2, FileDType::i16},
     {"CharStorage", "int8", 1, FileDType::i8},
     {"ByteStorage", "uint8", 1, FileDType::u8},
     {"BoolStorage", "bool", 1, FileDType::boolean},
     {"UntypedStorage", "", 1, std::nullopt},
     {"", "uint64", 8, FileDType::u64},
     {"", "uint32", 4, FileDType::u32},
     {"", "uint16", 2, FileDType::u16},
     {"ComplexDoubleStorage", "complex128", 16, std::nullopt},
     {"ComplexFloatStorage", "complex64", 8, std::nullopt},
     {"QInt32Storage", "qint32", 4, std::nullopt},
     {"QInt8Storage", "qint8", 1, std::nullopt},
     {"QUInt8Storage", "quint8", 1, std::nullopt},
     {"QUInt4x2Storage", "quint4x2", 1, std::nullopt},
     {"QUInt2x4Storage", "quint2x4", 1, std::nullopt}}};

std::string_view after_last_dot(std::string_view name) { return name.substr(name.rfind('.') + 1); }

const TorchType* type_of(std::string_view name, std::string_view TorchType::*member) {
  if (name.empty()) return nullptr;
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const TorchType& type) { return type.*member == name; });
  return found == kTypes.end() ? nullptr : &*found;
}

// What an object was made by: "torch._utils._rebuild_tensor_v2".
std::string_view maker(const Value& value) {
  const bool named = value.kind == Kind::object && value.items[0]->kind == Kind::global;
  return named ? std::string_view(value.items[0]->text) : std::string_view();
}
const std::vector<Value*>& arguments(const Value& object) { return object.items[1]->items; }

/// Where tensors are: parameters, buffers and modules of a module.
bool is_module(const Value& value) {
  if (value.kind != Kind::object || !value.state || value.state->kind != Kind::dict) return false;
  return maker(value).starts_with("__torch__.") ||
         (value.state->find("_parameters") && value.state->find("_modules"));
}
bool is_optimizer_state(const Value& value) {
  constexpr size_t kMostEntries = 16;
  return value.kind == Kind::dict && value.pairs.size() <= kMostEntries &&
         value.find("param_groups") && value.find("state");
}

class Finder {
 public:
  Finder(const char* op, const std::string& where) : op_(op), where_(where) {}

  PytorchTensors found;

  void find(const Value& root, const std::string& key) {
    const Value& chosen = key.empty() ? customary(root) : at(root, key);
    walk(chosen);
    if (!found.tensors.empty() || !found.refused.empty()) return;
    fail(op_, where_, " has no tensors", key.empty() ? "" : " under " + in_quotes(key), ", only ",
         contents(root), ": save net.state_dict()");
  }

 private:
  // What a checkpoint has its weights under, besides an optimizer's state and the like.
  const Value& customary(const Value& root) {
    const Value* value = &root;
    for (int depth = 0; depth < kDeepest && value->kind == Kind::dict; ++depth) {
      const Value* next = nullptr;
      for (const char* key :
           {"state_dict", "model_state_dict", "model", "net", "model_state", "module"}) {
        const Value* candidate = value->find(key);
        if (candidate && (candidate->kind == Kind::dict || is_module(*candidate))) {
          next = candidate;
          break;
        }
      }
      if (!next) next = only_part(*value);
      if (!next) break;
      value = next;
    }
    return *value;
  }

  // The only value of a dict that has tensors, if it is a dict or a module.
  const Value* only_part(const Value& dict) {
    const Value* part = nullptr;
    for (const auto& [key, value] : dict.pairs) {
      if (is_optimizer_state(*value) || !has_tensors(*value, 0)) continue;
      if (part || (value->kind != Kind::dict && !is_module(*value))) return nullptr;
      part = value;
    }
    return part;
  }

  bool has_tensors(const Value& value, int depth) {
    visit(value);
    if (is_tensor(value) || is_module(value)) return true;
    if (depth > kDeepest) return false;
    return std::any_of(value.pairs.begin(), value.pairs.end(),
                       [&](const auto& pair) { return has_tensors(*pair.second, depth + 1); }) ||
           (value.kind != Kind::object && value.kind != Kind::persistent &&
            std::any_of(value.items.begin(), value.items.end(),
                        [&](const Value* item) { return has_tensors(*item, depth + 1); }));
  }

  // Values that refer to each other may unfold to any number. Whether one is a module takes a
  // search.
  void visit(const Value& value) {
    visits_ += 1 + (value.state ? value.state->pairs.size() : 0);
    if (visits_ <= kMostVisits) return;
    fail(op_, where_, " has more than ", kMostVisits, " values, want fewer", kDamaged);
  }

  const Value& at(const Value& root, const std::string& key) {
    const Value* value = &root;
    for (size_t begin = 0; begin <= key.size();) {
      // A key of the dict may itself have dots.
      size_t end = key.size();
      const Value* next = nullptr;
      for (; !next && end != std::string::npos && end >= begin; end = key.rfind('.', end - 1)) {
        if (value->kind == Kind::dict)
          next = value->find(std::string_view(key).substr(begin, end - begin));
        if (next || end == 0) break;
      }
      if (!next) {
        fail(op_, where_, " has nothing under ", in_quotes(key), ", only ", contents(root),
             ": choose one of these with {.key = ...}");
      }
      value = next;
      begin = end + 1;
    }
    return *value;
  }

  // "'epoch', 'optimizer' (0 tensors), 'net' (122 tensors)"
  static std::string contents(const Value& root) {
    constexpr size_t kMost = 20;
    if (root.kind != Kind::dict) {
      const std::string_view name = maker(root);
      return name.empty() ? "values of other kinds" : "an object of class " + in_quotes(name);
    }
    std::string text;
    for (size_t i = 0; i < std::min(root.pairs.size(), kMost); ++i) {
      const auto& [key, value] = root.pairs[i];
      text += (i == 0 ? "" : ", ") + in_quotes(name_of(*key));
      if (value->kind != Kind::dict) continue;
      const auto count = std::count_if(value->pairs.begin(), value->pairs.end(),
                                       [](const auto& pair) { return is_tensor(*pair.second); });
      text += " (" + std::to_string(count) + " tensors)";
    }
    return text.empty() ? "an empty dict" : text + (root.pairs.size() > kMost ? "..." : "");
  }

  static std::string name_of(const Value& key) {
    if (key.kind == Kind::text) return key.text;
    return key.kind == Kind::integer ? std::to_string(key.integer) : "?";
  }

  static bool is_tensor(const Value& value) {
    const std::string_view name = maker(value);
    return name.starts_with("torch._utils._rebuild_") ||
           name == "torch._tensor._rebuild_from_type_v2" ||
           name == "torch.tensor._rebuild_from_type_v2";
  }

  void walk(const Value& value) {
    if (path_.size() > size_t{kDeepest}) {
      fail(op_, where_, ": ", in_quotes(path()), " is nested more than ", kDeepest, " deep",
           kDamaged);
    }
    if (is_tensor(value)) {
      add(value, path_.empty() ? "tensor" : path());
    } else if (is_module(value) && maker(value).starts_with("__torch__.")) {
      walk_pairs(*value.state, nullptr);
    } else if (is_module(value)) {
      const Value* skipped = value.state->find("_non_persistent_buffers_set");
      for (const char* kind : {"_parameters", "_buffers", "_modules"}) {
        if (const Value* members = value.state->find(kind)) walk_pairs(*members, skipped);
      }
    } else if (value.kind == Kind::dict) {
      walk_pairs(value, nullptr);
    } else if (value.kind == Kind::list || value.kind == Kind::tuple) {
      for (size_t i = 0; i < value.items.size(); ++i) {
        walk_child(*value.items[i], {.index = i});
      }
    }
  }
  void walk_pairs(const Value& value, const Value* skipped) {
    for (const auto& [key, part] : value.pairs) {
      if (is_optimizer_state(*part) || (skipped && has(*skipped, name_of(*key)))) continue;
      walk_child(*part, {.key = key});
    }
  }

  // A step from a value to one inside of it: by key, or by index.
  struct Step {
    const Value* key = nullptr;
    size_t index = 0;
  };
  void walk_child(const Value& value, const Step& step) {
    visit(value);
    const bool has_parts = value.kind == Kind::dict || value.kind == Kind::list ||
                           value.kind == Kind::tuple || value.kind == Kind::object;
    if (!has_parts) return;
    path_.push_back(step);
    walk(value);
    path_.pop_back();
  }
  std::string path() const {
    std::string text;
    for (const Step& step : path_) {
      if (!text.empty()) text += ".";
      text += step.key ? name_of(*step.key) : std::to_string(step.index);
      if (text.size() > kMaxNameBytes) break;
    }
    return text;
  }

  // Whether a set, or a call of set(list), has this text.
  bool has(const Value& set, const std::string& text) {
    const Value* list = &set;
    if (set.kind == Kind::object) {
      if (arguments(set).size() != 1) return false;
      list = arguments(set)[0];
    }
    visits_ += list->items.size();
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value* item) { return item->is_text(text); });
  }

  void add(const Value& outermost, const std::string& name) {
    if (!is_valid_name(name)) {
      fail(op_, where_, ": a tensor's name is ", in_quotes(name),
           ", want one without control characters, of at most ", kMaxNameBytes, " bytes");
    }
    const Value* call = &outermost;
    std::string_view function = maker(*call);
    const std::vector<Value*>* given = &arguments(*call);
    const std::string what = where_ + ": tensor " + in_quotes(name);
    // Parameters and tensors of subclasses are tensors in wrappers.
    for (int depth = 0;; ++depth) {
      if (depth > kDeepest) fail(op_, what, " is wrapped too often", kDamaged);
      if (function.ends_with("._rebuild_from_type_v2") && given->size() >= 3 &&
          (*given)[0]->kind == Kind::global) {
        function = (*given)[0]->text;
        given = &(*given)[2]->items;
      } else if (function.starts_with("torch._utils._rebuild_parameter") && !given->empty() &&
                 is_tensor(*(*given)[0])) {
        call = (*given)[0];
        function = maker(*call);
        given = &arguments(*call);
      } else {
        break;
      }
    }
    const bool typed = function == "torch._utils._rebuild_tensor_v3";
    if (!typed && function != "torch._utils._rebuild_tensor_v2" &&
        function != "torch._utils._rebuild_tensor") {
      refuse(name, what + " is made by " + in_quotes(function) +
                       ", want a dense tensor: convert it with x.detach().to_dense() or "
                       "x.dequantize()");
      return;
    }
    if (given->size() < (typed ? 7u : 4u))
      fail(op_, what, " has no storage, offset, size and stride", kDamaged);
    add_dense(name, what, *given, typed);
  }

  void refuse(const std::string& name, const std::string& reason) {
    found.refused.emplace_back(name, reason);
  }

  void add_dense(const std::string& name, const std::string& what, const std::vector<Value*>& given,
                 bool typed) {
    const std::optional<PytorchStorage> storage = pytorch_storage(op_, *given[0], where_);
    if (!storage) fail(op_, what, " has no storage", kDamaged);
    PytorchTensor tensor{.name = name, .storage = *storage};
    std::string type;
    std::optional<FileDType> dtype = storage->dtype;
    size_t bytes = storage->element_bytes;
    if (typed) {
      type = given[6]->text;
      const TorchType* known = type_of(after_last_dot(type), &TorchType::dtype);
      dtype = known ? known->read_as : std::nullopt;
      if (known) bytes = known->bytes;
    } else {
      type = given[0]->items[0]->items[1]->text;
    }
    if (!dtype) {
      refuse(name, what + " has type " + in_quotes(type) +
                       ", want one that Tern reads: convert it with x.float()");
      return;
    }
    const size_t metadata = typed ? 7 : 6;
    if (given.size() > metadata && !given[metadata]->pairs.empty()) {
      refuse(name, what + " is conjugated or negated, want plain numbers: save x.clone()");
      return;
    }
    tensor.dtype = *dtype;
    std::vector<uint64_t> sizes;
    const Value &size = *given[2], &stride = *given[3];
    const bool good = given[1]->kind == Kind::integer && given[1]->integer >= 0 &&
                      size.kind == Kind::tuple && stride.kind == Kind::tuple &&
                      size.items.size() == stride.items.size();
    if (!good) fail(op_, what, " has no offset, sizes and strides", kDamaged);
    for (size_t i = 0; i < size.items.size(); ++i) {
      const Value &n = *size.items[i], &s = *stride.items[i];
      if (n.kind != Kind::integer || s.kind != Kind::integer || n.integer < 0 || s.integer < 0) {
        fail(op_, what, " has a negative size or stride, or one that is no integer", kDamaged);
      }
      sizes.push_back(static_cast<uint64_t>(n.integer));
      tensor.strides.push_back(s.integer);
    }
    if (sizes.size() > size_t{Shape::kMaxRank}) {
      refuse(name, what + " has " + std::to_string(sizes.size()) + " axes, want at most " +
                       std::to_string(Shape::kMaxRank) + ": reshape it before it is saved");
      return;
    }
    if (!make_shape(sizes, tensor.shape)) fail(op_, what, " is larger than any memory", kDamaged);
    tensor.offset = static_cast<uint64_t>(given[1]->integer);
    check_extent(tensor, what, bytes);
    found.tensors.push_back(std::move(tensor));
  }

  // Every element lies in the storage; adds the offset of the storage's view.
  void check_extent(PytorchTensor& tensor, const std::string& what, size_t bytes) const {
    const PytorchStorage& storage = tensor.storage;
    const uint64_t elements = storage.bytes() / bytes;
    // No sum overflows, as each term is at most `elements` and there are nine.
    uint64_t last = std::min(tensor.offset, elements) + std::min(storage.view_offset, elements);
    bool fits = tensor.offset <= elements && storage.view_offset <= elements;
    for (int i = 0; i < tensor.shape.rank() && tensor.shape.numel() > 0; ++i) {
      const auto steps = static_cast<uint64_t>(tensor.shape[i] - 1);
      const auto stride = static_cast<uint64_t>(tensor.strides[static_cast<size_t>(i)]);
      if (steps == 0 || stride == 0) continue;
      fits = fits && steps <= elements / stride;
      if (fits) last += steps * stride;
    }
    if (tensor.shape.numel() > 0 && (!fits || last >= elements)) {
      fail(op_, what, " of shape ", tensor.shape, " at offset ", tensor.offset,
           " does not lie in its storage of ", elements, " elements", kDamaged);
    }
    tensor.offset += storage.view_offset;
  }

  const char* op_;
  const std::string& where_;
  std::vector<Step> path_;
  size_t visits_ = 0;
};

}  // namespace

std::optional<PytorchStorage> pytorch_storage(const char* op, const PickleValue& value,
                                              const std::string& where) {
  if (value.kind != Kind::persistent) return std::nullopt;
  const std::vector<Value*>& id = value.items[0]->items;
  if (id.size() < 5 || !id[0]->is_text("storage")) return std::nullopt;  // a module's source
  const auto wrong = [&](const char* what) {
    fail(op, where, ": the storage at byte ", value.position, " of the pickle ", what, kDamaged);
  };
  constexpr int64_t kMost = int64_t{1} << 56;
  if (id[1]->kind != Kind::global || id[2]->kind != Kind::text || id[4]->kind != Kind::integer) {
    wrong("has no class, key and size");
  }
  if (id[4]->integer < 0 || id[4]->integer > kMost) wrong("has an impossible size");
  PytorchStorage storage{.key = id[2]->text, .elements = static_cast<uint64_t>(id[4]->integer)};
  const TorchType* type = type_of(after_last_dot(id[1]->text), &TorchType::storage);
  if (!type) wrong("has an unknown class");
  storage.dtype = type->read_as;
  storage.element_bytes = type->bytes;
  if (id.size() > 5 && id[5]->kind == Kind::tuple) {  // (key, offset, elements) of a view
    const std::vector<Value*>& view = id[5]->items;
    if (view.size() != 3 || view[1]->kind != Kind::integer || view[1]->integer < 0) {
      wrong("has a view without an offset");
    }
    storage.view_offset = static_cast<uint64_t>(view[1]->integer);
  }
  return storage;
}

PytorchTensors find_pytorch_tensors(const char* op, const PickleValue& root, const std::string& key,
                                    const std::string& where) {
  Finder finder(op, where);
  finder.find(root, key);
  return std::move(finder.found);
}

}  // namespace tern::io
