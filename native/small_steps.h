// One operation of a program of small arrays (`small.cc`), and what the host computes for it.
#pragma once

#include <cstdint>

namespace flambeau {

constexpr int most_dimensions = 8;

// In the order of `TYPES` in core/array/small.py.
enum Type : int64_t { kBool, kInt8, kInt16, kInt32, kInt64, kUint8, kFloat, kDouble, kBFloat };
constexpr int64_t sizes_of[] = {1, 1, 2, 4, 8, 1, 4, 8, 2};

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

// Whatever one step does, with the memory of each slot; false where values leave a choice, and XLA's program is to run.
bool run_step(const Step& step, const int64_t* extra, char* const* at);

// Lays numbers of `size` bytes, of which every `pace`-th is the next, where `how` says: dimensions, start, shape, strides.
void lay_along(int64_t size, const int64_t* how, const void* from, void* to, int64_t pace);

}  // namespace flambeau
