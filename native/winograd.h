// Convolutions of 3 x 3 elements with fewer multiplications (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
#pragma once

#include <cstdint>

#include "passes.h"

namespace flambeau::winograd {

// Images (n, height, width, channels) and (n, rows, columns, filters) of float32, all channels last; the weight is (filters, channels, 3, 3).
// `top` and `left` are the padding before the first row and column.
struct Problem {
  int64_t n, height, width, channels, rows, columns, filters, top, left;
  int threads;
};

// Whether this is faster than multiplying element by element.
bool pays(Pass pass, const Problem& p);

// Bytes of memory that a run needs beside its arguments; vectors begin where it begins.
int64_t workspace(Pass pass, const Problem& p);

// Runs a pass, which writes x (BY_INPUT), y (FORWARD) or w (BY_WEIGHT). False if some number of the result, or on the way to it, is not
// finite: the sums here mix neighbours, so that one infinity would spread where it has no business. The result is then to be computed otherwise.
bool run(Pass pass, const Problem& p, float* x, float* w, float* y, char* space);

}  // namespace flambeau::winograd
