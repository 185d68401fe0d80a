// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tern {

/// While it lives, operations of this thread run on their reference kernels, which are written to
/// be read and share no loops with the fast ones: the oracle that tests compare with.
class ReferenceKernels {
 public:
  [[nodiscard]] ReferenceKernels();
  ~ReferenceKernels();
  ReferenceKernels(const ReferenceKernels&) = delete;
  ReferenceKernels& operator=(const ReferenceKernels&) = delete;
  static bool active();  ///< whether one lives on this thread

 private:
  bool before_;
};

/// Whether float32 results are the same bits for every number of threads (off at first). Without
/// it they are so for the same number of threads only, as the gradients of convolution weights are
/// computed in a part for each thread. Holds for the whole process.
void set_deterministic(bool deterministic);
/// What is set.
bool deterministic();

}  // namespace tern
