// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/profiler.h"
#include "../core/tensor.h"

namespace tern {

/// While it lives, float32 operations of this thread run on the Eigen reference kernels instead of
/// oneDNN's: the oracle that tests compare with. float64 always does.
class ReferenceKernels {
 public:
  ReferenceKernels();
  ~ReferenceKernels();
  ReferenceKernels(const ReferenceKernels&) = delete;
  ReferenceKernels& operator=(const ReferenceKernels&) = delete;
  static bool active();  ///< whether one lives on this thread

 private:
  bool before_;
};

/// Whether float32 results are the same bits for every number of threads (off at first). Without
/// it they are so for the same number of threads only, as matrix products and the gradients of
/// convolution weights are computed in a part for each thread. Holds for the whole process.
void set_deterministic(bool deterministic);
/// What is set.
bool deterministic();

/// Whether an operation on x takes the fast kernels.
inline bool use_onednn(const Tensor& x) {
  const bool fast = x.dtype() == DType::f32 && !ReferenceKernels::active();
  if (!fast && is_floating(x.dtype())) ProfilerRange::implementation("reference");
  return fast;
}

}  // namespace tern
