// Running sums and products along one dimension, forwards or backwards. Numbers of 32 bits are summed in 64.

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

constexpr int64_t small_problem = 1 << 15;  // numbers: fewer are computed by the thread that asks
constexpr int64_t rows = 8;  // that are summed side by side: one sum has to wait for the one before it

template <bool product, class A>
INLINED A joined(A a, A b) {
  return product ? a * b : a + b;
}

// `lanes` runs, of which the next numbers lie `step` apart and the numbers of neighbouring runs `beside`.
template <bool product, class A, class T>
INLINED void along(const T* x, T* y, int64_t length, int64_t step, int64_t lanes, int64_t beside, A* total) {
  for (int64_t k = 0; k < lanes; ++k) total[k] = product ? A(1) : A(0);
  for (int64_t i = 0; i < length; ++i, x += step, y += step) {
    for (int64_t k = 0; k < lanes; ++k) {
      total[k] = joined<product>(total[k], A(x[k * beside]));
      y[k * beside] = T(total[k]);
    }
  }
}

// (outer, length, inner), for the outer ones from `first` to `last`.
template <bool product, class A, class T>
INLINED void all(const T* x, T* y, int64_t first, int64_t last, int64_t length, int64_t inner, bool backwards) {
  const int64_t step = backwards ? -inner : inner, begin = backwards ? (length - 1) * inner : 0, size = length * inner;
  if (inner == 1) {
    A total[rows];
    int64_t o = first;
    for (; o + rows <= last; o += rows) {
      along<product, A, T>(x + o * size + begin, y + o * size + begin, length, step, rows, size, total);
    }
    for (; o < last; ++o) along<product, A, T>(x + o * size + begin, y + o * size + begin, length, step, 1, size, total);
    return;
  }
  std::vector<A> totals(inner);
  for (int64_t o = first; o < last; ++o) {
    along<product, A, T>(x + o * size + begin, y + o * size + begin, length, step, inner, 1, totals.data());
  }
}

#define FOR(name, A, T)                                                                                                    \
  VECTORISED(void, name, (const T* x, T* y, int64_t first, int64_t last, int64_t length, int64_t inner,                    \
             bool backwards, bool product), (x, y, first, last, length, inner, backwards, product)) {                      \
    if (product) return all<true, A, T>(x, y, first, last, length, inner, backwards);                                      \
    all<false, A, T>(x, y, first, last, length, inner, backwards);                                                         \
  }
FOR(singles, double, float)
FOR(doubles, double, double)
FOR(wholes, uint64_t, uint64_t)  // what is too large begins anew
#undef FOR

template <class T, class Form>
void shared(Form form, ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y, int64_t length, int64_t inner, bool backwards, bool product) {
  const int64_t size = static_cast<int64_t>(x.element_count()), outer = size / (length * inner);
  const T* from = static_cast<const T*>(x.untyped_data());
  T* to = static_cast<T*>(y->untyped_data());
  parallel(size < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const Gradual underflow;
    const auto [first, last] = share(outer, member, members);
    form(from, to, first, last, length, inner, backwards, product);
  });
}

ffi::Error run(ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y, int64_t length, int64_t inner, bool backwards, bool product) {
  if (x.element_type() == ffi::F32) {
    shared<float>(singles, x, y, length, inner, backwards, product);
  } else if (x.element_type() == ffi::F64) {
    shared<double>(doubles, x, y, length, inner, backwards, product);
  } else {
    shared<uint64_t>(wholes, x, y, length, inner, backwards, product);
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_running(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<int64_t>("length")
                             .Attr<int64_t>("inner")
                             .Attr<bool>("backwards")
                             .Attr<bool>("product")
                             .To(flambeau::run)
                             .release();
  return handler->Call(frame);
}
