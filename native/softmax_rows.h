// Which rows a thread of softmax.cc computes, and the classes that they have.
#pragma once

#include <algorithm>
#include <cstdint>

namespace flambeau {

// Which rows, of how many, and where they are.
struct Rows {
  int64_t first, last, all, length, inner;
};

// Classes of rows, and what each counts.
template <class T>
struct Targets {
  const int64_t* classes;
  const T* weights;  // of each class, or null
  int64_t ignored, length;

  inline int64_t of(int64_t row) const { return std::clamp<int64_t>(classes[row], 0, length - 1); }
  inline bool counts(int64_t row) const { return classes[row] != ignored; }
  inline T weight(int64_t row) const { return !counts(row) ? T(0) : weights ? weights[of(row)] : T(1); }
};

}  // namespace flambeau
