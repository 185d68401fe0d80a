// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <type_traits>

#include "../core/tensor.h"

namespace tern {

/// The momentum of running statistics. Frameworks give the word opposite meanings, so no bare
/// number converts: say which you mean.
class Momentum {
 public:
  /// running = keep * running + (1 - keep) * batch: MindSpore, Keras, ONNX (default 0.9).
  static Momentum keep(double weight_of_old);
  /// running = (1 - update) * running + update * batch: PyTorch (default 0.1).
  static Momentum update(double weight_of_new);
  /// The plain average over all batches so far: PyTorch's momentum=None.
  static Momentum cumulative();

  bool is_cumulative() const { return !update_.has_value(); }  ///< whether it is cumulative()
  /// The weight of the new batch, number `batches` (1 for the first).
  double weight_of_new(int64_t batches) const;

  /// Does not compile, and says why: {.momentum = 0.1} names no side.
  template <class Number>
  requires(std::is_arithmetic_v<Number>) Momentum(Number) {
    static_assert(!std::is_arithmetic_v<Number>,
                  "a bare number is no momentum: write Momentum::update(0.1), as PyTorch means it, "
                  "or Momentum::keep(0.9), as MindSpore, Keras and ONNX do");
  }

 private:
  explicit Momentum(std::optional<double> update) : update_(update) {}
  std::optional<double> update_;
};

/// Which estimate of the variance the running one accumulates: divided by n-1 (PyTorch, MindSpore
/// on GPU and Ascend) or by n (MindSpore on CPU, ONNX, Keras).
enum class RunningVar : uint8_t { unbiased, biased };

/// What computes float32 batch norm. `automatic` takes Tern's own loops: as fast, right at large
/// means, and with the same bits for every number of threads in the backward pass as well. `onednn`
/// takes oneDNN's fused primitives with Tern's statistics.
enum class BatchNormAlgorithm : uint8_t { automatic, onednn };

/// Arguments of batch_norm.
struct BatchNormOptions {
  bool training = false;       ///< normalize with the batch's statistics
  bool update_running = true;  ///< in training, update running_mean and running_var if given
  Momentum momentum = Momentum::update(0.1);  ///< of the running statistics
  int64_t batches_tracked = 1;  ///< for Momentum::cumulative(): the number of this batch
  double eps = 1e-5;            ///< added to the variance, at least 0
  RunningVar running_var = RunningVar::unbiased;                 ///< what running_var estimates
  DataFormat data_format = DataFormat::NCHW;                     ///< which axis is which
  BatchNormAlgorithm algorithm = BatchNormAlgorithm::automatic;  ///< what computes float32
  /// In training, leave running_mean and running_var as they are if the batch's mean or variance of
  /// some channel is not finite, and log a warning that names the module.
  bool skip_nonfinite = false;
};
using BatchNormParams = BatchNormOptions;  ///< its old name

/// Batch normalization (Ioffe and Szegedy, 2015) over all axes but the channel axis (1, or the
/// last with NHWC). See docs/batch_norm.md. x of rank 2 to 5; running statistics, weight and bias
/// [C] or undefined (argument order as torch.nn.functional.batch_norm). Throws Error for running
/// statistics that require a gradient while one is recorded: there is none, and they change in
/// place.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight = {}, const Tensor& bias = {},
                  const BatchNormOptions& options = {});
/// relu(batch_norm(x)), fused.
Tensor batch_norm_relu(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                       const Tensor& weight = {}, const Tensor& bias = {},
                       const BatchNormOptions& options = {});

}  // namespace tern
