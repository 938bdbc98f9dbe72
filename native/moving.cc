// What moves elements and computes nothing: rows that are named by their numbers, and an array under another shape.

#include <algorithm>
#include <cstring>

#include "attributes.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

constexpr int64_t small_problem = 1 << 18;  // bytes: fewer are moved by the thread that asks

// Numbers of rows that are not there are those of the nearest one that is.
template <class Index, class Copy>
void each_row(const Index* index, int64_t first, int64_t last, int64_t rows, Copy copy) {
  for (int64_t i = first; i < last; ++i) copy(i, std::clamp<int64_t>(index[i], 0, rows - 1));
}

template <class Index>
void rows_at(const char* x, const Index* index, char* y, int64_t count, int64_t rows, int64_t width) {
  parallel(count * width < small_problem ? 1 : num_threads(), [&](int member, int members) {
    const auto [first, last] = share(count, member, members);
    each_row(index, first, last, rows, [&](int64_t i, int64_t row) { std::memcpy(y + i * width, x + row * width, width); });
  });
}

ffi::Error rows(ffi::AnyBuffer x, ffi::AnyBuffer index, ffi::Result<ffi::AnyBuffer> y) {
  const int64_t count = static_cast<int64_t>(index.element_count()), held = x.dimensions()[0];
  if (count == 0) return ffi::Error::Success();
  const int64_t width = static_cast<int64_t>(y->size_bytes()) / count;
  const char* from = static_cast<const char*>(x.untyped_data());
  char* to = static_cast<char*>(y->untyped_data());
  if (index.element_type() == ffi::S32) {
    rows_at(from, static_cast<const int32_t*>(index.untyped_data()), to, count, held, width);
  } else {
    rows_at(from, static_cast<const int64_t*>(index.untyped_data()), to, count, held, width);
  }
  return ffi::Error::Success();
}

// Result and argument are the same memory.
ffi::Error same(ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> y) {
  if (x.untyped_data() != y->untyped_data()) std::memcpy(y->untyped_data(), x.untyped_data(), x.size_bytes());
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_rows(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .To(flambeau::rows)
                             .release();
  return handler->Call(frame);
}

PUBLIC XLA_FFI_Error* flambeau_same(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>().To(flambeau::same).release();
  return handler->Call(frame);
}
