// Convolutions over planes: what oneDNN has no kernel for (64 bits), and where its kernels waste their vectors (few channels).
#pragma once

#include <cstdint>

#include "passes.h"

namespace flambeau {

// A convolution's sizes; in fewer than three dimensions the first ones are 1. `inside` and `outside` are the channels of a group.
struct Planes {
  int64_t images, groups, inside, outside;
  int64_t x[3], kernel[3], y[3], stride[3], low[3], dilation[3];
  bool channels_last;  // of x and y; the weight is (outside * groups, inside, kernel) either way
  int threads;
};

// Computes y (FORWARD), x (BY_INPUT) or w (BY_WEIGHT) of the two others.
void over_planes(Pass pass, const Planes& p, float* x, float* w, float* y);
void over_planes(Pass pass, const Planes& p, double* x, double* w, double* y);

}  // namespace flambeau
