// The loops of softmax.cc, which includes this for each instruction set.
//
// Where the numbers of a row are neighbours, a vector holds some of one row; else it holds one of each of neighbouring rows.

#include "beside.h"

// `width` rows, whose numbers lie `inner` apart.
template <class T>
struct Apart {
  int64_t length, inner, width;
  static constexpr T rest = 0;

  template <class Each>
  INLINED void all(Each each) const {
    for (int64_t k = 0; k < length; ++k) each(k * inner, k, width);
  }
  INLINED Vector<T> take(const T* x, int64_t i, int64_t n, T filled = rest) const { return taken(x + i, n, filled, int64_t{0}); }
  INLINED void give(Vector<T> v, T* y, int64_t i, int64_t n) const { given<T>(v, y + i, n, int64_t{0}); }
  INLINED Vector<T> most(Vector<T> v) const { return v; }
  template <class Term>
  INLINED Vector<T> sum(Term term) const {
    Vector<T> sum = {};
    for (int64_t start = 0; start < length; start += vectors_at_once) {
      Vector<T> part = {};
      for (int64_t k = start; k < std::min(length, start + vectors_at_once); ++k) part += term(k * inner, k, width);
      sum += part;
    }
    return sum;
  }
};

template <class T, class Set>
INLINED Vector<T> most_of(const T* x, Set set) {
  Vector<T> most = Vector<T>{} - std::numeric_limits<T>::infinity();
  set.all([&](int64_t i, int64_t, int64_t n) {
    const Vector<T> v = set.take(x, i, n);
    most = v > most ? v : most;
  });
  return set.most(most);
}

// The sum of exp(x - most), which is kept in `own`.
template <class T, class Set>
INLINED Vector<T> exponentials(const T* x, T* own, Vector<T> most, Set set) {
  return set.sum([&](int64_t i, int64_t k, int64_t n) {
    const Vector<T> e = exponential<T>(set.take(x, i, n) - most);
    stored(own + k * Lanes<T>::count, e);
    return e;
  });
}

template <class T>
INLINED Vector<T> logarithm_of(Vector<T> sums, int64_t n) {
  T each[Lanes<T>::count];
  stored(each, sums);
  for (int64_t k = 0; k < n; ++k) each[k] = T(std::log(double(each[k])));
  return loaded(each);
}
template <class T>
INLINED Vector<T> logarithm_of(Vector<T> sums, Beside<T>) { return Vector<T>{} + T(std::log(double(sums[0]))); }
template <class T>
INLINED Vector<T> logarithm_of(Vector<T> sums, Apart<T> set) { return logarithm_of<T>(sums, set.width); }

// ---------------------------------------------------------------- softmax

template <class T, class Set>
INLINED void softmax_of(const T* x, T* y, T* own, Set set, bool logarithm) {
  const Vector<T> most = most_of(x, set), sum = exponentials(x, own, most, set);
  if (logarithm) {
    const Vector<T> rest = logarithm_of<T>(sum, set);
    set.all([&](int64_t i, int64_t, int64_t n) { set.give((set.take(x, i, n) - most) - rest, y, i, n); });
  } else {
    set.all([&](int64_t i, int64_t k, int64_t n) { set.give(loaded(own + k * Lanes<T>::count) / sum, y, i, n); });
  }
}

template <class T, class Set>
INLINED void softmax_back_of(const T* x, const T* g, T* to, T* own, Set set, bool logarithm) {
  const Vector<T> most = most_of(x, set), sum = exponentials(x, own, most, set);
  if (logarithm) {
    const Vector<T> all = set.sum([&](int64_t i, int64_t, int64_t n) { return set.take(g, i, n, T(0)); });
    set.all([&](int64_t i, int64_t k, int64_t n) {
      set.give(set.take(g, i, n, T(0)) - loaded(own + k * Lanes<T>::count) / sum * all, to, i, n);
    });
  } else {
    const Vector<T> all = set.sum([&](int64_t i, int64_t k, int64_t n) {
      const Vector<T> p = loaded(own + k * Lanes<T>::count) / sum;
      stored(own + k * Lanes<T>::count, p);
      return p * set.take(g, i, n, T(0));
    });
    set.all([&](int64_t i, int64_t k, int64_t n) {
      set.give(loaded(own + k * Lanes<T>::count) * (set.take(g, i, n, T(0)) - all), to, i, n);
    });
  }
}

// `work(set, first row of it, how many, where it begins)` for the rows of a part.
template <class T, class Work>
INLINED void each_set(Rows rows, Work work) {
  if (rows.inner == 1) {
    for (int64_t r = rows.first; r < rows.last; ++r) {
      const int64_t at = r * rows.length;
      work(Beside<T>{rows.length, rows.all * rows.length - at, rows.last * rows.length - at}, r, int64_t{1}, at);
    }
    return;
  }
  for (int64_t r = rows.first; r < rows.last;) {
    const int64_t within = r % rows.inner, width = std::min({Lanes<T>::count, rows.inner - within, rows.last - r});
    work(Apart<T>{rows.length, rows.inner, width}, r, width, r / rows.inner * rows.length * rows.inner + within);
    r += width;
  }
}

template <class T>
void softmax(const T* x, T* y, T* own, Rows rows, bool logarithm) {
  each_set<T>(rows, [&](auto set, int64_t, int64_t, int64_t at) { softmax_of(x + at, y + at, own, set, logarithm); });
}

template <class T>
void softmax_back(const T* x, const T* g, T* to, T* own, Rows rows, bool logarithm) {
  each_set<T>(rows, [&](auto set, int64_t, int64_t, int64_t at) { softmax_back_of(x + at, g + at, to + at, own, set, logarithm); });
}

// ---------------------------------------------------------------- cross entropy

template <class T>
void entropy(const T* x, Targets<T> targets, T* losses, T* own, Rows rows) {
  each_set<T>(rows, [&](auto set, int64_t r, int64_t width, int64_t at) {
    const Vector<T> most = most_of(x + at, set), rest = logarithm_of<T>(exponentials(x + at, own, most, set), set);
    T low[Lanes<T>::count], high[Lanes<T>::count];
    stored(high, most);
    stored(low, rest);
    for (int64_t k = 0; k < width; ++k) {
      const T chosen = x[at + targets.of(r + k) * rows.inner + k];
      losses[r + k] = targets.counts(r + k) ? -((chosen - high[k]) - low[k]) * targets.weight(r + k) : T(0);
    }
  });
}

// `g` has a number for each row, or for all of them; `over` is what their sum was divided by.
template <class T>
void entropy_back(const T* x, Targets<T> targets, const T* g, bool each, T over, T* to, T* own, Rows rows) {
  each_set<T>(rows, [&](auto set, int64_t r, int64_t width, int64_t at) {
    T scales[Lanes<T>::count] = {};
    for (int64_t k = 0; k < width; ++k) {
      if (targets.counts(r + k)) scales[k] = g[each ? r + k : 0] / over * targets.weight(r + k);
    }
    const Vector<T> most = most_of(x + at, set), sum = exponentials(x + at, own, most, set);
    const Vector<T> scale = rows.inner == 1 ? Vector<T>{} + scales[0] : loaded(scales);
    set.all([&](int64_t i, int64_t k, int64_t n) { set.give(loaded(own + k * Lanes<T>::count) / sum * scale, to + at, i, n); });
    for (int64_t k = 0; k < width; ++k) to[at + targets.of(r + k) * rows.inner + k] -= scales[k];
  });
}
