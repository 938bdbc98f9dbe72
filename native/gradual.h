// XLA's threads take the smallest numbers (subnormal ones) for 0. While one of these lives, this thread computes with them.
#pragma once

#include <xmmintrin.h>

namespace flambeau {

struct Gradual {
  Gradual() : before(_mm_getcsr()) { _mm_setcsr(before & ~0x8040u); }
  ~Gradual() { _mm_setcsr(before); }
  Gradual(const Gradual&) = delete;
  Gradual& operator=(const Gradual&) = delete;

 private:
  unsigned before;
};

}  // namespace flambeau
