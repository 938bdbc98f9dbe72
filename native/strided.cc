// An array that strides show in a memory, written out row by row. XLA's CPU compiler computes each element's place anew.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "attributes.h"
#include "numbers.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

constexpr int64_t small_problem = 1 << 18;  // bytes: fewer are moved by the thread that asks

struct Dimension {
  int64_t size, from, to;  // the steps from one element to the next, in the memory and in the result
};

// The dimensions without those of one element, two that lie in a row as one.
std::vector<Dimension> joined(ffi::Span<const int64_t> shape, ffi::Span<const int64_t> strides) {
  std::vector<Dimension> made;
  int64_t step = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    const int64_t size = shape[d];
    if (size != 1) {
      if (!made.empty() && strides[d] == made.back().from * made.back().size) {
        made.back().size *= size;
      } else {
        made.push_back({size, strides[d], step});
      }
    }
    step *= size;
  }
  std::reverse(made.begin(), made.end());
  return made;
}

// Calls `work(from, to)` for the items from `first` to `last` of all that the dimensions have.
template <class Work>
INLINED void each(const std::vector<Dimension>& dimensions, int64_t first, int64_t last, Work work) {
  const size_t rank = dimensions.size();
  std::vector<int64_t> at(rank);
  int64_t from = 0, to = 0, rest = first;
  for (size_t d = rank; d-- > 0;) {
    at[d] = rest % dimensions[d].size;
    rest /= dimensions[d].size;
    from += at[d] * dimensions[d].from;
    to += at[d] * dimensions[d].to;
  }
  for (int64_t i = first; i < last; ++i) {
    work(from, to);
    for (size_t d = rank; d-- > 0;) {
      from += dimensions[d].from;
      to += dimensions[d].to;
      if (++at[d] < dimensions[d].size) break;
      from -= at[d] * dimensions[d].from;
      to -= at[d] * dimensions[d].to;
      at[d] = 0;
    }
  }
}

int64_t items(const std::vector<Dimension>& dimensions) {
  int64_t count = 1;
  for (const auto& d : dimensions) count *= d.size;
  return count;
}

// ---------------------------------------------------------------- squares

template <class T>
constexpr bool in_squares = sizeof(T) > 1 && sizeof(T) <= 8;

template <class T, int Lanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};

// Elements of two vectors in turn, of their first halves or of their second ones.
template <class Vector, int... I>
INLINED Vector interleaved(Vector a, Vector b, int half, std::integer_sequence<int, I...>) {
  constexpr int lanes = sizeof...(I);
  return half == 0 ? __builtin_shufflevector(a, b, (I % 2 * lanes + I / 2)...)
                   : __builtin_shufflevector(a, b, (I % 2 * lanes + I / 2 + lanes / 2)...);
}

// A square of elements, whose rows are columns then. Each round puts the rows' first half and their second one together in turn.
template <class T, int Lanes>
INLINED void square(const T* x, int64_t from, T* y, int64_t to) {
  using Vector = typename VectorOf<T, Lanes>::type;
  constexpr auto all = std::make_integer_sequence<int, Lanes>();
  Vector rows[Lanes];
#pragma GCC unroll 32
  for (int i = 0; i < Lanes; ++i) std::memcpy(&rows[i], x + i * from, sizeof(Vector));
#pragma GCC unroll 8
  for (int round = 1; round < Lanes; round *= 2) {
    Vector next[Lanes];
#pragma GCC unroll 32
    for (int i = 0; i < Lanes / 2; ++i) {
      next[2 * i] = interleaved(rows[i], rows[i + Lanes / 2], 0, all);
      next[2 * i + 1] = interleaved(rows[i], rows[i + Lanes / 2], 1, all);
    }
#pragma GCC unroll 32
    for (int i = 0; i < Lanes; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 32
  for (int i = 0; i < Lanes; ++i) std::memcpy(y + i * to, &rows[i], sizeof(Vector));
}

// A strip of up to `Lanes` elements in a row of the result, and of all `down` rows, whose elements lie in a row in the memory.
template <class T, int Lanes>
INLINED void strip(const T* x, T* y, int64_t across, int64_t from, int64_t down, int64_t to) {
  int64_t j = 0;
  if constexpr (in_squares<T>) {
    for (; across == Lanes && j + Lanes <= down; j += Lanes) square<T, Lanes>(x + j, from, y + j * to, to);
  }
  for (; j < down; ++j) {
    for (int64_t i = 0; i < across; ++i) y[j * to + i] = x[i * from + j];
  }
}

#define STRIPS(bytes, target)                                                                                              \
  target void strip_##bytes(const uint16_t* x, uint16_t* y, int64_t across, int64_t from, int64_t down, int64_t to) {      \
    strip<uint16_t, std::min(bytes / 2, 16)>(x, y, across, from, down, to);                                                \
  }                                                                                                                        \
  target void strip_##bytes(const uint32_t* x, uint32_t* y, int64_t across, int64_t from, int64_t down, int64_t to) {      \
    strip<uint32_t, bytes / 4>(x, y, across, from, down, to);                                                              \
  }                                                                                                                        \
  target void strip_##bytes(const uint64_t* x, uint64_t* y, int64_t across, int64_t from, int64_t down, int64_t to) {      \
    strip<uint64_t, bytes / 8>(x, y, across, from, down, to);                                                              \
  }

STRIPS(64, __attribute__((target("avx512f"))))
STRIPS(32, __attribute__((target("avx2"))))
STRIPS(16, )
#undef STRIPS

template <class T>
int64_t lanes() {
  const int64_t bytes = isa() == kAvx512 ? (sizeof(T) == 2 ? 32 : 64) : isa() == kAvx2 ? 32 : 16;
  return in_squares<T> ? bytes / static_cast<int64_t>(sizeof(T)) : 16;
}

template <class T>
void turned(const T* x, T* y, int64_t across, int64_t from, int64_t down, int64_t to) {
  if constexpr (in_squares<T>) {
    if (isa() == kAvx512) return strip_64(x, y, across, from, down, to);
    if (isa() == kAvx2) return strip_32(x, y, across, from, down, to);
    return strip_16(x, y, across, from, down, to);
  } else {
    strip<T, 0>(x, y, across, from, down, to);
  }
}

// ---------------------------------------------------------------- the call

struct Wide {  // a complex number of 128 bits
  uint64_t parts[2];
};

template <class T>
void written_out(const T* x, T* y, std::vector<Dimension> dimensions) {
  const Dimension inner = dimensions.back();
  dimensions.pop_back();
  const auto beside = std::find_if(dimensions.rbegin(), dimensions.rend(), [](const Dimension& d) { return d.from == 1; });
  const bool turns = inner.from > 1 && beside != dimensions.rend();
  Dimension down{};
  int64_t wide = 0;
  if (turns) {  // a dimension of strips in the place of the one that lies in a row in the memory
    down = *beside;
    dimensions.erase(std::next(beside).base());
    wide = lanes<T>();
    dimensions.push_back({(inner.size + wide - 1) / wide, inner.from * wide, wide});
  }
  const int64_t count = items(dimensions);
  const int64_t bytes = count * (turns ? wide * down.size : inner.size) * static_cast<int64_t>(sizeof(T));
  const int64_t strips = turns ? dimensions.back().size : 1;
  parallel(bytes < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const auto [first, last] = share(count, member, members);
    if (turns) {
      int64_t number = first % strips;
      each(dimensions, first, last, [&](int64_t from, int64_t to) {
        turned<T>(x + from, y + to, std::min(wide, inner.size - number * wide), inner.from, down.size, down.to);
        number = number + 1 == strips ? 0 : number + 1;
      });
    } else if (inner.from == 1) {
      const size_t size = static_cast<size_t>(inner.size) * sizeof(T);
      each(dimensions, first, last, [&](int64_t from, int64_t to) { std::memcpy(y + to, x + from, size); });
    } else {
      each(dimensions, first, last, [&](int64_t from, int64_t to) {
        for (int64_t i = 0; i < inner.size; ++i) y[to + i] = x[from + i * inner.from];
      });
    }
  });
}

template <class T>
void run_for(ffi::AnyBuffer x, int64_t start, ffi::Result<ffi::AnyBuffer> y, std::vector<Dimension> dimensions) {
  written_out(static_cast<const T*>(x.untyped_data()) + start, static_cast<T*>(y->untyped_data()), std::move(dimensions));
}

ffi::Error run(ffi::AnyBuffer x, ffi::Buffer<ffi::S64> start, ffi::Result<ffi::AnyBuffer> y, ffi::Span<const int64_t> strides) {
  const auto shape = y->dimensions();
  if (strides.size() != shape.size()) return ffi::Error::InvalidArgument("strided: expected a stride for each dimension");
  if (y->element_count() == 0) return ffi::Error::Success();
  int64_t lowest = *start.typed_data(), highest = lowest;
  for (size_t d = 0; d < shape.size(); ++d) (strides[d] < 0 ? lowest : highest) += (shape[d] - 1) * strides[d];
  if (lowest < 0 || highest >= static_cast<int64_t>(x.element_count())) {
    return ffi::Error::InvalidArgument("strided: the view reaches beyond its memory of " + std::to_string(x.element_count()) +
                                       " elements");
  }
  auto dimensions = joined(shape, strides);
  if (dimensions.empty()) dimensions.push_back({1, 1, 1});
  const int64_t from = *start.typed_data();
  switch (x.size_bytes() / x.element_count()) {
    case 1: run_for<uint8_t>(x, from, y, std::move(dimensions)); break;
    case 2: run_for<uint16_t>(x, from, y, std::move(dimensions)); break;
    case 4: run_for<uint32_t>(x, from, y, std::move(dimensions)); break;
    case 8: run_for<uint64_t>(x, from, y, std::move(dimensions)); break;
    default: run_for<Wide>(x, from, y, std::move(dimensions));
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_strided(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::S64>>()
                             .Ret<ffi::AnyBuffer>()
                             .Attr<ffi::Span<const int64_t>>("strides")
                             .To(flambeau::run)
                             .release();
  return handler->Call(frame);
}
