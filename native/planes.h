// Convolutions over planes: what oneDNN has no kernel for (64 bits), and where its kernels waste their vectors (few channels).
#pragma once

#include <cstdint>

namespace flambeau {

enum class Wanted { OUTPUT, INPUT, WEIGHT };

// A convolution's sizes; in fewer than three dimensions the first ones are 1. `inside` and `outside` are the channels of a group.
struct Planes {
  int64_t images, groups, inside, outside;
  int64_t x[3], kernel[3], y[3], stride[3], low[3], dilation[3];
  bool channels_last;  // of x and y; the weight is (outside * groups, inside, kernel) either way
  int threads;
};

// Computes the one of x, w and y that is wanted of the two others.
void over_planes(Wanted wanted, const Planes& p, float* x, float* w, float* y);
void over_planes(Wanted wanted, const Planes& p, double* x, double* w, double* y);

}  // namespace flambeau
