// Rows whose numbers are neighbours, read in vectors; for files that are included for each instruction set (see each_isa.h).

#include "lanes.h"

// The next `n` numbers, filled up with `rest`. Of `room` numbers nothing happens if they are read, or written, too.
template <class T>
INLINED Vector<T> taken(const T* from, int64_t n, T rest, int64_t room) {
  if (n >= Lanes<T>::count) return loaded(from);
  if (room >= Lanes<T>::count) return upto<T>(n) ? loaded(from) : Vector<T>{} + rest;
  T part[Lanes<T>::count];
  for (int64_t k = 0; k < Lanes<T>::count; ++k) part[k] = k < n ? from[k] : rest;
  return loaded(part);
}

template <class T>
INLINED void given(Vector<T> v, T* to, int64_t n, int64_t room) {
  if (n >= Lanes<T>::count || room >= Lanes<T>::count) return stored(to, v);
  T part[Lanes<T>::count];
  stored(part, v);
  for (int64_t k = 0; k < n; ++k) to[k] = part[k];
}

// A row whose numbers are neighbours: `each` is called for its vectors, with their place and number, and how many numbers they have; of whole
// vectors the compiler knows it. Behind it are other rows, of which `readable` are there, and `writable` numbers will be written later by
// this thread.
template <class T>
struct Beside {
  int64_t length, readable, writable;
  static constexpr T rest = -std::numeric_limits<T>::infinity();

  template <class Each>
  INLINED void all(Each each) const {
    int64_t i = 0, k = 0;
    for (; i + Lanes<T>::count <= length; i += Lanes<T>::count, ++k) each(i, k, Lanes<T>::count);
    if (i < length) each(i, k, length - i);
  }
  INLINED Vector<T> take(const T* x, int64_t i, int64_t n, T filled = rest) const { return taken(x + i, n, filled, readable - i); }
  INLINED void give(Vector<T> v, T* y, int64_t i, int64_t n) const { given<T>(v, y + i, n, writable - i); }
  INLINED Vector<T> most(Vector<T> v) const { return Vector<T>{} + peak(v); }
  template <class Term>
  INLINED Vector<T> sum(Term term) const {
    double sum = 0;
    constexpr int64_t block = vectors_at_once * Lanes<T>::count;
    for (int64_t start = 0, k = 0; start < length; start += block) {
      Vector<T> part = {};
      for (int64_t i = start; i < std::min(length, start + block); i += Lanes<T>::count, ++k) part += term(i, k, length - i);
      sum += double(total<T>(part));
    }
    return Vector<T>{} + T(sum);
  }
};
