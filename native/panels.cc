// The products of panels.h. A tile of a few rows and panels is summed up in registers, over the whole depth.

#include "panels.h"

#include <algorithm>
#include <cstring>

#include "attributes.h"
#include "numbers.h"
#include "parallel.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace flambeau {
namespace {

// Vectors of the processor's own size: of larger ones, GCC keeps arrays in memory.
template <class T, int Bytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Bytes)));
};

template <class T, int Bytes, int Rows, int Wide>
INLINED void tile(const Product<T>& p, int64_t row, int64_t panel) {
  using Vector = typename VectorOf<T, Bytes>::type;
  constexpr int64_t lanes = Panels<T>::lanes, own = Bytes / sizeof(T), pieces = lanes / own;
  const int64_t depth = p.depth, from = p.from, step = p.step, to = p.apart;
  const T* a = p.a + row * from;
  const T* b = p.panels + panel * depth * lanes;
  T* c = p.c + row * to + panel * lanes;
  Vector sum[Rows][Wide * pieces];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < Wide * pieces; ++n) sum[r][n] = Vector{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vector right[Wide * pieces];
#pragma GCC unroll 8
    for (int n = 0; n < Wide * pieces; ++n) {
      std::memcpy(&right[n], b + (n / pieces * depth + k) * lanes + n % pieces * own, sizeof(Vector));
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const T left = a[r * from + k * step];
#pragma GCC unroll 8
      for (int n = 0; n < Wide * pieces; ++n) sum[r][n] += left * right[n];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < Wide * pieces; ++n) {
      Vector before{};
      if (p.add) std::memcpy(&before, c + r * to + n * own, sizeof(Vector));
      sum[r][n] += before;
      std::memcpy(c + r * to + n * own, &sum[r][n], sizeof(Vector));
    }
  }
}

template <class T, int Bytes, int Rows, int Wide>
INLINED void tile_of(const Product<T>& p, int64_t row, int64_t rows, int64_t panel) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return tile_of<T, Bytes, Rows - 1, Wide>(p, row, rows, panel);
  }
  tile<T, Bytes, Rows, Wide>(p, row, panel);
}

// In tiles of at most `Rows` rows, as equal as can be, and `Wide` panels; of the last panels fewer.
template <class T, int Bytes, int Rows, int Wide>
INLINED void in_tiles(const Product<T>& p, int64_t panel = 0) {
  const int64_t parts = (p.rows + Rows - 1) / Rows;
  for (; panel + Wide <= p.count; panel += Wide) {
    for (int64_t part = 0; part < parts; ++part) {
      const auto [first, last] = share(p.rows, static_cast<int>(part), static_cast<int>(parts));
      tile_of<T, Bytes, Rows, Wide>(p, first, last - first, panel);
    }
  }
  if constexpr (Wide > 1) in_tiles<T, Bytes, Rows, Wide / 2>(p, panel);
}

// As many sums as there are registers for: 32 of 64 bytes, 16 of 32, 16 of 16.
#define WITH(bytes, target, rows, wide)                                                                 \
  target void multiply_##bytes(const Product<float>& p) { in_tiles<float, bytes, rows, wide>(p); }      \
  target void multiply_##bytes(const Product<double>& p) { in_tiles<double, bytes, rows, wide>(p); }

WITH(64, __attribute__((target("avx512f"))), 6, 4)
WITH(32, __attribute__((target("avx2,fma"))), 6, 1)
WITH(16, , 2, 1)

#undef WITH

template <class T>
void (*best())(const Product<T>&) {
  if (isa() == kAvx512) return multiply_64;
  if (isa() == kAvx2) return multiply_32;
  return multiply_16;
}

// A panel's rows from `first` to `last`: `columns` numbers of each, which begin `apart` numbers apart, then zeros.
template <class T>
void lay_out(const T* matrix, int64_t row_step, int64_t column_step, int64_t columns, int64_t first, int64_t last, T* panel) {
  constexpr int64_t lanes = Panels<T>::lanes;
  for (int64_t k = first; k < last; ++k) {
    T* to = panel + k * lanes;
    const T* row = matrix + k * row_step;
    for (int64_t j = 0; j < columns; ++j) to[j] = row[j * column_step];
    std::fill(to + columns, to + lanes, T(0));
  }
}

}  // namespace

template <class T>
Panels<T>::Panels(const T* matrix, int64_t depth, int64_t columns, bool transposed, int threads)
    : depth_(depth), panels_((columns + lanes - 1) / lanes), numbers_(block_of<T>(depth * panels_ * lanes)) {
  parallel(depth * columns < (1 << 15) ? 1 : threads, [&](int member, int members) {
    const auto [first, last] = share(panels_, member, members);
    for (int64_t p = first; p < last; ++p) {
      const int64_t start = p * lanes, real = std::min(lanes, columns - start);
      T* panel = numbers_.get() + p * depth * lanes;
      if (transposed) {
        lay_out(matrix + start * depth, 1, depth, real, 0, depth, panel);
      } else {
        lay_out(matrix + start, columns, 1, real, 0, depth, panel);
      }
    }
  });
}

template <class T>
void multiply(const Product<T>& product) {
  static const auto multiply_tiles = best<T>();
  multiply_tiles(product);
}

template <class T>
void Panels<T>::multiply(const T* a, int64_t from, int64_t rows, T* c, bool add) const {
  flambeau::multiply<T>({a, from, 1, rows, depth_, numbers_.get(), panels_, c, width(), add});
}

template void multiply(const Product<float>&);
template class Panels<float>;
template class Panels<double>;

}  // namespace flambeau
