// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "../core/autograd.h"
#include "../ops/activations.h"
#include "anomaly.h"

namespace tern::nn {

struct Module::Child {
  std::string name;
  std::shared_ptr<Module> module;
  Copier copier;  // knows the child's own type
};

struct Module::State {
  std::vector<std::pair<std::string, Tensor>> parameters = {};
  std::vector<std::pair<std::string, Tensor>> buffers = {};
  std::vector<Child> children = {};
  bool training = true;

  State() = default;
  // Runs inside a CloneScope only, where tensors and children duplicate.
  State(const State& other)
      : parameters(other.parameters), buffers(other.buffers), training(other.training) {
    for (const Child& child : other.children) {
      children.push_back({child.name, child.copier(*child.module), child.copier});
    }
  }
  State& operator=(const State&) = delete;
};

namespace {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

thread_local Module::Running* innermost = nullptr;

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

}  // namespace

Module::Module() = default;
Module::Module(const Module& other) = default;
Module& Module::operator=(const Module& other) = default;
Module::~Module() = default;

Tensor Module::forward(const Tensor&) {
  fail("forward", type_name(), " does not define forward(const Tensor&)");
}

Tensor Module::operator()(const Tensor& x) {
  const Running running(*this);
  return DetectAnomaly::check(forward(x));
}

Tensor Module::forward_relu(const Tensor& x) { return relu((*this)(x)); }

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
  for (const Tensor& parameter : parameters()) {
    if (parameter.requires_grad()) parameter.set_grad({});
  }
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
  Named named;
  for (const Child& child : state_->children) named.emplace_back(child.name, child.module.get());
  return named;
}

std::vector<Module*> Module::children() const {
  std::vector<Module*> modules;
  for (const Child& child : state_->children) modules.push_back(child.module.get());
  return modules;
}

Module::Named Module::walk(bool once) const {
  Named found;
  std::unordered_set<const State*> seen;
  const auto visit = [&](const auto& self, const std::string& path, Module* module) -> void {
    if (once && !seen.insert(&*module->state_).second) return;
    found.emplace_back(path, module);
    for (const Child& child : module->state_->children) {
      self(self, join(path, child.name), child.module.get());
    }
  };
  visit(visit, "", const_cast<Module*>(this));
  return found;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() { return walk(true); }

std::vector<std::pair<std::string, const Module*>> Module::named_modules() const {
  const Named named = walk(true);
  return {named.begin(), named.end()};
}

void Module::apply(const std::function<void(Module&)>& f) {
  std::unordered_set<const State*> seen;
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
  const auto is_child = [&](const Child& child) { return child.name == name; };
  if (std::ranges::any_of(state_->parameters, is_taken) ||
      std::ranges::any_of(state_->buffers, is_taken) ||
      std::ranges::any_of(state_->children, is_child)) {
    fail(op, "the name \"", name, "\" is taken in ", type_name(), ": choose another");
  }
}

void Module::add_child(const std::string& name, const Module& child, const std::type_info& type,
                       Copier copier) {
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
}

void Module::replace_child(const std::string& name, const Module& child, const std::type_info& type,
                           Copier copier) {
  size_t i = 0;
  while (i < state_->children.size() && state_->children[i].name != name) ++i;
  if (i == state_->children.size()) {
    fail("replace_module", type_name(), " has no child called \"", name, "\"");
  }
  add_child(name + " (new)", child, type, copier);
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

Module::Running::Running(const Module& module) : module_(module), outer_(innermost) {
  find_name();
  if (!name_.empty()) scope_.emplace(&name_);
  innermost = this;
}

Module::Running::~Running() { innermost = outer_; }

void Module::Running::find_name() {
  if (!outer_ || outer_->module_.is_same(module_)) return;
  for (const Running* running = outer_; running; running = running->outer_) {
    for (const Child& child : running->module_.state_->children) {
      if (!child.module->is_same(module_)) continue;
      name_ = child.name;
      return;
    }
  }
  const State& state = *module_.state_;
  if (state.parameters.empty() && state.buffers.empty() && state.children.empty()) return;
  for (const Running* running = outer_; running; running = running->outer_) {
    for (const auto& [path, known] : running->module_.named_modules()) {
      if (!known->is_same(module_)) continue;
      name_ = path;
      return;
    }
  }
  if (grad_enabled()) check_trains();
}

// The module is registered nowhere; its parameters may be, by themselves.
void Module::Running::check_trains() const {
  const Running* root = outer_;
  std::vector<Tensor> known;
  for (const Running* running = outer_; running; running = running->outer_) {
    root = running;
    for (const Tensor& parameter : running->module_.parameters()) known.push_back(parameter);
  }
  for (const auto& [name, parameter] : module_.named_parameters()) {
    if (!parameter.requires_grad()) continue;
    // Named again, as clang before 16 captures no structured bindings.
    const auto is_this = [&parameter = parameter](const Tensor& other) {
      return other.is_same(parameter);
    };
    if (std::ranges::any_of(known, is_this)) continue;
    const std::string type = module_.type_name();
    fail("module", outer_->module_.type_name(), " runs a ", type, "(", module_.extra_repr(),
         ") that is not registered, neither there nor in ", root->module_.type_name(), ": its ",
         name, " would not train, convert or be saved. Call register_module(name, child) in the ",
         "constructor, or child.requires_grad_(false) if it is not to be trained");
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
