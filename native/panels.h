// Products with a matrix that is multiplied over and over, and therefore laid out for it once.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace flambeau {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

template <class T>
using Block = std::unique_ptr<T[], Free>;

// Memory for `count` numbers, where vectors begin.
template <class T>
Block<T> block_of(int64_t count) {
  const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
  return Block<T>(static_cast<T*>(std::aligned_alloc(64, bytes ? bytes : 64)));
}

// A product that is set down as it lies in memory: a's rows begin `from` numbers apart, and a row's numbers are `step` apart; c's rows
// begin `apart` numbers apart.
template <class T>
struct Product {
  const T* a;
  int64_t from, step, rows, depth;
  const T* panels;
  int64_t count;  // of panels
  T* c;
  int64_t apart;
  bool add;  // c + a b instead of a b
};

template <class T>
void multiply(const Product<T>& product);

// A matrix (depth, columns), as panels of 64 bytes' worth of columns: each a run of rows, zeros behind the last column.
template <class T>
class Panels {
 public:
  static constexpr int64_t lanes = 64 / sizeof(T);

  // Of `matrix`, which is stored (columns, depth) if it is `transposed`.
  Panels(const T* matrix, int64_t depth, int64_t columns, bool transposed, int threads);

  // How many numbers a row of a product has: the columns, rounded up to whole panels.
  int64_t width() const { return panels_ * lanes; }

  // c = a b, or c + a b, for `rows` rows of a, which begin `from` numbers apart. Those of c are `width()` apart.
  void multiply(const T* a, int64_t from, int64_t rows, T* c, bool add) const;

 private:
  int64_t depth_, panels_;
  Block<T> numbers_;
};

}  // namespace flambeau
