// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "../nn/batch_norm.h"
#include "communicator.h"

namespace tern::dist {

/// The sum of x over all ranks, f32 or f64, on every rank. Differentiable, any number of times: the
/// gradient of what all ranks compute of it together is the sum of their gradients. All ranks call
/// it, and run their backward passes, in the same order.
Tensor all_sum(const Tensor& x, const Communicator& world);

/// Makes every nn::BatchNorm in `net` normalize, where it uses the batch's statistics, with those
/// of the batches of all ranks together: forward, backward and of every order as if one rank had
/// them all, however many examples each rank has. (Not so means of means: with n, mean and the sum
/// of squared deviations of each rank, combined in f64, statistics are exact at any mean.) Names
/// and parameters of the net stay as they are. A rank without examples takes part with an empty
/// batch, in the backward pass as well (DataParallel::backward with the loss and 0 examples).
///
/// All ranks run the same layers in the same order, and want gradients of the same of them. A net
/// that is cloned is synchronised as well, over the same ranks: run clones in the same order, too.
/// Throws Error when the net runs, on every rank, if all ranks together have one value per channel.
void convert_sync_batch_norm(nn::Module& net, const Communicator& world);

/// Whether a BatchNorm of `net` is synchronised.
bool has_sync_batch_norm(const nn::Module& net);

/// A BatchNorm that is synchronised from the beginning: as torch.nn.SyncBatchNorm, over [N,C] to
/// [N,C,D,H,W].
class SyncBatchNorm : public nn::ModuleOf<SyncBatchNorm, nn::BatchNorm> {
 public:
  /// Throws Error unless num_features >= 1 and the options are in range.
  SyncBatchNorm(int64_t num_features, const Communicator& world, nn::BatchNormOptions options = {});
};

}  // namespace tern::dist

namespace tern::nn {

using dist::convert_sync_batch_norm;  ///< the name that torch users look for
using dist::SyncBatchNorm;            ///< the name that torch users look for

}  // namespace tern::nn
