// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
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
  Options options;             ///< what they share
};

/// An option by name, and where it is (one of the two): what state_dict stores.
struct OptionField {
  const char* name;          ///< as in state_dict
  double* number = nullptr;  ///< a number, or null
  bool* flag = nullptr;      ///< a flag, or null
  /// The number, or 1 or 0 for the flag.
  double get() const { return number ? *number : (*flag ? 1.0 : 0.0); }
  /// Sets whichever it is.
  void set(double value) const {
    if (number) {
      *number = value;
    } else {
      *flag = value != 0;
    }
  }
};

/// The base of all optimizers: parameters in groups, and per parameter a step count and buffers of
/// its shape. Parameters without a gradient are skipped, as in PyTorch. Not copyable: schedules
/// point at it.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Changes every parameter that has a gradient, in place. Throws Error, before any change, for a
  /// gradient that does not fit its parameter.
  void step();
  /// Drops the gradients (or fills them with zeros).
  void zero_grad(bool set_to_none = true);

  size_t num_groups() const { return params_.size(); }  ///< how many groups
  /// The parameters of a group.
  const std::vector<Tensor>& params(size_t group = 0) const { return params_.at(group); }

  double lr(size_t group = 0) const;  ///< the learning rate of a group
  /// Sets the learning rate of every group, or of one. Throws Error if it is negative or not
  /// finite.
  void set_lr(double lr);
  void set_lr(double lr, size_t group);  ///< of one group

  /// The momentum (Adam: beta1), or nothing if the optimizer has no such option.
  std::optional<double> momentum(size_t group = 0) const;
  void set_momentum(double momentum, size_t group);  ///< share of the last step that is kept
  /// The learning rate that schedules start from: the one of the first schedule's construction.
  double initial_lr(size_t group = 0);
  /// What a schedule that is made later starts from.
  void set_initial_lr(double lr, size_t group) { initial_lr_.at(group) = lr; }

  /// Everything needed to go on exactly: "state.<parameter>.step" and the buffers
  /// ("state.0.momentum_buffer", "state.0.exp_avg"...), with parameters numbered through all
  /// groups, and the options as f64 scalars ("param_groups.0.lr"). Buffers share memory with the
  /// optimizer.
  StateDict state_dict() const;
  /// Copies from `dict`. Throws Error that lists missing, unexpected and wrong-shaped entries,
  /// before any change.
  void load_state_dict(const StateDict& dict);

 protected:
  static constexpr size_t kMaxBuffers = 3;  ///< of a parameter
  /// What is remembered of one parameter. Buffers have the parameter's shape, dtype and order.
  struct State {
    int64_t steps = 0;                        ///< including the present one while update runs
    std::array<Tensor, kMaxBuffers> buffers;  ///< of a parameter
  };
  /// Throws Error for no parameters at all, and for a tensor that is undefined, not of a floating
  /// dtype, not a leaf, or given twice. `name` is for messages; `buffers` are the names of State's
  /// buffers, of which every updated parameter has the first `always`.
  Optimizer(const char* name, std::vector<std::vector<Tensor>> params,
            std::vector<std::string> buffers, size_t always);

  /// One step of one parameter; the gradient lies in the parameter's memory order.
  virtual void update(size_t group, const Tensor& param, const Tensor& grad, State& state) = 0;
  /// The options of a group by name.
  virtual std::vector<OptionField> fields(size_t group) const = 0;
  /// Throws Error if the values (one for each field) are out of range; else keeps them, if asked.
  virtual void set_fields(size_t group, const std::vector<double>& values, bool keep) = 0;

  /// A buffer of `state`, made of zeros if there is none.
  static Tensor& buffer(State& state, size_t i, const Tensor& param);

 private:
  double* find_field(size_t group, const char* name) const;
  void check(const Tensor& param, const Tensor& grad, const State& state) const;

  const char* name_;
  std::vector<std::vector<Tensor>> params_;
  std::vector<std::vector<State>> states_;
  std::vector<std::optional<double>> initial_lr_;
  std::vector<std::string> buffer_names_;
  size_t always_;
};

/// An optimizer whose groups have options of type Options.
template <class Options>
class OptimizerWith : public Optimizer {
 public:
  using Group = ParamGroup<Options>;  ///< parameters with their options

  /// The options of a group.
  const Options& options(size_t group = 0) const { return options_.at(group); }
  /// Throws Error for options that are out of range.
  void set_options(const Options& options, size_t group = 0) {
    description_.validate(options);
    options_.at(group) = options;
  }

 protected:
  /// What the options are called and where they are, and which are out of range (throws Error).
  struct Description {
    std::vector<OptionField> (*fields)(Options&);  ///< names and places
    void (*validate)(const Options&);              ///< throws Error for options out of range
  };
  /// As Optimizer's constructor, and throws Error for options out of range.
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
    return description_.fields(options_.at(group));
  }
  void set_fields(size_t group, const std::vector<double>& values, bool keep) final {
    Options changed = options_.at(group);
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
