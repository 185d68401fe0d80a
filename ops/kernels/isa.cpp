// SPDX-License-Identifier: Apache-2.0
#include "isa.h"

namespace tern::kernels {

const IsaKernels& kernels_of(cpu::Isa isa) {
#if defined(__x86_64__)
  if (isa == cpu::Isa::avx512) return avx512_kernels;
  if (isa == cpu::Isa::avx2) return avx2_kernels;
#endif
  static_cast<void>(isa);
  return baseline_kernels;
}

}  // namespace tern::kernels
