// Max pooling, its derivative and the transpose of that, on row-major arrays (N, spatial..., C) with the channels last.
//
// Along each dimension the windows are a table: window o holds the places begins[o], begins[o] + step, ... below ends[o].
// Padding, ceil_mode and adaptive windows are all in these numbers, and every window holds some place.
// A "place" is the number of an element in its flat spatial plane.

#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "attributes.h"
#include "numbers.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#define INLINED_CALL __attribute__((always_inline))

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

using Numbers = ffi::Span<const int64_t>;

constexpr int64_t small_problem = 1 << 18;  // comparisons: fewer are made by the thread that asks

int members_for(int64_t work) { return work < small_problem ? 1 : num_threads(); }

// ---------------------------------------------------------------- windows

struct Along {
  int64_t size = 1, count = 1, step = 1;
  const int64_t* begins = nullptr;
  const int64_t* ends = nullptr;

  int64_t begin(int64_t window) const { return begins ? begins[window] : 0; }
  int64_t end(int64_t window) const { return ends ? ends[window] : 1; }

  int64_t elements() const {  // of all windows together
    int64_t sum = 0;
    for (int64_t o = 0; o < count; ++o) sum += (end(o) - begin(o) + step - 1) / step;
    return sum;
  }
};

struct Pool {
  int64_t batch, channels;
  Along d, h, w;

  int64_t comparisons() const { return batch * channels * d.elements() * h.elements() * w.elements(); }
};

// For each place along a dimension, the windows that hold it.
struct Holders {
  explicit Holders(const Along& along) : first(along.size + 1) {
    for (int64_t o = 0; o < along.count; ++o) {
      for (int64_t i = along.begin(o); i < along.end(o); i += along.step) ++first[i + 1];
    }
    for (int64_t i = 0; i < along.size; ++i) first[i + 1] += first[i];
    windows.resize(first.back());
    std::vector<int64_t> next(first.begin(), first.end() - 1);
    for (int64_t o = 0; o < along.count; ++o) {
      for (int64_t i = along.begin(o); i < along.end(o); i += along.step) windows[next[i]++] = o;
    }
  }

  std::vector<int64_t> first, windows;
};

// ---------------------------------------------------------------- the channels of a pixel

// The compiler makes vectors of these loops over the channels. They take up to `group` elements of a window at a time, so
// that what is found stays in registers between them.
constexpr int group = 4;

// PyTorch's rule: a later element wins where it is greater or NaN, so the first of equal ones stays.
template <int K, bool fresh, bool with_places, class T>
INLINED void max_group(const T* __restrict x, const int32_t* __restrict where, int64_t channels, float* __restrict best,
                       int32_t* __restrict at) {
  const T* pixels[K];
  int32_t places[K];  // copies: for all that the compiler knows, `where` changes with `at`
  for (int k = 0; k < K; ++k) places[k] = where[k], pixels[k] = x + where[k] * channels;
  for (int64_t c = 0; c < channels; ++c) {
    float found = fresh ? widened(pixels[0][c]) : best[c];
    int32_t place = fresh ? places[0] : with_places ? at[c] : 0;
    for (int k = fresh; k < K; ++k) {
      const float v = widened(pixels[k][c]);
      const bool better = (v > found) | (v != v);
      found = better ? v : found;
      if (with_places) place ^= (place ^ places[k]) & -int32_t{better};  // a choice here would make branches of both
    }
    best[c] = found;
    if (with_places) at[c] = place;
  }
}

template <int K, bool fresh, class T>
INLINED void put_group(const T* __restrict g, const int32_t* __restrict at, const int64_t* __restrict from, int32_t here,
                       int64_t channels, float* __restrict sum) {
  for (int64_t c = 0; c < channels; ++c) {
    float total = fresh ? 0.0f : sum[c];
    for (int k = 0; k < K; ++k) total += at[from[k] + c] == here ? widened(g[from[k] + c]) : 0.0f;
    sum[c] = total;
  }
}

// `work(K, fresh, start)` for groups of K that cover `count` elements.
template <class Work>
INLINED void in_groups(int64_t count, const Work& work) {
  using std::integral_constant;
  const auto some = [&](auto fresh, int64_t start, int64_t n) INLINED_CALL {
    if (n >= 4) return work(integral_constant<int, 4>(), fresh, start);
    if (n == 3) return work(integral_constant<int, 3>(), fresh, start);
    if (n == 2) return work(integral_constant<int, 2>(), fresh, start);
    work(integral_constant<int, 1>(), fresh, start);
  };
  some(std::true_type(), 0, count);
  for (int64_t start = group; start < count; start += group) some(std::false_type(), start, count - start);
}

// Where sums and maxima of single precision are made: in the result itself, or in `space`.
INLINED float* scratch(float* result, std::vector<float>&) { return result; }
INLINED float* scratch(BFloat16*, std::vector<float>& space) { return space.data(); }

template <class T>
INLINED void finish(const float* made, int64_t channels, T* result) {
  if (std::is_same<T, float>::value) return;
  for (int64_t c = 0; c < channels; ++c) narrow(made[c], result + c);
}

// ---------------------------------------------------------------- rows of pixels

template <bool with_places, class T>
INLINED void max_rows_of(const Pool& p, int64_t row, int64_t last, const T* x, T* y, int32_t* places) {
  std::vector<int32_t> where;
  std::vector<float> space(p.channels);
  for (; row < last; ++row) {
    const int64_t oh = row % p.h.count, od = row / p.h.count % p.d.count, n = row / p.h.count / p.d.count;
    const T* plane = x + n * p.d.size * p.h.size * p.w.size * p.channels;
    for (int64_t ow = 0; ow < p.w.count; ++ow) {
      where.clear();
      for (int64_t d = p.d.begin(od); d < p.d.end(od); d += p.d.step) {
        for (int64_t h = p.h.begin(oh); h < p.h.end(oh); h += p.h.step) {
          for (int64_t w = p.w.begin(ow); w < p.w.end(ow); w += p.w.step) {
            where.push_back(static_cast<int32_t>((d * p.h.size + h) * p.w.size + w));
          }
        }
      }
      const int64_t out = (row * p.w.count + ow) * p.channels;
      float* best = scratch(y + out, space);
      in_groups(where.size(), [&](auto k, auto fresh, int64_t start) INLINED_CALL {
        max_group<k, fresh, with_places>(plane, where.data() + start, p.channels, best, with_places ? places + out : nullptr);
      });
      finish(best, p.channels, y + out);
    }
  }
}

// What the windows that hold an element say of it, added up. No two threads write one element.
template <class T>
INLINED void put_rows_of(const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row, int64_t last,
                         const T* g, const int32_t* places, T* x) {
  std::vector<int64_t> from;
  std::vector<float> space(p.channels);
  for (; row < last; ++row) {
    const int64_t h = row % p.h.size, d = row / p.h.size % p.d.size, n = row / p.h.size / p.d.size;
    for (int64_t w = 0; w < p.w.size; ++w) {
      from.clear();
      for (int64_t i = hd.first[d]; i < hd.first[d + 1]; ++i) {
        for (int64_t j = hh.first[h]; j < hh.first[h + 1]; ++j) {
          const int64_t outer = ((n * p.d.count + hd.windows[i]) * p.h.count + hh.windows[j]) * p.w.count;
          for (int64_t k = hw.first[w]; k < hw.first[w + 1]; ++k) from.push_back((outer + hw.windows[k]) * p.channels);
        }
      }
      T* to = x + (row * p.w.size + w) * p.channels;
      if (from.empty()) {
        std::memset(static_cast<void*>(to), 0, p.channels * sizeof(T));
        continue;
      }
      const int32_t here = static_cast<int32_t>((d * p.h.size + h) * p.w.size + w);
      float* sum = scratch(to, space);
      in_groups(from.size(), [&](auto k, auto fresh, int64_t start) INLINED_CALL {
        put_group<k, fresh>(g, places, from.data() + start, here, p.channels, sum);
      });
      finish(sum, p.channels, to);
    }
  }
}

VECTORISED(void, max_rows, (const Pool& p, int64_t row, int64_t last, const float* x, float* y, int32_t* places),
           (p, row, last, x, y, places)) {
  places ? max_rows_of<true>(p, row, last, x, y, places) : max_rows_of<false>(p, row, last, x, y, places);
}

VECTORISED(void, max_rows, (const Pool& p, int64_t row, int64_t last, const BFloat16* x, BFloat16* y,
           int32_t* places), (p, row, last, x, y, places)) {
  places ? max_rows_of<true>(p, row, last, x, y, places) : max_rows_of<false>(p, row, last, x, y, places);
}

VECTORISED(void, put_rows, (const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row,
           int64_t last, const float* g, const int32_t* places, float* x),
           (p, hd, hh, hw, row, last, g, places, x)) {
  put_rows_of(p, hd, hh, hw, row, last, g, places, x);
}

VECTORISED(void, put_rows, (const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row,
           int64_t last, const BFloat16* g, const int32_t* places, BFloat16* x),
           (p, hd, hh, hw, row, last, g, places, x)) {
  put_rows_of(p, hd, hh, hw, row, last, g, places, x);
}

// ---------------------------------------------------------------- the calls

template <class T>
void max_pool(const Pool& p, const T* x, T* y, int32_t* places) {
  const int64_t rows = p.batch * p.d.count * p.h.count;
  parallel(members_for(p.comparisons()), [&](int member, int members) {
    const auto [first, last] = share(rows, member, members);
    max_rows(p, first, last, x, y, places);
  });
}

template <class T>
void put(const Pool& p, const T* g, const int32_t* places, T* x) {
  const Holders hd(p.d), hh(p.h), hw(p.w);
  const int64_t rows = p.batch * p.d.size * p.h.size;
  parallel(members_for(p.comparisons()), [&](int member, int members) {
    const auto [first, last] = share(rows, member, members);
    put_rows(p, hd, hh, hw, first, last, g, places, x);
  });
}

template <class T>
void take(const Pool& p, const T* t, const int32_t* places, T* y) {
  const int64_t plane = p.d.size * p.h.size * p.w.size, pixels = p.d.count * p.h.count * p.w.count;
  parallel(members_for(p.batch * pixels * p.channels), [&](int member, int members) {
    const auto [first, last] = share(p.batch * pixels, member, members);
    for (int64_t pixel = first; pixel < last; ++pixel) {
      const T* from = t + pixel / pixels * plane * p.channels;
      const int64_t start = pixel * p.channels;
      for (int64_t c = 0; c < p.channels; ++c) {
        const int64_t place = places[start + c];
        y[start + c] = place >= 0 && place < plane ? from[place * p.channels + c] : T{};
      }
    }
  });
}

// The pool that takes `whole` to `pooled`, or what is wrong with it.
ffi::Error describe(Pool& p, const ffi::AnyBuffer& whole, const ffi::AnyBuffer& pooled, Numbers steps, Numbers begins,
                    Numbers ends) {
  const auto sizes = whole.dimensions(), counts = pooled.dimensions();
  const size_t n = steps.size();
  if (n < 1 || n > 3 || sizes.size() != n + 2 || counts.size() != n + 2 || sizes[0] != counts[0] ||
      sizes[n + 1] != counts[n + 1] || whole.element_type() != pooled.element_type()) {
    return ffi::Error::InvalidArgument("max_pool: the shapes and dtypes of the arrays do not agree");
  }
  p.batch = sizes[0];
  p.channels = sizes[n + 1];
  Along* const along[] = {&p.d, &p.h, &p.w};
  size_t next = 0;
  for (size_t i = 0; i < n; ++i) {
    Along& a = *along[i + 3 - n];
    a.size = sizes[i + 1];
    a.count = counts[i + 1];
    a.step = steps[i];
    if (next + a.count > begins.size() || next + a.count > ends.size() || a.step < 1) {
      return ffi::Error::InvalidArgument("max_pool: there are fewer windows than results");
    }
    a.begins = begins.begin() + next;
    a.ends = ends.begin() + next;
    next += a.count;
    for (int64_t o = 0; o < a.count; ++o) {
      if (a.begins[o] < 0 || a.begins[o] >= a.ends[o] || a.ends[o] > a.size) {
        return ffi::Error::InvalidArgument("max_pool: a window is empty or reaches beyond the input");
      }
    }
  }
  return ffi::Error::Success();
}

// `work` with a null pointer to the elements' type.
template <class Work>
ffi::Error with_type(ffi::DataType type, const Work& work) {
  if (type == ffi::DataType::F32) {
    work(static_cast<float*>(nullptr));
  } else if (type == ffi::DataType::BF16) {
    work(static_cast<BFloat16*>(nullptr));
  } else {
    return ffi::Error::InvalidArgument("max_pool: the native kernel takes float32 and bfloat16");
  }
  return ffi::Error::Success();
}

ffi::Error run_max(const ffi::AnyBuffer& x, ffi::AnyBuffer& y, int32_t* places, Numbers steps, Numbers begins, Numbers ends) {
  Pool p;
  if (auto error = describe(p, x, y, steps, begins, ends); error.failure()) return error;
  return with_type(x.element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    max_pool(p, static_cast<const T*>(x.untyped_data()), static_cast<T*>(y.untyped_data()), places);
  });
}

ffi::Error values(ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y, Numbers steps, Numbers begins, Numbers ends) {
  return run_max(x, *y, nullptr, steps, begins, ends);
}

ffi::Error values_and_places(ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y, ffi::Result<ffi::Buffer<ffi::S32>> places,
                             Numbers steps, Numbers begins, Numbers ends) {
  if (places->element_count() != y->element_count()) {
    return ffi::Error::InvalidArgument("max_pool: expected as many places as values");
  }
  return run_max(x, *y, places->typed_data(), steps, begins, ends);
}

ffi::Error take_from(ffi::AnyBuffer t, ffi::Buffer<ffi::S32> places, ffi::Result<ffi::AnyBuffer> y, Numbers steps,
                     Numbers begins, Numbers ends) {
  Pool p;
  if (auto error = describe(p, t, *y, steps, begins, ends); error.failure()) return error;
  if (places.element_count() != y->element_count()) {
    return ffi::Error::InvalidArgument("pool_take: expected as many places as values");
  }
  return with_type(t.element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    take(p, static_cast<const T*>(t.untyped_data()), places.typed_data(), static_cast<T*>(y->untyped_data()));
  });
}

ffi::Error put_into(ffi::AnyBuffer g, ffi::Buffer<ffi::S32> places, ffi::Result<ffi::AnyBuffer> x, Numbers steps,
                    Numbers begins, Numbers ends) {
  Pool p;
  if (auto error = describe(p, *x, g, steps, begins, ends); error.failure()) return error;
  if (places.element_count() != g.element_count()) {
    return ffi::Error::InvalidArgument("pool_put: expected as many places as values");
  }
  return with_type(g.element_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    put(p, static_cast<const T*>(g.untyped_data()), places.typed_data(), static_cast<T*>(x->untyped_data()));
  });
}

template <class Binding>
auto with_windows(Binding binding) {
  return std::move(binding).template Attr<Numbers>("steps").template Attr<Numbers>("begins").template Attr<Numbers>("ends");
}

using Places = ffi::Buffer<ffi::S32>;

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_max_pool(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler =
      with_windows(ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()).To(values).release();
  return handler->Call(frame);
}

PUBLIC XLA_FFI_Error* flambeau_max_pool_places(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler =
      with_windows(ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>().Ret<Places>()).To(values_and_places).release();
  return handler->Call(frame);
}

PUBLIC XLA_FFI_Error* flambeau_pool_take(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler =
      with_windows(ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Arg<Places>().Ret<ffi::AnyBuffer>()).To(take_from).release();
  return handler->Call(frame);
}

PUBLIC XLA_FFI_Error* flambeau_pool_put(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler =
      with_windows(ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Arg<Places>().Ret<ffi::AnyBuffer>()).To(put_into).release();
  return handler->Call(frame);
}
