// Sines, tangents, angles and remainders of arrays, element by element. XLA's CPU compiler computes them one at a time.
//
// Angles are reduced in parts of pi/2 (Cody and Waite, 1980), three of which have so few digits that their products with the
// quotient are exact. Arguments that this is not good for (large ones, infinities, nan) are left to the C library. Numbers of 32
// bits are computed in 64, with shorter series.

#include <cmath>
#include <cstring>
#include <limits>

#include "attributes.h"
#include "gradual.h"
#include "numbers.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

// In the order of `FUNCTIONS` in functions.py.
enum Function : int64_t { kSin, kCos, kTan, kAtan, kAtan2, kFmod };

constexpr int64_t block = 512;
constexpr int64_t small_problem = 1 << 15;  // numbers: fewer are computed by the thread that asks
constexpr double largest_angle = 1 << 20;  // the quotient has 20 bits, the parts of pi/2 have 33
constexpr double half_pi[] = {0x1.921fb54400000p+0, 0x1.0b4611a600000p-34, 0x1.3198a2e000000p-69, 0x1.b839a252049c1p-104};
constexpr double two_over_pi = 0x1.45f306dc9c883p-1;
constexpr double quarter_pi = 0x1.921fb54442d18p-1, quarter_pi_rest = 0x1.1a62633145c07p-55;  // times 2, 3, 4 exactly
constexpr double to_whole = 0x1.8p+52;  // added, the sum's last bits are the nearest whole number

constexpr double factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }

// The sum of the coefficients' multiples of powers of z.
template <int terms>
INLINED double series(const double (&coefficients)[terms], double z) {
  double sum = coefficients[terms - 1];
#pragma GCC unroll 16
  for (int i = terms - 2; i >= 0; --i) sum = sum * z + coefficients[i];
  return sum;
}

// Taylor's series behind their first two terms.
template <bool wide>
struct Series;
template <>
struct Series<true> {
  static constexpr double sine[] = {-1 / factorial(3),   1 / factorial(5),   -1 / factorial(7), 1 / factorial(9),
                                    -1 / factorial(11), 1 / factorial(13), -1 / factorial(15), 1 / factorial(17)};
  static constexpr double cosine[] = {1 / factorial(4),  -1 / factorial(6),  1 / factorial(8), -1 / factorial(10),
                                      1 / factorial(12), -1 / factorial(14), 1 / factorial(16)};
  // (atan(sqrt z) / sqrt z - 1) / z for z up to 1/4, through Chebyshev's points; 60 bits
  static constexpr double angle[] = {
      -0.3333333333333333295,  0.1999999999999948794,  -0.1428571428559918798,  0.1111111110091737513,  -0.09090908620322522247,
      0.07692294712540284481,  -0.06666435677235947819, 0.05879578429582424858, -0.05240099507994713113, 0.04628024868570153236,
      -0.03806653672057365907, 0.02500650356648950753, -0.009215792047089859102};
};
template <>
struct Series<false> {
  static constexpr double sine[] = {-1 / factorial(3), 1 / factorial(5), -1 / factorial(7), 1 / factorial(9), -1 / factorial(11)};
  static constexpr double cosine[] = {1 / factorial(4), -1 / factorial(6), 1 / factorial(8), -1 / factorial(10)};
  static constexpr double angle[] = {-0.3333333331202466678, 0.1999999162809031779,  -0.1428517226323136343, 0.1109779975441533642,
                                     -0.08932458295316177489, 0.06691303998756594931, -0.03274046896838843155};  // 34 bits
};

// sin(x + quarters * pi/2), or the tangent of x.
template <bool wide, bool tangent>
INLINED double circular(double x, int64_t quarters) {
  const double shifted = x * two_over_pi + to_whole, n = shifted - to_whole;
  int64_t quarter;
  std::memcpy(&quarter, &shifted, sizeof quarter);
  quarter += quarters;
  const double t = x - n * half_pi[0];  // exact
  double r, tail = 0;
  if (wide) {
    const double second = n * half_pi[1], third = n * half_pi[2];
    const double u = t - second, v = t - u, lost = (t - (u + v)) + (v - second);
    const double w = u - third, z = u - w, lost_too = (u - (w + z)) + (z - third);
    const double rest = lost + lost_too - n * half_pi[3];
    r = w + rest;
    tail = (w - r) + rest;
  } else {
    r = t - n * (half_pi[1] + half_pi[2]);
  }
  const double z = r * r, half = 0.5 * z, whole = 1 - half;
  const double sine = r + (r * z * series(Series<wide>::sine, z) + tail * whole);
  const double cosine = whole + (((1 - whole) - half) + (z * z * series(Series<wide>::cosine, z) - r * tail));
  const bool turned = quarter & 1;
  double value = turned ? cosine : sine;
  if (tangent) {
    value /= turned ? -sine : cosine;
  } else {
    value = quarter & 2 ? -value : value;
  }
  return x == 0 && (tangent || !quarters) ? x : value;
}

template <bool wide>
INLINED double angle(double y, double x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double height = __builtin_fabs(y), width = __builtin_fabs(x);
  const bool steep = height > width, left = __builtin_copysign(1.0, x) < 0;
  double low = steep ? width : height, high = steep ? height : width;
  const bool both = (low == infinity) & (high == infinity);
  low = both ? 1 : low;
  high = both ? 1 : high == 0 ? 1 : high;
  const double scale = high > 0x1p1000 ? 0.25 : 1;  // the sum may be too large
  low *= scale;
  high *= scale;
  const bool far = low > 0.5 * high;  // then from pi/4 on
  const double t = (far ? low - high : low) / (far ? low + high : high), z = t * t;
  double part = t + t * z * series(Series<wide>::angle, z), quarters = far ? 1 : 0;
  part = steep ? -part : part;
  quarters = steep ? 2 - quarters : quarters;
  part = left ? -part : part;
  quarters = left ? 4 - quarters : quarters;
  return __builtin_copysign(quarters * quarter_pi + (part + quarters * quarter_pi_rest), y);
}

// fmod where the quotient can be told exactly; elsewhere nan.
INLINED double left_over(double a, double b) {
  const double x = __builtin_fabs(a), y = __builtin_fabs(b), quotient = __builtin_trunc(x / y);
  double left = __builtin_fma(-quotient, y, x);
  left = left < 0 ? left + y : left;  // the quotient had been rounded up
  left = quotient < 1 ? x : left;
  return __builtin_copysign(quotient < 0x1p53 ? left : std::numeric_limits<double>::quiet_NaN(), a);
}

INLINED float left_over(float a, float b) {  // without a fused product: exact in 64 bits
  const double x = __builtin_fabsf(a), y = __builtin_fabsf(b), quotient = __builtin_trunc(x / y);
  double left = x - quotient * y;
  left = left < 0 ? left + y : left;
  left = quotient < 1 ? x : left;
  return float(__builtin_copysign(quotient < 0x1p28 ? left : std::numeric_limits<double>::quiet_NaN(), double(a)));
}

#define EACH(expression)                  \
  for (int64_t i = 0; i < n; ++i) {       \
    r[i] = (expression);                  \
  }                                       \
  break

// Makes `n` results; whether there are some that the C library has to make.
template <class T>
INLINED bool in_vectors(int64_t function, const T* __restrict a, const T* __restrict b, T* __restrict r, int64_t n) {
  constexpr bool wide = sizeof(T) == 8;
  int64_t strange = 0;
  switch (function) {
    case kSin: EACH((circular<wide, false>(a[i], 0)));
    case kCos: EACH((circular<wide, false>(a[i], 1)));
    case kTan: EACH((circular<wide, true>(a[i], 0)));
    case kAtan: EACH(angle<wide>(a[i], 1));
    case kAtan2: EACH(angle<wide>(a[i], b[i]));
    case kFmod: EACH(left_over(a[i], b[i]));
  }
  if (function <= kTan) {
    for (int64_t i = 0; i < n; ++i) strange += a[i] < T(largest_angle) && a[i] > T(-largest_angle) ? 0 : 1;
  } else if (function == kFmod) {
    for (int64_t i = 0; i < n; ++i) strange += r[i] == r[i] ? 0 : 1;
  }
  return strange > 0;
}

#undef EACH

VECTORISED(bool, fill, (int64_t function, const float* a, const float* b, float* r, int64_t n), (function, a, b, r, n)) {
  return in_vectors(function, a, b, r, n);
}

VECTORISED(bool, fill, (int64_t function, const double* a, const double* b, double* r, int64_t n), (function, a, b, r, n)) {
  return in_vectors(function, a, b, r, n);
}

template <class T>
void mend(int64_t function, const T* a, const T* b, T* r, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (function == kFmod ? r[i] == r[i] : std::abs(a[i]) < T(largest_angle)) continue;
    r[i] = function == kSin   ? std::sin(a[i])
           : function == kCos ? std::cos(a[i])
           : function == kTan ? std::tan(a[i])
                              : std::fmod(a[i], b[i]);
  }
}

template <class T>
void compute(int64_t function, const T* a, const T* b, T* r, int64_t size) {
  const int64_t blocks = (size + block - 1) / block;
  parallel(size < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const Gradual underflow;
    const auto [first, last] = share(blocks, member, members);
    for (int64_t start = first * block; start < std::min(last * block, size); start += block) {
      const int64_t n = std::min(block, size - start);
      if (fill(function, a + start, b + start, r + start, n)) mend(function, a + start, b + start, r + start, n);
    }
  });
}

ffi::Error run(ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> result, int64_t function) {
  const int64_t size = static_cast<int64_t>(a.element_count());
  if (a.element_type() == ffi::F32) {
    compute(function, a.typed_data<float>(), b.typed_data<float>(), result->typed_data<float>(), size);
  } else {
    compute(function, a.typed_data<double>(), b.typed_data<double>(), result->typed_data<double>(), size);
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_function(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<int64_t>("function")
                             .To(flambeau::run)
                             .release();
  return handler->Call(frame);
}
