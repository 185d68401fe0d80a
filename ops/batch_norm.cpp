// SPDX-License-Identifier: Apache-2.0
#include "batch_norm.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "../core/autograd.h"
#include "../core/checkpoint.h"
#include "../core/error.h"
#include "../core/fused_node.h"
#include "../core/log.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/batch_norm.h"
#include "internal/op.h"
#include "kernels/batch_norm.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

static std::vector<OpAttribute> attributes_of(const BatchNormOptions& options) {
  const int64_t batch = std::max<int64_t>(1, options.batches_tracked);
  return {{"training", options.training},
          {"update_running", options.update_running},
          {"weight_of_new", options.momentum.weight_of_new(batch)},
          {"eps", options.eps},
          {"running_var", options.running_var == RunningVar::biased ? "biased" : "unbiased"},
          {"data_format", to_string(options.data_format)},
          {"algorithm", options.algorithm == BatchNormAlgorithm::onednn ? "onednn" : "automatic"},
          {"skip_nonfinite", options.skip_nonfinite}};
}

namespace kernel = kernels::batch_norm;

namespace {

double checked_weight(const char* function, double weight) {
  if (!(weight >= 0 && weight <= 1)) {
    fail("batch_norm", "Momentum::", function, "(", weight, "): want a number from 0 to 1");
  }
  return weight;
}

struct Settings {
  const char* op;
  kernel::Layout layout;
  int channel_axis;
  double eps;
  bool relu;
  BatchNormAlgorithm algorithm;
};

// What the forward pass normalized with. Belongs to the node, so that nothing that happens to the
// running statistics between forward and backward changes a gradient.
struct Used {
  std::vector<double> mean, var;
  bool of_batch = false;
  Tensor workspace = {};  // where oneDNN's primitive keeps ReLU's mask

  explicit Used(int64_t channels)
      : mean(static_cast<size_t>(channels)), var(static_cast<size_t>(channels)) {}
  kernel::Statistics view() const { return {mean.data(), var.data(), of_batch}; }
};

template <class T>
kernel::Problem<T> problem(const Settings& settings, const Tensor& x, const Tensor& weight,
                           const Tensor& bias, const Tensor& workspace) {
  const auto raw = []<class V>(const Tensor& v, V) { return v.defined() ? v.raw<V>() : nullptr; };
  return {.layout = settings.layout,
          .x = x.raw<T>(),
          .weight = raw(weight, T{}),
          .bias = raw(bias, T{}),
          .eps = settings.eps,
          .relu = settings.relu,
          .primitive_images =
              settings.algorithm == BatchNormAlgorithm::onednn ? x.shape()[0] : int64_t{0},
          .workspace = raw(workspace, uint8_t{})};
}

// y, by the statistics in `used`; with `measure`, by those of x, which are left there.
Tensor normalize(const Settings& settings, const Tensor& x, const Tensor& weight,
                 const Tensor& bias, bool measure, Used& used) {
  const Tensor y = empty_like(x);
  if (measure) used.of_batch = true;
  visit_floating(x.dtype(), [&]<class T>(T) {
    auto p = problem<T>(settings, x, weight, bias, {});
    if (const auto bytes = static_cast<int64_t>(kernel::workspace_bytes(p)); bytes > 0) {
      used.workspace = empty({bytes}, DType::u8);
      p.workspace = used.workspace.raw<uint8_t>();
    }
    if (measure) {
      kernel::forward_training(p, used.mean.data(), used.var.data(), y.raw<T>());
    } else {
      kernel::forward(p, used.view(), y.raw<T>());
    }
  });
  return y;
}

// Note [Computed again]. Weight and bias are copies: optimizers change theirs.
class NormalizeAgain final : public Recipe {
 public:
  NormalizeAgain(const Settings& settings, const Used& used, const Tensor& x, const Tensor& weight,
                 const Tensor& bias)
      : Recipe(settings.op, x),
        settings_(settings),
        used_(used),
        weight_(copy_of(weight)),
        bias_(copy_of(bias)) {}

  Tensor compute() const override {
    const Tensor x = this->x();
    const OpScope scope("batch_norm_relu again", x, weight_, bias_);
    Used used = used_;
    return scope.result(normalize(settings_, x, weight_, bias_, false, used));
  }

 private:
  static Tensor copy_of(const Tensor& v) { return v.defined() ? v.detach().clone() : v; }

  Settings settings_;
  Used used_;
  Tensor weight_, bias_;
};

class BatchNormNode final : public FusedNode {
 public:
  BatchNormNode(const Settings& settings, Used used, const Tensor& x, const Tensor& weight,
                const Tensor& bias)
      : settings_(settings),
        used_(std::move(used)),
        x_(this, x),
        weight_(this, weight),
        bias_(this, settings.relu ? bias : Tensor()),  // ReLU's mask is recomputed
        workspace_(this, std::exchange(used_.workspace, Tensor())) {}

  const char* name() const override { return settings_.op; }

  std::shared_ptr<const Recipe> recipe() const override {
    constexpr int64_t kWorthIt = 1 << 18;  // elements
    // Without ReLU an addition mostly follows, which keeps nothing.
    if (!settings_.relu || settings_.algorithm == BatchNormAlgorithm::onednn) return nullptr;
    const Tensor x = x_.kept(), weight = weight_.kept(), bias = bias_.kept();
    if (!x.defined() || x.numel() < kWorthIt) return nullptr;
    if (weight.defined() != weight_.defined() || bias.defined() != bias_.defined()) return nullptr;
    return std::make_shared<NormalizeAgain>(settings_, used_, x, weight, bias);
  }

 private:
  Gradients fused(const Tensor& given_dy) override {
    const Tensor x = x_.get(), weight = weight_.get(), bias = bias_.get();
    const Shape channels{settings_.layout.channels};
    if (x.numel() == 0) {
      return {needs(0) ? zeros_like(x) : Tensor(), needs(1) ? zeros(channels, x.dtype()) : Tensor(),
              needs(2) ? zeros(channels, x.dtype()) : Tensor()};
    }
    // Note [Gradients in place], which only Tern's own loops can
    const bool in_place = given_dy.is_unshared() && kernels::fast_kernels(x.dtype()) &&
                          settings_.algorithm != BatchNormAlgorithm::onednn;
    const Tensor dy = to_memory_format(given_dy, x.memory_format());
    const Tensor dx = !needs(0) ? Tensor() : in_place ? dy : empty_like(x);
    if (in_place && dx.defined()) OpScope::writes(dx);
    const Tensor dweight = needs(1) ? empty(channels, x.dtype()) : Tensor();
    const Tensor dbias = needs(2) ? empty(channels, x.dtype()) : Tensor();
    const Tensor workspace = workspace_.get();
    visit_floating(x.dtype(), [&]<class T>(T) {
      const auto raw = [](const Tensor& a) { return a.defined() ? a.raw<T>() : nullptr; };
      kernel::backward(problem<T>(settings_, x, weight, bias, workspace), used_.view(), dy.raw<T>(),
                       kernel::Gradients<T>{raw(dx), raw(dweight), raw(dbias)});
    });
    return {dx, dweight, dbias};
  }

  std::vector<Tensor> saved() override {
    const Tensor x = x_.get(), bias = bias_.get();
    const bool change = needs(2) && !bias.defined();
    return {x, weight_.get(), change ? zeros({settings_.layout.channels}, x.dtype()) : bias};
  }

  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    std::vector<int64_t> axes;
    std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
    for (int64_t axis = 0; axis < x.dim(); ++axis) {
      if (axis != settings_.channel_axis) axes.push_back(axis);
    }
    sizes[static_cast<size_t>(settings_.channel_axis)] = settings_.layout.channels;
    if (x.numel() == 0) {
      const Tensor scaled = weight.defined() ? x * reshape(weight, sizes) : x;
      return bias.defined() ? scaled + reshape(bias, sizes) : scaled;
    }
    const auto average = [&](const Tensor& a) { return mean(a, axes, true); };
    const auto constant = [&](const std::vector<double>& values) {
      return tensor(values, Shape(sizes)).to(x.dtype());
    };

    // A constant near the mean keeps the digits of x; it drops out of the derivative.
    Tensor d = x - constant(used_.mean);
    Tensor r;
    if (used_.of_batch) {
      d = d - average(d);
      // Channels of equal values with eps = 0 have r = 0.
      std::vector<double> flat(used_.var.size());
      for (size_t c = 0; c < flat.size(); ++c) flat[c] = used_.var[c] + settings_.eps == 0 ? 1 : 0;
      const Tensor none = constant(flat);
      r = pow(average(d * d) + settings_.eps + none, -0.5) * (1.0 - none);
    } else {
      std::vector<double> inverse(used_.var.size());
      for (size_t c = 0; c < inverse.size(); ++c) {
        inverse[c] = kernel::inverse_std(used_.var[c], settings_.eps, false);
      }
      r = constant(inverse);
    }
    Tensor y = d * r;
    if (weight.defined()) y = y * reshape(weight, sizes);
    if (bias.defined()) y = y + reshape(bias, sizes);
    return settings_.relu ? where(is_cut(x, weight, bias), {}, y) : y;
  }

  // Where ReLU gave 0, by the operations that made the result.
  Tensor is_cut(const Tensor& x, const Tensor& weight, const Tensor& bias) const {
    const NoGrad no_grad;
    Settings plain = settings_;
    plain.relu = false;
    Used used = used_;
    return le(normalize(plain, x, weight, bias, false, used), 0.0);
  }

  Settings settings_;
  Used used_;
  Saved x_, weight_, bias_, workspace_;
};

void check_vector(const char* op, const char* name, const Tensor& v, const Tensor& x,
                  int64_t channels) {
  if (!v.defined()) return;
  if (v.dim() != 1 || v.numel() != channels) {
    fail(op, name, " expects shape [", channels, "], one value per channel of x, and is ", v,
         " (x is ", x, ")");
  }
  if (v.dtype() != x.dtype()) {
    fail(op, name, " is ", v, " and x is ", x,
         ": want one dtype, convert with x.to(dtype) or module.to(dtype)");
  }
}

Settings check(const char* op, const Tensor& x, const Tensor& running_mean,
               const Tensor& running_var, const Tensor& weight, const Tensor& bias,
               const BatchNormOptions& options, bool relu) {
  if (x.dim() < 2 || x.dim() > 5) fail(op, "x is ", x, ", want 2 to 5 axes");
  if (!is_floating(x.dtype())) fail(op, "x is ", x, ", want f32 or f64");
  if (!std::isfinite(options.eps) || options.eps < 0) {
    fail(op, "eps is ", options.eps, ", want a finite number that is not negative");
  }
  Settings settings{};
  settings.op = op;
  settings.eps = options.eps;
  settings.relu = relu;
  settings.algorithm = options.algorithm;
  settings.channel_axis =
      options.data_format == DataFormat::NHWC ? static_cast<int>(x.dim()) - 1 : 1;
  const int64_t channels = x.size(settings.channel_axis);

  check_vector(op, "running_mean", running_mean, x, channels);
  check_vector(op, "running_var", running_var, x, channels);
  check_vector(op, "weight", weight, x, channels);
  check_vector(op, "bias", bias, x, channels);
  check_statistic(op, "running_mean", running_mean);
  check_statistic(op, "running_var", running_var);
  if (running_mean.defined() != running_var.defined()) {
    fail(op, "one of running_mean and running_var is undefined: give both or neither");
  }
  if (!options.training && !running_mean.defined()) {
    fail(op, "running_mean and running_var are needed unless training (or normalize with the ",
         "batch's statistics: training = true, update_running = false)");
  }

  settings.layout = detail::batch_norm_layout(x, settings.channel_axis);
  if (options.training && settings.layout.count() == 1 && channels > 0) {
    fail(op, "x is ", x, ": one value per channel has no variance to normalize with. ",
         "If this is the last, smaller batch of an epoch, load data with drop_last = true");
  }
  return settings;
}

// Whether the batch's statistics are finite numbers of the dtype of the running ones.
bool is_finite(DType dtype, const std::vector<double>& mean, const std::vector<double>& var,
               double correction) {
  return visit_floating(dtype, [&]<class T>(T) {
    const auto finite = [](double value) { return std::isfinite(static_cast<T>(value)); };
    return std::all_of(mean.begin(), mean.end(), finite) &&
           std::all_of(var.begin(), var.end(),
                       [&](double value) { return finite(value * correction); });
  });
}

Tensor run(const char* op, const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
           const Tensor& weight, const Tensor& bias, const BatchNormOptions& options, bool relu) {
  const OpScope scope(op, x, running_mean, running_var, weight, bias, options);
  const Settings settings = check(op, x, running_mean, running_var, weight, bias, options, relu);
  if (options.training && options.update_running && running_mean.defined()) {
    options.momentum.weight_of_new(options.batches_tracked);  // throws before anything changes
  }
  Used used(x.numel() == 0 ? 0 : settings.layout.channels);  // which may be any number then
  Tensor y;
  if (x.numel() == 0) {
    y = empty_like(x);
    used.of_batch = options.training;
  } else if (options.training) {
    y = normalize(settings, x, weight, bias, true, used);
    if (options.update_running && running_mean.defined() && !recomputing()) {
      detail::update_running_statistics(op, running_mean, running_var, options, used.mean, used.var,
                                        static_cast<double>(settings.layout.count()));
    }
  } else {
    used.mean = running_mean.to(DType::f64).to_vector<double>();
    used.var = running_var.to(DType::f64).to_vector<double>();
    y = normalize(settings, x, weight, bias, false, used);
  }
  return scope.result(
      record<BatchNormNode>(y, {x, weight, bias}, settings, std::move(used), x, weight, bias));
}

}  // namespace

kernel::Layout detail::batch_norm_layout(const Tensor& x, int channel_axis) {
  // The axes as they lie in memory.
  int axes[Shape::kMaxRank];
  int rank = 0;
  for (int axis = 0; axis < static_cast<int>(x.dim()); ++axis) axes[rank++] = axis;
  if (x.memory_format() == MemoryFormat::channels_last) axes[1] = 2, axes[2] = 3, axes[3] = 1;
  kernel::Layout layout = {1, x.size(channel_axis), 1};
  bool before = true;
  for (int i = 0; i < rank; ++i) {
    if (axes[i] == channel_axis) {
      before = false;
    } else {
      (before ? layout.outer : layout.inner) *= x.size(axes[i]);
    }
  }
  return layout;
}

void detail::update_running_statistics(const char* op, const Tensor& running_mean,
                                       const Tensor& running_var, const BatchNormOptions& options,
                                       const std::vector<double>& mean,
                                       const std::vector<double>& var, double n) {
  const double weight_of_new = options.momentum.weight_of_new(options.batches_tracked);
  if (weight_of_new == 0) return;
  const double correction = options.running_var == RunningVar::unbiased ? n / (n - 1) : 1;
  if (options.skip_nonfinite && !is_finite(running_mean.dtype(), mean, var, correction)) {
    const std::string module = ModuleScope::path();
    log_message(LogLevel::warn,
                std::string(op) + (module.empty() ? "" : " in " + module) +
                    ": the batch's statistics are not finite, running statistics stay as they are");
    return;
  }
  const auto update = [&](const Tensor& running, const std::vector<double>& batch, double factor) {
    visit_floating(running.dtype(), [&]<class T>(T) {
      const auto values = running.mutable_data<T>();
      for (size_t c = 0; c < batch.size(); ++c) {
        const double old =
            weight_of_new == 1 ? 0 : (1 - weight_of_new) * static_cast<double>(values[c]);
        values[c] = static_cast<T>(old + weight_of_new * (batch[c] * factor));
      }
    });
  };
  update(running_mean, mean, 1);
  update(running_var, var, correction);
}

Momentum Momentum::keep(double weight_of_old) {
  return Momentum(std::optional(1 - checked_weight("keep", weight_of_old)));
}

Momentum Momentum::update(double weight_of_new) {
  return Momentum(std::optional(checked_weight("update", weight_of_new)));
}

Momentum Momentum::cumulative() { return Momentum(std::nullopt); }

double Momentum::weight_of_new(int64_t batches) const {
  if (update_) return *update_;
  if (batches < 1) {
    fail("batch_norm", "batches_tracked is ", batches,
         ", want the number of this batch, from 1 on, for Momentum::cumulative()");
  }
  return 1 / static_cast<double>(batches);
}

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, const BatchNormOptions& options) {
  return run("batch_norm", x, running_mean, running_var, weight, bias, options, false);
}

Tensor batch_norm_relu(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                       const Tensor& weight, const Tensor& bias, const BatchNormOptions& options) {
  return run("batch_norm_relu", x, running_mean, running_var, weight, bias, options, true);
}

}  // namespace tern
