// Softmax, its logarithm, and the cross entropy of classes, with their gradients, along one dimension of (outer, length, inner).

#include <vector>

#include "alone.h"
#include "parallel.h"
#include "softmax_rows.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

#define EACH_ISA "softmax.h"
#include "each_isa.h"

namespace flambeau {
namespace {

constexpr int64_t small_problem = 1 << 15;  // numbers: fewer are computed by the thread that asks

// Each thread's rows of (outer, length, inner), with memory for two of them.
template <class T, class Form>
void shared(int64_t outer, int64_t length, int64_t inner, Form form) {
  const int64_t count = outer * inner;
  parallel(count * length < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const Gradual underflow;
    const auto [first, last] = share(count, member, members);
    std::vector<T> own((inner == 1 ? 1 : avx512::vector_bytes / sizeof(T)) * length + avx512::vector_bytes);  // the exponentials
    form(own.data(), Rows{first, last, count, length, inner});
  });
}

// numbers: double?, outer, length, inner, logarithm?
template <class T>
void softmax_for(const Call& call) {
  const int64_t* n = call.numbers;
  shared<T>(n[1], n[2], n[3], [&](T* own, Rows rows) { BEST(softmax(call.in<T>(0), call.out<T>(0), own, rows, bool(n[4]))); });
}
void softmax_call(const Call& call) { call.numbers[0] ? softmax_for<double>(call) : softmax_for<float>(call); }

template <class T>
void softmax_back_for(const Call& call) {
  const int64_t* n = call.numbers;
  shared<T>(n[1], n[2], n[3], [&](T* own, Rows rows) {
    BEST(softmax_back(call.in<T>(0), call.in<T>(1), call.out<T>(0), own, rows, bool(n[4])));
  });
}
void softmax_back_call(const Call& call) { call.numbers[0] ? softmax_back_for<double>(call) : softmax_back_for<float>(call); }

enum Reduction : int64_t { kNone, kMean, kSum };

template <class T>
double weight_of_all(const Targets<T>& targets, int64_t count) {
  double sum = 0;
  for (int64_t r = 0; r < count; ++r) sum += double(targets.weight(r));
  return sum;
}

// numbers: double?, outer, length, inner, weighted?, ignored class, reduction. Arguments: numbers, classes, weights if there are some.
template <class T>
Targets<T> targets_of(const Call& call) {
  const int64_t* n = call.numbers;
  return {call.in<int64_t>(1), n[4] ? call.in<T>(2) : nullptr, n[5], n[2]};
}

template <class T>
void entropy_for(const Call& call) {
  const int64_t *n = call.numbers, count = n[1] * n[3];
  const Targets<T> targets = targets_of<T>(call);
  std::vector<T> memory(n[6] == kNone ? 0 : count);
  T* losses = n[6] == kNone ? call.out<T>(0) : memory.data();
  shared<T>(n[1], n[2], n[3], [&](T* own, Rows rows) { BEST(entropy(call.in<T>(0), targets, losses, own, rows)); });
  if (n[6] == kNone) return;
  double sum = 0;
  for (int64_t r = 0; r < count; ++r) sum += double(losses[r]);
  *call.out<T>(0) = T(n[6] == kMean ? sum / weight_of_all(targets, count) : sum);
}
void entropy_call(const Call& call) { call.numbers[0] ? entropy_for<double>(call) : entropy_for<float>(call); }

template <class T>
void entropy_back_for(const Call& call) {
  const int64_t* n = call.numbers;
  const Targets<T> targets = targets_of<T>(call);
  const T* g = call.in<T>(n[4] ? 3 : 2);
  const T over = n[6] == kMean ? T(weight_of_all(targets, n[1] * n[3])) : T(1);
  shared<T>(n[1], n[2], n[3], [&](T* own, Rows rows) {
    BEST(entropy_back(call.in<T>(0), targets, g, n[6] == kNone, over, call.out<T>(0), own, rows));
  });
}
void entropy_back_call(const Call& call) { call.numbers[0] ? entropy_back_for<double>(call) : entropy_back_for<float>(call); }

}  // namespace
}  // namespace flambeau

ALONE(flambeau_softmax, flambeau::softmax_call)
ALONE(flambeau_softmax_back, flambeau::softmax_back_call)
ALONE(flambeau_entropy, flambeau::entropy_call)
ALONE(flambeau_entropy_back, flambeau::entropy_back_call)
