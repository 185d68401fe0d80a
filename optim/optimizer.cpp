// SPDX-License-Identifier: Apache-2.0
#include "optimizer.h"

#include <cmath>
#include <cstring>
#include <unordered_set>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "internal/loops.h"

namespace tern::optim {

Optimizer::Optimizer(const char* name, std::vector<std::vector<Tensor>> params,
                     std::vector<std::string> buffers, size_t always)
    : name_(name), params_(std::move(params)), buffer_names_(std::move(buffers)), always_(always) {
  std::vector<const Tensor*> seen;
  int64_t position = 0;
  for (const auto& group : params_) {
    states_.emplace_back(group.size());
    for (const Tensor& param : group) {
      if (!param.defined())
        fail(name_, "parameter ", position, " is undefined, want a leaf tensor");
      if (!is_floating(param.dtype())) {
        fail(name_, "parameter ", position, " is ", param, ", want f32 or f64: convert it first");
      }
      if (!param.is_leaf()) {
        fail(name_, "parameter ", position, " (", param,
             ") is the result of an operation, want a leaf: pass the tensor it was computed from");
      }
      for (const Tensor* other : seen) {
        if (other->is_same(param)) {
          fail(name_, "parameter ", position, " (", param,
               ") is given twice, want each parameter once: a step would update it twice");
        }
      }
      seen.push_back(&param);
      ++position;
    }
  }
  if (seen.empty())
    fail(name_,
         "params is empty, want at least one parameter: check that the modules are registered");
  initial_lr_.resize(params_.size());
}

void Optimizer::check(const Tensor& param, const Tensor& grad, const State& state) const {
  if (grad.shape() != param.shape() || grad.dtype() != param.dtype()) {
    fail(name_, "a gradient is ", grad, ", want ", param, " as its parameter");
  }
  for (const Tensor& held : state.buffers) {
    if (held.defined() && (held.shape() != param.shape() || held.dtype() != param.dtype())) {
      fail(name_, "a parameter is ", param, ", want ", held,
           " as in the steps before: convert the model before constructing the optimizer");
    }
  }
}

namespace {

/// The gradient is read; the parameter and the buffers are read and written.
int64_t bytes_touched(const Tensor& param, const auto& buffers) {
  int64_t tensors = 3;
  for (const Tensor& buffer : buffers) tensors += buffer.defined() ? 2 : 0;
  return tensors * param.numel() * static_cast<int64_t>(size_of(param.dtype()));
}

}  // namespace

void Optimizer::step() {
  for (size_t g = 0; g < params_.size(); ++g) {
    for (size_t i = 0; i < params_[g].size(); ++i) {
      const Tensor grad = gradient_to_use(params_[g][i]);
      if (grad.defined()) check(params_[g][i], grad, states_[g][i]);
    }
  }
  NoGrad no_grad;
  const ProfilerRange range(name_);
  for (size_t g = 0; g < params_.size(); ++g) {
    for (size_t i = 0; i < params_[g].size(); ++i) {
      const Tensor& param = params_[g][i];
      const Tensor grad = gradient_to_use(param);
      if (!grad.defined()) continue;
      State& state = states_[g][i];
      ++state.steps;
      // backward leaves gradients in the parameter's memory format; set_grad need not.
      update(g, param, to_memory_format(grad, param.memory_format()), state);
      param.bump_version();
      if (range.recorded()) ProfilerRange::bytes(bytes_touched(param, state.buffers));
    }
  }
}

void Optimizer::zero_grad(bool set_to_none) {
  for (const auto& group : params_) {
    for (const Tensor& param : group) {
      if (set_to_none) {
        param.set_grad({});
        continue;
      }
      const Tensor grad = param.grad();
      if (!grad.defined()) continue;
      NoGrad no_grad;
      if (grad.is_leaf()) {
        grad.zero_();
      } else {
        // From backward with create_graph: a graph may still need the old values.
        param.set_grad(zeros_like(param));
      }
    }
  }
}

size_t Optimizer::existing(size_t group) const {
  if (group >= params_.size()) {
    fail(name_, "there is no group ", group, ", the optimizer has ", params_.size());
  }
  return group;
}

double* Optimizer::find_field(size_t group, const char* name) const {
  for (const OptionField& field : fields(group)) {
    if (std::strcmp(field.name, name) == 0) return field.number;
  }
  return nullptr;
}

double Optimizer::lr(size_t group) const { return *find_field(group, "lr"); }

void Optimizer::set_lr(double lr) {
  for (size_t g = 0; g < params_.size(); ++g) set_lr(lr, g);
}

void Optimizer::set_lr(double lr, size_t group) {
  check_option(name_, "lr", lr);
  *find_field(group, "lr") = lr;
}

std::optional<double> Optimizer::momentum(size_t group) const {
  for (const char* option : {"momentum", "beta1"}) {
    if (const double* value = find_field(group, option)) return *value;
  }
  return std::nullopt;
}

void Optimizer::set_momentum(double momentum, size_t group) {
  check_option(name_, "momentum", momentum, 1.0);
  for (const char* option : {"momentum", "beta1"}) {
    if (double* value = find_field(group, option)) {
      *value = momentum;
      return;
    }
  }
  fail(name_, "the optimizer has no momentum, want momentum or beta1");
}

double Optimizer::initial_lr(size_t group) {
  if (!initial_lr_[existing(group)]) initial_lr_[group] = lr(group);
  return *initial_lr_[group];
}

void Optimizer::set_initial_lr(double lr, size_t group) {
  check_option(name_, "initial_lr", lr);
  initial_lr_[existing(group)] = lr;
}

Tensor& Optimizer::buffer(State& state, size_t i, const Tensor& param) {
  if (!state.buffers[i].defined()) state.buffers[i] = zeros_like(param);
  return state.buffers[i];
}

StateDict Optimizer::state_dict() const {
  StateDict dict;
  size_t position = 0;
  for (const auto& group : states_) {
    for (const State& state : group) {
      const std::string prefix = "state." + std::to_string(position++) + ".";
      if (state.steps == 0) continue;
      dict.insert(prefix + "step", tensor(std::vector<int64_t>{state.steps}, Shape{}));
      for (size_t b = 0; b < buffer_names_.size(); ++b) {
        if (state.buffers[b].defined()) dict.insert(prefix + buffer_names_[b], state.buffers[b]);
      }
    }
  }
  for (size_t g = 0; g < params_.size(); ++g) {
    const std::string prefix = "param_groups." + std::to_string(g) + ".";
    for (const OptionField& field : fields(g)) {
      dict.insert(prefix + field.name, full(Shape{}, field.get(), DType::f64));
    }
    if (initial_lr_[g]) {
      dict.insert(prefix + "initial_lr", full(Shape{}, *initial_lr_[g], DType::f64));
    }
  }
  return dict;
}

void Optimizer::load_state_dict(const StateDict& dict) {
  NoGrad no_grad;
  std::unordered_set<std::string> used;
  std::string missing;
  std::string wrong;
  const auto find = [&](const std::string& name, const Shape& shape, bool required) -> Tensor {
    if (!dict.contains(name)) {
      if (required) missing += " " + name;
      return {};
    }
    used.insert(name);
    const Tensor& value = dict.at(name);
    if (value.defined() && value.shape() == shape) return value;
    wrong += " " + name + " is " + error_text(value) + ", want " + to_string(shape) + ";";
    return {};
  };

  std::vector<std::vector<double>> options(params_.size());
  std::vector<std::optional<double>> initial_lr(params_.size());
  for (size_t g = 0; g < params_.size(); ++g) {
    const std::string prefix = "param_groups." + std::to_string(g) + ".";
    for (const OptionField& field : fields(g)) {
      const Tensor value = find(prefix + field.name, Shape{}, !field.optional);
      options[g].push_back(value.defined() ? value.item<double>() : field.get());
    }
    const Tensor value = find(prefix + "initial_lr", Shape{}, false);
    if (!value.defined()) continue;
    initial_lr[g] = value.item<double>();
    check_option(name_, "initial_lr", *initial_lr[g]);
  }

  std::vector<std::vector<State>> states;
  size_t position = 0;
  for (size_t g = 0; g < params_.size(); ++g) {
    states.emplace_back(params_[g].size());
    for (size_t i = 0; i < params_[g].size(); ++i) {
      const Tensor& param = params_[g][i];
      const std::string prefix = "state." + std::to_string(position++) + ".";
      const Tensor steps = find(prefix + "step", Shape{}, false);
      State& state = states[g][i];
      if (steps.defined()) {
        const std::optional<int64_t> count = whole_number(steps);
        if (!count) wrong += " " + prefix + "step, want a whole number of at least 0;";
        state.steps = count.value_or(0);
      }
      for (size_t b = 0; b < buffer_names_.size(); ++b) {
        const bool required = state.steps > 0 && b < always_;
        const Tensor value = find(prefix + buffer_names_[b], param.shape(), required);
        if (value.defined()) {
          state.buffers[b] =
              to_memory_format(value.detach().to(param.dtype()), param.memory_format()).clone();
        }
      }
      if (state.steps > 0 && !is_complete(state)) missing += " the buffers of " + prefix + "step";
    }
  }

  std::string unexpected;
  for (const auto& entry : dict) {
    if (!used.contains(entry.first)) unexpected += " " + entry.first;
  }
  if (!missing.empty() || !unexpected.empty() || !wrong.empty()) {
    fail(name_, "the state does not fit this optimizer.",
         missing.empty() ? "" : " Missing:", missing,
         unexpected.empty() ? "" : " Unexpected:", unexpected,
         wrong.empty() ? "" : " Wrong:", wrong);
  }
  for (const bool keep : {false, true}) {
    for (size_t g = 0; g < params_.size(); ++g) set_fields(g, options[g], keep);
  }
  states_ = std::move(states);
  initial_lr_ = std::move(initial_lr);
}

}  // namespace tern::optim
