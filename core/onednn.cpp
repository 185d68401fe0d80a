// SPDX-License-Identifier: Apache-2.0
#include "internal/onednn.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <list>
#include <mutex>
#include <set>
#include <string_view>
#include <unordered_map>

#include "counters.h"
#include "error.h"
#include "internal/counters.h"
#include "internal/memory.h"
#include "log.h"
#include "op_scope.h"

namespace tern::onednn {

namespace {

using Tag = dnnl::memory::format_tag;

const dnnl::stream& stream() {
  thread_local const dnnl::stream instance(engine());
  return instance;
}

thread_local int thread_limit = std::numeric_limits<int>::max();

int primitive_threads() { return std::min(thread_limit, num_threads()); }

constexpr Tag kRowMajor[] = {Tag::a, Tag::a, Tag::ab, Tag::abc, Tag::abcd, Tag::abcde, Tag::abcdef};

// The primitives that were used last, most recent first.
class PrimitiveCache {
 public:
  std::shared_ptr<const Primitive> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) {
      counts::primitive_misses.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
    counts::primitive_hits.fetch_add(1, std::memory_order_relaxed);
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->primitive;
  }

  void insert(const Key& key, const std::shared_ptr<const Primitive>& primitive) {
    const std::lock_guard lock(mutex_);
    if (index_.contains(key)) return;  // another thread was faster
    entries_.push_front({key, primitive});
    index_.emplace(key, entries_.begin());
    if (entries_.size() > kCapacity) {
      index_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

  std::vector<std::string> implementations() {
    const std::lock_guard lock(mutex_);
    std::set<std::string> names;
    for (const Entry& entry : entries_) {
      names.insert(std::string(entry.key.op()) + ": " + entry.primitive->implementation());
    }
    return {names.begin(), names.end()};
  }

 private:
  static constexpr size_t kCapacity = 1024;
  struct Entry {
    Key key;
    std::shared_ptr<const Primitive> primitive;
  };
  struct Hash {
    size_t operator()(const Key& key) const { return key.hash(); }
  };
  std::mutex mutex_;
  std::list<Entry> entries_;
  std::unordered_map<Key, std::list<Entry>::iterator, Hash> index_;
};

// Never destroyed, as primitives must not outlive oneDNN's own statics by chance.
PrimitiveCache& primitive_cache() {
  static PrimitiveCache& instance = *new PrimitiveCache;
  return instance;
}

}  // namespace

ThreadLimit::ThreadLimit(int limit) : before_(thread_limit) {
  thread_limit = std::min(limit, before_);
}
ThreadLimit::~ThreadLimit() { thread_limit = before_; }

const dnnl::engine& engine() {
  static const dnnl::engine& instance = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return instance;
}

const dnnl::primitive_attr& attributes() {
  static const dnnl::primitive_attr& instance = []() -> const dnnl::primitive_attr& {
    auto* attr = new dnnl::primitive_attr;
    attr->set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return *attr;
  }();
  return instance;
}

namespace {

dnnl::memory::data_type type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return dnnl::memory::data_type::f32;
    case DType::bf16:
      return dnnl::memory::data_type::bf16;
    case DType::u8:
      return dnnl::memory::data_type::u8;
    case DType::f64:
    case DType::i64:
    case DType::boolean:
      break;
  }
  fail("onednn", "dtype is ", dtype, ", want f32, bf16 or u8");
}

}  // namespace

dnnl::memory::desc describe(const Shape& shape, MemoryFormat order, DType dtype) {
  if (shape.size() > 6) fail("onednn", "tensor of rank ", shape.size(), ", at most 6 supported");
  const dnnl::memory::dims dims =
      shape.empty() ? dnnl::memory::dims{1} : dnnl::memory::dims(shape.begin(), shape.end());
  const Tag tag = order == MemoryFormat::channels_last ? Tag::acdb : kRowMajor[shape.size()];
  return {dims, type_of(dtype), tag};
}

dnnl::memory::desc describe(const Tensor& x) {
  return describe(x.shape(), x.memory_format(), x.dtype());
}

Primitive::Primitive(dnnl::primitive primitive, Layouts layouts, dnnl::memory::desc scratchpad,
                     std::string implementation)
    : primitive_(std::move(primitive)),
      layouts_(layouts),
      scratchpad_(std::move(scratchpad)),
      implementation_(std::move(implementation)) {}

const dnnl::memory::desc& Primitive::layout(int arg) const {
  for (const auto& [name, desc] : layouts_) {
    if (name == arg) return desc;
  }
  fail("onednn", "argument ", arg, " of ", implementation_, " has no layout");
}

void Primitive::execute(std::initializer_list<std::pair<int, const void*>> args) const {
  const memory::Scratch scratch(scratchpad_bytes());
  execute(args, scratch.as<void>());
}

void Primitive::execute(std::initializer_list<std::pair<int, const void*>> args,
                        void* scratchpad) const {
  OpScope::implementation(implementation_.c_str());
  const OpenMPThreads threads(primitive_threads());
  std::unordered_map<int, dnnl::memory> memories;
  memories.reserve(args.size() + 1);
  for (const auto& [arg, pointer] : args) {
    if (pointer) {
      memories.emplace(arg, dnnl::memory(layout(arg), engine(), const_cast<void*>(pointer)));
    }
  }
  if (scratchpad) {
    memories.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(scratchpad_, engine(), scratchpad));
  }
  primitive_.execute(stream(), memories);
}

Key::Key(const char* op) : op_(op), hash_(reinterpret_cast<uintptr_t>(op)) {
  add(int64_t{primitive_threads()});
}

Key& Key::add(int64_t value) {
  if (size_ == kCapacity) fail("onednn", "key of ", op_, " is too long");
  values_[size_++] = value;
  hash_ = (hash_ ^ static_cast<uint64_t>(value)) * 0x9E3779B97F4A7C15u;
  hash_ ^= hash_ >> 29;
  return *this;
}

Key& Key::add(const Shape& shape) {
  add(int64_t{shape.size()});
  for (int64_t size : shape) add(size);
  return *this;
}

Key& Key::add(const Tensor& x) {
  add(x.shape());
  add(static_cast<int64_t>(x.dtype()));
  return add(static_cast<int64_t>(x.memory_format()));
}

Key& Key::add(double value) { return add(std::bit_cast<int64_t>(value)); }

bool Key::operator==(const Key& other) const {
  return hash_ == other.hash_ && size_ == other.size_ &&
         std::string_view(op_) == std::string_view(other.op_) &&
         std::memcmp(values_, other.values_, sizeof(int64_t) * static_cast<size_t>(size_)) == 0;
}

std::shared_ptr<const Primitive> cached(const Key& key, FunctionRef<Primitive()> create) {
  if (auto found = primitive_cache().find(key)) return found;
  const OpenMPThreads threads(
      primitive_threads());  // implementations are chosen for a number of threads
  auto primitive = std::make_shared<const Primitive>(create());
  if (log_enabled(LogLevel::debug)) {
    log_message(LogLevel::debug,
                std::string(key.op()) + ": created " + primitive->implementation());
  }
  primitive_cache().insert(key, primitive);
  return primitive;
}

void guarded(const char* op, FunctionRef<void()> body) {
  try {
    body();
  } catch (const dnnl::error& error) {
    fail(op, "oneDNN refused (status ", static_cast<int>(error.status), "): ", error.what());
  }
}

}  // namespace tern::onednn

namespace tern {

std::vector<std::string> primitive_implementations() {
  return onednn::primitive_cache().implementations();
}

}  // namespace tern
