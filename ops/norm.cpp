// SPDX-License-Identifier: Apache-2.0
#include "norm.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "../core/autograd.h"
#include "../core/checkpoint.h"
#include "../core/error.h"
#include "../core/fused_node.h"
#include "arithmetic.h"
#include "batch_norm.h"
#include "internal/op.h"
#include "kernels/norm.h"
#include "math.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace kernel = kernels::norm;

static std::vector<OpAttribute> attributes_of(const InstanceNormOptions& options) {
  return {{"use_input_stats", options.use_input_stats},
          {"momentum", options.momentum},
          {"eps", options.eps}};
}

namespace {

struct Settings {
  const char* op;
  kernel::Layout layout;
  double eps;
  bool centered;
  int first_axis;  // of those that weight and bias have
};

template <class T>
kernel::Problem<T> problem(const Settings& settings, const Tensor& x, const Tensor& weight,
                           const Tensor& bias) {
  const auto raw = [](const Tensor& v) { return v.defined() ? v.raw<T>() : nullptr; };
  return {settings.layout, x.raw<T>(), raw(weight), raw(bias), settings.eps, settings.centered};
}

class NormNode final : public FusedNode {
 public:
  /// `statistics` [2, parts]: means, then variances.
  NormNode(const Settings& settings, const Tensor& x, const Tensor& weight, const Tensor& bias,
           const Tensor& statistics)
      : settings_(settings),
        x_(this, x),
        weight_(this, weight),
        statistics_(this, statistics),
        bias_shape_(bias.defined() ? bias.shape() : Shape{0}) {}
  const char* name() const override { return settings_.op; }

 private:
  Gradients fused(const Tensor& given_dy) override {
    const Tensor x = x_.get(), weight = weight_.get(), statistics = statistics_.get();
    const Tensor dy = to_memory_format(given_dy, x.memory_format());
    const auto made = [&](bool wanted, const Shape& shape) {
      return wanted ? x.numel() > 0 ? empty(shape, x.dtype()) : zeros(shape, x.dtype()) : Tensor();
    };
    const Gradients gradients{needs(0) ? empty_like(x) : Tensor(),
                              made(needs(1), weight.defined() ? weight.shape() : Shape{}),
                              made(needs(2), bias_shape_)};
    if (x.numel() == 0) return gradients;
    const double* mean = statistics.raw<double>();
    visit_floating(x.dtype(), [&]<class T>(T) {
      const auto raw = [](const Tensor& v) { return v.defined() ? v.raw<T>() : nullptr; };
      kernel::backward(
          problem<T>(settings_, x, weight, {}), mean, mean + settings_.layout.parts(), dy.raw<T>(),
          kernel::Gradients<T>{raw(gradients[0]), raw(gradients[1]), raw(gradients[2])});
    });
    return gradients;
  }

  std::vector<Tensor> saved() override {
    const Tensor x = x_.get();
    return {x, weight_.get(), needs(2) ? zeros(bias_shape_, x.dtype()) : Tensor()};
  }

  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    const kernel::Layout& layout = settings_.layout;
    Tensor y = reshape(x, {layout.images, layout.groups, layout.count()});
    if (settings_.centered) y = y - mean(y, {2}, true);
    const Tensor var = mean(y * y, {2}, true);
    // Parts of equal values with eps = 0 are 0.
    const Tensor none = eq(var.detach() + settings_.eps, 0.0).to(x.dtype());
    y = reshape(y * (rsqrt(var + settings_.eps + none) * (1.0 - none)), x.shape());
    std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
    const Shape& parameter = weight.defined() ? weight.shape() : bias_shape_;
    if (weight.defined() || bias.defined()) {
      std::copy(parameter.begin(), parameter.end(), sizes.begin() + settings_.first_axis);
    }
    if (weight.defined()) y = y * reshape(weight, sizes);
    if (bias.defined()) y = y + reshape(bias, sizes);
    return y;
  }

  Settings settings_;
  Saved x_, weight_, statistics_;
  Shape bias_shape_;
};

void check_eps(const char* op, double eps) {
  if (std::isfinite(eps) && eps >= 0) return;
  fail(op, "eps is ", eps, ", want a finite number that is not negative");
}

void check_parameter(const char* op, const char* name, const Tensor& v, const Tensor& x,
                     const Shape& shape) {
  if (!v.defined()) return;
  if (v.shape() != shape) fail(op, name, " is ", v, ", want shape ", shape, " (x is ", x, ")");
  if (v.dtype() == x.dtype()) return;
  fail(op, name, " is ", v, " and x is ", x,
       ": want one dtype, convert with x.to(dtype) or module.to(dtype)");
}

/// What all of them do once everything is checked. Leaves the statistics in `statistics`.
Tensor normalize(const Settings& settings, const Tensor& x, const Tensor& given_weight,
                 const Tensor& given_bias, Tensor& statistics) {
  const auto plain = [](const Tensor& v) { return v.defined() ? contiguous(v) : v; };
  const Tensor weight = plain(given_weight), bias = plain(given_bias);
  const int64_t parts = settings.layout.parts();
  statistics = empty({2, parts}, DType::f64);
  const Tensor y = empty_like(x);
  if (x.numel() > 0) {
    double* mean = statistics.raw<double>();
    visit_floating(x.dtype(), [&]<class T>(T) {
      kernel::forward(problem<T>(settings, x, weight, bias), mean, mean + parts, y.raw<T>());
    });
  }
  return record<NormNode>(y, {x, weight, bias}, settings, x, weight, bias, statistics);
}

Tensor normalize_last(const char* op, const Tensor& x, const IntList& sizes, const Tensor& weight,
                      const Tensor& bias, double eps, bool centered) {
  const Shape shape(sizes.numbers());
  check_floating(op, "x", x);
  bool fits = shape.size() >= 1 && shape.size() <= x.dim();
  const int first = static_cast<int>(x.dim()) - shape.size();
  for (int d = 0; fits && d < shape.size(); ++d) fits = x.shape()[first + d] == shape[d];
  if (!fits) {
    fail(op, "normalized_shape is ", shape, ", want the sizes of the last axes of x, which is ", x);
  }
  check_parameter(op, "weight", weight, x, shape);
  check_parameter(op, "bias", bias, x, shape);
  check_eps(op, eps);
  // The last axes of channels-last memory lie apart.
  if (x.memory_format() != MemoryFormat::row_major) {
    return to_memory_format(normalize_last(op, contiguous(x), sizes, weight, bias, eps, centered),
                            x.memory_format());
  }
  const int64_t n = std::max<int64_t>(1, shape.numel());
  const Settings settings{op, {x.numel() / n, 1, n, 1, false}, eps, centered, first};
  Tensor statistics;
  return normalize(settings, x, weight, bias, statistics);
}

Settings channel_settings(const char* op, const Tensor& x, int64_t groups, const Tensor& weight,
                          const Tensor& bias, double eps) {
  check_floating(op, "x", x);
  if (x.dim() < 2) fail(op, "x is ", x, ", want at least 2 axes, N and C");
  const int64_t channels = x.shape()[1];
  if (groups < 1 || channels % groups != 0) {
    fail(op, "num_groups is ", groups, ", want a divisor of the ", channels, " channels of x, ",
         "which is ", x);
  }
  check_parameter(op, "weight", weight, x, {channels});
  check_parameter(op, "bias", bias, x, {channels});
  check_eps(op, eps);
  const int64_t images = x.shape()[0];
  const int64_t inner = x.numel() > 0 ? x.numel() / (images * channels) : 1;
  return {
      op,
      {images, groups, channels / groups, inner, x.memory_format() == MemoryFormat::channels_last},
      eps,
      true,
      1};
}

/// running = (1 - momentum) * running + momentum * the average of x's statistics over the images.
void update_running(const Tensor& running_mean, const Tensor& running_var, double momentum,
                    const kernel::Layout& layout, const Tensor& statistics) {
  const double images = static_cast<double>(layout.images), n = static_cast<double>(layout.inner);
  const auto update = [&](const Tensor& running, const double* values, double correction) {
    visit_floating(running.dtype(), [&]<class T>(T) {
      const auto old = running.mutable_data<T>();
      for (int64_t c = 0; c < layout.groups; ++c) {
        double total = 0;
        for (int64_t i = 0; i < layout.images; ++i) total += values[i * layout.groups + c];
        T& value = old[static_cast<size_t>(c)];
        value = static_cast<T>((1 - momentum) * static_cast<double>(value) +
                               momentum * (total / images * correction));
      }
    });
  };
  update(running_mean, statistics.raw<double>(), 1);
  update(running_var, statistics.raw<double>() + layout.parts(), n / (n - 1));
}

}  // namespace

Tensor layer_norm(const Tensor& x, const IntList& normalized_shape, const Tensor& weight,
                  const Tensor& bias, double eps) {
  const OpScope scope("layer_norm", x, weight, bias, "normalized_shape", normalized_shape.numbers(),
                      "eps", eps);
  return scope.result(normalize_last("layer_norm", x, normalized_shape, weight, bias, eps, true));
}

Tensor rms_norm(const Tensor& x, const IntList& normalized_shape, const Tensor& weight,
                double eps) {
  const OpScope scope("rms_norm", x, weight, "normalized_shape", normalized_shape.numbers(), "eps",
                      eps);
  return scope.result(normalize_last("rms_norm", x, normalized_shape, weight, {}, eps, false));
}

Tensor group_norm(const Tensor& x, int64_t num_groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  const OpScope scope("group_norm", x, weight, bias, "num_groups", num_groups, "eps", eps);
  const Settings settings = channel_settings("group_norm", x, num_groups, weight, bias, eps);
  Tensor statistics;
  return scope.result(normalize(settings, x, weight, bias, statistics));
}

Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, const InstanceNormOptions& options) {
  const char* const op = "instance_norm";
  const OpScope scope(op, x, running_mean, running_var, weight, bias, options);
  const int64_t channels = x.dim() < 2 ? 1 : std::max<int64_t>(1, x.shape()[1]);
  const Settings settings = channel_settings(op, x, channels, weight, bias, options.eps);
  check_parameter(op, "running_mean", running_mean, x, {x.shape()[1]});
  check_parameter(op, "running_var", running_var, x, {x.shape()[1]});
  check_statistic(op, "running_mean", running_mean);
  check_statistic(op, "running_var", running_var);
  if (running_mean.defined() != running_var.defined()) {
    fail(op, "one of running_mean and running_var is undefined: give both or neither");
  }
  if (!(options.momentum >= 0 && options.momentum <= 1)) {
    fail(op, "momentum is ", options.momentum, ", want 0 to 1");
  }
  if (!options.use_input_stats) {
    if (!running_mean.defined()) {
      fail(op, "running_mean and running_var are needed without use_input_stats");
    }
    return scope.result(
        batch_norm(x, running_mean, running_var, weight, bias, {.eps = options.eps}));
  }
  if (settings.layout.inner == 1 && x.numel() > 0) {
    fail(op, "x is ", x, ", of one value per channel, want more to normalize");
  }
  Tensor statistics;
  const Tensor y = normalize(settings, x, weight, bias, statistics);
  if (running_mean.defined() && x.numel() > 0 && !recomputing()) {
    update_running(running_mean, running_var, options.momentum, settings.layout, statistics);
  }
  return scope.result(y);
}

}  // namespace tern
