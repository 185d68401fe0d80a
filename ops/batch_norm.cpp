// SPDX-License-Identifier: Apache-2.0
#include "batch_norm.h"

#include <cmath>
#include <utility>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "arithmetic.h"
#include "backend.h"
#include "kernels/batch_norm.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace kernel = kernels::batch_norm;

namespace {

double checked_share(const char* function, double share) {
  if (!(share >= 0 && share <= 1)) {
    fail("batch_norm", "Momentum::", function, "(", share, "): want a number from 0 to 1");
  }
  return share;
}

struct Settings {
  const char* op;
  kernel::Layout layout;
  int channel_axis;
  double eps;
  bool relu;
  BatchNormAlgorithm algorithm;
};

/// What the forward pass normalized with. Belongs to the node, so that nothing that happens to the
/// running statistics between forward and backward changes a gradient.
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
                           const Tensor& bias) {
  return {settings.layout,
          x.raw<T>(),
          weight.defined() ? weight.raw<T>() : nullptr,
          bias.defined() ? bias.raw<T>() : nullptr,
          settings.eps,
          settings.relu};
}

bool takes_primitives(const Settings& settings, const Tensor& x) {
  return settings.algorithm == BatchNormAlgorithm::onednn && use_onednn(x);
}

void run_primitive(const Settings& settings, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, Used& used, const Tensor& y) {
  const auto p = problem<float>(settings, x, weight, bias);
  const auto bytes = static_cast<int64_t>(kernel::onednn::workspace_bytes(p, x.size(0)));
  if (bytes > 0) used.workspace = empty({bytes}, DType::u8);
  kernel::onednn::forward(p, x.size(0), used.view(), y.raw<float>(),
                          bytes > 0 ? used.workspace.raw<uint8_t>() : nullptr);
}

Tensor normalize(const Settings& settings, const Tensor& x, const Tensor& weight,
                 const Tensor& bias, Used& used) {
  const Tensor y = empty_like(x);
  if (takes_primitives(settings, x)) {
    run_primitive(settings, x, weight, bias, used, y);
    return y;
  }
  if (x.dtype() == DType::f64) {
    kernel::reference::forward(problem<double>(settings, x, weight, bias), used.view(),
                               y.raw<double>());
  } else if (use_onednn(x)) {
    kernel::forward(problem<float>(settings, x, weight, bias), used.view(), y.raw<float>());
  } else {
    kernel::reference::forward(problem<float>(settings, x, weight, bias), used.view(),
                               y.raw<float>());
  }
  return y;
}

Tensor normalize_batch(const Settings& settings, const Tensor& x, const Tensor& weight,
                       const Tensor& bias, Used& used) {
  const Tensor y = empty_like(x);
  double *mean = used.mean.data(), *var = used.var.data();
  used.of_batch = true;
  if (takes_primitives(settings, x)) {
    kernel::statistics_of(problem<float>(settings, x, weight, bias), mean, var);
    run_primitive(settings, x, weight, bias, used, y);
  } else if (x.dtype() == DType::f64) {
    kernel::reference::forward_training(problem<double>(settings, x, weight, bias), mean, var,
                                        y.raw<double>());
  } else if (use_onednn(x)) {
    kernel::forward_training(problem<float>(settings, x, weight, bias), mean, var, y.raw<float>());
  } else {
    kernel::reference::forward_training(problem<float>(settings, x, weight, bias), mean, var,
                                        y.raw<float>());
  }
  return y;
}

/// Note [Computed anew]. Weight and bias are copies: optimizers change theirs.
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
    const ProfilerRange range("batch_norm_relu again", x, weight_, bias_);
    Used used = used_;
    return normalize(settings_, x, weight_, bias_, used);
  }

 private:
  static Tensor copy_of(const Tensor& v) { return v.defined() ? v.clone() : v; }

  Settings settings_;
  Used used_;
  Tensor weight_, bias_;
};

class BatchNormNode final : public Node {
 public:
  BatchNormNode(const Settings& settings, Used used, const Tensor& x, const Tensor& weight,
                const Tensor& bias)
      : settings_(settings),
        used_(std::move(used)),
        x_(this, x),
        weight_(this, weight),
        bias_(this, settings.relu ? bias : Tensor()),  // ReLU's mask is computed anew
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

  Gradients backward(const Tensor& dy) override {
    const Tensor x = x_.get(), weight = weight_.get(), bias = bias_.get();
    if (x.numel() == 0) {
      const Shape channels{settings_.layout.channels};
      return {needs(0) ? zeros_like(x) : Tensor(), needs(1) ? zeros(channels, x.dtype()) : Tensor(),
              needs(2) ? zeros(channels, x.dtype()) : Tensor()};
    }
    return grad_enabled() ? composed(x, weight, bias, dy) : fused(x, weight, bias, dy);
  }

 private:
  Gradients fused(const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& given_dy) const {
    // Note [Gradients in place], which only Tern's own loops can
    const bool in_place =
        given_dy.is_unshared() && use_onednn(x) && !takes_primitives(settings_, x);
    const Tensor dy = to_order(given_dy, x.order());
    const Shape channels{settings_.layout.channels};
    const Tensor dx = !needs(0) ? Tensor() : in_place ? dy : empty_like(x);
    if (in_place && dx.defined()) ProfilerRange::writes(dx);
    const Tensor dweight = needs(1) ? empty(channels, x.dtype()) : Tensor();
    const Tensor dbias = needs(2) ? empty(channels, x.dtype()) : Tensor();
    visit_floating(x.dtype(), [&](auto t) {
      using T = decltype(t);
      const auto raw = [](const Tensor& a) { return a.defined() ? a.raw<T>() : nullptr; };
      const kernel::Gradients<T> gradients{raw(dx), raw(dweight), raw(dbias)};
      const auto p = problem<T>(settings_, x, weight, bias);
      if constexpr (std::is_same_v<T, float>) {
        if (takes_primitives(settings_, x)) {
          const Tensor mask = workspace_.get();
          return kernel::onednn::backward(p, x.size(0), used_.view(), dy.raw<T>(),
                                          mask.defined() ? mask.raw<uint8_t>() : nullptr,
                                          gradients);
        }
        if (use_onednn(x)) return kernel::backward(p, used_.view(), dy.raw<T>(), gradients);
      }
      kernel::reference::backward(p, used_.view(), dy.raw<T>(), gradients);
    });
    return {dx, dweight, dbias};
  }

  /// The same out of differentiable operations, so that its own gradient is right at every order.
  Gradients composed(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const Tensor& dy) const {
    std::vector<int64_t> axes;
    std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
    for (int64_t axis = 0; axis < x.dim(); ++axis) {
      if (axis != settings_.channel_axis) axes.push_back(axis);
    }
    sizes[static_cast<size_t>(settings_.channel_axis)] = settings_.layout.channels;
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
    const Tensor xh = d * r;
    const Tensor g = settings_.relu ? dy * mask(x, weight, bias) : dy;

    Gradients gradients(3);
    if (needs(2)) gradients[2] = reshape(sum(g, axes), {settings_.layout.channels});
    if (needs(1)) gradients[1] = reshape(sum(g * xh, axes), {settings_.layout.channels});
    if (needs(0)) {
      const Tensor scale = weight.defined() ? reshape(weight, sizes) * r : r;
      gradients[0] = used_.of_batch ? scale * (g - average(g) - xh * average(g * xh)) : scale * g;
    }
    return gradients;
  }

  Tensor mask(const Tensor& x, const Tensor& weight, const Tensor& bias) const {
    const NoGrad no_grad;
    Settings plain = settings_;
    plain.relu = false;
    Used used = used_;
    const Tensor y = normalize(plain, x, weight, bias, used);
    return gt(y, zeros({1}, x.dtype())).to(x.dtype());
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
               const BatchNormParams& params, bool relu) {
  if (!x.defined()) fail(op, "x is undefined");
  if (x.dim() < 2 || x.dim() > 5) fail(op, "x is ", x, ", want 2 to 5 axes");
  if (!is_floating(x.dtype())) fail(op, "x is ", x, ", want f32 or f64");
  if (!std::isfinite(params.eps) || params.eps < 0) {
    fail(op, "eps is ", params.eps, ", want a finite number that is not negative");
  }
  Settings settings{};
  settings.op = op;
  settings.eps = params.eps;
  settings.relu = relu;
  settings.algorithm = params.algorithm;
  settings.channel_axis =
      params.data_format == DataFormat::NHWC ? static_cast<int>(x.dim()) - 1 : 1;
  const int64_t channels = x.size(settings.channel_axis);

  check_vector(op, "running_mean", running_mean, x, channels);
  check_vector(op, "running_var", running_var, x, channels);
  check_vector(op, "weight", weight, x, channels);
  check_vector(op, "bias", bias, x, channels);
  if (running_mean.defined() != running_var.defined()) {
    fail(op, "one of running_mean and running_var is undefined: give both or neither");
  }
  if (!params.training && !running_mean.defined()) {
    fail(op, "running_mean and running_var are needed unless training (or normalize with the ",
         "batch's statistics: training = true, update_running = false)");
  }

  // The axes as they lie in memory.
  int axes[Shape::kMaxRank];
  int rank = 0;
  for (int axis = 0; axis < static_cast<int>(x.dim()); ++axis) axes[rank++] = axis;
  if (x.order() == Order::channels_last) axes[1] = 2, axes[2] = 3, axes[3] = 1;
  settings.layout = {1, channels, 1};
  bool before = true;
  for (int i = 0; i < rank; ++i) {
    if (axes[i] == settings.channel_axis) {
      before = false;
    } else {
      (before ? settings.layout.outer : settings.layout.inner) *= x.size(axes[i]);
    }
  }
  if (params.training && settings.layout.count() == 1 && channels > 0) {
    fail(op, "x is ", x, ": one value per channel has no variance to normalize with. ",
         "If this is the last, smaller batch of an epoch, load data with drop_last = true");
  }
  return settings;
}

/// The one place where running statistics change.
void update_running(const Tensor& running_mean, const Tensor& running_var,
                    const BatchNormParams& params, const Settings& settings, const Used& used) {
  const double share = params.momentum.weight_of_new(params.batches_tracked);
  if (share == 0) return;
  const double n = static_cast<double>(settings.layout.count());
  const double correction = params.running_var == RunningVar::unbiased ? n / (n - 1) : 1;
  const auto update = [&](const Tensor& running, const std::vector<double>& batch, double factor) {
    visit_floating(running.dtype(), [&](auto t) {
      using T = decltype(t);
      const auto values = running.mutable_data<T>();
      for (size_t c = 0; c < batch.size(); ++c) {
        const double old = share == 1 ? 0 : (1 - share) * static_cast<double>(values[c]);
        values[c] = static_cast<T>(old + share * (batch[c] * factor));
      }
    });
  };
  update(running_mean, used.mean, 1);
  update(running_var, used.var, correction);
}

Tensor run(const char* op, const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
           const Tensor& weight, const Tensor& bias, const BatchNormParams& params, bool relu) {
  const ProfilerRange range(op, x, weight, bias);
  const Settings settings = check(op, x, running_mean, running_var, weight, bias, params, relu);
  if (params.training && params.update_running && running_mean.defined()) {
    params.momentum.weight_of_new(params.batches_tracked);  // throws before anything changes
  }
  Used used(settings.layout.channels);
  Tensor y;
  if (x.numel() == 0) {
    y = empty_like(x);
    used.of_batch = params.training;
  } else if (params.training) {
    y = normalize_batch(settings, x, weight, bias, used);
    if (params.update_running && running_mean.defined()) {
      update_running(running_mean, running_var, params, settings, used);
    }
  } else {
    used.mean = running_mean.to(DType::f64).to_vector<double>();
    used.var = running_var.to(DType::f64).to_vector<double>();
    y = normalize(settings, x, weight, bias, used);
  }
  return record<BatchNormNode>(y, {x, weight, bias}, settings, std::move(used), x, weight, bias);
}

}  // namespace

Momentum Momentum::keep(double share_of_old) {
  return Momentum(1 - checked_share("keep", share_of_old));
}

Momentum Momentum::update(double weight_of_new) {
  return Momentum(checked_share("update", weight_of_new));
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
                  const Tensor& weight, const Tensor& bias, const BatchNormParams& params) {
  return run("batch_norm", x, running_mean, running_var, weight, bias, params, false);
}

Tensor batch_norm_relu(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                       const Tensor& weight, const Tensor& bias, const BatchNormParams& params) {
  return run("batch_norm_relu", x, running_mean, running_var, weight, bias, params, true);
}

}  // namespace tern
