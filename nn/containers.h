// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "module.h"

namespace tern::nn {

/// Modules by number: children "0", "1", ... for a module whose forward goes through them itself.
class ModuleList : public Module {
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
  ModuleList clone() const { return nn::clone(*this); }  ///< a deep copy
};

/// Modules that run one after the other:
///
///     nn::Sequential net(nn::Conv2d(1, 8, 3), nn::BatchNorm2d(8), nn::ReLU());
///
/// A module that a ReLU follows runs fused with it where it can (Module::forward_relu), and so does
/// a convolution with batch norm in evaluation when nothing is recorded
/// (Conv2d::forward_batch_norm): the same bits, under the same names. A Sequential of one
/// Sequential is a copy of the handle; push_back nests.
class Sequential : public ModuleList {
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
  Sequential clone() const { return nn::clone(*this); }  ///< a deep copy
};

}  // namespace tern::nn
