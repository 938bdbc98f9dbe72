// What is said of functions: to the linker, and to the compiler.
#pragma once

#include "isa.h"

// A symbol that the library exports.
#define PUBLIC extern "C" __attribute__((visibility("default")))

// The head of a function that is compiled once for each instruction set, with what it calls as far as that is inlined; each call
// goes to the one that this process uses. (`target_clones` would do it, but chooses before anything can say which.)
#define VECTORISED(result, name, parameters, arguments) COMPILED_FOR("avx512f", "avx2", result, name, parameters, arguments)
// The same where products are fused with sums: "avx2" alone would leave that to a call for each number.
#define FUSED(result, name, parameters, arguments) COMPILED_FOR("avx512f", "avx2,fma", result, name, parameters, arguments)

#define COMPILED_FOR(widest, wide, result, name, parameters, arguments)                                            \
  static inline __attribute__((always_inline)) result name##_for_any parameters;                                   \
  static __attribute__((target(widest), noinline)) result name##_for_widest parameters { return name##_for_any arguments; } \
  static __attribute__((target(wide), noinline)) result name##_for_wide parameters { return name##_for_any arguments; }     \
  static __attribute__((noinline)) result name##_for_all parameters { return name##_for_any arguments; }           \
  static inline result name parameters {                                                                           \
    switch (flambeau::isa()) {                                                                                     \
      case flambeau::kAvx512:                                                                                      \
        return name##_for_widest arguments;                                                                        \
      case flambeau::kAvx2:                                                                                        \
        return name##_for_wide arguments;                                                                          \
      default:                                                                                                     \
        return name##_for_all arguments;                                                                           \
    }                                                                                                              \
  }                                                                                                                \
  static inline __attribute__((always_inline)) result name##_for_any parameters
