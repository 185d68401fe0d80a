// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// In training, each element becomes 0 with probability p and is multiplied by 1/(1-p) otherwise
/// (Srivastava et al., 2014); otherwise x itself. Draws from default_generator(); the mask is the
/// same for every number of threads. Throws Error unless 0 <= p <= 1.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true);

/// In training, each channel of each image becomes 0 with probability p, as a whole, and is
/// multiplied by 1/(1-p) otherwise (Tompson et al., 2015). x is [N,C,H,W] or has other axes behind
/// the channels; otherwise as dropout.
Tensor dropout2d(const Tensor& x, double p = 0.5, bool training = true);

}  // namespace tern
