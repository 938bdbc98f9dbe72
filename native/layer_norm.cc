// Layer normalization of (rows, length) along the rows, and its gradients.

#include <vector>

#include "alone.h"
#include "parallel.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

namespace flambeau {

struct Norm {
  int64_t rows, length;
  double eps;
};

}  // namespace flambeau

#define EACH_ISA "layer_norm.h"
#include "each_isa.h"

namespace flambeau {
namespace {

constexpr int64_t small_problem = 1 << 15;  // numbers: fewer are computed by the thread that asks

template <class Form>
void shared(const Norm& n, int64_t count, Form form) {
  parallel(n.rows * n.length < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const Gradual underflow;
    const auto [first, last] = share(count, member, members);
    form(first, last);
  });
}

// Arguments: eps, the numbers, the gradient if there is one, the weight and the bias if there are some.
// numbers: double?, rows, length, weighted?, then bias? or which gradients are asked for
template <class T>
Norm norm_of(const Call& call) {
  return {call.numbers[1], call.numbers[2], double(*call.in<T>(0))};
}

template <class T>
void layer_norm_for(const Call& call) {
  const Norm n = norm_of<T>(call);
  const bool weighted = call.numbers[3];
  const T *weight = weighted ? call.in<T>(2) : nullptr, *bias = call.numbers[4] ? call.in<T>(2 + weighted) : nullptr;
  shared(n, n.rows, [&](int64_t first, int64_t last) { BEST(layer_norm(call.in<T>(1), weight, bias, call.out<T>(0), n, first, last)); });
}
void layer_norm_call(const Call& call) { call.numbers[0] ? layer_norm_for<double>(call) : layer_norm_for<float>(call); }

template <class T>
void layer_norm_back_for(const Call& call) {
  const Norm n = norm_of<T>(call);
  const T *x = call.in<T>(1), *g = call.in<T>(2), *weight = call.numbers[3] ? call.in<T>(3) : nullptr;
  T* to[3] = {};  // by the rows, the weight, the bias
  for (int i = 0, made = 0; i < 3; ++i) {
    if (call.numbers[4] >> i & 1) to[i] = call.out<T>(made++);
  }
  std::vector<T> means(n.rows), scales(n.rows);
  shared(n, n.rows, [&](int64_t first, int64_t last) {
    BEST(layer_norm_back(x, g, weight, to[0], means.data(), scales.data(), n, first, last));
  });
  if (!to[1] && !to[2]) return;
  constexpr int64_t count = avx512::vector_bytes / sizeof(T);
  shared(n, (n.length + count - 1) / count, [&](int64_t first, int64_t last) {
    BEST(layer_norm_columns(x, g, means.data(), scales.data(), to[1], to[2], n, first, last));
  });
}
void layer_norm_back_call(const Call& call) { call.numbers[0] ? layer_norm_back_for<double>(call) : layer_norm_back_for<float>(call); }

}  // namespace
}  // namespace flambeau

ALONE(flambeau_layer_norm, flambeau::layer_norm_call)
ALONE(flambeau_layer_norm_back, flambeau::layer_norm_back_call)
