// SPDX-License-Identifier: Apache-2.0
#include "backend.h"

#include <atomic>

namespace tern {

namespace {
thread_local bool reference_kernels = false;
std::atomic<bool> deterministic_mode = false;
}  // namespace

ReferenceKernels::ReferenceKernels() : before_(reference_kernels) { reference_kernels = true; }
ReferenceKernels::~ReferenceKernels() { reference_kernels = before_; }
bool ReferenceKernels::active() { return reference_kernels; }

void set_deterministic(bool deterministic) { deterministic_mode = deterministic; }
bool deterministic() { return deterministic_mode; }

}  // namespace tern
