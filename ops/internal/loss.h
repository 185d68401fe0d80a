// SPDX-License-Identifier: Apache-2.0
// What the losses of classes have in common.
#pragma once

#include "../loss.h"

namespace tern {

/// The axis of the classes, the second or the only one. Throws Error naming `op` unless x is
/// floating and has one, and `classes` are i64 of x's shape without it.
int class_axis(const char* op, const Tensor& x, const Tensor& classes);

/// The number of rows that count. Throws Error naming `op` for what is no class.
int64_t check_classes(const char* op, const Tensor& x, const Tensor& classes, int64_t count,
                      int64_t ignore_index);

/// cross_entropy with class weights, and of probabilities.
Tensor weighted_cross_entropy(const Tensor& logits, const Tensor& classes,
                              const CrossEntropyOptions& options);
Tensor soft_cross_entropy(const Tensor& logits, const Tensor& probabilities,
                          const CrossEntropyOptions& options);

}  // namespace tern
