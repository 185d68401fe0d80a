// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "module.h"

namespace tern {
namespace detail {

/// Whether `module.forward(args...)` compiles for a module of type M.
template <class M, class... Args>
concept runs_on = requires(M& module, Args&&... args) {
  module.forward(std::forward<Args>(args)...);
};
template <class M>
concept runs_on_one_tensor = requires(M& module, const Tensor& x) {
  { module.forward(x) } -> std::convertible_to<Tensor>;
};

/// Whether `module(args...)` is what Module::operator() does anyway.
template <class M, class... Args>
concept plain_call = one_tensor<Args...> && runs_on_one_tensor<M>;

struct Unused {};

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// Calls f(Tensor&) for each tensor in `value`, in order.
template <class T, class F>
void for_each_tensor(T& value, const F& f) {
  if constexpr (std::is_same_v<T, Tensor>) {
    f(value);
  } else if constexpr (is_vector<T>) {
    for (auto&& element : value) for_each_tensor(element, f);
  } else if constexpr (is_optional<T>) {
    if (value) for_each_tensor(*value, f);
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    std::apply([&](auto&... parts) { (for_each_tensor(parts, f), ...); }, value);
  }
}

template <class T>
void append_if_tensor(std::vector<Tensor>& tensors, const T& value) {
  if constexpr (std::is_same_v<T, Tensor>) tensors.push_back(value);
}

/// `value` as it was passed, or if it is a tensor the next one of `tensors`.
template <class Arg, class T>
Arg&& argument(T& value, std::vector<Tensor>& tensors, size_t& next) {
  if constexpr (std::is_same_v<std::remove_cv_t<T>, Tensor>) {
    return static_cast<Arg&&>(tensors[next++]);
  } else {
    return static_cast<Arg&&>(value);
  }
}

}  // namespace detail
}  // namespace tern

namespace tern::nn {

/// A module whose forward takes and returns what it wants:
///
///     class Attention : public nn::ModuleOf<Attention> {
///      public:
///       Tensor forward(const Tensor& x, const Tensor& mask);
///     };
///     y = attention(x, mask);
///
/// Its calls have all that those of a module of one tensor have: the name in errors, hooks, and the
/// check for children that are not registered. forward may have overloads, default arguments and
/// any result (`auto [y, state] = lstm(x, state)`), may be const, and has to be public. As
/// arguments are forwarded, `{}` needs its type: `Tensor()`. A container runs such a module if its
/// forward can be called with one Tensor and returns one. clone() returns the class's own type.
///
/// What derives from a class of Tern's own, or from one of its kind, names it as `Base`:
/// `class MyConv : public nn::ModuleOf<MyConv, nn::Conv2d>`.
template <class Derived, class Base = Module>
class ModuleOf : public Base {
 public:
  using Base::Base;

  /// forward(x) of the class, see Module.
  Tensor operator()(const Tensor& x) const requires detail::runs_on_one_tensor<Derived> {
    return Module::operator()(x);
  }
  /// forward(args...) of the class.
  template <class... Args>
  requires(detail::runs_on<Derived, Args...> && !detail::plain_call<Derived, Args...>) auto
  operator()(Args&&... args) const {
    return this->call(
        [this](auto&&... passed) -> decltype(auto) {
          return self().forward(std::forward<decltype(passed)>(passed)...);
        },
        std::forward<Args>(args)...);
  }
  /// Explains at compile time what is wrong with other arguments.
  template <class... Args>
  requires(!detail::runs_on<Derived, Args...>) void operator()(Args&&...) const {
    static_assert(detail::never<Args...>,
                  "the arguments fit no public `forward` of this module (the class that "
                  "nn::ModuleOf names): see its declaration");
  }

  /// A deep copy, see Module::clone. Throws Error for something derived from `Derived`.
  [[nodiscard]] Derived clone() const { return Cloned(*this); }

  using Base::forward;
  /// A name only, so that a forward of other arguments does not count as hiding a virtual one.
  void forward(detail::Unused) = delete;

 private:
  Derived& self() const { return const_cast<Derived&>(static_cast<const Derived&>(*this)); }

  Tensor forward_one(const Tensor& x) override {
    // Not the concept: clang 14 has asked for that while Derived was incomplete, and remembers.
    if constexpr (requires(Derived & module) {
                    { module.forward(x) } -> std::convertible_to<Tensor>;
                  }) {
      return self().forward(x);
    } else {
      static_cast<void>(x);
      fail("forward", this->type_name(), " was called with one tensor, as containers do, but its ",
           "forward takes or returns something else: call it by itself");
    }
  }
};

template <class F, class... Args>
auto Module::call(F&& f, Args&&... args) const
    -> std::remove_cvref_t<std::invoke_result_t<F&, Args&&...>> {
  using Result = std::remove_cvref_t<std::invoke_result_t<F&, Args&&...>>;
  const Running running(*this);
  if (!is_watched()) [[likely]]
    return f(std::forward<Args>(args)...);
  std::vector<Tensor> inputs, outputs;
  (detail::append_if_tensor(inputs, args), ...);
  before(inputs);
  std::vector<Tensor> passed = inputs;  // forward may move from what it gets
  size_t next = 0;
  std::tuple<Args&&...> arguments{detail::argument<Args>(args, passed, next)...};
  if constexpr (std::is_void_v<Result>) {
    std::apply(f, std::move(arguments));
    after(inputs, outputs);
  } else {
    Result result = std::apply(f, std::move(arguments));
    detail::for_each_tensor(result, [&](Tensor& y) { outputs.push_back(y); });
    after(inputs, outputs);
    next = 0;
    detail::for_each_tensor(result, [&](Tensor& y) { y = outputs[next++]; });
    return result;
  }
}

}  // namespace tern::nn
