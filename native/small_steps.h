// What a step of a small program is (`small.cc` has the programs), and what runs one (`small_steps.cc`).
#pragma once

#include <cstdint>

namespace flambeau::small {

constexpr int most_dimensions = 8;

// In the order of `TYPES` in core/array/small.py.
enum Type : int64_t { kBool, kInt8, kInt16, kInt32, kInt64, kUint8, kFloat, kDouble };

// In the order of `CODES` there.
enum Code : int64_t {
  kTake, kPut, kConvert, kNeg, kAbs, kSign, kFloor, kCeil, kSqrt, kNot, kIsFinite, kRoundEven, kRoundAway,
  kAdd, kSub, kMul, kDiv, kMax, kMin, kRem, kAnd, kOr, kXor, kEq, kNe, kLt, kLe, kGt, kGe, kSelect,
  kSum, kProduct, kAll, kAny, kLargest, kSmallest, kArgmax, kArgmin, kOrdinary, kWithin, kNotZero, kInside, kPick, kLay, kTotal
};

// code, type, second type, result, three operands, count, and what the code needs besides
struct Step {
  Code code;
  Type type, other;
  int64_t result, a, b, c, count, more;
};

// Runs one step over the slots' memory; false where the values leave a choice, or one is not there.
bool run_step(const Step& step, const int64_t* extra, char* const* at);

// Lays elements of so many bytes, which lie in a row (or the first one only, if `steps` is 0), at the places that `how` tells: rank, start, sizes, steps.
void put_elements(int64_t size, const int64_t* how, const char* from, void* to, int64_t steps);

}  // namespace flambeau::small
