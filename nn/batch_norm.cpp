// SPDX-License-Identifier: Apache-2.0
#include "batch_norm.h"

#include <algorithm>
#include <cmath>

#include "../core/autograd.h"
#include "../core/checkpoint.h"
#include "../core/error.h"
#include "../core/log.h"
#include "../ops/activations.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

void check_options(const char* name, int64_t num_features, const BatchNormOptions& options) {
  if (num_features < 1) fail(name, "num_features is ", num_features, ", want at least 1");
  if (!std::isfinite(options.eps) || options.eps < 0) {
    fail(name, "eps is ", options.eps, ", want a finite number that is not negative");
  }
  if (!options.track_running_stats && options.use_batch_statistics == false) {
    fail(name, "use_batch_statistics = false normalizes with running statistics, and ",
         "track_running_stats = false means that there are none: drop one of the two");
  }
  if (!options.momentum.is_cumulative() && options.momentum.weight_of_new(1) > 0.5) {
    log_message(LogLevel::warn,
                std::string(name) +
                    ": running statistics will mostly forget the past; PyTorch's momentum "
                    "is Momentum::update, those of MindSpore, Keras and ONNX are "
                    "Momentum::keep");
  }
}

}  // namespace

BatchNorm::BatchNorm(const char* name, int min_axes, int max_axes, int64_t num_features,
                     BatchNormOptions options)
    : name_(name),
      min_axes_(min_axes),
      max_axes_(max_axes),
      num_features_(num_features),
      options_(std::move(options)),
      mutable_(Mutable{options_.momentum}) {
  check_options(name, num_features, options_);
  const Shape shape{num_features};
  const bool fixed = options_.gamma_init.constant() != 1.0 || options_.beta_init.constant() != 0.0;
  const bool has_affine = options_.affine || fixed;
  weight_ = has_affine ? options_.gamma_init.make(shape) : Tensor();
  bias_ = has_affine ? options_.beta_init.make(shape) : Tensor();
  if (options_.affine || !fixed) {
    register_parameter("weight", weight_);
    register_parameter("bias", bias_);
  } else {
    register_buffer("weight", weight_);
    register_buffer("bias", bias_);
  }
  const bool track = options_.track_running_stats;
  running_mean_ =
      register_buffer("running_mean", track ? options_.moving_mean_init.make(shape) : Tensor());
  running_var_ =
      register_buffer("running_var", track ? options_.moving_var_init.make(shape) : Tensor());
  num_batches_tracked_ =
      register_buffer("num_batches_tracked", track ? zeros({}, DType::i64) : Tensor());
}

Tensor BatchNorm::forward(const Tensor& x) { return run(false, x); }

Tensor BatchNorm::forward_relu(const Tensor& x) {
  return has_hooks() ? Module::forward_relu(x) : run(true, x);
}

Tensor BatchNorm::run(bool with_relu, const Tensor& x) {
  const Running running(*this);
  if (!x.defined() || x.dim() < min_axes_ || x.dim() > max_axes_) {
    fail(name_, "x is ", x, ", want ", min_axes_,
         max_axes_ > min_axes_ ? " or " + std::to_string(max_axes_) : "", " axes");
  }
  const bool last = options_.data_format == DataFormat::NHWC;
  const int64_t axis = last ? x.dim() - 1 : 1;
  if (x.size(axis) != num_features_) {
    fail(name_, "x has ", x.size(axis), " channels on axis ", axis, ", this layer ", num_features_,
         " (x ", x, ", data_format ", options_.data_format, ")");
  }
  const bool track = options_.track_running_stats, training = is_training();
  const std::optional<bool>& forced = options_.use_batch_statistics;
  const bool batch = !has_fixed_statistics();
  const bool update = track && batch && (training || forced.has_value()) && !recomputing();
  // A loaded count may be any number.
  const int64_t batches =
      track ? std::min(num_batches_tracked_.item<int64_t>(), INT64_MAX - 1) + 1 : 1;
  const uint64_t version = track ? running_mean_.version() : 0;
  const tern::BatchNormOptions options{.training = batch,
                                       .update_running = update,
                                       .momentum = momentum(),
                                       .batches_tracked = batches,
                                       .eps = options_.eps,
                                       .running_var = options_.running_var,
                                       .data_format = options_.data_format,
                                       .algorithm = options_.algorithm,
                                       .skip_nonfinite = options_.skip_nonfinite};
  Tensor y;
  if (batch && has_function()) {
    y = mutable_->function(x, running_mean_, running_var_, weight_, bias_, options);
    if (with_relu) y = relu(y);
  } else {
    y = (with_relu ? batch_norm_relu : batch_norm)(x, running_mean_, running_var_, weight_, bias_,
                                                   options);
  }
  // Only now: a call that fails is not counted, and neither is a batch that was empty or skipped.
  const bool changed = track && running_mean_.version() != version;
  const bool skipped = update && options_.skip_nonfinite && !changed;
  if (update && (x.numel() > 0 || changed) && !skipped) {
    num_batches_tracked_.mutable_data<int64_t>()[0] = batches;
  }
  return y;
}

bool BatchNorm::has_fixed_statistics() const {
  const bool track = options_.track_running_stats;
  return is_frozen() || !options_.use_batch_statistics.value_or(is_training() || !track);
}

void BatchNorm::freeze(bool frozen) {
  if (frozen && !options_.track_running_stats) {
    fail("freeze", "this ", name_, " has no running statistics to normalize with ",
         "(track_running_stats = false)");
  }
  mutable_->frozen = frozen;
  if (frozen) eval();
}

void BatchNorm::reset_running_stats() {
  if (!options_.track_running_stats) return;
  options_.moving_mean_init.apply(running_mean_);
  options_.moving_var_init.apply(running_var_);
  num_batches_tracked_.mutable_data<int64_t>()[0] = 0;
}

void BatchNorm::reset_parameters() {
  reset_running_stats();
  if (weight_.defined()) options_.gamma_init.apply(weight_);
  if (bias_.defined()) options_.beta_init.apply(bias_);
}

std::string BatchNorm::extra_repr() const {
  // 1 - 0.9 is not quite 0.1.
  const auto rounded = [](double share) { return std::round(share * 1e12) / 1e12; };
  std::string text =
      repr(num_features_) + ", eps=" + repr(options_.eps) + ", momentum=" +
      (momentum().is_cumulative() ? "None" : repr(rounded(momentum().weight_of_new(1)))) +
      ", affine=" + repr(options_.affine) +
      ", track_running_stats=" + repr(options_.track_running_stats);
  if (options_.use_batch_statistics) {
    text += ", use_batch_statistics=" + repr(*options_.use_batch_statistics);
  }
  if (options_.data_format == DataFormat::NHWC) text += ", data_format=NHWC";
  if (options_.running_var == RunningVar::biased) text += ", running_var=biased";
  if (options_.skip_nonfinite) text += ", skip_nonfinite=True";
  if (is_frozen()) text += ", frozen=True";
  return text;
}

void BatchNorm::adapt_state_dict(StateDict& dict, const std::string& prefix) const {
  const std::pair<const char*, const char*> names[] = {{"gamma", "weight"},
                                                       {"beta", "bias"},
                                                       {"moving_mean", "running_mean"},
                                                       {"mean", "running_mean"},
                                                       {"moving_variance", "running_var"},
                                                       {"variance", "running_var"}};
  for (const auto& [theirs, ours] : names) {
    if (!dict.contains(prefix + theirs) || dict.contains(prefix + ours)) continue;
    dict.set(prefix + ours, dict.at(prefix + theirs));
    dict.erase(prefix + theirs);
  }
  const std::string counter = prefix + "num_batches_tracked";
  if (options_.track_running_stats && dict.contains(prefix + "running_mean") &&
      !dict.contains(counter)) {
    dict.set(counter, zeros({}, DType::i64));
  }
}

namespace {

/// Modes and momenta as they were, whatever happens in between.
class Restore {
 public:
  explicit Restore(BatchNorm& layer) : layer_(layer), momentum_(layer.momentum()) {}
  Restore(Restore&&) = default;
  ~Restore() { layer_.set_momentum(momentum_); }

 private:
  BatchNorm& layer_;
  Momentum momentum_;
};

}  // namespace

void reestimate_batch_norm(Module& model, const std::function<void()>& run_batches) {
  const NoGrad no_grad;
  const EvalMode modes(model);
  std::vector<std::pair<std::string, BatchNorm*>> layers;
  std::vector<StateDict> before;
  for (const auto& [path, module] : model.named_modules()) {
    auto* layer = dynamic_cast<BatchNorm*>(module);
    if (!layer || layer->is_frozen() || !layer->options().track_running_stats) continue;
    if (layer->options().use_batch_statistics == false) continue;
    layers.emplace_back(path, layer);
    before.push_back(layer->state_dict().clone());
  }
  std::vector<Restore> restore;
  restore.reserve(layers.size());
  for (const auto& [path, layer] : layers) {
    restore.emplace_back(*layer);
    layer->set_momentum(Momentum::cumulative());
    layer->num_batches_tracked().mutable_data<int64_t>()[0] = 0;
    layer->train();
  }
  const auto undo = [&] {
    for (size_t i = 0; i < layers.size(); ++i) layers[i].second->load_state_dict(before[i]);
  };
  try {
    run_batches();
  } catch (...) {
    undo();
    throw;
  }
  for (const auto& [path, layer] : layers) {
    if (layer->num_batches_tracked().item<int64_t>() > 0) continue;
    undo();
    fail("reestimate_batch_norm", "no batch went through ", path.empty() ? "the model" : path,
         ": the loader is empty, or the model does not run it");
  }
}

}  // namespace tern::nn
