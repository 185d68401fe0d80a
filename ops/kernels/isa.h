// SPDX-License-Identifier: Apache-2.0
// Note [Instruction sets]
// Loops that profit from wide vectors stand in <family>_simd.h, written once over vectors of kLanes
// floats (simd.h). One source for each instruction set, isa_<name>.cpp, compiles all of them and
// gives their addresses in a table. A new family takes a line here and one in each of those.
#pragma once

#include "../../core/internal/cpu.h"

namespace tern::kernels {

struct Functions;
namespace batch_norm {
struct Loops;
}
namespace norm {
struct Loops;
}
namespace pool {
struct Loops;
}
namespace product {
template <class T>
struct Kernels;
}
namespace rnn {
template <class T>
struct Cells;
}
namespace winograd {
struct Kernels;
}

/// What is compiled for an instruction set.
struct IsaKernels {
  const Functions* functions;
  const batch_norm::Loops* batch_norm;
  const norm::Loops* norm;
  const pool::Loops* pool;
  const product::Kernels<float>* product;
  const product::Kernels<double>* product_f64;
  const rnn::Cells<float>* rnn;
  const winograd::Kernels* winograd;  ///< null where products cannot be fused into sums
};

/// Those of an instruction set that this library is compiled for.
const IsaKernels& kernels_of(cpu::Isa isa);
/// Those of cpu::isa().
inline const IsaKernels& isa_kernels() { return kernels_of(cpu::isa()); }

extern const IsaKernels baseline_kernels;
#if defined(__x86_64__)
extern const IsaKernels avx2_kernels, avx512_kernels;
#endif

}  // namespace tern::kernels
