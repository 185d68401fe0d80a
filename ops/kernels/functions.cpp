// SPDX-License-Identifier: Apache-2.0
#include "functions.h"

#include "winograd.h"

namespace tern::kernels {

const Functions& functions() {
#if defined(__x86_64__)
  if (winograd::available()) {
    return winograd::preferred_isa() == winograd::Isa::avx512 ? avx512_functions()
                                                              : avx2_functions();
  }
#endif
  return baseline_functions();
}

}  // namespace tern::kernels
