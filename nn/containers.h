// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "module_of.h"

namespace tern::nn {

/// Modules by number: children "0", "1", ... for a module whose forward goes through them itself.
class ModuleList : public ModuleOf<ModuleList> {
 public:
  ModuleList() = default;
  ModuleList(const ModuleList&) = default;             ///< another handle
  ModuleList& operator=(const ModuleList&) = default;  ///< another handle
  /// Handles of the modules, in order.
  template <class... Ms>
  requires(sizeof...(Ms) > 0 &&
           (std::derived_from<Ms, Module> && ...)) explicit ModuleList(const Ms&... modules) {
    (push_back(modules), ...);
  }

  /// Appends a handle of `module`, named by its number or as told.
  template <class M>
  requires(std::derived_from<M, Module>) void push_back(const M& module) {
    push_back(std::to_string(size()), module);
  }
  /// Throws Error if the name is taken.
  template <class M>
  requires(std::derived_from<M, Module>) void push_back(const std::string& name, const M& module) {
    register_module(name, module);
  }

  int64_t size() const { return static_cast<int64_t>(children().size()); }  ///< how many
  bool empty() const { return children().empty(); }  ///< whether there is none
  /// Module number i, counted from the end when negative. Throws Error if there is none.
  Module& operator[](int64_t i) const;
  /// The same as what it is: net.as<nn::Conv2d>(0).weight(). Throws Error if it is something else.
  template <class M>
  requires(std::derived_from<M, Module>) M& as(int64_t i) const {
    Module& module = (*this)[i];
    if (M* typed = dynamic_cast<M*>(&module)) return *typed;
    fail("as", "module ", i, " of ", type_name(), " is a ", module.type_name());
  }

  /// Throws Error: a list does not say how its modules are connected.
  Tensor forward(const Tensor& x) override;
};

/// Modules by name, for a module whose forward chooses among them: `heads["policy"](x)`. As
/// torch.nn.ModuleDict.
class ModuleDict : public ModuleOf<ModuleDict> {
 public:
  ModuleDict() = default;

  /// Adds a handle of `module`. Throws Error if the name is taken, empty, or has a dot.
  template <class M>
  requires(std::derived_from<M, Module>) void insert(const std::string& name, const M& module) {
    register_module(name, module);
  }

  int64_t size() const { return static_cast<int64_t>(children().size()); }  ///< how many
  bool empty() const { return children().empty(); }  ///< whether there is none
  std::vector<std::string> keys() const;             ///< the names, in the order of insert
  bool contains(const std::string& name) const;      ///< whether there is one of that name
  /// The module of that name. Throws Error, with the names, if there is none.
  Module& operator[](const std::string& name) const;
  /// The same as what it is: heads.as<nn::Linear>("policy"). Throws Error if it is something else.
  template <class M>
  requires(std::derived_from<M, Module>) M& as(const std::string& name) const {
    Module& module = (*this)[name];
    if (M* typed = dynamic_cast<M*>(&module)) return *typed;
    fail("as", "module \"", name, "\" of ", type_name(), " is a ", module.type_name());
  }

  /// Throws Error: a dictionary does not say how its modules are connected.
  Tensor forward(const Tensor& x) override;
};

/// Parameters by number, "0", "1", ..., for a module that goes through them itself. As
/// torch.nn.ParameterList.
class ParameterList : public ModuleOf<ParameterList> {
 public:
  ParameterList() = default;
  explicit ParameterList(const std::vector<Tensor>& parameters);  ///< these, in order

  /// Makes the tensor require a gradient, and appends it.
  void push_back(const Tensor& parameter);
  int64_t size() const { return static_cast<int64_t>(list_->size()); }  ///< how many
  bool empty() const { return list_->empty(); }                         ///< whether there is none
  /// Parameter number i, counted from the end when negative. Throws Error if there is none.
  const Tensor& operator[](int64_t i) const;
  std::vector<Tensor>::const_iterator begin() const { return list_->begin(); }  ///< for loops
  std::vector<Tensor>::const_iterator end() const { return list_->end(); }      ///< for loops

  /// Throws Error: a list does not compute anything.
  Tensor forward(const Tensor& x) override;

 private:
  Shared<std::vector<Tensor>> list_;
};

/// A function as a module, for a Sequential: `nn::Functional(relu)`, or with more arguments
/// `nn::Functional(softmax, 1)`, which calls softmax(x, 1). A function with overloads or default
/// arguments goes into a lambda. As torch::nn::Functional of libtorch.
class Functional : public ModuleOf<Functional> {
 public:
  /// forward(x) is function(x, arguments...).
  template <class F, class... Args>
  requires(!std::derived_from<F, Module> &&
           std::is_invocable_r_v<Tensor, F&, const Tensor&,
                                 Args&...>) explicit Functional(F function, Args... arguments)
      : function_([f = std::move(function), ... a = std::move(arguments)](
                      const Tensor& x) mutable -> Tensor { return f(x, a...); }) {}

  Tensor forward(const Tensor& x) override { return function_(x); }

 private:
  std::function<Tensor(const Tensor&)> function_;
};

/// Modules that run one after the other:
///
///     nn::Sequential net(nn::Conv2d(1, 8, 3), nn::BatchNorm2d(8), nn::ReLU());
///
/// A module that a ReLU follows runs fused with it where it can (Module::forward_relu), and so does
/// a convolution with batch norm in evaluation when nothing is recorded (the table is in
/// nn/fusion.cpp): the same bits, under the same names. A Sequential of one Sequential is a copy of
/// the handle; push_back nests.
class Sequential : public ModuleOf<Sequential, ModuleList> {
 public:
  Sequential() = default;
  Sequential(const Sequential&) = default;             ///< another handle
  Sequential& operator=(const Sequential&) = default;  ///< another handle
  /// Handles of the modules, in order.
  template <class... Ms>
  requires(sizeof...(Ms) > 0 &&
           (std::derived_from<Ms, Module> && ...)) explicit Sequential(const Ms&... modules) {
    (push_back(modules), ...);
  }

  Tensor forward(const Tensor& x) override;
};

}  // namespace tern::nn
