// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "error.h"
#include "tensor.h"

namespace tern {

/// The value of an attribute. Enumerations are texts.
using AttributeValue =
    std::variant<bool, int64_t, double, std::string, DType, Shape, std::vector<int64_t>>;

/// What an operation was given besides tensors: a name and a value.
struct OpAttribute {
  std::string name;      ///< "stride"
  AttributeValue value;  ///< {2, 2}
};

/// One call, as it is told to an OpListener.
struct OpCall {
  /// An operation; the backward function of a node; a part of the program (ProfilerRange).
  enum class Kind : uint8_t { operation, backward, range };

  Kind kind = Kind::operation;  ///< what was called
  std::string name;             ///< "conv2d", "conv2d backward", "augment"
  /// The operation's arguments, undefined ones as well; of a backward, the gradient. The pointers
  /// hold while the call runs: copy the tensors to keep them.
  std::vector<const Tensor*> inputs;
  /// All that is needed, with the inputs, to do the operation again. Of an operation only.
  std::vector<OpAttribute> attributes;
  /// Known from OpListener::result on. Of a backward: a gradient per input of the operation,
  /// undefined where none was wanted.
  std::vector<Tensor> results;
  /// The module that made the call ("layer1.0.conv1", or ""); of a backward, and of what it calls,
  /// the module that the forward belongs to, if there was a listener then.
  std::string module;
  int depth = 0;  ///< how many operations (and backwards) it is a part of

  /// The value of an attribute. Throws Error if there is none of that name, or of another type.
  template <class T>
  const T& attribute(std::string_view wanted) const {
    const T* value = std::get_if<T>(&find(wanted));
    if (!value) fail(name, "attribute \"", wanted, "\" is of another type");
    return *value;
  }

 private:
  const AttributeValue& find(std::string_view wanted) const;
};

/// What is told about a call while it runs, mostly by its kernels (OpScope's static functions).
struct OpNote {
  /// What is told; OpScope's function of the same name says more.
  enum class What : uint8_t {
    flops,
    implementation,
    reads,
    reads_only,
    writes,
    makes,
    shows,
    bytes,
    reorders
  };

  What what;             ///< what is told
  const Tensor* tensor;  ///< of reads, writes, makes and shows
  double number;         ///< of flops, reads_only, bytes and reorders
  const char* text;      ///< of implementation
};

/// Hears of every operation while an OpListening lives: what tracers and exporters are made of.
/// Operations that a listener runs itself are not reported.
class OpListener {
 public:
  OpListener() = default;
  OpListener(const OpListener&) = delete;
  OpListener& operator=(const OpListener&) = delete;
  virtual ~OpListener() = default;

  /// A call begins: the results are not known yet.
  virtual void begin(const OpCall&) noexcept {}
  /// The call has its results. What this throws comes out of the operation.
  virtual void result(const OpCall&) {}
  /// The call ends. It has no results if it threw, or if it is not the kind that has.
  virtual void end(const OpCall&) noexcept {}
  /// Something is told about the innermost call, which is null outside of all.
  virtual void note(const OpCall*, const OpNote&) noexcept {}
};

/// While it lives, `listener` hears what this thread calls.
class OpListening {
 public:
  /// Begins. The listener must outlive it.
  [[nodiscard]] explicit OpListening(OpListener& listener);
  ~OpListening();
  OpListening(const OpListening&) = delete;
  OpListening& operator=(const OpListening&) = delete;

  /// @cond
  OpListener& listener() const { return listener_; }
  const OpListening* outer() const { return outer_; }
  uint64_t number() const { return number_; }
  /// @endcond

 private:
  OpListener& listener_;
  const OpListening* outer_;
  uint64_t number_;  // when it began
};

}  // namespace tern
