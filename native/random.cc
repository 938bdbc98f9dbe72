// Random numbers for the host: MT19937 (Matsumoto and Nishimura, 1998), a block of 624 words at a time.
//
// The state is the one that NumPy's bit generator keeps, in NumPy's memory: either of them goes on where the other stopped.

#include <algorithm>
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
