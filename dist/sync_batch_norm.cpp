// SPDX-License-Identifier: Apache-2.0
#include "sync_batch_norm.h"

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/fused_node.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "../ops/arithmetic.h"
#include "../ops/internal/batch_norm.h"
#include "../ops/math.h"
#include "../ops/movement.h"
#include "../ops/reduce.h"
#include "internal/loops.h"

namespace tern::dist {

namespace {

namespace kernel = kernels::batch_norm;
using kernel::Layout;

constexpr char kOp[] = "sync_batch_norm";

class AllSumNode final : public Node {
 public:
  explicit AllSumNode(Communicator world) : world_(std::move(world)) {}
  const char* name() const override { return "all_sum"; }
  Gradients backward(const Tensor& dy) override { return {all_sum(dy, world_)}; }

 private:
  const Communicator world_;
};

/// n, mean and sum of squared deviations, per channel.
struct Moments {
  double n = 0;
  std::vector<double> mean, m2;
};

/// Chan, Golub and LeVeque, 1979. Ranks without examples have no mean.
void combine(Moments& a, const Moments& b) {
  if (b.n == 0) return;
  if (a.n == 0) {
    a = b;
    return;
  }
  const double n = a.n + b.n;
  for (size_t c = 0; c < a.mean.size(); ++c) {
    const double d = b.mean[c] - a.mean[c];
    a.mean[c] += d * (b.n / n);
    a.m2[c] += b.m2[c] + d * d * (a.n * b.n / n);
  }
  a.n = n;
}

Moments moments_of_all(const Moments& mine, const Communicator& world) {
  const size_t channels = mine.mean.size();
  std::vector<double> numbers{mine.n};
  numbers.insert(numbers.end(), mine.mean.begin(), mine.mean.end());
  numbers.insert(numbers.end(), mine.m2.begin(), mine.m2.end());
  const auto all = world.all_gather(std::as_bytes(std::span(numbers)),
                                    "statistics of " + std::to_string(channels) + " channels");
  std::vector<Moments> of_rank;
  for (const auto& bytes : all) {
    std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
    const auto mean = numbers.begin() + 1, m2 = mean + static_cast<std::ptrdiff_t>(channels);
    of_rank.push_back({numbers[0], {mean, m2}, {m2, numbers.end()}});
  }
  for (size_t step = 1; step < of_rank.size(); step *= 2) {
    for (size_t r = 0; r + step < of_rank.size(); r += 2 * step) {
      combine(of_rank[r], of_rank[r + step]);
    }
  }
  return of_rank[0];
}

class SyncBatchNormNode final : public FusedNode {
 public:
  SyncBatchNormNode(Communicator world, const Layout& layout, int channel_axis, double eps,
                    double n, std::vector<double> mean, std::vector<double> var, const Tensor& x,
                    const Tensor& weight, const Tensor& bias)
      : world_(std::move(world)),
        layout_(layout),
        channel_axis_(channel_axis),
        eps_(eps),
        n_(n),
        mean_(std::move(mean)),
        var_(std::move(var)),
        x_(this, x),
        weight_(this, weight),
        has_bias_(bias.defined()) {}

  const char* name() const override { return kOp; }

 private:
  /// dbias = S(dy) and dweight = S(dy xh) stay this rank's own: they are added up with all other
  /// gradients. dx = w r (dy - S(dy) / n - xh S(dy xh) / n) has the sums over all ranks, which take
  /// part whatever each of them wants.
  Gradients fused(const Tensor& given) override {
    const Tensor x = x_.get();
    const Tensor dy = to_memory_format(given, x.memory_format());
    const auto channels = static_cast<size_t>(layout_.channels);
    // Channels of equal values with eps = 0 have r = 0.
    std::vector<double> var = var_;
    const Tensor weight =
        weight_.defined() ? weight_.get().detach().clone() : ones({layout_.channels}, x.dtype());
    for (size_t c = 0; c < channels; ++c) {
      if (var[c] + eps_ > 0) continue;
      var[c] = 1;
      visit_floating(x.dtype(), [&]<class T>(T) { weight.raw<T>()[c] = 0; });
    }
    const Tensor dweight = zeros({layout_.channels}, x.dtype());
    const Tensor dbias = zeros_like(dweight), dx = needs(0) ? empty_like(x) : Tensor();
    visit_floating(x.dtype(), [&]<class T>(T) {
      kernel::Problem<T> problem{.layout = layout_,
                                 .x = x.raw<T>(),
                                 .weight = weight.raw<T>(),
                                 .bias = nullptr,
                                 .eps = eps_,
                                 .relu = false};
      T* const to = dx.defined() ? dx.raw<T>() : nullptr;
      if (x.numel() > 0) {
        kernel::backward(problem, {mean_.data(), var.data(), false}, dy.raw<T>(),
                         kernel::Gradients<T>{to, dweight.raw<T>(), dbias.raw<T>()});
      }
      std::vector<double> sums(dbias.raw<T>(), dbias.raw<T>() + channels);
      sums.insert(sums.end(), dweight.raw<T>(), dweight.raw<T>() + channels);
      world_.all_reduce(std::span(sums), "sums for the gradient of batch norm");
      if (x.numel() == 0 || !to) return;
      // What the kernel leaves out is a batch norm of x itself.
      const Tensor scale = empty_like(weight), shift = empty_like(weight);
      for (size_t c = 0; c < channels; ++c) {
        const double factor =
            static_cast<double>(weight.raw<T>()[c]) * kernel::inverse_std(var[c], eps_, true) / -n_;
        shift.raw<T>()[c] = static_cast<T>(factor * sums[c]);
        scale.raw<T>()[c] = static_cast<T>(factor * sums[channels + c]);
      }
      const Tensor rest = empty_like(x);
      problem.weight = scale.raw<T>();
      problem.bias = shift.raw<T>();
      kernel::forward(problem, {mean_.data(), var.data(), true}, rest.raw<T>());
      const T* from = rest.raw<T>();
      parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
        add(to + begin, from + begin, static_cast<size_t>(end - begin));
      });
    });
    return {dx, needs(1) ? dweight : Tensor(), needs(2) ? dbias : Tensor()};
  }

  std::vector<Tensor> saved() override {
    const Tensor x = x_.get();
    return {x, weight_.get(), has_bias_ ? zeros({layout_.channels}, x.dtype()) : Tensor()};
  }

  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    std::vector<int64_t> axes, sizes(static_cast<size_t>(x.dim()), 1);
    for (int64_t axis = 0; axis < x.dim(); ++axis) {
      if (axis != channel_axis_) axes.push_back(axis);
    }
    sizes[static_cast<size_t>(channel_axis_)] = layout_.channels;
    const auto average = [&](const Tensor& a) { return all_sum(sum(a, axes, true), world_) / n_; };
    const auto constant = [&](const std::vector<double>& values) {
      return tensor(values, Shape(sizes)).to(x.dtype());
    };
    // As batch_norm's: a constant near the mean keeps the digits of x.
    Tensor d = x - constant(mean_);
    d = d - average(d);
    std::vector<double> flat(var_.size());
    for (size_t c = 0; c < flat.size(); ++c) flat[c] = var_[c] + eps_ == 0 ? 1 : 0;
    const Tensor none = constant(flat);
    Tensor y = d * (pow(average(d * d) + eps_ + none, -0.5) * (1.0 - none));
    if (weight.defined()) y = y * reshape(weight, sizes);
    if (bias.defined()) y = y + reshape(bias, sizes);
    return y;
  }

  const Communicator world_;
  const Layout layout_;
  const int channel_axis_;
  const double eps_, n_;
  const std::vector<double> mean_, var_;
  Saved x_, weight_;
  const bool has_bias_;
};

// BatchNorm has checked axes and channels.
Tensor sync_batch_norm(const Communicator& world, const Tensor& x, const Tensor& running_mean,
                       const Tensor& running_var, const Tensor& weight, const Tensor& bias,
                       const tern::BatchNormOptions& options) {
  const OpScope scope(kOp, x, running_mean, running_var, weight, bias);
  if (!is_floating(x.dtype())) fail(kOp, "x is ", x, ", want f32 or f64");
  for (const Tensor& v : {running_mean, weight}) {
    if (v.defined() && v.dtype() != x.dtype()) {
      fail(kOp, "x is ", x, " and the layer is ", v.dtype(),
           ": want one dtype, convert with x.to(dtype) or module.to(dtype)");
    }
  }
  const int channel_axis =
      options.data_format == DataFormat::NHWC ? static_cast<int>(x.dim()) - 1 : 1;
  const Layout layout = detail::batch_norm_layout(x, channel_axis);
  const Tensor y = empty_like(x);
  return visit_floating(x.dtype(), [&]<class T>(T) {
    const auto raw = [](const Tensor& v) { return v.defined() ? v.raw<T>() : nullptr; };
    const kernel::Problem<T> problem{.layout = layout,
                                     .x = x.raw<T>(),
                                     .weight = raw(weight),
                                     .bias = raw(bias),
                                     .eps = options.eps,
                                     .relu = false};
    const auto channels = static_cast<size_t>(layout.channels);
    Moments mine{static_cast<double>(x.numel() > 0 ? layout.count() : 0),
                 std::vector<double>(channels), std::vector<double>(channels)};
    if (x.numel() > 0) {
      kernel::forward_training(problem, mine.mean.data(), mine.m2.data(), y.raw<T>());
    }
    for (double& m2 : mine.m2) m2 *= mine.n;  // which was the variance
    Moments all = moments_of_all(mine, world);
    if (all.n == 1) {
      fail(kOp, "x is ", x, " on rank ", world.rank(),
           ", and all ranks together have one value per channel, which has no variance to "
           "normalize ",
           "with: use larger batches");
    }
    std::vector<double> var = all.m2;
    for (double& v : var) v = all.n == 0 ? 0 : v / all.n;
    if (x.numel() > 0 && world.size() > 1) {
      kernel::forward(problem, {all.mean.data(), var.data(), true}, y.raw<T>());
    }
    if (all.n > 0 && options.update_running && running_mean.defined()) {
      detail::update_running_statistics(kOp, running_mean, running_var, options, all.mean, var,
                                        all.n);
    }
    return scope.result(record<SyncBatchNormNode>(
        y, {x, weight, bias}, world, layout, channel_axis, options.eps, std::max(all.n, 1.0),
        std::move(all.mean), std::move(var), x, weight, bias));
  });
}

void synchronise(nn::BatchNorm& layer, const Communicator& world) {
  layer.set_function([world](const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                             const Tensor& weight, const Tensor& bias,
                             const tern::BatchNormOptions& options) {
    return sync_batch_norm(world, x, running_mean, running_var, weight, bias, options);
  });
}

}  // namespace

Tensor all_sum(const Tensor& x, const Communicator& world) {
  if (!x.defined() || !is_floating(x.dtype())) fail("all_sum", "x is ", x, ", want f32 or f64");
  const OpScope scope("all_sum", x);
  const Tensor y = x.detach().clone();
  world.all_reduce(y, "all_sum");
  return scope.result(record<AllSumNode>(y, {x}, world));
}

void convert_sync_batch_norm(nn::Module& net, const Communicator& world) {
  const Communicator own = world.duplicate();
  for (const auto& [name, module] : net.named_modules()) {
    if (auto* layer = dynamic_cast<nn::BatchNorm*>(module)) synchronise(*layer, own);
  }
}

bool has_sync_batch_norm(const nn::Module& net) {
  for (const auto& [name, module] : net.named_modules()) {
    const auto* layer = dynamic_cast<const nn::BatchNorm*>(module);
    if (layer && layer->has_function()) return true;
  }
  return false;
}

SyncBatchNorm::SyncBatchNorm(int64_t num_features, const Communicator& world,
                             nn::BatchNormOptions options)
    : ModuleOf("SyncBatchNorm", 2, 5, num_features, std::move(options)) {
  synchronise(*this, world);
}

}  // namespace tern::dist
