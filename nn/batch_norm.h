// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "../ops/batch_norm.h"
#include "init.h"
#include "module_of.h"

namespace tern::nn {

/// The arguments of mindspore.nn.BatchNorm2d in their order, then what PyTorch has besides.
struct BatchNormOptions {
  /// Added to the variance. At least 0.
  double eps = 1e-5;
  /// Momentum::keep(0.9) and Momentum::update(0.1), PyTorch's default, are the same.
  Momentum momentum = Momentum::keep(0.9);
  /// Whether weight and bias (gamma and beta) are learned. Without, there are none; but if
  /// gamma_init or beta_init says something else than ones and zeros, they are applied and saved as
  /// buffers.
  bool affine = true;
  Init gamma_init = "ones";         ///< the weight begins so
  Init beta_init = "zeros";         ///< the bias begins so
  Init moving_mean_init = "zeros";  ///< running_mean begins so
  Init moving_var_init = "ones";    ///< running_var begins so
  /// Unset: the batch's statistics in training, the running ones in evaluation. true: the batch's
  /// in both, and the running ones are updated in both. false: the running ones in both; weight and
  /// bias go on learning.
  std::optional<bool> use_batch_statistics = std::nullopt;
  /// Where the channels are: axis 1, or the last one.
  DataFormat data_format = DataFormat::NCHW;
  /// Whether there are running statistics. Without, the batch's are used in evaluation as well.
  bool track_running_stats = true;
  RunningVar running_var = RunningVar::unbiased;                 ///< what running_var estimates
  BatchNormAlgorithm algorithm = BatchNormAlgorithm::automatic;  ///< what computes float32
  /// Leave the running statistics as they are, and do not count the batch, if the batch's are not
  /// finite; a warning names the module. One bad batch then does not spoil evaluation for good.
  bool skip_nonfinite = false;
};

/// What BatchNorm1d, 2d and 3d share.
///
/// Batch normalization (Ioffe and Szegedy, 2015): per channel, over all n values of a batch,
///
///     y = (x - mean) / sqrt(var + eps) * weight + bias
///
/// in training with the batch's mean and variance (the sum of squared deviations over n), through
/// which gradients flow, and running_mean += w * (mean - running_mean), w being the momentum, the
/// same for running_var with the variance times n / (n - 1); in evaluation with the running
/// statistics. {1, 3} has mean 2 and is normalized with variance 1, but running_var accumulates 2.
/// Running statistics have no unit of their own: those of x, and of x squared.
///
/// Parameters weight and bias [C]; buffers running_mean, running_var [C] and num_batches_tracked
/// (i64). A new module is in training mode, as PyTorch's; MindSpore's starts in evaluation.
///
/// Throws Error, before anything changes, for a wrong number of axes or channels, and for one value
/// per channel where the batch's statistics are used. An empty batch gives an empty result, changes
/// no statistics and is not counted.
class BatchNorm : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  /// relu(forward(x)) in one pass, in every mode.
  Tensor forward_relu(const Tensor& x) override;

  const Tensor& weight() const { return weight_; }              ///< gamma [C], or undefined
  const Tensor& bias() const { return bias_; }                  ///< beta [C], or undefined
  const Tensor& running_mean() const { return running_mean_; }  ///< [C], or undefined
  const Tensor& running_var() const { return running_var_; }    ///< [C], or undefined
  /// A scalar (i64), or undefined.
  const Tensor& num_batches_tracked() const { return num_batches_tracked_; }
  int64_t num_features() const { return num_features_; }        ///< C
  const BatchNormOptions& options() const { return options_; }  ///< as given

  /// Keeps the running statistics as they are and normalizes with them, also when train() is called
  /// on this module or on one around it; freeze(false) followed by train() ends it. weight and bias
  /// go on learning: requires_grad_(false) stops them. Throws Error if there are no running
  /// statistics.
  void freeze(bool frozen = true);
  bool is_frozen() const override { return mutable_->frozen; }
  /// Whether the next call normalizes with the running statistics and leaves them as they are.
  bool has_fixed_statistics() const;

  /// Computes what tern::batch_norm computes, in training.
  using Function = std::function<Tensor(const Tensor& x, const Tensor& running_mean,
                                        const Tensor& running_var, const Tensor& weight,
                                        const Tensor& bias, const tern::BatchNormOptions& options)>;
  /// Replaces tern::batch_norm, in every handle of this module, where the batch's statistics are
  /// used: by one whose batch is more than this one (dist::convert_sync_batch_norm). Null puts it
  /// back.
  void set_function(Function function) { mutable_->function = std::move(function); }
  /// Whether there is one.
  bool has_function() const { return static_cast<bool>(mutable_->function); }

  const Momentum& momentum() const { return mutable_->momentum; }  ///< of the running statistics
  /// Takes effect with the next batch.
  void set_momentum(Momentum momentum) { mutable_->momentum = momentum; }
  /// The running statistics and their count as they were at first.
  void reset_running_stats();
  /// Everything as it was at first.
  void reset_parameters();

  std::string extra_repr() const override;
  /// Takes MindSpore's names (gamma, beta, moving_mean or mean, moving_variance or variance), and
  /// files without num_batches_tracked, which becomes 0.
  void adapt_state_dict(StateDict& dict, const std::string& prefix) const override;

 protected:
  /// `name` is for messages; the input has min_axes to max_axes axes.
  BatchNorm(const char* name, int min_axes, int max_axes, int64_t num_features,
            BatchNormOptions options);

 private:
  struct Mutable {
    Momentum momentum = Momentum::keep(0.9);
    bool frozen = false;
    Function function = {};
  };

  Tensor run(bool with_relu, const Tensor& x);

  const char* name_;
  int min_axes_, max_axes_;
  int64_t num_features_;
  BatchNormOptions options_;
  Shared<Mutable> mutable_;
  Tensor weight_, bias_, running_mean_, running_var_, num_batches_tracked_;
};

/// BatchNorm over [N,C] or [N,C,L] ([N,L,C] with DataFormat::NHWC).
class BatchNorm1d : public ModuleOf<BatchNorm1d, BatchNorm> {
 public:
  /// Throws Error unless num_features >= 1 and the options are in range.
  explicit BatchNorm1d(int64_t num_features, BatchNormOptions options = {})
      : ModuleOf("BatchNorm1d", 2, 3, num_features, std::move(options)) {}
};

/// BatchNorm over [N,C,H,W] ([N,H,W,C] with DataFormat::NHWC, which is used as it lies).
class BatchNorm2d : public ModuleOf<BatchNorm2d, BatchNorm> {
 public:
  /// Throws Error unless num_features >= 1 and the options are in range.
  explicit BatchNorm2d(int64_t num_features, BatchNormOptions options = {})
      : ModuleOf("BatchNorm2d", 4, 4, num_features, std::move(options)) {}
};

/// BatchNorm over [N,C,D,H,W] ([N,D,H,W,C] with DataFormat::NHWC).
class BatchNorm3d : public ModuleOf<BatchNorm3d, BatchNorm> {
 public:
  /// Throws Error unless num_features >= 1 and the options are in range.
  explicit BatchNorm3d(int64_t num_features, BatchNormOptions options = {})
      : ModuleOf("BatchNorm3d", 5, 5, num_features, std::move(options)) {}
};

/// Replaces the running statistics of every BatchNorm in `model` that tracks them and is not frozen
/// by plain averages over the data (PreciseBN; Wu and Johnson, "Rethinking Batch in BatchNorm",
/// 2021): of the mean, and of running_var's estimate of the variance. Calls `run_batches`, which
/// runs the model on as many batches of training data as the averages should cover; nothing is
/// recorded. Modes and momenta are afterwards as they were. Dropout and other modules run in
/// evaluation mode. Throws Error if run_batches ran no batch through some BatchNorm.
void reestimate_batch_norm(Module& model, const std::function<void()>& run_batches);

/// The same over a loader of (input, ...) batches.
template <class Loader>
requires(!std::is_invocable_v<Loader&>) void reestimate_batch_norm(Module& model, Loader&& loader) {
  reestimate_batch_norm(model, [&] {
    for (auto&& batch : loader) {
      const auto& [x, rest] = batch;
      model(x);
    }
  });
}

}  // namespace tern::nn
