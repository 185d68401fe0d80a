// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../core/state_dict.h"
#include "../core/tensor.h"

namespace tern::optim {

/// Parameters that share options.
template <class Options>
struct ParamGroup {
  std::vector<Tensor> params;  ///< leaves that require a gradient
  Options options;             ///< their common options
};

/// A named option and a pointer to its value (one of the two), as state_dict stores it.
struct OptionField {
  const char* name;          ///< its name in state_dict
  double* number = nullptr;  ///< the value, if it is a number
  bool* flag = nullptr;      ///< the value, if it is a flag
  bool optional = false;     ///< a state without it leaves the value as it is
  /// The value; 1 or 0 for a flag.
  double get() const { return number ? *number : (*flag ? 1.0 : 0.0); }
  /// Sets the value; a flag is true for anything but 0.
  void set(double value) const {
    if (number) {
      *number = value;
    } else {
      *flag = value != 0;
    }
  }
};

/// Base class of all optimizers: groups of parameters, and a step count and buffers for each
/// parameter. Parameters without a gradient are skipped, as in PyTorch. Not copyable, because
/// schedules refer to it.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates every parameter that requires a gradient and has one, in place. Throws Error, before
  /// any change, for a gradient whose shape or dtype differs from its parameter's.
  void step();
  /// Drops the gradients (or fills them with zeros).
  void zero_grad(bool set_to_none = true);

  size_t num_groups() const { return params_.size(); }  ///< the number of parameter groups
  /// The parameters of a group. Throws Error, as all below, if there is no such group.
  const std::vector<Tensor>& params(size_t group = 0) const { return params_[existing(group)]; }

  double lr(size_t group = 0) const;  ///< the learning rate of a group
  /// Sets the learning rate of every group, or of one. Throws Error if it is negative or not
  /// finite.
  void set_lr(double lr);
  void set_lr(double lr, size_t group);  ///< sets the learning rate of one group

  /// The momentum (Adam: beta1), or nullopt if the optimizer has no such option.
  std::optional<double> momentum(size_t group = 0) const;
  /// Sets the momentum (Adam: beta1), in [0, 1). Throws Error if the optimizer has none.
  void set_momentum(double momentum, size_t group);
  /// The learning rate that schedules are relative to: the rate at the time the first schedule was
  /// constructed.
  double initial_lr(size_t group = 0);
  /// Sets the rate that schedules constructed later are relative to. Throws Error if it is negative
  /// or not finite.
  void set_initial_lr(double lr, size_t group);

  /// Everything needed to resume exactly: "state.<parameter>.step" and the buffers
  /// ("state.0.momentum_buffer", "state.0.exp_avg"...), with parameters numbered across all
  /// groups, and the options as f64 scalars ("param_groups.0.lr"). Buffers share memory with the
  /// optimizer.
  virtual StateDict state_dict() const;
  /// Copies the state from `dict`. Throws Error, before any change, that lists missing, unexpected
  /// and wrong-shaped entries.
  virtual void load_state_dict(const StateDict& dict);

 protected:
  static constexpr size_t kMaxBuffers = 4;  ///< buffers per parameter
  /// The state of one parameter. Buffers have its shape, dtype and memory format.
  struct State {
    int64_t steps = 0;                        ///< steps so far, including the current one
    std::array<Tensor, kMaxBuffers> buffers;  ///< undefined until first used
  };
  /// Throws Error if there are no parameters, and for a tensor that is undefined, not floating
  /// point, not a leaf, or given twice. `name` appears in messages; `buffers` names State's
  /// buffers, of which every updated parameter has the first `always`.
  Optimizer(const char* name, std::vector<std::vector<Tensor>> params,
            std::vector<std::string> buffers, size_t always);

  /// `group`. Throws Error if there is no such group.
  size_t existing(size_t group) const;
  /// Updates one parameter; `grad` has its memory format.
  virtual void update(size_t group, const Tensor& param, const Tensor& grad, State& state) = 0;
  /// The named options of a group.
  virtual std::vector<OptionField> fields(size_t group) const = 0;
  /// Checks the values, one per field, and stores them if `keep`. Throws Error if one is out of
  /// range.
  virtual void set_fields(size_t group, const std::vector<double>& values, bool keep) = 0;

  /// Whether a loaded state has the buffers of an updated parameter, besides the first `always`.
  virtual bool is_complete(const State& /*state*/) const { return true; }

  /// Buffer `i` of `state`, created as zeros on first use.
  static Tensor& buffer(State& state, size_t i, const Tensor& param);

 private:
  friend class LRScheduler;
  double* find_field(size_t group, const char* name) const;
  void check(const Tensor& param, const Tensor& grad, const State& state) const;

  const char* name_;
  std::vector<std::vector<Tensor>> params_;
  std::vector<std::vector<State>> states_;
  std::vector<std::optional<double>> initial_lr_;
  // The factors that each live schedule applies to the groups' rates.
  std::vector<std::weak_ptr<const std::vector<double>>> schedule_factors_;
  std::vector<std::string> buffer_names_;
  size_t always_;
};

/// Base class of optimizers whose groups have options of type Options.
template <class Options>
class OptimizerWith : public Optimizer {
 public:
  using Group = ParamGroup<Options>;  ///< parameters and their options

  /// The options of a group.
  const Options& options(size_t group = 0) const { return options_[existing(group)]; }
  /// Replaces the options of a group. Throws Error if one is out of range.
  void set_options(const Options& options, size_t group = 0) {
    description_.validate(options);
    options_[existing(group)] = options;
  }

 protected:
  /// How Optimizer sees Options.
  struct Description {
    std::vector<OptionField> (*fields)(Options&);  ///< the names of the options and their values
    void (*validate)(const Options&);              ///< throws Error for options out of range
  };
  /// As Optimizer's constructor; also throws Error for options out of range.
  OptimizerWith(const char* name, const std::vector<Group>& groups,
                std::vector<std::string> buffers, size_t always, Description description)
      : Optimizer(name, collect(groups), std::move(buffers), always), description_(description) {
    for (const Group& group : groups) {
      description_.validate(group.options);
      options_.push_back(group.options);
    }
  }

 private:
  static std::vector<std::vector<Tensor>> collect(const std::vector<Group>& groups) {
    std::vector<std::vector<Tensor>> params;
    for (const Group& group : groups) params.push_back(group.params);
    return params;
  }
  std::vector<OptionField> fields(size_t group) const final {
    return description_.fields(options_[existing(group)]);
  }
  void set_fields(size_t group, const std::vector<double>& values, bool keep) final {
    Options changed = options_[existing(group)];
    size_t i = 0;
    for (const OptionField& field : description_.fields(changed)) field.set(values.at(i++));
    description_.validate(changed);
    if (keep) options_[group] = changed;
  }

  // Fields point into the options, and state_dict() const looks through them.
  mutable std::vector<Options> options_;
  Description description_;
};

}  // namespace tern::optim
