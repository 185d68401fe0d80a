// SPDX-License-Identifier: Apache-2.0
// Engine, stream and primitive cache. Included by *_onednn.cpp only.
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../tensor.h"
#include "onednn_compat.h"
#include "parallel.h"

namespace tern::onednn {

const dnnl::engine& engine();

/// Attributes that every primitive of Tern is created with: the scratchpad is ours, because a
/// primitive that two threads execute with the library's own one gives wrong results.
const dnnl::primitive_attr& attributes();

/// The layout of a tensor as oneDNN sees it: its dims in logical order (N,C,H,W), its memory format
/// as a format tag. Rank 1 to 6. Throws Error for a dtype that oneDNN does not have.
dnnl::memory::desc describe(const Tensor& x);
dnnl::memory::desc describe(const Shape& shape, MemoryFormat order = MemoryFormat::row_major,
                            DType dtype = DType::f32);

/// While it lives, this thread creates and runs primitives for at most `limit` threads: for one in
/// parallel loops of our own, for a Team where the bits do not depend on the number.
class ThreadLimit {
 public:
  explicit ThreadLimit(int limit);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int before_;
};

/// A created primitive, the layouts of its arguments, and the name of its implementation.
class Primitive {
 public:
  using Layouts = std::initializer_list<std::pair<int, dnnl::memory::desc>>;

  /// `layouts` names every argument that execute() will be given, e.g. {{DNNL_ARG_SRC,
  /// pd.src_desc()}, ...}.
  template <class PrimitiveType>
  static Primitive make(const typename PrimitiveType::primitive_desc& pd, Layouts layouts) {
    return Primitive(PrimitiveType(pd), layouts, pd.scratchpad_desc(), pd.impl_info_str());
  }

  const dnnl::memory::desc& layout(int arg) const;
  const std::string& implementation() const { return implementation_; }
  /// Runs it on the calling thread's stream with num_threads() threads (see
  /// ThreadLimit), and waits. An argument with
  /// a null pointer is left out.
  void execute(std::initializer_list<std::pair<int, const void*>> args) const;
  /// The same with scratch memory of the caller's, of scratchpad_bytes(): for parallel loops, where
  /// allocating would make the number of blocks in the cache a matter of timing.
  void execute(std::initializer_list<std::pair<int, const void*>> args, void* scratchpad) const;
  size_t scratchpad_bytes() const { return scratchpad_.get_size(); }

 private:
  Primitive(dnnl::primitive primitive, Layouts layouts, dnnl::memory::desc scratchpad,
            std::string implementation);
  dnnl::primitive primitive_;
  std::vector<std::pair<int, dnnl::memory::desc>> layouts_;
  dnnl::memory::desc scratchpad_;
  std::string implementation_;
};

/// What identifies a primitive: the operation's name (a string literal) and the numbers that its
/// creation depends on. The number of threads is added by itself.
class Key {
 public:
  explicit Key(const char* op);
  Key& add(int64_t value);
  Key& add(const Shape& shape);
  /// Shape, dtype and memory format.
  Key& add(const Tensor& x);
  Key& add(double value);
  bool operator==(const Key& other) const;
  size_t hash() const { return static_cast<size_t>(hash_); }
  const char* op() const { return op_; }

 private:
  static constexpr int kCapacity = 48;
  const char* op_;
  int size_ = 0;
  int64_t values_[kCapacity];
  uint64_t hash_;
};

/// The primitive for `key`, made by `create` if it is not in the cache. The cache holds the 1024
/// that were used last.
std::shared_ptr<const Primitive> cached(const Key& key, FunctionRef<Primitive()> create);

/// Runs body, and turns a dnnl::error into an Error that names `op`.
void guarded(const char* op, FunctionRef<void()> body);

}  // namespace tern::onednn
