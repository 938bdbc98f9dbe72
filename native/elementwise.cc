// Elementwise programs: several results from one pass over memory. XLA's CPU compiler makes a pass for each result.
//
// A program is a list of instructions on registers: the arguments, the scalars, the results, and temporaries. Each thread
// takes its part of the arrays block by block; in a block, a register is a short run of numbers that stays in the first cache.

#include <algorithm>
#include <vector>

#include "attributes.h"
#include "numbers.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-trapping-math")
#endif

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

constexpr int64_t block = 256;  // numbers in a register
constexpr int64_t small_problem = 1 << 15;  // numbers: fewer are computed by the thread that asks
constexpr int64_t stride = block + 48;  // from one register to the next, so that they don't share cache sets

// In the order of `_OPERATIONS` in elementwise.py. Comparisons give 1 or 0; `select` takes b where a is 0, else c.
enum Operation : int64_t { kAdd, kSub, kMul, kDiv, kMax, kMin, kNeg, kSqrt, kAbs, kSign, kLt, kLe, kGt, kGe, kEq, kNe, kSelect,
                           kCopy, kFma, kFnma };

struct Instruction {
  int64_t operation, result, a, b, c;
};
static_assert(sizeof(Instruction) == 5 * sizeof(int64_t));

INLINED float chosen(float which, float b, float c) { return which == 0 ? b : c; }  // both are read, or it would be a branch

// No `restrict`: a result may be one of the operands, number by number. Built-in functions, since those of <cmath> are compiled with
// other options, and a loop that calls one is not made of vectors.
#define EACH(expression)                                   \
  _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {   \
    r[i] = (expression);                                   \
  }                                                        \
  return

VECTORISED(void, apply, (int64_t operation, const float* a, const float* b, const float* c, float* r, int64_t n),
           (operation, a, b, c, r, n)) {
  switch (operation) {
    case kAdd: EACH(a[i] + b[i]);
    case kSub: EACH(a[i] - b[i]);
    case kMul: EACH(a[i] * b[i]);
    case kDiv: EACH(a[i] / b[i]);
    case kMax: EACH(a[i] > b[i] || a[i] != a[i] ? a[i] : b[i]);
    case kMin: EACH(a[i] < b[i] || a[i] != a[i] ? a[i] : b[i]);
    case kNeg: EACH(-a[i]);
    case kSqrt: EACH(__builtin_sqrtf(a[i]));
    case kAbs: EACH(__builtin_fabsf(a[i]));
    case kSign: EACH(a[i] > 0 ? 1.0f : a[i] < 0 ? -1.0f : a[i]);
    case kLt: EACH(a[i] < b[i] ? 1.0f : 0.0f);
    case kLe: EACH(a[i] <= b[i] ? 1.0f : 0.0f);
    case kGt: EACH(a[i] > b[i] ? 1.0f : 0.0f);
    case kGe: EACH(a[i] >= b[i] ? 1.0f : 0.0f);
    case kEq: EACH(a[i] == b[i] ? 1.0f : 0.0f);
    case kNe: EACH(a[i] != b[i] ? 1.0f : 0.0f);
    case kSelect: EACH(chosen(a[i], b[i], c[i]));
    case kCopy: EACH(a[i]);
    case kFma: EACH(c[i] + a[i] * b[i]);
    case kFnma: EACH(c[i] - a[i] * b[i]);
  }
}

#undef EACH

// For each of `members` sets of arrays, those of a set being of one size: argument k of set i is number k * members + i.
ffi::Error run(ffi::RemainingArgs arguments, ffi::RemainingRets results, ffi::Span<const int64_t> program,
               int64_t temporaries, int64_t members) {
  if (program.size() % 5) return ffi::Error::InvalidArgument("a program is made of instructions of five numbers");
  const auto* code = reinterpret_cast<const Instruction*>(program.begin());
  const size_t length = program.size() / 5, sets = static_cast<size_t>(members);
  if (!sets || (arguments.size() - 1) % sets || results.size() % sets) {
    return ffi::Error::InvalidArgument("a program has the same number of arrays in each set");
  }
  const auto scalars = *arguments.get<ffi::Buffer<ffi::F32>>(arguments.size() - 1);
  const int64_t constants = static_cast<int64_t>(scalars.element_count());
  std::vector<float*> arrays;  // arguments and results; the former are only read
  for (size_t i = 0; i + 1 < arguments.size(); ++i) {
    arrays.push_back(arguments.get<ffi::Buffer<ffi::F32>>(i)->typed_data());
  }
  const size_t given = arrays.size() / sets;
  for (size_t i = 0; i < results.size(); ++i) arrays.push_back((*results.get<ffi::Buffer<ffi::F32>>(i))->typed_data());
  const size_t each = arrays.size() / sets;
  std::vector<int64_t> sizes, ends;  // of each set, and where its blocks end among all
  int64_t total = 0, blocks = 0;
  for (size_t i = 0; i < sets; ++i) {
    sizes.push_back(static_cast<int64_t>(arguments.get<ffi::Buffer<ffi::F32>>(i)->element_count()));
    total += sizes.back();
    blocks += (sizes.back() + block - 1) / block;
    ends.push_back(blocks);
  }

  parallel(total < small_problem ? 1 : num_threads(), [&](int member, int members) {
    std::vector<float> memory((constants + temporaries) * stride + 16);
    float* own = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
    std::vector<float*> registers(each + constants + temporaries);
    for (int64_t i = 0; i < constants; ++i, own += stride) {
      std::fill_n(own, block, scalars.typed_data()[i]);
      registers[given + i] = own;
    }
    for (int64_t i = 0; i < temporaries; ++i, own += stride) registers[each + constants + i] = own;
    const auto [first, last] = share(blocks, member, members);
    size_t set = std::upper_bound(ends.begin(), ends.end(), first) - ends.begin();
    for (int64_t k = first; k < last; ++k) {
      while (k >= ends[set]) ++set;
      const int64_t start = (k - (set ? ends[set - 1] : 0)) * block, n = std::min(block, sizes[set] - start);
      for (size_t i = 0; i < each; ++i) {
        float* array = arrays[i * sets + set] + start;
        registers[i < given ? i : i + constants] = array;
        for (int64_t next = block; i < given && next < 2 * block; next += 16) __builtin_prefetch(array + next);
      }
      for (size_t i = 0; i < length; ++i) {
        const Instruction& now = code[i];
        apply(now.operation, registers[now.a], registers[now.b], registers[now.c], registers[now.result], n);
      }
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_elementwise(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .RemainingArgs()
                             .RemainingRets()
                             .Attr<ffi::Span<const int64_t>>("program")
                             .Attr<int64_t>("temporaries")
                             .Attr<int64_t>("members")
                             .To(flambeau::run)
                             .release();
  return handler->Call(frame);
}
