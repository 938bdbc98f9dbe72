// Max pooling, its derivative and the transpose of that, on row-major arrays (N, spatial..., C) with the channels last.
//
// Along each dimension the windows are a table: window o holds the places begins[o], begins[o] + step, ... below ends[o].
// Padding, ceil_mode and adaptive windows are all in these numbers, and every window holds some place.
// A "place" is the number of an element in its flat spatial plane.

#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are handed to inlined functions only
#endif

#define PUBLIC extern "C" __attribute__((visibility("default")))
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#define INLINED inline __attribute__((always_inline))
#define INLINED_CALL __attribute__((always_inline))

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

using Numbers = ffi::Span<const int64_t>;

constexpr int64_t small_problem = 1 << 16;  // comparisons: fewer are made by the thread that asks

int members_for(int64_t work) { return work < small_problem ? 1 : num_threads(); }

// ---------------------------------------------------------------- vectors

struct BFloat16 {
  uint16_t bits;
};

template <int W>
struct Lanes {
  typedef float Floats __attribute__((vector_size(4 * W)));
  typedef int32_t Places __attribute__((vector_size(4 * W)));
  typedef uint32_t Words __attribute__((vector_size(4 * W)));
  typedef uint16_t Halves __attribute__((vector_size(2 * W)));
};

template <int W>
INLINED void load(typename Lanes<W>::Floats& v, const float* from) {
  std::memcpy(&v, from, sizeof v);
}

template <int W>
INLINED void load(typename Lanes<W>::Floats& v, const BFloat16* from) {
  typename Lanes<W>::Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const auto words = __builtin_convertvector(halves, typename Lanes<W>::Words) << 16;
  std::memcpy(&v, &words, sizeof v);
}

template <int W>
INLINED void store(float* to, const typename Lanes<W>::Floats& v) {
  std::memcpy(to, &v, sizeof v);
}

template <int W>
INLINED void store(BFloat16* to, const typename Lanes<W>::Floats& v) {
  typename Lanes<W>::Words words;
  std::memcpy(&words, &v, sizeof words);
  const auto rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;  // to the nearest, ties to even
  const auto quiet = (words >> 16) | 64;                              // rounding could turn a NaN into an infinity
  const typename Lanes<W>::Words chosen = v != v ? quiet : rounded;
  const auto halves = __builtin_convertvector(chosen, typename Lanes<W>::Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// `work(c)` for the first channels of blocks of W that cover all of them. The last block may overlap the one before.
template <int W, class Work>
INLINED void blocks(int64_t channels, const Work& work) {
  int64_t c = 0;
  for (; c + W <= channels; c += W) work(c);
  if (c < channels) work(channels - W);
}

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

// ---------------------------------------------------------------- a row of windows

// PyTorch's rule: a later element wins where it is greater or NaN, so the first of equal ones stays.
template <int W, bool with_places, class T>
INLINED void max_row(const Pool& p, int64_t row, const T* x, T* y, int32_t* places) {
  using Lane = Lanes<W>;
  const int64_t oh = row % p.h.count, od = row / p.h.count % p.d.count, n = row / p.h.count / p.d.count;
  x += n * p.d.size * p.h.size * p.w.size * p.channels;
  const int64_t d0 = p.d.begin(od), d1 = p.d.end(od), h0 = p.h.begin(oh), h1 = p.h.end(oh);
  for (int64_t ow = 0; ow < p.w.count; ++ow) {
    const int64_t w0 = p.w.begin(ow), w1 = p.w.end(ow), out = (row * p.w.count + ow) * p.channels;
    blocks<W>(p.channels, [&](int64_t c) INLINED_CALL {
      const int32_t start = static_cast<int32_t>((d0 * p.h.size + h0) * p.w.size + w0);
      typename Lane::Floats best;
      load<W>(best, x + start * p.channels + c);
      typename Lane::Places at = typename Lane::Places{} + start;
      for (int64_t d = d0; d < d1; d += p.d.step) {
        for (int64_t h = h0; h < h1; h += p.h.step) {
          const int64_t line = (d * p.h.size + h) * p.w.size;
          for (int64_t w = w0; w < w1; w += p.w.step) {
            typename Lane::Floats v;
            load<W>(v, x + (line + w) * p.channels + c);
            const typename Lane::Places better = (v > best) | (v != v);
            best = better ? v : best;
            if (with_places) at = better ? typename Lane::Places{} + static_cast<int32_t>(line + w) : at;
          }
        }
      }
      store<W>(y + out + c, best);
      if (with_places) std::memcpy(places + out + c, &at, sizeof at);
    });
  }
}

// A row of the plane: what the windows that hold an element say of it, added up. No two threads write one element.
template <int W, class T>
INLINED void put_row(const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row, const T* g,
                     const int32_t* places, T* x) {
  using Lane = Lanes<W>;
  const int64_t h = row % p.h.size, d = row / p.h.size % p.d.size, n = row / p.h.size / p.d.size;
  const int64_t line = (d * p.h.size + h) * p.w.size;
  for (int64_t w = 0; w < p.w.size; ++w) {
    const int32_t here = static_cast<int32_t>(line + w);
    T* to = x + (row * p.w.size + w) * p.channels;
    blocks<W>(p.channels, [&](int64_t c) INLINED_CALL {
      typename Lane::Floats sum = {};
      for (int64_t i = hd.first[d]; i < hd.first[d + 1]; ++i) {
        for (int64_t j = hh.first[h]; j < hh.first[h + 1]; ++j) {
          const int64_t outer = ((n * p.d.count + hd.windows[i]) * p.h.count + hh.windows[j]) * p.w.count;
          for (int64_t k = hw.first[w]; k < hw.first[w + 1]; ++k) {
            const int64_t from = (outer + hw.windows[k]) * p.channels + c;
            typename Lane::Floats v;
            typename Lane::Places at;
            load<W>(v, g + from);
            std::memcpy(&at, places + from, sizeof at);
            sum += at == here ? v : typename Lane::Floats{};
          }
        }
      }
      store<W>(to + c, sum);
    });
  }
}

// ---------------------------------------------------------------- compiled for each kind of processor

// `work` with the widest vectors that the channels fill.
template <class Work>
INLINED void with_lanes(int64_t channels, const Work& work) {
  if (channels >= 16) return work(std::integral_constant<int, 16>());
  if (channels >= 8) return work(std::integral_constant<int, 8>());
  if (channels >= 4) return work(std::integral_constant<int, 4>());
  work(std::integral_constant<int, 1>());
}

template <class T>
INLINED void max_rows_of(const Pool& p, int64_t row, int64_t last, const T* x, T* y, int32_t* places) {
  with_lanes(p.channels, [&](auto lanes) INLINED_CALL {
    for (; row < last; ++row) {
      if (places) {
        max_row<lanes, true>(p, row, x, y, places);
      } else {
        max_row<lanes, false>(p, row, x, y, places);
      }
    }
  });
}

template <class T>
INLINED void put_rows_of(const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row, int64_t last,
                         const T* g, const int32_t* places, T* x) {
  with_lanes(p.channels, [&](auto lanes) INLINED_CALL {
    for (; row < last; ++row) put_row<lanes>(p, hd, hh, hw, row, g, places, x);
  });
}

VECTORISED void max_rows(const Pool& p, int64_t row, int64_t last, const float* x, float* y, int32_t* places) {
  max_rows_of(p, row, last, x, y, places);
}

VECTORISED void max_rows(const Pool& p, int64_t row, int64_t last, const BFloat16* x, BFloat16* y, int32_t* places) {
  max_rows_of(p, row, last, x, y, places);
}

VECTORISED void put_rows(const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row, int64_t last,
                         const float* g, const int32_t* places, float* x) {
  put_rows_of(p, hd, hh, hw, row, last, g, places, x);
}

VECTORISED void put_rows(const Pool& p, const Holders& hd, const Holders& hh, const Holders& hw, int64_t row, int64_t last,
                         const BFloat16* g, const int32_t* places, BFloat16* x) {
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
