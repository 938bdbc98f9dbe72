// The place of the element of a given rank along one dimension: by digits of the elements' order, without sorting them.

#include <algorithm>
#include <cstring>
#include <vector>

#include "attributes.h"
#include "gradual.h"
#include "numbers.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

constexpr int64_t small_problem = 1 << 14;  // numbers: fewer are looked through by the thread that asks
constexpr int64_t lanes = 16;               // neighbouring runs that are read together: they share cache lines
constexpr int64_t few = 48;                 // of so many the one sought is found by comparing them
constexpr int64_t middle = -1, middle_of_numbers = -2;

// Whole numbers in the order of the elements: a nan comes last, -0.0 is 0.
INLINED uint32_t key(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  bits = bits == 0x80000000u ? 0 : bits;
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return v != v ? 0xffffffffu : bits;
}
INLINED uint64_t key(double v) {
  uint64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  bits = bits == uint64_t{1} << 63 ? 0 : bits;
  bits = bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
  return v != v ? ~uint64_t{0} : bits;
}
INLINED uint32_t key(int32_t v) { return static_cast<uint32_t>(v) ^ 0x80000000u; }
INLINED uint64_t key(int64_t v) { return static_cast<uint64_t>(v) ^ uint64_t{1} << 63; }

template <class T>
constexpr bool has_nan = static_cast<T>(0.5) != 0;

// The element of rank `rank` of `keys`, whose order is lost; `rank` becomes its rank among its equals.
template <class K>
INLINED K ranked(K* keys, int64_t count, int64_t& rank) {
  constexpr int most = 11;
  int64_t counts[1 << most];
  int left = 8 * sizeof(K);  // digits that are not yet known
  while (count > few && left > 0) {
    const int bits = std::min(left, count < 4096 ? 8 : most), shift = left - bits;
    const K mask = (K{1} << bits) - 1;
    std::fill(counts, counts + (1 << bits), 0);
    for (int64_t i = 0; i < count; ++i) ++counts[keys[i] >> shift & mask];
    K digit = 0;
    while (rank >= counts[digit]) rank -= counts[digit++];
    if (counts[digit] < count) {
      int64_t kept = 0;
      for (int64_t i = 0; i < count; ++i) {
        const K value = keys[i];
        keys[kept] = value;
        kept += (value >> shift & mask) == digit;
      }
      count = kept;
    }
    left = shift;
  }
  if (left == 0) return keys[0];  // all that are left are equal
  std::nth_element(keys, keys + rank, keys + count);
  const K found = keys[rank];
  rank -= std::count_if(keys, keys + count, [=](K value) { return value < found; });
  return found;
}

template <class K>
INLINED int64_t place_of(const K* keys, K sought, int64_t before) {
  constexpr int64_t block = 64;
  int64_t at = 0;
  for (;; at += block) {  // there is one more than `before`: the last block is never read to its end
    int64_t equal = 0;
    for (int64_t i = 0; i < block; ++i) equal += keys[at + i] == sought;
    if (equal > before) break;
    before -= equal;
  }
  for (;; ++at) {
    if (keys[at] == sought && before-- == 0) return at;
  }
}

template <class T, class K>
INLINED int64_t one(const K* keys, K* free, int64_t length, int64_t rank) {
  if (rank < 0) {
    int64_t numbers = length;
    if (has_nan<T>) {
      numbers = 0;
      for (int64_t i = 0; i < length; ++i) numbers += keys[i] != K(~K{0});
    }
    if (rank == middle_of_numbers) {
      rank = std::max<int64_t>(numbers - 1, 0) / 2;
    } else {
      rank = numbers < length ? numbers : (length - 1) / 2;  // the first nan, if there is one
    }
  }
  std::memcpy(free, keys, length * sizeof(K));
  const K found = ranked(free, length, rank);
  return place_of(keys, found, rank);
}

// (outer, length, inner): the runs, counted through, from `first` to `last`.
template <class T, class K>
INLINED void all(const T* x, int64_t* y, int64_t first, int64_t last, int64_t length, int64_t inner, int64_t rank) {
  const int64_t room = length + 64;
  std::vector<K> memory((lanes + 1) * room);
  K* free = memory.data() + lanes * room;
  for (int64_t run = first; run < last;) {
    const int64_t o = run / inner, i = run % inner, beside = std::min({lanes, inner - i, last - run});
    const T* from = x + o * length * inner + i;
    for (int64_t n = 0; n < length; ++n) {
      for (int64_t k = 0; k < beside; ++k) memory[k * room + n] = key(from[n * inner + k]);
    }
    for (int64_t k = 0; k < beside; ++k) y[run + k] = one<T, K>(memory.data() + k * room, free, length, rank);
    run += beside;
  }
}

#define FOR(name, T, K)                                                                                                    \
  VECTORISED(void, name, (const T* x, int64_t* y, int64_t first, int64_t last, int64_t length, int64_t inner, int64_t      \
             rank), (x, y, first, last, length, inner, rank)) {                                                            \
    all<T, K>(x, y, first, last, length, inner, rank);                                                                     \
  }
FOR(singles, float, uint32_t)
FOR(doubles, double, uint64_t)
FOR(ints, int32_t, uint32_t)
FOR(longs, int64_t, uint64_t)
#undef FOR

template <class T, class Form>
void shared(Form form, ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y, int64_t length, int64_t inner, int64_t rank) {
  const int64_t size = static_cast<int64_t>(x.element_count()), runs = size / length;
  const T* from = static_cast<const T*>(x.untyped_data());
  int64_t* to = static_cast<int64_t*>(y->untyped_data());
  parallel(size < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const Gradual underflow;
    const auto [first, last] = share(runs, member, members);
    form(from, to, first, last, length, inner, rank);
  });
}

ffi::Error run(ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y, int64_t length, int64_t inner, int64_t rank) {
  if (x.element_type() == ffi::F32) {
    shared<float>(singles, x, y, length, inner, rank);
  } else if (x.element_type() == ffi::F64) {
    shared<double>(doubles, x, y, length, inner, rank);
  } else if (x.element_type() == ffi::S32) {
    shared<int32_t>(ints, x, y, length, inner, rank);
  } else {
    shared<int64_t>(longs, x, y, length, inner, rank);
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_ranked(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<int64_t>("length")
                             .Attr<int64_t>("inner")
                             .Attr<int64_t>("rank")
                             .To(flambeau::run)
                             .release();
  return handler->Call(frame);
}
