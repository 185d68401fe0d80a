// SPDX-License-Identifier: Apache-2.0
#include "backend.h"

namespace tern {

namespace {
thread_local bool reference_kernels = false;
}

ReferenceKernels::ReferenceKernels() : before_(reference_kernels) { reference_kernels = true; }
ReferenceKernels::~ReferenceKernels() { reference_kernels = before_; }
bool ReferenceKernels::active() { return reference_kernels; }

}  // namespace tern
