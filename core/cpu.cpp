// SPDX-License-Identifier: Apache-2.0
#include "internal/cpu.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>

namespace tern::cpu {

namespace {

Isa of_processor() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::baseline;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  return avx512 ? Isa::avx512 : Isa::avx2;
#else
  return Isa::baseline;
#endif
}

Isa limit_of_environment() {
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
    if (const char* value = std::getenv(name)) {
      std::string limit = value;
      for (char& c : limit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      if (limit == "sse41" || limit == "avx") return Isa::baseline;
      return limit.starts_with("avx2") ? Isa::avx2 : Isa::avx512;
    }
  }
  return Isa::avx512;
}

}  // namespace

Isa isa() {
  static const Isa chosen = std::min(of_processor(), limit_of_environment());
  return chosen;
}

const char* loops_name() {
  switch (isa()) {
    case Isa::avx512:
      return "tern:avx512";
    case Isa::avx2:
      return "tern:avx2";
    case Isa::baseline:
      break;
  }
  return "tern";
}

}  // namespace tern::cpu
