// SPDX-License-Identifier: Apache-2.0
// What batch norm and the synchronised one of dist/ share.
#pragma once

#include <vector>

#include "../batch_norm.h"
#include "../kernels/batch_norm.h"

namespace tern::detail {

/// How the elements of x, with this channel axis, lie in memory.
kernels::batch_norm::Layout batch_norm_layout(const Tensor& x, int channel_axis);

/// The one place where running statistics change: by a batch's mean and (biased) variance over n
/// values. `op` is for messages.
void update_running_statistics(const char* op, const Tensor& running_mean,
                               const Tensor& running_var, const BatchNormOptions& options,
                               const std::vector<double>& mean, const std::vector<double>& var,
                               double n);

}  // namespace tern::detail
