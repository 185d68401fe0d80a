// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "../core/clone.h"
#include "../core/error.h"
#include "../core/hooks.h"
#include "../core/tensor.h"
#include "state_dict.h"

namespace tern::detail {
/// False, whatever the types: for a static_assert in a template.
template <class...>
inline constexpr bool never = false;
/// Whether the arguments are those of Module::forward.
template <class... Args>
inline constexpr bool one_tensor = false;
template <class Arg>
inline constexpr bool one_tensor<Arg> = std::is_convertible_v<Arg, const Tensor&>;
}  // namespace tern::detail

namespace tern::nn {

class Cloned;

/// What neural networks are made of: parameters, buffers, child modules, and a function of them.
///
///     class Net : public nn::Module {
///       nn::Conv2d conv = register_module("conv", nn::Conv2d(1, 32, 3, {.padding = 1}));
///       nn::BatchNorm2d bn = register_module("bn", nn::BatchNorm2d(32));
///       Tensor scale = register_parameter("scale", ones({1}));
///
///      public:
///       Tensor forward(const Tensor& x) override { return relu(bn(conv(x))) * scale; }
///     };
///
/// A module whose forward takes or returns anything but one tensor derives from ModuleOf
/// (module_of.h).
///
/// A module is a handle, as a Tensor is: its parameters, buffers, children and mode sit in shared
/// state, and copies share them; so a const module can be called. Whatever a module changes after
/// its construction belongs in buffers or in a Shared member: registered children are copies of the
/// members, and see only what is shared. Members that are Tensors or Shared share and clone by
/// themselves.
///
/// A module may run on several threads at once as long as nothing changes it.
class Module {
 public:
  Module();
  Module(const Module& other);             ///< another handle (in a CloneScope, of a copy)
  Module& operator=(const Module& other);  ///< makes this a handle of `other`
  virtual ~Module();

  /// @name Running
  /// @{

  /// What the module computes. Call it through operator(). Throws Error unless overridden.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverloaded-virtual"  // a forward of other arguments (ModuleOf)
  virtual Tensor forward(const Tensor& x);
#pragma GCC diagnostic pop
  /// forward(x), with the module's name in the errors, its hooks, and a check that it has been
  /// registered: throws Error if a module that runs inside another is no child of it any more
  /// (see replace_module), or, while gradients are being recorded, has trainable parameters that
  /// the outer one does not know, and so would never train.
  Tensor operator()(const Tensor& x) const;
  /// Explains at compile time what is wrong with other arguments.
  template <class... Args>
  requires(!detail::one_tensor<Args...>) void operator()(Args&&...) const {
    static_assert(detail::never<Args...>,
                  "a class derived from nn::Module takes and returns one Tensor: derive it from "
                  "nn::ModuleOf<Class>, and its forward may take and return anything");
  }
  /// relu((*this)(x)), fused where the module knows a way (BatchNorm2d, Conv2d).
  virtual Tensor forward_relu(const Tensor& x);
  /// @}

  /// @name Hooks
  /// Called by operator() on every handle of the module, in the order of their registration. They
  /// see tensors only: among the arguments, those that are Tensors; in the result, a Tensor or
  /// those in tuples, pairs, vectors and optionals. Clones have none. A module with hooks runs by
  /// itself, not fused with its neighbours.
  /// @{

  /// Called before forward; what it assigns to an input is what forward gets.
  using ForwardPreHook = std::function<void(Module& module, std::vector<Tensor>& inputs)>;
  /// Called after forward; what it assigns to an output is what the caller gets.
  using ForwardHook = std::function<void(Module& module, const std::vector<Tensor>& inputs,
                                         std::vector<Tensor>& outputs)>;
  HookHandle register_forward_pre_hook(ForwardPreHook hook);  ///< remove() on the result ends it
  HookHandle register_forward_hook(ForwardHook hook);         ///< remove() on the result ends it
  bool has_hooks() const;                                     ///< whether there is one of either
  /// @}

  /// @name Parameters and buffers
  /// Each tensor once, own ones before those of children, in the order of registration. Names are
  /// paths: "layer1.0.conv.weight".
  /// @{

  std::vector<Tensor> parameters() const;  ///< what is trained
  /// What is trained, by name.
  std::vector<std::pair<std::string, Tensor>> named_parameters() const;
  std::vector<Tensor> buffers() const;  ///< what is saved but not trained
  /// What is saved but not trained, by name.
  std::vector<std::pair<std::string, Tensor>> named_buffers() const;
  /// The module's own parameter (or buffer) of that name; undefined if registered as absent.
  /// Throws Error if there is none.
  Tensor parameter(const std::string& name) const;
  Tensor buffer(const std::string& name) const;
  /// Drops all gradients.
  void zero_grad();
  /// Sets requires_grad of every parameter: false freezes the weights.
  void requires_grad_(bool requires_grad = true);
  /// The same, as Tensor calls it.
  void set_requires_grad(bool requires_grad = true) { requires_grad_(requires_grad); }
  /// Converts parameters and floating buffers to f32 or f64 in place, behind every handle; drops
  /// gradients. An optimizer made before keeps its parameters, but not its moments' dtype: convert
  /// first. Throws Error for other dtypes.
  void to(DType dtype);
  /// @}

  /// @name Children
  /// @{

  /// Direct children in order.
  std::vector<Module*> children() const;
  std::vector<std::pair<std::string, Module*>> named_children() const;
  /// Itself (named "") and everything below it, each module once.
  std::vector<std::pair<std::string, Module*>> named_modules();
  std::vector<std::pair<std::string, const Module*>> named_modules() const;
  /// Makes `module` the child that `member` is, and the member a handle of it:
  ///
  ///     net.replace_module(net.fc, nn::Linear(512, 3));
  ///
  /// Assigning to a member alone does not change what the parent trains and saves, and is an Error
  /// when the net runs. Throws Error if `member` is no direct child.
  template <std::derived_from<Module> M>
  void replace_module(M& member, const std::type_identity_t<M>& module) {
    replace_module(name_of(member), module);
    member = module;
    static_cast<Module&>(member).was_child_ = false;
  }
  /// Makes `module` the direct child called `name`: for functions that rewrite containers
  /// (fold_batch_norm), which look their children up when they run. A member of that name stays
  /// what it was, so that a class that runs it by its own name throws. Throws Error if there is
  /// none.
  template <std::derived_from<Module> M>
  void replace_module(const std::string& name, const M& module) {
    replace_child(name, module, typeid(M), copier_of<M>());
  }
  /// Calls f on everything below and then on itself, each module once.
  void apply(const std::function<void(Module&)>& f);
  /// @}

  /// @name Mode
  /// @{

  /// Training or evaluation mode, for the module and everything below it.
  void train(bool training = true);
  void eval() { train(false); }  ///< evaluation mode
  bool is_training() const;      ///< whether it is in training mode
  /// A frozen module is in evaluation mode whatever train() says.
  virtual bool is_frozen() const { return false; }
  /// @}

  /// @name State
  /// @{

  /// Parameters and buffers by name, per module parameters first: PyTorch's names in PyTorch's
  /// order. The tensors are detached and share the module's memory; a tensor that the module holds
  /// under two names comes twice.
  StateDict state_dict() const;
  /// Copies values from `dict` into the module's tensors, converting f32, f64 and bf16, and leaving
  /// memory and identity as they are. Everything is checked before anything changes; unless strict,
  /// what fits is loaded. Throws one Error that lists all that does not fit if strict.
  LoadReport load_state_dict(const StateDict& dict, LoadOptions options = {});
  /// A deep copy: `Net b = net.clone();`. Copies have no gradients and no hooks; what was shared
  /// inside the module is shared inside the copy. For `auto`, use nn::clone(net), or derive from
  /// ModuleOf.
  [[nodiscard]] Cloned clone() const;
  /// Whether both handles mean the same module.
  bool is_same(const Module& other) const { return state_ == other.state_; }
  /// @}

  /// @name Printing
  /// @{

  /// The class's name, without namespaces.
  virtual std::string type_name() const;
  /// The constructor's arguments as PyTorch prints them: "1, 32, kernel_size=(3, 3)".
  virtual std::string extra_repr() const { return ""; }
  /// @}

  /// For modules whose state has had other names: renames or adds entries of `dict`, which is a
  /// copy, before load_state_dict checks it. This module's names begin with `prefix` ("bn." or "").
  virtual void adapt_state_dict(StateDict& dict, const std::string& prefix) const;

 protected:
  /// Runs f(args...), which computes what the module computes, as operator() runs forward
  /// (defined in module_of.h).
  template <class F, class... Args>
  auto call(F&& f, Args&&... args) const
      -> std::remove_cvref_t<std::invoke_result_t<F&, Args&&...>>;

  /// @name Registration
  /// Names are not empty, have no dots, and are unique in the module; Error otherwise.
  /// @{

  /// Keeps a handle of the child, of its own type; returns `child`.
  template <std::derived_from<Module> M>
  M& register_module(const std::string& name, M& child) {
    add_child(name, child, typeid(M), copier_of<M>());
    return child;
  }
  template <std::derived_from<Module> M>
  const M& register_module(const std::string& name, const M& child) {
    return register_module(name, const_cast<M&>(child));
  }
  template <std::derived_from<Module> M>
  M register_module(const std::string& name, M&& child) {
    return register_module(name, child);
  }
  /// Makes the tensor require a gradient and returns it. An undefined tensor is a parameter that
  /// this module does without (a bias).
  Tensor register_parameter(const std::string& name, const Tensor& tensor);
  /// State that is saved but not trained. May be undefined as well.
  Tensor register_buffer(const std::string& name, const Tensor& tensor);
  /// @}

 public:
  /// Says that a module runs, for as long as it lives: what operator() does around forward. For
  /// functions other than forward: `Running running(*this);` at their beginning. Running a module
  /// inside itself counts once.
  class Running {
   public:
    [[nodiscard]] explicit Running(const Module& module);  ///< begins
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    void find_name();
    void check_trains(const ModuleScope& outer) const;

    const Module& module_;
    std::string name_;
    ModuleScope scope_;
  };

 private:
  friend class EvalMode;
  struct SharedState;
  struct RegisteredChild;
  using ChildCopier = std::shared_ptr<Module> (*)(const Module&);
  using NamedModules = std::vector<std::pair<std::string, Module*>>;

  template <class M>
  static ChildCopier copier_of() {
    static_assert(std::copy_constructible<M>, "modules are handles: they can be copied");
    return [](const Module& original) -> std::shared_ptr<Module> {
      return std::make_shared<M>(static_cast<const M&>(original));
    };
  }
  /// What operator() runs on one tensor: the forward of the class, whatever its signature.
  virtual Tensor forward_one(const Tensor& x) { return forward(x); }

  void add_child(const std::string& name, const Module& child, const std::type_info& type,
                 ChildCopier copier);
  void replace_child(const std::string& name, const Module& child, const std::type_info& type,
                     ChildCopier copier);
  void check_name(const char* op, const std::string& name) const;
  std::string name_of(const Module& child) const;
  /// Whether anybody wants to see what goes in and out.
  bool is_watched() const;
  void before(std::vector<Tensor>& inputs) const;
  void after(const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) const;
  /// Everything below and including this module, in order; shared modules once or at each place.
  NamedModules walk(bool once) const;

  Shared<SharedState> state_;
  bool was_child_ = false;  // assigned to while it was somebody's child
};

/// What Module::clone returns: becomes a module of the type that was cloned.
class Cloned {
 public:
  explicit Cloned(const Module& source) : source_(source) {}  ///< `source` must outlive it
  Cloned(const Cloned&) = delete;
  Cloned& operator=(const Cloned&) = delete;

  /// Throws Error if the module is not an M but something derived from it.
  template <class M>
  requires(std::derived_from<M, Module>) operator M() && {
    check(typeid(M));
    CloneScope scope;
    return M(static_cast<const M&>(source_));
  }

 private:
  void check(const std::type_info& wanted) const;

  const Module& source_;
};

/// A deep copy of its argument's type.
template <std::derived_from<Module> M>
[[nodiscard]] M clone(const M& module) {
  return Cloned(module);
}

/// Evaluation mode for as long as it lives; afterwards every module is in the mode it was in.
class EvalMode {
 public:
  /// `module` and everything below it.
  [[nodiscard]] explicit EvalMode(Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> before_;
};

/// The module as PyTorch prints it:
///
///     Net(
///       (conv): Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
///       (bn): BatchNorm2d(32, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
///     )
std::string to_string(const Module& module);
/// Writes to_string(module).
std::ostream& operator<<(std::ostream& out, const Module& module);

}  // namespace tern::nn
