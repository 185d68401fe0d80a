// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "../core/autograd.h"
#include "../ops/activations.h"
#include "anomaly.h"
#include "module_of.h"

namespace tern::nn {

struct Module::RegisteredChild {
  std::string name;
  std::shared_ptr<Module> module;
  ChildCopier copier;  // knows the child's own type
};

struct Module::SharedState {
  std::vector<std::pair<std::string, Tensor>> parameters = {};
  std::vector<std::pair<std::string, Tensor>> buffers = {};
  std::vector<RegisteredChild> children = {};
  HookList<ForwardPreHook> pre_hooks = {};
  HookList<ForwardHook> hooks = {};
  bool training = true;
  bool is_child = false;  // registered with some module
  bool replaced = false;  // was registered, until another took its place

  SharedState() = default;
  // Runs inside a CloneScope only, where tensors and children duplicate. Hooks stay behind: their
  // handles could not remove them from the copy.
  SharedState(const SharedState& other)
      : parameters(other.parameters), buffers(other.buffers), training(other.training) {
    for (const RegisteredChild& child : other.children) {
      children.push_back({child.name, child.copier(*child.module), child.copier});
      children.back().module->state_->is_child = true;
    }
  }
  SharedState& operator=(const SharedState&) = delete;
};

namespace {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() || name.empty() ? prefix + name : prefix + "." + name;
}

// Collects tensors, each once.
class Distinct {
 public:
  void add(const std::string& name, const Tensor& tensor) {
    if (!tensor.defined()) return;
    const auto [first, last] = known_.equal_range(tensor.storage().get());
    const bool seen =
        std::any_of(first, last, [&](const auto& known) { return known.second.is_same(tensor); });
    if (seen) return;
    known_.emplace(tensor.storage().get(), tensor);
    tensors_.emplace_back(name, tensor);
  }
  NamedTensors take() { return std::move(tensors_); }

 private:
  std::unordered_multimap<const Storage*, Tensor> known_;
  NamedTensors tensors_;
};

std::vector<Tensor> without_names(const NamedTensors& named) {
  std::vector<Tensor> tensors;
  for (const auto& [name, tensor] : named) tensors.push_back(tensor);
  return tensors;
}

const Tensor& find(const Module& module, const char* op, const NamedTensors& tensors,
                   const std::string& name) {
  for (const auto& [known, tensor] : tensors) {
    if (known == name) return tensor;
  }
  fail(op, module.type_name(), " has no ", op, " of its own called \"", name, "\"");
}

/// `scope`, or the next one outwards, that a Module declared.
const ModuleScope* having_module(const ModuleScope* scope) {
  while (scope && !scope->module()) scope = scope->outer();
  return scope;
}

const Module& module_of(const ModuleScope& scope) {
  return *static_cast<const Module*>(scope.module());
}

// Hooks replace tensors, one by one.
void check_count(const char* hook, size_t found, size_t wanted) {
  if (found == wanted) return;
  fail(hook, "left ", found, " tensors where there were ", wanted,
       ": assign to the tensors, do not add or remove any");
}

}  // namespace

Module::Module() = default;
Module::Module(const Module& other) = default;
Module& Module::operator=(const Module& other) {
  if (this != &other) {
    was_child_ = other.was_child_ || (state_->is_child && !is_same(other));
    state_ = other.state_;
  }
  return *this;
}
Module::~Module() = default;

Tensor Module::forward(const Tensor&) {
  fail("forward", type_name(), " does not define forward(const Tensor&)");
}

Tensor Module::operator()(const Tensor& x) const {
  return call([this](const Tensor& input) { return const_cast<Module*>(this)->forward_one(input); },
              x);
}

Tensor Module::forward_relu(const Tensor& x) { return relu((*this)(x)); }

HookHandle Module::register_forward_pre_hook(ForwardPreHook hook) {
  return state_->pre_hooks.add(std::move(hook));
}

HookHandle Module::register_forward_hook(ForwardHook hook) {
  return state_->hooks.add(std::move(hook));
}

bool Module::has_hooks() const { return !state_->pre_hooks.empty() || !state_->hooks.empty(); }

bool Module::is_watched() const { return has_hooks() || DetectAnomaly::active(); }

void Module::before(std::vector<Tensor>& inputs) const {
  const size_t count = inputs.size();
  for (const auto& hook : state_->pre_hooks.hooks()) {
    (*hook)(const_cast<Module&>(*this), inputs);
    check_count("forward pre-hook", inputs.size(), count);
  }
}

void Module::after(const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) const {
  const size_t count = outputs.size();
  for (const auto& hook : state_->hooks.hooks()) {
    (*hook)(const_cast<Module&>(*this), inputs, outputs);
    check_count("forward hook", outputs.size(), count);
  }
  for (const Tensor& y : outputs) DetectAnomaly::check(y);
}

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() const {
  Distinct tensors;
  for (const auto& [path, module] : walk(true)) {
    for (const auto& [name, tensor] : module->state_->parameters) {
      tensors.add(join(path, name), tensor);
    }
  }
  return tensors.take();
}

std::vector<std::pair<std::string, Tensor>> Module::named_buffers() const {
  Distinct tensors;
  for (const auto& [path, module] : walk(true)) {
    for (const auto& [name, tensor] : module->state_->buffers) {
      tensors.add(join(path, name), tensor);
    }
  }
  return tensors.take();
}

std::vector<Tensor> Module::parameters() const { return without_names(named_parameters()); }
std::vector<Tensor> Module::buffers() const { return without_names(named_buffers()); }

Tensor Module::parameter(const std::string& name) const {
  return find(*this, "parameter", state_->parameters, name);
}
Tensor Module::buffer(const std::string& name) const {
  return find(*this, "buffer", state_->buffers, name);
}

void Module::zero_grad() {
  for (const Tensor& parameter : parameters()) parameter.set_grad({});
}

void Module::requires_grad_(bool requires_grad) {
  for (const Tensor& parameter : parameters()) parameter.set_requires_grad(requires_grad);
}

void Module::to(DType dtype) {
  if (!is_floating(dtype)) fail("to", "a module can be f32 or f64, not ", dtype);
  std::vector<Tensor> tensors = parameters();
  for (const Tensor& buffer : buffers()) tensors.push_back(buffer);
  const NoGrad no_grad;
  for (const Tensor& tensor : tensors) {
    if (!is_floating(tensor.dtype()) || tensor.dtype() == dtype) continue;
    tensor.replace_data(tensor.detach().to(dtype));
  }
}

std::vector<std::pair<std::string, Module*>> Module::named_children() const {
  NamedModules named;
  for (const RegisteredChild& child : state_->children)
    named.emplace_back(child.name, child.module.get());
  return named;
}

std::vector<Module*> Module::children() const {
  std::vector<Module*> modules;
  for (const RegisteredChild& child : state_->children) modules.push_back(child.module.get());
  return modules;
}

Module::NamedModules Module::walk(bool once) const {
  NamedModules found;
  std::unordered_set<const SharedState*> seen;
  const auto visit = [&](const auto& self, const std::string& path, Module* module) -> void {
    if (once && !seen.insert(&*module->state_).second) return;
    found.emplace_back(path, module);
    for (const RegisteredChild& child : module->state_->children) {
      self(self, join(path, child.name), child.module.get());
    }
  };
  visit(visit, "", const_cast<Module*>(this));
  return found;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() { return walk(true); }

std::vector<std::pair<std::string, const Module*>> Module::named_modules() const {
  const NamedModules named = walk(true);
  return {named.begin(), named.end()};
}

void Module::apply(const std::function<void(Module&)>& f) {
  std::unordered_set<const SharedState*> seen;
  const auto visit = [&](const auto& self, Module& module) -> void {
    if (!seen.insert(&*module.state_).second) return;
    for (Module* child : module.children()) self(self, *child);
    f(module);
  };
  visit(visit, *this);
}

void Module::train(bool training) {
  for (const auto& [path, module] : walk(true)) {
    module->state_->training = training && !module->is_frozen();
  }
}

bool Module::is_training() const { return state_->training; }

StateDict Module::state_dict() const {
  StateDict dict;
  for (const auto& [path, module] : walk(false)) {
    for (const auto* tensors : {&module->state_->parameters, &module->state_->buffers}) {
      for (const auto& [name, tensor] : *tensors) {
        if (tensor.defined()) dict.insert(join(path, name), tensor.detach());
      }
    }
  }
  return dict;
}

void Module::adapt_state_dict(StateDict&, const std::string&) const {}

Cloned Module::clone() const { return Cloned(*this); }

void Cloned::check(const std::type_info& wanted) const {
  if (typeid(source_) == wanted) return;
  fail("clone", "the module is a ", source_.type_name(),
       ", which the type of the copy cannot hold: clone into its own type");
}

void Module::check_name(const char* op, const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    fail(op, "the name \"", name, "\" must not be empty or have a dot: dots separate the names of ",
         "modules in a path");
  }
  const auto is_taken = [&](const auto& named) { return named.first == name; };
  const auto is_child = [&](const RegisteredChild& child) { return child.name == name; };
  if (std::ranges::any_of(state_->parameters, is_taken) ||
      std::ranges::any_of(state_->buffers, is_taken) ||
      std::ranges::any_of(state_->children, is_child)) {
    fail(op, "the name \"", name, "\" is taken in ", type_name(), ": choose another");
  }
}

void Module::add_child(const std::string& name, const Module& child, const std::type_info& type,
                       ChildCopier copier) {
  check_name("register_module", name);
  if (typeid(child) != type) {
    fail("register_module", "\"", name, "\" is a ", child.type_name(),
         " behind a reference to a base class, which would lose what it adds: pass it as its own ",
         "type");
  }
  for (const auto& [path, module] : child.walk(true)) {
    if (module->state_ == state_) {
      fail("register_module", type_name(), " cannot be a child of itself (as \"", join(name, path),
           "\")");
    }
  }
  state_->children.push_back({name, copier(child), copier});
  child.state_->is_child = true;
  child.state_->replaced = false;
}

std::string Module::name_of(const Module& child) const {
  for (const RegisteredChild& known : state_->children) {
    if (known.module->is_same(child)) return known.name;
  }
  fail("replace_module", "the ", child.type_name(), " is no direct child of ", type_name(),
       ": pass a member that was registered with it");
}

void Module::replace_child(const std::string& name, const Module& child, const std::type_info& type,
                           ChildCopier copier) {
  size_t i = 0;
  while (i < state_->children.size() && state_->children[i].name != name) ++i;
  if (i == state_->children.size()) {
    fail("replace_module", type_name(), " has no child called \"", name, "\"");
  }
  add_child(name + " (new)", child, type, copier);
  Module& old = *state_->children[i].module;
  old.state_->replaced = !old.is_same(child);
  state_->children[i] = std::move(state_->children.back());
  state_->children[i].name = name;
  state_->children.pop_back();
}

Tensor Module::register_parameter(const std::string& name, const Tensor& tensor) {
  check_name("register_parameter", name);
  if (tensor.defined()) {
    if (!is_floating(tensor.dtype())) {
      fail("register_parameter", "\"", name, "\" is ", tensor,
           ", a parameter is f32 or f64: use register_buffer for what is not trained");
    }
    if (!tensor.is_leaf()) {
      fail("register_parameter", "\"", name, "\" is the result of a recorded operation: pass ",
           "tensor.detach()");
    }
    tensor.set_requires_grad();
  }
  state_->parameters.emplace_back(name, tensor);
  return tensor;
}

Tensor Module::register_buffer(const std::string& name, const Tensor& tensor) {
  check_name("register_buffer", name);
  if (tensor.defined() && tensor.requires_grad()) {
    fail("register_buffer", "\"", name, "\" requires a gradient, a buffer is not trained: pass ",
         "tensor.detach(), or use register_parameter");
  }
  state_->buffers.emplace_back(name, tensor);
  return tensor;
}

Module::Running::Running(const Module& module) : module_(module), scope_(&name_, &module) {
  find_name();
}

void Module::Running::find_name() {
  const ModuleScope* const first = having_module(scope_.outer());
  if (!first || module_of(*first).is_same(module_)) return;
  for (const ModuleScope* scope = first; scope; scope = having_module(scope->outer())) {
    for (const RegisteredChild& child : module_of(*scope).state_->children) {
      if (!child.module->is_same(module_)) continue;
      name_ = child.name;
      return;
    }
  }
  const SharedState& state = *module_.state_;
  const bool replaced = module_.was_child_ || state.replaced;
  const bool empty = state.parameters.empty() && state.buffers.empty() && state.children.empty();
  if (empty && !replaced) return;
  for (const ModuleScope* scope = first; scope; scope = having_module(scope->outer())) {
    for (const auto& [path, known] : module_of(*scope).named_modules()) {
      if (!known->is_same(module_)) continue;
      name_ = path;
      return;
    }
  }
  if (replaced) {
    fail("module", module_of(*first).type_name(), " runs a ", module_.type_name(), "(",
         module_.extra_repr(),
         ") that is not registered, in the place of a child that is, or was: ",
         "call net.replace_module(net.member, module), which changes both the member and the ",
         "child, instead of one of them");
  }
  if (grad_enabled()) check_trains(*first);
}

// The module is registered nowhere; its parameters may be, by themselves.
void Module::Running::check_trains(const ModuleScope& outer) const {
  const Module* root = nullptr;
  std::vector<Tensor> known;
  for (const ModuleScope* scope = &outer; scope; scope = having_module(scope->outer())) {
    root = &module_of(*scope);
    for (const Tensor& parameter : root->parameters()) known.push_back(parameter);
  }
  for (const auto& [name, parameter] : module_.named_parameters()) {
    if (!parameter.requires_grad()) continue;
    // Under another name, as clang before 16 captures no structured bindings.
    const auto is_this = [&own = parameter](const Tensor& other) { return other.is_same(own); };
    if (std::ranges::any_of(known, is_this)) continue;
    const std::string type = module_.type_name();
    fail("module", module_of(outer).type_name(), " runs a ", type, "(", module_.extra_repr(),
         ") that is not registered, neither there nor in ", root->type_name(), ": its ", name,
         " would not train, convert or be saved. Declare the member as ",
         "`Child child = register_module(\"child\", Child(...))`, or call "
         "child.requires_grad_(false) if it is not to be trained");
  }
}

EvalMode::EvalMode(Module& module) {
  for (const auto& [path, below] : module.named_modules()) {
    before_.emplace_back(below, below->is_training());
  }
  module.eval();
}

EvalMode::~EvalMode() {
  for (const auto& [module, training] : before_) module->state_->training = training;
}

}  // namespace tern::nn
