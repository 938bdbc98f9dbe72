// bfloat16 beside float: both are widened to float, computed with, and narrowed again.
#pragma once

#include <cstdint>
#include <cstring>

#define INLINED inline __attribute__((always_inline))

namespace flambeau {

struct BFloat16 {
  uint16_t bits;
};

INLINED float widened(float v) { return v; }

INLINED float widened(BFloat16 v) {
  const uint32_t word = uint32_t{v.bits} << 16;
  float result;
  std::memcpy(&result, &word, sizeof result);
  return result;
}

INLINED void narrow(float v, float* to) { *to = v; }

INLINED void narrow(float v, BFloat16* to) {
  uint32_t word;
  std::memcpy(&word, &v, sizeof word);
  const uint32_t rounded = word + 0x7fff + ((word >> 16) & 1);  // to the nearest, ties to even
  to->bits = static_cast<uint16_t>((v != v ? word | 0x400000 : rounded) >> 16);  // rounding can turn NaN into infinity
}

}  // namespace flambeau
