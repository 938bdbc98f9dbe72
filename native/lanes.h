// Vectors of numbers, for files that are included for each instruction set (see each_isa.h), and anew for each as they are.

constexpr int64_t vector_bytes = 64;
constexpr int64_t vectors_at_once = 16;  // that are added up in the numbers' own precision; sums of these in double

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Vector __attribute__((vector_size(vector_bytes)));
  typedef int32_t Whole __attribute__((vector_size(vector_bytes)));
  static constexpr int64_t count = 16;
  static constexpr int digits = 23, bias = 127, terms = 7;
  static constexpr float least = -104, to_whole = 0x1.8p23f, ln2 = 0x1.62e4p-1f, ln2_rest = 0x1.7f7d1cp-20f;
};
template <>
struct Lanes<double> {
  typedef double Vector __attribute__((vector_size(vector_bytes)));
  typedef int64_t Whole __attribute__((vector_size(vector_bytes)));
  static constexpr int64_t count = 8;
  static constexpr int digits = 52, bias = 1023, terms = 13;
  static constexpr double least = -746, to_whole = 0x1.8p52, ln2 = 0x1.62e42feep-1, ln2_rest = 0x1.a39ef35793c76p-33;
};
template <class T>
using Vector = typename Lanes<T>::Vector;

template <class T>
INLINED int64_t padded(int64_t n) { return (n + Lanes<T>::count - 1) / Lanes<T>::count * Lanes<T>::count; }

template <class T>
INLINED Vector<T> loaded(const T* from) {
  Vector<T> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class T>
INLINED void stored(T* to, Vector<T> v) { std::memcpy(to, &v, sizeof v); }

// Which of a vector's numbers are the first `n`.
template <class T>
INLINED typename Lanes<T>::Whole upto(int64_t n) {
  typename Lanes<T>::Whole place;
  for (int k = 0; k < Lanes<T>::count; ++k) place[k] = k;
  return place < decltype(place[0] + 0)(n);
}

// The vector with its second half in the place of the first, and so on for halves of that.
INLINED Lanes<float>::Vector turned(Lanes<float>::Vector v, int by) {
  return by == 8   ? __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
         : by == 4 ? __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
         : by == 2 ? __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
                   : __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
}
INLINED Lanes<double>::Vector turned(Lanes<double>::Vector v, int by) {
  return by == 4   ? __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
         : by == 2 ? __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
                   : __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
}

template <class T>
INLINED T total(Vector<T> v) {
#pragma GCC unroll 4
  for (int by = Lanes<T>::count / 2; by; by /= 2) v += turned(v, by);
  return v[0];
}

constexpr double inverse_factorial(int n) { return n < 2 ? 1 : inverse_factorial(n - 1) / n; }

// exp of numbers that are not above some 80, within a unit of the last digit: Taylor's series of what a multiple of ln 2 leaves over.
template <class T>
INLINED Vector<T> exponential(Vector<T> x) {
  using L = Lanes<T>;
  using Whole = typename L::Whole;
  const Vector<T> zero = {}, least = zero + L::least, to_whole = zero + L::to_whole;
  x = x < least ? least : x;
  const Vector<T> shifted = x * T(1.4426950408889634) + to_whole, n = shifted - to_whole;
  const Vector<T> r = (x - n * L::ln2) - n * L::ln2_rest;
  Vector<T> sum = zero + T(inverse_factorial(L::terms));
#pragma GCC unroll 16
  for (int k = L::terms - 1; k >= 0; --k) sum = sum * r + T(inverse_factorial(k));
  const Whole power = (Whole)shifted - (Whole)to_whole, half = power >> 1;  // in two steps: the result may be subnormal
  const Vector<T> first = (Vector<T>)((half + L::bias) << L::digits), second = (Vector<T>)((power - half + L::bias) << L::digits);
  return sum * first * second;
}

// The largest number of a vector; nan is passed over.
template <class V>
INLINED auto peak(V v) {
#pragma GCC unroll 4
  for (int by = sizeof(V) / sizeof(v[0]) / 2; by; by /= 2) {
    const V other = turned(v, by);
    v = other > v ? other : v;
  }
  return v[0];
}
