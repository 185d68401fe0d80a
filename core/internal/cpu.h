// SPDX-License-Identifier: Apache-2.0
// The processor's instruction set: the only place that asks for it.
#pragma once

#include <cstdint>

namespace tern::cpu {

/// Those that loops of our own are compiled for. Each has what those before it have.
enum class Isa : uint8_t {
  baseline,  ///< what the compiler takes for granted: SSE2 on x86-64, NEON on AArch64
  avx2,      ///< with FMA
  avx512     ///< F, VL, DQ and BW
};

/// The widest of this processor, unless ONEDNN_MAX_CPU_ISA (or DNNL_MAX_CPU_ISA), which holds
/// oneDNN back, names a smaller one. Read once.
Isa isa();

/// "tern", "tern:avx2" or "tern:avx512": what a profiler calls loops that were chosen by isa().
const char* loops_name();

}  // namespace tern::cpu
