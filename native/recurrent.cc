// Recurrent layers: all steps of one layer in one direction, and their derivative, backwards through the steps.
//
// Sequences do not know of each other, so each thread takes some of them through all steps. At a step the hidden state's
// product is made in tiles (panels.h), and one pass over its result makes the gates and the next state of it.
// Arrays are (steps, batch, numbers); what a kind of cell has not is an array without elements.

#include <algorithm>
#include <cstring>
#include <vector>

#include "attributes.h"
#include "numbers.h"
#include "panels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

enum Kind : int64_t { kLstm, kGru, kTanh, kRelu };  // in the order of `KINDS` in recurrent.py

constexpr int64_t gates_of[] = {4, 3, 1, 1};
constexpr double small_problem = 1e6;  // multiply-adds: fewer are left to the thread that asks
constexpr int64_t least_rows = 4;      // sequences that make a thread worth its own pass over the weights

// ---------------------------------------------------------------- exponentials

template <class T>
struct Exponent;

template <>
struct Exponent<float> {
  using Bits = uint32_t;
  static constexpr int shift = 23, terms = 7;
  static constexpr float round = 0x1.8p23f, high = 0.693115234375f, low = 3.1946184945309415e-05f, most = 87.0f;
};

template <>
struct Exponent<double> {
  using Bits = uint64_t;
  static constexpr int shift = 52, terms = 13;
  static constexpr double round = 0x1.8p52, high = 0x1.62e42feep-1, low = 1.9082149292705877e-10, most = 708.0;
};

constexpr double reciprocal_factorial(int n) { return n ? reciprocal_factorial(n - 1) / n : 1; }

// The Taylor series of (e^x - 1) / x around zero, from its term number `First` on.
template <class T, int First = 1>
INLINED T series(T x) {
  constexpr T coefficient = static_cast<T>(reciprocal_factorial(First));
  if constexpr (First == Exponent<T>::terms) {
    return coefficient;
  } else {
    return coefficient + x * series<T, First + 1>(x);
  }
}

// e^x = scale (1 + rest): a power of two, and what is left. x is within +-`most`.
template <class T>
INLINED void exponential(T x, T* scale, T* rest) {
  using E = Exponent<T>;
  const T number = x * T(1.4426950408889634) + E::round;
  const T power = number - E::round;
  const T r = (x - power * E::high) - power * E::low;
  *rest = r * series(r);
  typename E::Bits bits, one;
  const T unit = T(1);
  std::memcpy(&bits, &number, sizeof bits);
  std::memcpy(&one, &unit, sizeof one);
  bits = (bits << E::shift) + one;
  std::memcpy(scale, &bits, sizeof bits);
}

template <class T>
INLINED T sigmoid(T x) {
  constexpr T most = Exponent<T>::most;
  T scale, rest;
  const T least = x > most ? most : x;
  exponential(least < -most ? most : -least, &scale, &rest);
  return T(1) / (T(1) + (scale + scale * rest));
}

// Not std's: those of <cmath> were compiled with other options, which loops that they come into then have, too.
INLINED float with_sign(float x, float sign) { return __builtin_copysignf(x, sign); }
INLINED double with_sign(double x, double sign) { return __builtin_copysign(x, sign); }

template <class T>
INLINED T hyperbolic(T x) {
  constexpr T most = sizeof(T) == 4 ? T(20) : T(40);  // from here on it is 1
  const T twice = with_sign(x, T(1)) * T(2);
  T scale, rest;
  exponential(twice > most ? most : twice, &scale, &rest);
  const T less_one = (scale - T(1)) + scale * rest;  // of e^2x, with all digits also near zero
  return with_sign(less_one / (less_one + T(2)), x);
}

// ---------------------------------------------------------------- one step of some sequences

template <class T>
struct Step {
  int64_t rows, units, sums_apart, hidden_apart, carry_apart;
  const T *x, *sums, *bias, *share_bias;  // `share_bias`: what the reset gate acts on, too
  const T *h_before, *c_before;
  T *h, *c, *gates, *share;
};

template <class T>
struct BackStep {
  int64_t rows, units, carry_apart;
  const T *gates, *share, *h_before, *c_before, *h, *c, *by_c;
  const T* by_h;    // what has arrived at the new hidden state before projection; rows `carry_apart` apart
  T* carry;         // gets what goes on to the old one past the product
  T* carry_c;
  T *by_x, *by_share;
};

#define EACH_ROW for (int64_t r = 0; r < s.rows; ++r)
#define EACH_UNIT _Pragma("GCC ivdep") for (int64_t j = 0; j < n; ++j)

template <class T>
INLINED void lstm_step(const Step<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T *x = s.x + r * 4 * n, *sums = s.sums + r * s.sums_apart, *before = s.c_before + r * n, *bias = s.bias;
    T *gates = s.gates + r * 4 * n, *c = s.c + r * n, *h = s.h + r * s.hidden_apart;
    EACH_UNIT {
      const T i = sigmoid(x[j] + sums[j] + bias[j]);
      const T f = sigmoid(x[n + j] + sums[n + j] + bias[n + j]);
      const T u = hyperbolic(x[2 * n + j] + sums[2 * n + j] + bias[2 * n + j]);
      const T o = sigmoid(x[3 * n + j] + sums[3 * n + j] + bias[3 * n + j]);
      const T cell = f * before[j] + i * u;
      gates[j] = i;
      gates[n + j] = f;
      gates[2 * n + j] = u;
      gates[3 * n + j] = o;
      c[j] = cell;
      h[j] = o * hyperbolic(cell);
    }
  }
}

template <class T>
INLINED void lstm_back(const BackStep<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T *gates = s.gates + r * 4 * n, *before = s.c_before + r * n, *c = s.c + r * n, *by_h = s.by_h + r * s.carry_apart;
    const T* by_c = s.by_c + r * n;
    T *carry = s.carry_c + r * n, *by_x = s.by_x + r * 4 * n;
    EACH_UNIT {
      const T i = gates[j], f = gates[n + j], u = gates[2 * n + j], o = gates[3 * n + j];
      const T shown = hyperbolic(c[j]);
      const T by_cell = carry[j] + by_c[j] + by_h[j] * o * (T(1) - shown * shown);
      by_x[j] = by_cell * u * i * (T(1) - i);
      by_x[n + j] = by_cell * before[j] * f * (T(1) - f);
      by_x[2 * n + j] = by_cell * i * (T(1) - u * u);
      by_x[3 * n + j] = by_h[j] * shown * o * (T(1) - o);
      carry[j] = by_cell * f;
    }
  }
}

template <class T>
INLINED void gru_step(const Step<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T *x = s.x + r * 3 * n, *sums = s.sums + r * s.sums_apart, *before = s.h_before + r * n, *bias = s.bias;
    T *gates = s.gates + r * 3 * n, *share = s.share + r * n, *h = s.h + r * n;
    EACH_UNIT {
      const T reset = sigmoid(x[j] + sums[j] + bias[j]);
      const T update = sigmoid(x[n + j] + sums[n + j] + bias[n + j]);
      const T own = sums[2 * n + j] + s.share_bias[j];
      const T candidate = hyperbolic(x[2 * n + j] + bias[2 * n + j] + reset * own);
      gates[j] = reset;
      gates[n + j] = update;
      gates[2 * n + j] = candidate;
      share[j] = own;
      h[j] = candidate + update * (before[j] - candidate);
    }
  }
}

template <class T>
INLINED void gru_back(const BackStep<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T *gates = s.gates + r * 3 * n, *share = s.share + r * n, *before = s.h_before + r * n;
    T *carry = s.carry + r * s.carry_apart, *by_x = s.by_x + r * 3 * n, *by_share = s.by_share + r * 3 * n;
    EACH_UNIT {
      const T reset = gates[j], update = gates[n + j], candidate = gates[2 * n + j], by_h = carry[j];
      const T into = by_h * (T(1) - update) * (T(1) - candidate * candidate);
      const T by_reset = into * share[j] * reset * (T(1) - reset);
      const T by_update = by_h * (before[j] - candidate) * update * (T(1) - update);
      by_x[j] = by_share[j] = by_reset;
      by_x[n + j] = by_share[n + j] = by_update;
      by_x[2 * n + j] = into;
      by_share[2 * n + j] = into * reset;
      carry[j] = by_h * update;
    }
  }
}

template <class T>
INLINED void tanh_step(const Step<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T *x = s.x + r * n, *sums = s.sums + r * s.sums_apart;
    T* h = s.h + r * n;
    EACH_UNIT h[j] = hyperbolic(x[j] + sums[j] + s.bias[j]);
  }
}

template <class T>
INLINED void tanh_back(const BackStep<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T* h = s.h + r * n;
    T *carry = s.carry + r * s.carry_apart, *by_x = s.by_x + r * n;
    EACH_UNIT {
      by_x[j] = carry[j] * (T(1) - h[j] * h[j]);
      carry[j] = T(0);
    }
  }
}

template <class T>
INLINED void relu_step(const Step<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T *x = s.x + r * n, *sums = s.sums + r * s.sums_apart;
    T* h = s.h + r * n;
    EACH_UNIT {
      const T sum = x[j] + sums[j] + s.bias[j];
      h[j] = sum < T(0) ? T(0) : sum;  // NaN stays
    }
  }
}

template <class T>
INLINED void relu_back(const BackStep<T>& s) {
  const int64_t n = s.units;
  EACH_ROW {
    const T* h = s.h + r * n;
    T *carry = s.carry + r * s.carry_apart, *by_x = s.by_x + r * n;
    EACH_UNIT {
      by_x[j] = h[j] > T(0) ? carry[j] : T(0);
      carry[j] = T(0);
    }
  }
}

#undef EACH_UNIT
#undef EACH_ROW

#define FOR_BOTH(name, argument)                                     \
  VECTORISED(void, run_##name, (const argument<float>& s), (s)) { name(s); }  \
  VECTORISED(void, run_##name, (const argument<double>& s), (s)) { name(s); }

FOR_BOTH(lstm_step, Step)
FOR_BOTH(gru_step, Step)
FOR_BOTH(tanh_step, Step)
FOR_BOTH(relu_step, Step)
FOR_BOTH(lstm_back, BackStep)
FOR_BOTH(gru_back, BackStep)
FOR_BOTH(tanh_back, BackStep)
FOR_BOTH(relu_back, BackStep)

#undef FOR_BOTH

template <class T>
void run_step(Kind kind, const Step<T>& s) {
  switch (kind) {
    case kLstm: return run_lstm_step(s);
    case kGru: return run_gru_step(s);
    case kTanh: return run_tanh_step(s);
    case kRelu: return run_relu_step(s);
  }
}

template <class T>
void run_back(Kind kind, const BackStep<T>& s) {
  switch (kind) {
    case kLstm: return run_lstm_back(s);
    case kGru: return run_gru_back(s);
    case kTanh: return run_tanh_back(s);
    case kRelu: return run_relu_back(s);
  }
}

// ---------------------------------------------------------------- all steps

struct Sizes {
  Kind kind;
  bool reverse;
  int64_t steps, batch, units, hidden;  // `hidden`: of the hidden state, which a projection makes smaller

  int64_t sums() const { return gates_of[kind] * units; }
  bool projects() const { return hidden != units; }
  // The step that comes at this place in the order of time of this direction.
  int64_t at(int64_t place) const { return reverse ? steps - 1 - place : place; }

  int threads() const {
    if (double(steps) * double(batch) * double(sums()) * double(hidden) < small_problem) return 1;
    return static_cast<int>(std::clamp<int64_t>(batch / least_rows, 1, num_threads()));
  }
};

// What lies `offset` numbers behind a pointer that may be null.
template <class T>
T* behind(T* array, int64_t offset) {
  return array ? array + offset : nullptr;
}

template <class T>
void add_to(T* to, const T* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

template <class T>
struct Forward {
  Sizes size;
  const T *x, *h0, *c0, *bias, *share_bias;
  const bool* mask;
  T *h, *c, *gates, *share, *shown;  // `shown`: what is projected

  void run(const Panels<T>& weight, const Panels<T>* projection, int64_t first, int64_t last) const {
    const int64_t rows = last - first, n = size.units, k = size.hidden;
    const Block<T> sums = block_of<T>(rows * weight.width());
    const Block<T> projected = block_of<T>(projection ? rows * projection->width() : 0);
    const T *h_before = h0 + first * k, *c_before = behind(c0, first * n);
    for (int64_t place = 0; place < size.steps; ++place) {
      const int64_t row = size.at(place) * size.batch + first;
      T *h_now = h + row * k, *c_now = behind(c, row * n);
      weight.multiply(h_before, k, rows, sums.get(), false);
      Step<T> step{};
      step.rows = rows, step.units = n, step.sums_apart = weight.width(), step.hidden_apart = n;
      step.x = x + row * size.sums(), step.sums = sums.get(), step.bias = bias, step.share_bias = share_bias;
      step.h_before = h_before, step.c_before = c_before;
      step.h = projection ? shown + row * n : h_now, step.c = c_now;
      step.gates = behind(gates, row * size.sums()), step.share = behind(share, row * n);
      run_step(size.kind, step);
      if (projection) {
        projection->multiply(step.h, n, rows, projected.get(), false);
        for (int64_t r = 0; r < rows; ++r) std::copy_n(projected.get() + r * projection->width(), k, h_now + r * k);
      }
      for (int64_t r = 0; mask && r < rows; ++r) {
        if (mask[row + r]) continue;
        std::copy_n(h_before + r * k, k, h_now + r * k);
        if (c) std::copy_n(c_before + r * n, n, c_now + r * n);
      }
      h_before = h_now, c_before = c_now;
    }
  }
};

template <class T>
struct Backward {
  Sizes size;
  const T *by_h, *by_c;  // null where nothing has arrived
  const T *h0, *c0, *h, *c, *gates, *share;
  const bool* mask;
  T *by_x, *by_share, *by_projected, *by_h0, *by_c0;

  void run(const Panels<T>& weight, const Panels<T>* projection, int64_t first, int64_t last) const {
    const int64_t rows = last - first, n = size.units, k = size.hidden, apart = weight.width();
    const Block<T> carry = block_of<T>(rows * apart), carry_c = block_of<T>(rows * n), none = block_of<T>(rows * n);
    const Block<T> by_shown = block_of<T>(projection ? rows * projection->width() : 0);
    std::fill_n(carry.get(), rows * apart, T(0));
    std::fill_n(carry_c.get(), rows * n, T(0));
    std::fill_n(none.get(), rows * n, T(0));
    std::vector<T> kept(mask ? rows * (k + n) : 0);
    for (int64_t place = size.steps - 1; place >= 0; --place) {
      const int64_t row = size.at(place) * size.batch + first;
      const int64_t before = place ? size.at(place - 1) * size.batch + first : 0;
      if (by_h) {
        for (int64_t r = 0; r < rows; ++r) add_to(carry.get() + r * apart, by_h + (row + r) * k, k);
      }
      if (mask) keep(row, rows, apart, carry.get(), carry_c.get(), kept.data());
      BackStep<T> step{};
      step.rows = rows, step.units = n;
      step.gates = behind(gates, row * size.sums()), step.share = behind(share, row * n);
      step.h_before = place ? h + before * k : h0 + first * k, step.h = h + row * k;
      step.c_before = place ? behind(c, before * n) : behind(c0, first * n), step.c = behind(c, row * n);
      step.by_c = by_c ? by_c + row * n : none.get();
      step.carry = carry.get(), step.carry_c = carry_c.get(), step.carry_apart = apart, step.by_h = carry.get();
      step.by_x = by_x + row * size.sums();
      step.by_share = behind(by_share, row * size.sums());
      if (projection) {
        for (int64_t r = 0; r < rows; ++r) std::copy_n(carry.get() + r * apart, k, by_projected + (row + r) * k);
        projection->multiply(carry.get(), apart, rows, by_shown.get(), false);
        step.by_h = by_shown.get(), step.carry_apart = projection->width();
      }
      run_back(size.kind, step);
      if (size.kind == kLstm) std::fill_n(carry.get(), rows * apart, T(0));
      if (mask) pass(row, rows, apart, carry.get(), carry_c.get(), kept.data());
      weight.multiply(by_share ? step.by_share : step.by_x, size.sums(), rows, carry.get(), true);
    }
    for (int64_t r = 0; r < rows; ++r) std::copy_n(carry.get() + r * apart, k, by_h0 + (first + r) * k);
    if (by_c0) std::copy_n(carry_c.get(), rows * n, by_c0 + first * n);
  }

  // What arrives at the states of sequences that do not take this step,
  void keep(int64_t row, int64_t rows, int64_t apart, const T* carry, const T* carry_c, T* kept) const {
    const int64_t n = size.units, k = size.hidden;
    for (int64_t r = 0; r < rows; ++r) {
      if (mask[row + r]) continue;
      T* to = kept + r * (k + n);
      std::copy_n(carry + r * apart, k, to);
      std::copy_n(carry_c + r * n, n, to + k);
      if (by_c) add_to(to + k, by_c + (row + r) * n, n);
    }
  }

  // and goes on to the states before it as it is.
  void pass(int64_t row, int64_t rows, int64_t apart, T* carry, T* carry_c, const T* kept) const {
    const int64_t n = size.units, k = size.hidden;
    for (int64_t r = 0; r < rows; ++r) {
      if (mask[row + r]) continue;
      const T* from = kept + r * (k + n);
      std::copy_n(from, k, carry + r * apart);
      std::copy_n(from + k, n, carry_c + r * n);
      std::fill_n(by_x + (row + r) * size.sums(), size.sums(), T(0));
      if (by_share) std::fill_n(by_share + (row + r) * size.sums(), size.sums(), T(0));
      if (by_projected) std::fill_n(by_projected + (row + r) * k, k, T(0));
    }
  }
};

// ---------------------------------------------------------------- the calls

struct Arrays {
  ffi::RemainingArgs arguments;
  ffi::RemainingRets results;

  ffi::AnyBuffer argument(size_t i) const { return *arguments.get<ffi::AnyBuffer>(i); }

  // Null for an array without elements.
  template <class T>
  const T* in(size_t i) const {
    const auto array = argument(i);
    return array.element_count() ? static_cast<const T*>(array.untyped_data()) : nullptr;
  }

  template <class T>
  T* out(size_t i) const {
    auto array = *results.get<ffi::AnyBuffer>(i);
    return array->element_count() ? static_cast<T*>(array->untyped_data()) : nullptr;
  }
};

// (x, h0, c0, weight, bias, bias of the hidden state's share, projection, mask) -> (h, c, gates, share, shown)
template <class T>
void forward(const Arrays& arrays, Sizes size) {
  const int64_t n = size.units, k = size.hidden;
  const int threads = size.threads();
  const T *bias = arrays.in<T>(4), *share_bias = arrays.in<T>(5);
  std::vector<T> biases(size.sums());
  for (int64_t i = 0; i < size.sums(); ++i) {
    const bool apart = size.kind == kGru && i >= 2 * n;  // where the reset gate acts on the one and not on the other
    biases[i] = (bias ? bias[i] : T(0)) + (share_bias && !apart ? share_bias[i] : T(0));
  }
  std::vector<T> own(size.kind == kGru ? n : 0);
  for (int64_t i = 0; share_bias && i < static_cast<int64_t>(own.size()); ++i) own[i] = share_bias[2 * n + i];
  const Panels<T> weight(arrays.in<T>(3), k, size.sums(), true, threads);
  std::unique_ptr<Panels<T>> projection;
  if (size.projects()) projection = std::make_unique<Panels<T>>(arrays.in<T>(6), n, k, true, threads);
  const Forward<T> all{size, arrays.in<T>(0), arrays.in<T>(1), arrays.in<T>(2), biases.data(), own.data(),
                       arrays.in<bool>(7), arrays.out<T>(0), arrays.out<T>(1), arrays.out<T>(2), arrays.out<T>(3),
                       arrays.out<T>(4)};
  parallel(threads, [&](int member, int members) {
    const auto [first, last] = share(size.batch, member, members);
    if (first < last) all.run(weight, projection.get(), first, last);
  });
}

// (by h, by c, weight, projection, h0, c0, h, c, gates, share, mask) -> (by x, by share, by projected, by h0, by c0)
template <class T>
void backward(const Arrays& arrays, Sizes size) {
  const int threads = size.threads();
  const Panels<T> weight(arrays.in<T>(2), size.sums(), size.hidden, false, threads);
  std::unique_ptr<Panels<T>> projection;
  if (size.projects()) projection = std::make_unique<Panels<T>>(arrays.in<T>(3), size.hidden, size.units, false, threads);
  const Backward<T> all{size, arrays.in<T>(0), arrays.in<T>(1), arrays.in<T>(4), arrays.in<T>(5), arrays.in<T>(6),
                        arrays.in<T>(7), arrays.in<T>(8), arrays.in<T>(9), arrays.in<bool>(10), arrays.out<T>(0),
                        arrays.out<T>(1), arrays.out<T>(2), arrays.out<T>(3), arrays.out<T>(4)};
  parallel(threads, [&](int member, int members) {
    const auto [first, last] = share(size.batch, member, members);
    if (first < last) all.run(weight, projection.get(), first, last);
  });
}

// `weight` and `states` are the places of these among the arguments.
template <template <class> class Run>
ffi::Error call(const Arrays& arrays, size_t weight, ffi::AnyBuffer::Dimensions states, int64_t kind, bool reverse) {
  const auto sizes = arrays.argument(weight).dimensions();
  if (sizes.size() != 2 || states.size() < 2 || kind < 0 || kind > kRelu) {
    return ffi::Error::InvalidArgument("recurrent: expected matrices of weights and (steps, batch, numbers)");
  }
  const Sizes size{static_cast<Kind>(kind), reverse, states[0], states[1], sizes[0] / gates_of[kind], sizes[1]};
  switch (arrays.argument(weight).element_type()) {
    case ffi::DataType::F32: Run<float>()(arrays, size); break;
    case ffi::DataType::F64: Run<double>()(arrays, size); break;
    default: return ffi::Error::InvalidArgument("recurrent: the native kernel takes float32 and float64");
  }
  return ffi::Error::Success();
}

template <class T>
struct RunForward {
  void operator()(const Arrays& arrays, const Sizes& size) { forward<T>(arrays, size); }
};

template <class T>
struct RunBackward {
  void operator()(const Arrays& arrays, const Sizes& size) { backward<T>(arrays, size); }
};

ffi::Error run_forward(ffi::RemainingArgs arguments, ffi::RemainingRets results, int64_t kind, bool reverse) {
  if (arguments.size() != 8 || results.size() != 5) return ffi::Error::InvalidArgument("recurrent: expected 8 arrays");
  const Arrays arrays{arguments, results};
  return call<RunForward>(arrays, 3, arrays.argument(0).dimensions(), kind, reverse);
}

ffi::Error run_backward(ffi::RemainingArgs arguments, ffi::RemainingRets results, int64_t kind, bool reverse) {
  if (arguments.size() != 11 || results.size() != 5) return ffi::Error::InvalidArgument("recurrent: expected 11 arrays");
  const Arrays arrays{arguments, results};
  return call<RunBackward>(arrays, 2, arrays.argument(6).dimensions(), kind, reverse);
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_recurrent(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind().RemainingArgs().RemainingRets().Attr<int64_t>("kind").Attr<bool>("reverse")
      .To(flambeau::run_forward).release();
  return handler->Call(frame);
}

PUBLIC XLA_FFI_Error* flambeau_recurrent_backward(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind().RemainingArgs().RemainingRets().Attr<int64_t>("kind").Attr<bool>("reverse")
      .To(flambeau::run_backward).release();
  return handler->Call(frame);
}
