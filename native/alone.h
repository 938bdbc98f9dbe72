// Kernels of one operator, which XLA calls in the operator's program and the host while there is no program yet.
#pragma once

#include "attributes.h"
#include "gradual.h"
#include "xla/ffi/api/ffi.h"

namespace flambeau {

// What a call is given: the memory of its arguments and results, and numbers.
struct Call {
  const void* const* arguments;
  void* const* results;
  const int64_t* numbers;

  template <class T>
  const T* in(int i) const { return static_cast<const T*>(arguments[i]); }
  template <class T>
  T* out(int i) const { return static_cast<T*>(results[i]); }
};

template <void (*compute)(const Call&)>
xla::ffi::Error compute_for_xla(xla::ffi::RemainingArgs arguments, xla::ffi::RemainingRets results,
                                xla::ffi::Span<const int64_t> numbers) {
  constexpr size_t most = 8;
  const void* given[most];
  void* made[most];
  if (arguments.size() > most || results.size() > most) return xla::ffi::Error::InvalidArgument("too many arrays");
  for (size_t i = 0; i < arguments.size(); ++i) given[i] = arguments.get<xla::ffi::AnyBuffer>(i)->untyped_data();
  for (size_t i = 0; i < results.size(); ++i) made[i] = (*results.get<xla::ffi::AnyBuffer>(i))->untyped_data();
  compute({given, made, numbers.begin()});
  return xla::ffi::Error::Success();
}

}  // namespace flambeau

// The symbols of a kernel that a function of a `Call` computes: for XLA, and for the host.
#define ALONE(name, compute)                                                                               \
  PUBLIC XLA_FFI_Error* name(XLA_FFI_CallFrame* frame) {                                                   \
    static auto* handler = xla::ffi::Ffi::Bind()                                                           \
                               .RemainingArgs()                                                            \
                               .RemainingRets()                                                            \
                               .Attr<xla::ffi::Span<const int64_t>>("numbers")                             \
                               .To(flambeau::compute_for_xla<compute>)                                     \
                               .release();                                                                 \
    return handler->Call(frame);                                                                           \
  }                                                                                                        \
  PUBLIC void name##_host(const void* const* arguments, void* const* results, const int64_t* numbers) {    \
    compute({arguments, results, numbers});                                                                \
  }
