// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "op_listener.h"
#include "tensor.h"

namespace tern {

class Node;

namespace detail {
struct OpFrame;
extern std::atomic<int> op_listeners;  // how many there are, on any thread
}  // namespace detail

/// Declares a call of an operation, for as long as it lives: its name, inputs and attributes at the
/// beginning, its result at the end. Profiler, nn::DetectAnomaly and tracers listen (OpListener).
/// Without a listener it costs the test of one flag, and nothing is built of its arguments.
///
///     Tensor softmax(const Tensor& x, int64_t axis) {
///       const OpScope scope("softmax", x, "axis", axis);
///       ...
///       return scope.result(record<SoftmaxNode>(y, {x}, y, axis));
///     }
class OpScope {
 public:
  /// The operation's name, its inputs (tensors and vectors of tensors, in the order of the
  /// operation's own arguments, undefined ones as well), then its attributes: all that is needed to
  /// do the operation again, each a name and a value. Values are numbers, texts, dtypes, shapes,
  /// vectors of int64_t, enumerations that to_string knows, and what a function
  /// `AttributeValue attribute_of(value)` beside the value's type converts; an options struct comes
  /// without a name, for `std::vector<OpAttribute> attributes_of(options)`. Inputs are variables
  /// that live as long as the scope.
  template <class... Args>
  [[nodiscard]] explicit OpScope(const char* name, Args&&... args) {
    static_assert((!is_temporary<Args>() && ...), "inputs must outlive the scope");
    if constexpr (sizeof...(Args) > 0) require_first(name, args...);
    if (listened()) [[unlikely]]
      begin(OpCall::Kind::operation, name, args...);
  }
  /// The backward function of a node; the tape declares it.
  [[nodiscard]] OpScope(const Node& node, std::span<const Tensor> dys) {
    if (listened()) [[unlikely]]
      begin_backward(node, dys);
  }
  ~OpScope() {
    if (frame_) [[unlikely]]
      end();
  }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

  /// Reports the operation's result, and returns it. Throws what a listener throws.
  Tensor result(Tensor y) const {
    if (frame_) [[unlikely]]
      report({&y, 1});
    return y;
  }
  /// Reports the results of an operation that has several, and returns them.
  std::vector<Tensor> results(std::vector<Tensor> ys) const {
    if (frame_) [[unlikely]]
      report(ys);
    return ys;
  }

  /// Whether anybody listened when it began.
  bool recorded() const { return frame_ != nullptr; }
  /// Whether anybody listens to anything.
  static bool listened() { return detail::op_listeners.load(std::memory_order_relaxed) != 0; }
  /// The module that the innermost call of this thread belongs to, "layer1.0.conv1": the one that
  /// runs, and in a backward pass the one that ran when its node was recorded.
  static std::string module();

  /// @name About the innermost call of this thread
  /// For what a kernel knows and the operation's front-end does not.
  /// @{

  /// Adds the multiplications and additions of the operation's definition.
  static void flops(double count) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::flops, nullptr, count, ""});
  }
  /// Names what computes it. Several names are listed.
  static void implementation(const char* name) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::implementation, nullptr, 0, name});
  }
  /// A tensor that is read besides the inputs. Saved::get says so.
  static void reads(const Tensor& x) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::reads, &x, 0, ""});
  }
  /// Says how many bytes of the inputs are read, if that is not all of them.
  static void reads_only(int64_t bytes) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::reads_only, nullptr, static_cast<double>(bytes), ""});
  }
  /// A tensor that is written in place.
  static void writes(const Tensor& x) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::writes, &x, 0, ""});
  }
  /// A tensor that has got new memory. `empty` says so.
  static void makes(const Tensor& x) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::makes, &x, 0, ""});
  }
  /// A tensor whose elements leave for the program. Tensor::item and the like say so.
  static void shows(const Tensor& x) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::shows, &x, 0, ""});
  }
  /// Adds bytes that are read or written otherwise.
  static void bytes(int64_t count) {
    if (listened()) [[unlikely]]
      tell({OpNote::What::bytes, nullptr, static_cast<double>(count), ""});
  }
  /// Counts a tensor that was copied into another memory format.
  static void reorders() {
    if (listened()) [[unlikely]]
      tell({OpNote::What::reorders, nullptr, 1, ""});
  }
  /// @}

 protected:
  /// A call of another kind.
  template <class... Args>
  [[nodiscard]] OpScope(OpCall::Kind kind, const char* name, const Args&... args) {
    if (listened()) [[unlikely]]
      begin(kind, name, args...);
  }

 private:
  template <class T>
  static constexpr bool is_temporary() {
    return std::is_same_v<std::remove_const_t<T>, Tensor> ||
           std::is_same_v<std::remove_const_t<T>, std::vector<Tensor>>;
  }

  // Undefined inputs are optional ones, but never the first.
  template <class First, class... Rest>
  static void require_first(const char* name, const First& first, const Rest&...) {
    if constexpr (std::is_same_v<First, Tensor>) {
      if (!first.defined()) [[unlikely]]
        fail_undefined(name);
    }
  }
  [[noreturn, gnu::cold]] static void fail_undefined(const char* name);

  // Between open and start the description is the thread's, so that a throw leaves nothing behind.
  [[gnu::cold]] static bool open(OpCall::Kind kind, const char* name);
  [[gnu::cold]] static detail::OpFrame* start();
  [[gnu::cold]] static void add(const Tensor& input);
  [[gnu::cold]] static void add(const std::vector<Tensor>& inputs);
  [[gnu::cold]] static void add(std::vector<OpAttribute> attributes);
  [[gnu::cold]] static void add(const char* name, AttributeValue value);
  [[gnu::cold]] static void add(const char* name, int64_t value);
  [[gnu::cold]] static void add(const char* name, double value);
  [[gnu::cold]] static void add(const char* name, bool value);
  [[gnu::cold]] static void add(const char* name, const char* value);

  template <class... Args>
  void begin(OpCall::Kind kind, const char* name, const Args&... args) {
    if (!open(kind, name)) return;
    add_all(args...);
    frame_ = start();
  }
  static void add_all() {}
  template <class First, class... Rest>
  static void add_all(const First& first, const Rest&... rest) {
    if constexpr (std::is_same_v<First, Tensor> || std::is_same_v<First, std::vector<Tensor>>) {
      add(first);
      add_all(rest...);
    } else if constexpr (std::is_convertible_v<const First&, const char*>) {
      add_named(first, rest...);
    } else {
      add(attributes_of(first));
      add_all(rest...);
    }
  }
  template <class Value, class... Rest>
  static void add_named(const char* name, const Value& value, const Rest&... rest) {
    if constexpr (std::is_same_v<Value, bool> || std::is_convertible_v<const Value&, const char*>) {
      add(name, value);
    } else if constexpr (std::is_integral_v<Value>) {
      add(name, int64_t{value});
    } else if constexpr (std::is_floating_point_v<Value>) {
      add(name, double{value});
    } else if constexpr (std::is_constructible_v<AttributeValue, const Value&>) {
      add(name, AttributeValue(value));
    } else if constexpr (std::is_enum_v<Value>) {
      add(name, to_string(value));
    } else {
      add(name, attribute_of(value));
    }
    add_all(rest...);
  }

  [[gnu::cold]] void begin_backward(const Node& node, std::span<const Tensor> dys);
  [[gnu::cold]] void report(std::span<const Tensor> results) const;
  [[gnu::cold]] void end();
  [[gnu::cold]] static void tell(const OpNote& note);

  detail::OpFrame* frame_ = nullptr;
};

}  // namespace tern
