// Random numbers for the host: MT19937 (Matsumoto and Nishimura, 1998), a block of 624 words at a time.
//
// The state is the one that NumPy's bit generator keeps, in NumPy's memory: either of them goes on where the other stopped.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "attributes.h"
#include "numbers.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace flambeau {
namespace {

constexpr int n_words = 624, shift = 397;
constexpr int64_t buffered = 4 * n_words;  // words at a time: they stay in the first cache

struct Twister {
  uint32_t key[n_words];
  int32_t position;  // of the next word; 624 if a new block is to be made
};

#define TWIST(i, following, other)                                             \
  const uint32_t joined = (key[i] & 0x80000000u) | (key[following] & 0x7fffffffu); \
  key[i] = key[other] ^ (joined >> 1) ^ (-(joined & 1u) & 0x9908b0dfu)

VECTORISED(void, twist, (uint32_t* key), (key)) {
#pragma GCC ivdep
  for (int i = 0; i < n_words - shift; ++i) {
    TWIST(i, i + 1, i + shift);
  }
  // what is read at i + 397 - 624 was written 227 steps before; runs of 208 do not meet it
  for (int start = n_words - shift; start < n_words - 1; start += 208) {
    const int end = std::min(start + 208, n_words - 1);
#pragma GCC ivdep
    for (int i = start; i < end; ++i) {
      TWIST(i, i + 1, i + shift - n_words);
    }
  }
  TWIST(n_words - 1, 0, shift - 1);
}

#undef TWIST

VECTORISED(void, temper, (const uint32_t* key, uint32_t* out, int64_t n), (key, out, n)) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t y = key[i];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    out[i] = y ^ (y >> 18);
  }
}

void words(Twister* state, uint32_t* out, int64_t n) {
  while (n > 0) {
    if (state->position >= n_words) {
      twist(state->key);
      state->position = 0;
    }
    const int64_t count = std::min<int64_t>(n, n_words - state->position);
    temper(state->key + state->position, out, count);
    state->position += static_cast<int32_t>(count);
    out += count;
    n -= count;
  }
}

// The 53 low bits of two words, the first one above the second (in memory it lies below).
INLINED uint64_t wide(const uint32_t* pair) {
  uint64_t both;
  std::memcpy(&both, pair, sizeof both);
  return (both << 32 | both >> 32) & ((uint64_t{1} << 53) - 1);
}

VECTORISED(void, below, (const uint32_t* words, uint64_t limit, uint8_t* out, int64_t n), (words, limit, out, n)) {
  for (int64_t i = 0; i < n; ++i) out[i] = wide(words + 2 * i) < limit;
}

FUSED(void, floats, (const uint32_t* words, float scale, float start, float* out, int64_t n), (words, scale, start, out, n)) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = __builtin_fmaf(static_cast<float>(static_cast<int32_t>(words[i] & 0xffffff)) * 0x1p-24f, scale, start);
  }
}

FUSED(void, doubles, (const uint32_t* words, double scale, double start, double* out, int64_t n), (words, scale, start, out, n)) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = __builtin_fma(static_cast<double>(static_cast<int64_t>(wide(words + 2 * i))) * 0x1p-53, scale, start);
  }
}

// Remainders by a number below 2^28: the quotient in doubles may be off by one.
FUSED(void, remainders, (const uint32_t* words, uint32_t span, int64_t low, int64_t* out, int64_t n), (words, span, low, out, n)) {
  const double divisor = span, inverse = 1.0 / divisor;
  for (int64_t i = 0; i < n; ++i) {
    const double word = words[i];
    double rest = __builtin_fma(-__builtin_floor(word * inverse), divisor, word);
    rest += rest < 0 ? divisor : 0;
    rest -= rest >= divisor ? divisor : 0;
    out[i] = low + static_cast<int32_t>(rest);
  }
}

// The choices of `normals` are made on bits: GCC vectorises no others there.
INLINED int32_t bits_of(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

INLINED float number_of(int32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The bit of a number's sign, where the third bit is set.
INLINED int32_t flipped(int32_t bits) { return static_cast<int32_t>((static_cast<uint32_t>(bits) & 4) << 29); }

// Box and Muller (1958) for blocks of 16: 8 radii, then 8 angles, in place. PyTorch's numbers come of the series for single
// precision of Moshier's Cephes library (1984 to 1992), with a product and a sum rounded once wherever one follows the other:
// which of them were found out by comparing 160,000 numbers. `src/flambeau/core/context/normals.py` is the same in NumPy.
// Eight numbers fill a vector of 32 bytes: for one of 64 GCC would compute them one by one.
COMPILED_FOR("avx2,fma", "avx2,fma", void, normals, (float* block, float mean, float deviation), (block, mean, deviation)) {
  for (int i = 0; i < 8; ++i) {
    const int32_t bits = bits_of(1.0f - block[i]), part = (bits & 0x007fffff) | 0x3f000000;
    const int32_t small = -static_cast<int32_t>(part < 0x3f3504f3);  // than the square root of a half
    const float exponent = static_cast<float>((bits >> 23) - 126 + small);
    const float x = (number_of(part) - 1.0f) + number_of(part & small), z = x * x;
    float y = 7.0376836292e-2f;
    y = __builtin_fmaf(y, x, -1.1514610310e-1f);
    y = __builtin_fmaf(y, x, 1.1676998740e-1f);
    y = __builtin_fmaf(y, x, -1.2420140846e-1f);
    y = __builtin_fmaf(y, x, 1.4249322787e-1f);
    y = __builtin_fmaf(y, x, -1.6668057665e-1f);
    y = __builtin_fmaf(y, x, 2.0000714765e-1f);
    y = __builtin_fmaf(y, x, -2.4999993993e-1f);
    y = __builtin_fmaf(y, x, 3.3333331174e-1f);
    y = __builtin_fmaf(y * x, z, -2.12194440e-4f * exponent);
    y = __builtin_fmaf(z, -0.5f, y);
    const float logarithm = __builtin_fmaf(exponent, 0.693359375f, x + y);
    const float radius = __builtin_sqrtf(-2.0f * logarithm);

    const float angle = 6.283185307179586f * block[8 + i];
    const int32_t eighth = (static_cast<int32_t>(angle * 1.27323954473516f) + 1) & ~1;
    const float turns = static_cast<float>(eighth);
    float r = __builtin_fmaf(turns, -0.78515625f, angle);
    r = __builtin_fmaf(turns, -2.4187564849853515625e-4f, r);
    r = __builtin_fmaf(turns, -3.77489497744594108e-8f, r);
    const float square = r * r;
    float c = __builtin_fmaf(2.443315711809948e-5f, square, -1.388731625493765e-3f);
    c = __builtin_fmaf(c, square, 4.166664568298827e-2f);
    c = __builtin_fmaf(c * square, square, -0.5f * square) + 1.0f;
    float s = __builtin_fmaf(-1.9515295891e-4f, square, 8.3321608736e-3f);
    s = __builtin_fmaf(s, square, -1.6666654611e-1f);
    s = __builtin_fmaf(s * square, r, r);
    const int32_t turned = -((eighth >> 1) & 1), of_sine = bits_of(s), of_cosine = bits_of(c);
    const int32_t sine = (of_sine & ~turned) | (of_cosine & turned), cosine = (of_cosine & ~turned) | (of_sine & turned);
    const float height = number_of(sine ^ flipped(eighth)), width = number_of(cosine ^ flipped(~(eighth - 2)));
    block[i] = __builtin_fmaf(radius * width, deviation, mean);
    block[8 + i] = __builtin_fmaf(radius * height, deviation, mean);
  }
}

// The same for double precision, which PyTorch leaves to the C library: blocks, and pairs one by one.
constexpr double two_pi = 6.283185307179586;

FUSED(void, wide_normals, (double* block, double mean, double deviation), (block, mean, deviation)) {
  for (int i = 0; i < 8; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - block[i])), angle = two_pi * block[8 + i];
    block[i] = __builtin_fma(radius * std::cos(angle), deviation, mean);
    block[8 + i] = __builtin_fma(radius * std::sin(angle), deviation, mean);
  }
}

void pairs(double* out, int64_t n) {
  for (int64_t i = 0; i < n; i += 2) {
    const double angle = two_pi * out[i], radius = std::sqrt(-2 * std::log1p(-out[i + 1]));
    out[i] = radius * std::cos(angle);
    out[i + 1] = radius * std::sin(angle);
  }
}

// Calls `use(words, index, count)` for pieces of the next `n` numbers, each of `width` words.
template <int width, typename Use>
void in_pieces(Twister* state, int64_t n, Use use) {
  alignas(64) uint32_t buffer[buffered];
  for (int64_t at = 0; at < n;) {
    const int64_t count = std::min(n - at, buffered / width);
    words(state, buffer, width * count);
    use(buffer, at, count);
    at += count;
  }
}

}  // namespace
}  // namespace flambeau

using flambeau::Twister;

PUBLIC void flambeau_random_words(Twister* state, uint32_t* out, int64_t n) { flambeau::words(state, out, n); }

PUBLIC void flambeau_random_below(Twister* state, uint8_t* out, int64_t n, uint64_t limit) {
  flambeau::in_pieces<2>(state, n, [&](const uint32_t* words, int64_t at, int64_t count) {
    flambeau::below(words, limit, out + at, count);
  });
}

PUBLIC void flambeau_random_floats(Twister* state, float* out, int64_t n, float scale, float start) {
  flambeau::in_pieces<1>(state, n, [&](const uint32_t* words, int64_t at, int64_t count) {
    flambeau::floats(words, scale, start, out + at, count);
  });
}

PUBLIC void flambeau_random_doubles(Twister* state, double* out, int64_t n, double scale, double start) {
  flambeau::in_pieces<2>(state, n, [&](const uint32_t* words, int64_t at, int64_t count) {
    flambeau::doubles(words, scale, start, out + at, count);
  });
}

PUBLIC void flambeau_random_remainders(Twister* state, int64_t* out, int64_t n, uint32_t span, int64_t low) {
  flambeau::in_pieces<1>(state, n, [&](const uint32_t* words, int64_t at, int64_t count) {
    flambeau::remainders(words, span, low, out + at, count);
  });
}

namespace flambeau {
namespace {

// Sixteen or more numbers. What does not fill a block is drawn, and then the last 16 are drawn anew.
template <typename T>
void in_blocks(Twister* state, T* out, int64_t n, T mean, T deviation, void (*uniforms)(Twister*, T*, int64_t, T, T), void (*turn)(T*, T, T)) {
  uniforms(state, out, n, 1, 0);
  for (int64_t at = 0; at + 16 <= n; at += 16) turn(out + at, mean, deviation);
  if (n % 16) {
    uniforms(state, out + n - 16, 16, 1, 0);
    turn(out + n - 16, mean, deviation);
  }
}

}  // namespace
}  // namespace flambeau

PUBLIC void flambeau_random_normals(Twister* state, float* out, int64_t n, float mean, float deviation) {
  flambeau::in_blocks<float>(state, out, n, mean, deviation, flambeau_random_floats, flambeau::normals);
}

PUBLIC void flambeau_random_wide_normals(Twister* state, double* out, int64_t n, double mean, double deviation) {
  flambeau::in_blocks<double>(state, out, n, mean, deviation, flambeau_random_doubles, flambeau::wide_normals);
}

// An even number of normal values, in pairs of an angle and a radius.
PUBLIC void flambeau_random_pairs(Twister* state, double* out, int64_t n) {
  flambeau_random_doubles(state, out, n, 1, 0);
  flambeau::pairs(out, n);
}

// Fisher and Yates, from the front, for at most 2^32 numbers.
PUBLIC void flambeau_random_permutation(Twister* state, int64_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = i;
  if (n < 2) return;
  flambeau::in_pieces<1>(state, n - 1, [&](const uint32_t* words, int64_t at, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t here = at + i;
      std::swap(out[here], out[here + words[i] % static_cast<uint32_t>(n - here)]);
    }
  });
}
