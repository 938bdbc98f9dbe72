// The steps of small programs, each an operation over elements that lie in a row: what `run_step` runs. In the order in which they stand here:
// element by element, casts, reductions, what moves elements.

#include "small_steps.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "numbers.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

namespace flambeau::small {
namespace {

constexpr int64_t sizes_of[] = {1, 1, 2, 4, 8, 1, 4, 8};

template <class T>
using Round = typename std::conditional<std::is_integral<T>::value, uint64_t, T>::type;

template <class T, class R, class F>
INLINED bool one(const void* a, void* y, int64_t n, F f) {
  const T* const x = static_cast<const T*>(a);
  R* const z = static_cast<R*>(y);
  for (int64_t i = 0; i < n; ++i) z[i] = f(x[i]);
  return true;
}

template <class T, class R, class F>
INLINED bool two(const void* a, const void* b, void* y, int64_t n, F f) {
  const T *const p = static_cast<const T*>(a), *const q = static_cast<const T*>(b);
  R* const z = static_cast<R*>(y);
  for (int64_t i = 0; i < n; ++i) z[i] = f(p[i], q[i]);
  return true;
}

// Of two zeros the positive one is the larger. There is no nan among them (`kOrdinary`).
template <class T>
INLINED T larger(T p, T q) {
  if constexpr (std::is_floating_point<T>::value) {
    if (p == 0 && q == 0) return p + q;
  }
  return p > q ? p : q;
}
template <class T>
INLINED T smaller(T p, T q) {
  if constexpr (std::is_floating_point<T>::value) {
    if (p == 0 && q == 0) return -(-p + -q);
  }
  return p < q ? p : q;
}

// Neither a subnormal number nor the smallest normal one, which may have been rounded from one, nor nan, if that is not `allowed`.
template <class T, class Bits>
INLINED bool ordinary(const void* a, int64_t n, bool allowed) {
  Bits least, infinite;
  const T tiny = std::numeric_limits<T>::min(), inf = std::numeric_limits<T>::infinity();
  std::memcpy(&least, &tiny, sizeof least);
  std::memcpy(&infinite, &inf, sizeof infinite);
  const Bits* const x = static_cast<const Bits*>(a);
  Bits strange = 0;
  const Bits most = allowed ? std::numeric_limits<Bits>::max() : Bits(infinite << 1);
  for (int64_t i = 0; i < n; ++i) {
    const Bits size = x[i] << 1;
    strange |= Bits(size - 1 < (least << 1)) | Bits(size > most);
  }
  return strange == 0;
}

template <class T, class R>
INLINED bool convert(const void* a, void* y, int64_t n) {
  const T* const x = static_cast<const T*>(a);
  R* const z = static_cast<R*>(y);
  if constexpr (std::is_floating_point<T>::value && std::is_integral<R>::value && !std::is_same<R, bool>::value) {
    const T low = static_cast<T>(std::numeric_limits<R>::min()), high = static_cast<T>(-2) * static_cast<T>(std::numeric_limits<R>::min() / 2);
    const T most = std::is_signed<R>::value ? high : static_cast<T>(std::numeric_limits<R>::max());
    bool good = true;
    for (int64_t i = 0; i < n; ++i) good &= x[i] >= low && x[i] < most;
    if (!good) return false;
    for (int64_t i = 0; i < n; ++i) z[i] = static_cast<R>(x[i]);
    return true;
  } else if constexpr (std::is_same<R, bool>::value) {
    for (int64_t i = 0; i < n; ++i) z[i] = x[i] != T(0);
    return true;
  } else {
    for (int64_t i = 0; i < n; ++i) z[i] = static_cast<R>(x[i]);
    return true;
  }
}

template <class T>
bool convert_from(Type to, const void* a, void* y, int64_t n) {
  switch (to) {
    case kBool: return convert<T, bool>(a, y, n);
    case kInt8: return convert<T, int8_t>(a, y, n);
    case kInt16: return convert<T, int16_t>(a, y, n);
    case kInt32: return convert<T, int32_t>(a, y, n);
    case kInt64: return convert<T, int64_t>(a, y, n);
    case kUint8: return convert<T, uint8_t>(a, y, n);
    case kFloat: return convert<T, float>(a, y, n);
    case kDouble: return convert<T, double>(a, y, n);
    default: return false;
  }
}

bool converted(Type from, Type to, const void* a, void* y, int64_t n) {
  switch (from) {
    case kBool: return convert_from<bool>(to, a, y, n);
    case kInt8: return convert_from<int8_t>(to, a, y, n);
    case kInt16: return convert_from<int16_t>(to, a, y, n);
    case kInt32: return convert_from<int32_t>(to, a, y, n);
    case kInt64: return convert_from<int64_t>(to, a, y, n);
    case kUint8: return convert_from<uint8_t>(to, a, y, n);
    case kFloat: return convert_from<float>(to, a, y, n);
    case kDouble: return convert_from<double>(to, a, y, n);
    default: return false;
  }
}

// Reductions of rows: `count` rows of `more` numbers each.
template <class T, class F>
INLINED bool rows(const void* a, void* y, int64_t count, int64_t width, T first, F f) {
  const T* x = static_cast<const T*>(a);
  for (int64_t i = 0; i < count; ++i, x += width) {
    T made = first;
    for (int64_t j = 0; j < width; ++j) made = f(made, x[j]);
    static_cast<T*>(y)[i] = made;
  }
  return true;
}

template <class T, class I, class F>
INLINED bool places(const void* a, void* y, int64_t count, int64_t width, F better) {
  const T* x = static_cast<const T*>(a);
  for (int64_t i = 0; i < count; ++i, x += width) {
    int64_t best = 0;
    for (int64_t j = 1; j < width; ++j) {
      if (better(x[j], x[best])) best = j;
    }
    static_cast<I*>(y)[i] = static_cast<I>(best);
  }
  return true;
}

// Sums of `count` rows in the order of XLA's: one element after the other, and of more than 32 in windows of so many, with zeros before the
// first and after the last.
template <class T>
INLINED bool totals(const void* a, void* y, int64_t count, int64_t width) {
  constexpr int64_t window = 32;
  const T* x = static_cast<const T*>(a);
  for (int64_t i = 0; i < count; ++i, x += width) {
    T made = 0;
    if (width <= window) {
      for (int64_t j = 0; j < width; ++j) made += x[j];
    } else {
      const int64_t windows = (width + window - 1) / window, before = (windows * window - width) / 2;
      for (int64_t w = 0; w < windows; ++w) {
        const int64_t first = std::max<int64_t>(w * window - before, 0), last = std::min((w + 1) * window - before, width);
        T part = 0;
        for (int64_t j = first; j < last; ++j) part += x[j];
        made += part;
      }
    }
    static_cast<T*>(y)[i] = made;
  }
  return true;
}

template <class T>
bool computed(const Step& s, const void* a, const void* b, void* y) {
  const int64_t n = s.count;
  using U = Round<T>;
  constexpr bool whole = std::is_integral<T>::value && !std::is_same<T, bool>::value;
  constexpr bool real = std::is_floating_point<T>::value;
  switch (s.code) {
    case kEq: return two<T, bool>(a, b, y, n, [](T p, T q) { return p == q; });
    case kNe: return two<T, bool>(a, b, y, n, [](T p, T q) { return p != q; });
    case kLt: return two<T, bool>(a, b, y, n, [](T p, T q) { return p < q; });
    case kLe: return two<T, bool>(a, b, y, n, [](T p, T q) { return p <= q; });
    case kGt: return two<T, bool>(a, b, y, n, [](T p, T q) { return p > q; });
    case kGe: return two<T, bool>(a, b, y, n, [](T p, T q) { return p >= q; });
    case kMax: return two<T, T>(a, b, y, n, [](T p, T q) { return larger(p, q); });
    case kMin: return two<T, T>(a, b, y, n, [](T p, T q) { return smaller(p, q); });
    default: break;
  }
  if constexpr (whole || real) {
    switch (s.code) {
      case kAdd: return two<T, T>(a, b, y, n, [](T p, T q) { return T(U(p) + U(q)); });
      case kSub: return two<T, T>(a, b, y, n, [](T p, T q) { return T(U(p) - U(q)); });
      case kMul: return two<T, T>(a, b, y, n, [](T p, T q) { return T(U(p) * U(q)); });
      default: break;
    }
  }
  if constexpr (real) {
    switch (s.code) {
      case kDiv: return two<T, T>(a, b, y, n, [](T p, T q) { return p / q; });
      case kRem: return two<T, T>(a, b, y, n, [](T p, T q) { return std::fmod(p, q); });  // of what is `kOrdinary`
      case kTotal: return totals<T>(a, y, n, s.more);
      case kFloor: return one<T, T>(a, y, n, [](T p) { return std::floor(p); });
      case kCeil: return one<T, T>(a, y, n, [](T p) { return std::ceil(p); });
      case kRoundEven: return one<T, T>(a, y, n, [](T p) { return std::nearbyint(p); });
      case kRoundAway: return one<T, T>(a, y, n, [](T p) { return std::round(p); });
      case kSqrt: return one<T, T>(a, y, n, [](T p) { return std::sqrt(p); });
      case kIsFinite: return one<T, bool>(a, y, n, [](T p) { return p - p == 0; });
      default: break;
    }
  }
  if constexpr (std::is_same<T, bool>::value || whole) {
    switch (s.code) {
      case kAnd: return two<T, T>(a, b, y, n, [](T p, T q) { return T(p & q); });
      case kOr: return two<T, T>(a, b, y, n, [](T p, T q) { return T(p | q); });
      case kXor: return two<T, T>(a, b, y, n, [](T p, T q) { return T(p ^ q); });
      case kAll: return rows<T>(a, y, n, s.more, std::is_same<T, bool>::value ? T(1) : T(-1), [](T p, T q) { return T(p & q); });
      case kAny: return rows<T>(a, y, n, s.more, T(0), [](T p, T q) { return T(p | q); });
      case kNot:
        if constexpr (whole) return one<T, T>(a, y, n, [](T p) { return T(~p); });
        return one<T, T>(a, y, n, [](T p) { return T(!p); });
      default: break;
    }
  }
  if constexpr (whole) {
    switch (s.code) {
      case kDiv: return two<T, T>(a, b, y, n, [](T p, T q) { return T(p / q); });  // after `kNotZero`
      case kRem: return two<T, T>(a, b, y, n, [](T p, T q) { return T(p % q); });
      case kSum: return rows<T>(a, y, n, s.more, T(0), [](T p, T q) { return T(U(p) + U(q)); });
      case kProduct: return rows<T>(a, y, n, s.more, T(1), [](T p, T q) { return T(U(p) * U(q)); });
      case kNotZero: {  // and no number that has no opposite, by -1
        const T *const p = static_cast<const T*>(a), *const q = static_cast<const T*>(b);
        for (int64_t i = 0; i < n; ++i) {
          if (q[i] == 0 || (std::is_signed<T>::value && q[i] == T(-1) && p[i] == std::numeric_limits<T>::min())) return false;
        }
        return true;
      }
      case kInside: {
        const T* const x = static_cast<const T*>(a);
        bool good = true;
        for (int64_t i = 0; i < n; ++i) good &= x[i] >= 0 && static_cast<int64_t>(x[i]) <= s.more;
        return good;
      }
      case kWithin: {
        const T* const x = static_cast<const T*>(a);
        bool good = true;
        for (int64_t i = 0; i < n; ++i) good &= static_cast<int64_t>(x[i]) <= s.more && static_cast<int64_t>(x[i]) >= -s.more;
        return good;
      }
      default: break;
    }
  }
  if constexpr ((whole && std::is_signed<T>::value) || real) {
    switch (s.code) {
      case kNeg:
        return real ? one<T, T>(a, y, n, [](T p) { return -p; }) : one<T, T>(a, y, n, [](T p) { return T(U(0) - U(p)); });
      case kAbs:
        return real ? one<T, T>(a, y, n, [](T p) { return T(std::fabs(p)); })
                    : one<T, T>(a, y, n, [](T p) { return T(p < 0 ? U(0) - U(p) : U(p)); });
      case kSign: return one<T, T>(a, y, n, [](T p) { return p > 0 ? T(1) : p < 0 ? T(-1) : p; });
      default: break;
    }
  }
  switch (s.code) {
    case kLargest: {
      const T* x = static_cast<const T*>(a);
      for (int64_t i = 0; i < n; ++i, x += s.more) {
        T made = *x;
        for (int64_t j = 1; j < s.more; ++j) made = larger(made, x[j]);
        static_cast<T*>(y)[i] = made;
      }
      return true;
    }
    case kSmallest: {
      const T* x = static_cast<const T*>(a);
      for (int64_t i = 0; i < n; ++i, x += s.more) {
        T made = *x;
        for (int64_t j = 1; j < s.more; ++j) made = smaller(made, x[j]);
        static_cast<T*>(y)[i] = made;
      }
      return true;
    }
    case kArgmax:
      return s.other == kInt32 ? places<T, int32_t>(a, y, n, s.more, [](T p, T q) { return p > q; })
                               : places<T, int64_t>(a, y, n, s.more, [](T p, T q) { return p > q; });
    case kArgmin:
      return s.other == kInt32 ? places<T, int32_t>(a, y, n, s.more, [](T p, T q) { return p < q; })
                               : places<T, int64_t>(a, y, n, s.more, [](T p, T q) { return p < q; });
    default: return false;
  }
}

template <class T>
INLINED void take(const int64_t* how, const T* from, T* to) {  // rank, start, sizes, steps
  const int64_t rank = how[0];
  from += how[1];
  const int64_t *const sizes = how + 2, *const steps = how + 2 + rank;
  if (rank == 0) {
    *to = *from;
    return;
  }
  const int64_t last = sizes[rank - 1], step = steps[rank - 1];
  int64_t at[most_dimensions] = {};
  for (;;) {
    if (step == 0) std::fill(to, to + last, *from);
    else if (step == 1) std::copy(from, from + last, to);
    else
      for (int64_t i = 0; i < last; ++i) to[i] = from[i * step];
    to += last;
    int64_t d = rank - 2;
    for (; d >= 0; --d) {
      from += steps[d];
      if (++at[d] < sizes[d]) break;
      from -= steps[d] * sizes[d];
      at[d] = 0;
    }
    if (d < 0) return;
  }
}

template <class T>
INLINED void put(const int64_t* how, const T* from, T* to, int64_t pace = 1) {
  const int64_t rank = how[0];
  to += how[1];
  const int64_t *const sizes = how + 2, *const steps = how + 2 + rank;
  int64_t count = 1, at[most_dimensions] = {};
  for (int64_t d = 0; d < rank; ++d) count *= sizes[d];
  for (int64_t i = 0; i < count; ++i) {
    *to = from[i * pace];
    for (int64_t d = rank - 1; d >= 0; --d) {
      to += steps[d];
      if (++at[d] < sizes[d]) break;
      to -= steps[d] * sizes[d];
      at[d] = 0;
    }
  }
}

template <class T>
INLINED void select(const void* which, const void* no, const void* yes, void* y, int64_t n) {
  const bool* const w = static_cast<const bool*>(which);
  const T *const p = static_cast<const T*>(no), *const q = static_cast<const T*>(yes);
  for (int64_t i = 0; i < n; ++i) static_cast<T*>(y)[i] = w[i] ? q[i] : p[i];
}

// Elements by their places, which were looked at (`kInside`).
template <class T>
INLINED void pick(const T* from, const void* places, T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[static_cast<const int64_t*>(places)[i]];
}
template <class T>
INLINED void lay(const T* from, const void* places, T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[static_cast<const int64_t*>(places)[i]] = from[i];
}

#define BY_SIZE(size, call)                      \
  switch (size) {                                \
    case 1: { using T = uint8_t; call; } break;  \
    case 2: { using T = uint16_t; call; } break; \
    case 4: { using T = uint32_t; call; } break; \
    default: { using T = uint64_t; call; }       \
  }

}  // namespace

bool run_step(const Step& s, const int64_t* extra, char* const* at) {
  const void *const a = at[s.a], *const b = at[s.b];
  void* const y = at[s.result];
  const int64_t size = sizes_of[s.type];
  switch (s.code) {
    case kTake: BY_SIZE(size, take(extra + s.more, static_cast<const T*>(a), static_cast<T*>(y))); return true;
    case kPut: BY_SIZE(size, put(extra + s.more, static_cast<const T*>(a), static_cast<T*>(y))); return true;
    case kPick: BY_SIZE(size, pick(static_cast<const T*>(a), b, static_cast<T*>(y), s.count)); return true;
    case kLay: BY_SIZE(size, lay(static_cast<const T*>(a), b, static_cast<T*>(y), s.count)); return true;
    case kSelect: BY_SIZE(size, select<T>(a, b, at[s.c], y, s.count)); return true;
    case kConvert: return converted(s.type, s.other, a, y, s.count);
    case kOrdinary: return s.type == kFloat ? ordinary<float, uint32_t>(a, s.count, s.more != 0) : ordinary<double, uint64_t>(a, s.count, s.more != 0);
    default: break;
  }
  switch (s.type) {
    case kBool: return computed<bool>(s, a, b, y);
    case kInt8: return computed<int8_t>(s, a, b, y);
    case kInt16: return computed<int16_t>(s, a, b, y);
    case kInt32: return computed<int32_t>(s, a, b, y);
    case kInt64: return computed<int64_t>(s, a, b, y);
    case kUint8: return computed<uint8_t>(s, a, b, y);
    case kFloat: return computed<float>(s, a, b, y);
    case kDouble: return computed<double>(s, a, b, y);
    default: return false;
  }
}

void put_elements(int64_t size, const int64_t* how, const char* from, void* to, int64_t steps) {
  BY_SIZE(size, put(how, reinterpret_cast<const T*>(from), static_cast<T*>(to), steps));
}

}  // namespace flambeau::small
