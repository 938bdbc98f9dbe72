// Which of the instruction sets that kernels are compiled for this process uses: the processor's best, or less where the environment's
// FLAMBEAU_NATIVE_ISA is avx2 or baseline, so that every machine can try what other ones run.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace flambeau {

enum Isa : int { kBaseline, kAvx2, kAvx512 };  // in the order of `ISAS` in native/__init__.py; with AVX2 goes FMA

inline Isa isa() {
  static const Isa chosen = [] {
    __builtin_cpu_init();
    const Isa best = __builtin_cpu_supports("avx512f")                                      ? kAvx512
                     : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? kAvx2
                                                                                            : kBaseline;
    const char* wanted = std::getenv("FLAMBEAU_NATIVE_ISA");
    if (wanted == nullptr) return best;
    if (std::strcmp(wanted, "avx2") == 0) return std::min(best, kAvx2);
    return std::strcmp(wanted, "baseline") == 0 ? kBaseline : best;
  }();
  return chosen;
}

}  // namespace flambeau
