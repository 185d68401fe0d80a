// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "../core/state_dict.h"
#include "../core/tensor.h"

namespace tern::optim {

/// Options of AveragedWeights.
struct AveragedWeightsOptions {
  /// Weight of the average so far (an exponential moving average, EMA); 0: all updates count the
  /// same (stochastic weight averaging, SWA).
  double decay = 0;
};

/// Averages of parameters over a training, beside the parameters themselves, as
/// torch.optim.swa_utils.AveragedModel: a net with averaged weights often predicts better. The
/// first update copies; then, with n updates before,
///   average = decay * average + (1 - decay) * parameter        (EMA)
///   average = average + (parameter - average) / (n + 1)        (SWA)
///
///     optim::AveragedWeights ema(net.parameters(), {.decay = 0.999});
///     ...
///     sgd.step();
///     ema.update();
///     ...
///     Net averaged = net.clone();
///     ema.copy_to(averaged.parameters());
///     nn::reestimate_batch_norm(averaged, ...);  // for SWA: statistics of the averaged weights
class AveragedWeights {
 public:
  /// Throws Error for an empty list, undefined or integer tensors, and a decay outside [0, 1).
  explicit AveragedWeights(const std::vector<Tensor>& params,
                           const AveragedWeightsOptions& options = {});

  /// Takes the parameters as they are now into the averages. Throws Error, before any change, for
  /// one whose shape or dtype has changed.
  void update();
  /// The averages, in the order of the parameters; the parameters' first values before an update.
  const std::vector<Tensor>& averages() const { return averages_; }
  /// Writes the averages to `params`: the parameters of a clone, or the parameters themselves.
  /// Throws Error, before any change, for another number of tensors, and shapes that differ.
  void copy_to(const std::vector<Tensor>& params) const;
  /// Exchanges parameters and averages: before an evaluation, and again after it.
  void swap();
  int64_t updates() const { return updates_; }  ///< how often update was called

  /// "n_averaged" and "average.<number>". Averages share memory with this object.
  StateDict state_dict() const;
  /// Copies the state from `dict`. Throws Error, before any change, for one that does not fit.
  void load_state_dict(const StateDict& dict);

 private:
  std::vector<Tensor> params_, averages_;
  double decay_;
  int64_t updates_ = 0;
};

}  // namespace tern::optim
