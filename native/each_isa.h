// Includes EACH_ISA, a file of functions that compute with vectors, once for each instruction set, in a namespace of its name.
//
// Functions that a VECTORISED one takes in have had their vectors cut into what every processor has, before it takes them in. So here
// all are compiled for the instruction set, down to the smallest. What these files need from elsewhere is included here, outside.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "isa.h"
#include "numbers.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
namespace flambeau::avx512 {
#include EACH_ISA
}
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace flambeau::avx2 {
#include EACH_ISA
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
namespace flambeau::baseline {
#include EACH_ISA
}

// A call of the function that was compiled for what this process uses.
#define BEST(call)               \
  do {                           \
    switch (flambeau::isa()) {   \
      case flambeau::kAvx512:    \
        avx512::call;            \
        break;                   \
      case flambeau::kAvx2:      \
        avx2::call;              \
        break;                   \
      default:                   \
        baseline::call;          \
    }                            \
  } while (false)
