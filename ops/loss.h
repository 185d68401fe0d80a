// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"

namespace tern {

/// `none` keeps a loss per element; `mean` and `sum` give a scalar.
enum class Reduction : uint8_t { none, mean, sum };

/// Arguments of cross_entropy.
struct CrossEntropyParams {
  int64_t ignore_index = -100;   ///< rows of this class count neither in the loss nor in the mean
  double label_smoothing = 0.0;  ///< in [0, 1]: this share of the target is spread evenly
  Reduction reduction = Reduction::mean;  ///< what is returned
};

/// -log softmax(logits)[class], logits [N,C], classes i64 [N] in [0,C); also [N,C,...] with classes
/// [N,...], and [C] with a scalar class. With label smoothing e the target is (1-e) on the class
/// plus e/C on every class. The mean is over the rows that are not ignored (NaN if all are). Throws
/// Error for classes out of range, before anything is computed.
Tensor cross_entropy(const Tensor& logits, const Tensor& classes,
                     const CrossEntropyParams& params = {});

/// (x - target)^2, reduced. Shapes and dtypes are equal.
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);

}  // namespace tern
