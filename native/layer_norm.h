// The loops of layer_norm.cc, which includes this for each instruction set.

#include "beside.h"

template <class T>
INLINED Beside<T> row_of(const Norm& n, int64_t row, int64_t last) {
  return {n.length, (n.rows - row) * n.length, (last - row) * n.length};
}

// The sum of a row's terms, in four sums at a time: one would wait for itself.
template <class T, class Term>
INLINED T sum_of(Beside<T> set, Term term) {
  constexpr int64_t count = Lanes<T>::count, at_once = 4, block = vectors_at_once * count;
  double sum = 0;
  for (int64_t start = 0; start < set.length; start += block) {
    const int64_t end = std::min(set.length, start + block);
    Vector<T> parts[at_once] = {};
    int64_t i = start;
    for (; i + at_once * count <= end; i += at_once * count) {
#pragma GCC unroll 4
      for (int64_t k = 0; k < at_once; ++k) parts[k] += term(i + k * count, count);
    }
    for (; i < end; i += count) parts[0] += term(i, set.length - i);
    sum += double(total<T>((parts[0] + parts[1]) + (parts[2] + parts[3])));
  }
  return T(sum);
}

// A row's mean, and what its numbers are multiplied with, given as that of all numbers of a vector.
template <class T>
INLINED void moments(const T* x, Beside<T> set, const Norm& n, T& mean, T& scale) {
  mean = sum_of(set, [&](int64_t i, int64_t left) { return set.take(x, i, left, T(0)); }) / T(n.length);
  const Vector<T> middle = Vector<T>{} + mean;
  const T square = sum_of(set, [&](int64_t i, int64_t left) {
    const Vector<T> d = set.take(x, i, left, mean) - middle;
    return d * d;
  }) / T(n.length);
  scale = T(1) / std::sqrt(square + T(n.eps));
}

template <class T>
void layer_norm(const T* x, const T* weight, const T* bias, T* y, const Norm& n, int64_t first, int64_t last) {
  const Beside<T> one{n.length, n.length, 0};
  for (int64_t r = first; r < last; ++r) {
    const Beside<T> set = row_of<T>(n, r, last);
    const T* from = x + r * n.length;
    T mean, scale;
    moments(from, set, n, mean, scale);
    set.all([&](int64_t i, int64_t, int64_t left) {
      Vector<T> v = (set.take(from, i, left, T(0)) - mean) * scale;
      if (weight) v = v * one.take(weight, i, left, T(0));
      if (bias) v = v + one.take(bias, i, left, T(0));
      set.give(v, y + r * n.length, i, left);
    });
  }
}

// The gradient by the rows, where it is asked for, and their means and scales.
template <class T>
void layer_norm_back(const T* x, const T* g, const T* weight, T* to, T* means, T* scales, const Norm& n, int64_t first, int64_t last) {
  const Beside<T> one{n.length, n.length, 0};
  for (int64_t r = first; r < last; ++r) {
    const Beside<T> set = row_of<T>(n, r, last);
    const T *from = x + r * n.length, *over = g + r * n.length;
    T mean, scale;
    moments(from, set, n, mean, scale);
    means[r] = mean;
    scales[r] = scale;
    if (!to) continue;
    const auto y = [&](int64_t i, int64_t left) { return (set.take(from, i, left, mean) - mean) * scale; };
    const auto dy = [&](int64_t i, int64_t left) {
      const Vector<T> v = set.take(over, i, left, T(0));
      return weight ? v * one.take(weight, i, left, T(0)) : v;
    };
    const T shift = sum_of(set, dy) / T(n.length);
    const T stretch = sum_of(set, [&](int64_t i, int64_t left) { return dy(i, left) * y(i, left); }) / T(n.length);
    set.all([&](int64_t i, int64_t, int64_t left) {
      set.give(scale * (dy(i, left) - shift - y(i, left) * stretch), to + r * n.length, i, left);
    });
  }
}

// The gradients by weight and bias, each where it is asked for, of the columns of some vectors: sums over all rows, in their order.
template <class T>
void layer_norm_columns(const T* x, const T* g, const T* means, const T* scales, T* by_weight, T* by_bias, const Norm& n,
                        int64_t first, int64_t last) {
  constexpr int64_t count = Lanes<T>::count, wide = sizeof(double) / sizeof(T);
  for (int64_t i = first * count; i < std::min(last * count, n.length); i += count) {
    const int64_t left = n.length - i;
    double weights[count] = {}, biases[count] = {};
    for (int64_t start = 0; start < n.rows; start += vectors_at_once * wide) {
      Vector<T> weighted = {}, plain = {};
      for (int64_t r = start; r < std::min(n.rows, start + vectors_at_once * wide); ++r) {
        const int64_t at = r * n.length + i, room = n.rows * n.length - at;
        const Vector<T> v = taken(g + at, left, T(0), room);
        weighted += v * ((taken(x + at, left, means[r], room) - means[r]) * scales[r]);
        plain += v;
      }
      for (int64_t k = 0; k < count; ++k) weights[k] += double(weighted[k]), biases[k] += double(plain[k]);
    }
    for (int64_t k = 0; k < std::min(count, left); ++k) {
      if (by_weight) by_weight[i + k] = T(weights[k]);
      if (by_bias) by_bias[i + k] = T(biases[k]);
    }
  }
}
