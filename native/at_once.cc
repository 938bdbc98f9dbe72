// Small calls that the host computes itself, in less time than a program of XLA takes to begin: elementwise operations that round
// once, and elements that are picked by their numbers. Their results are those of XLA's programs to the bit.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <xmmintrin.h>

#include "attributes.h"
#include "numbers.h"
#include "python.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")
#endif

namespace {

constexpr int array_of_arguments = 0x0080;           // METH_FASTCALL
constexpr int with_format = 0x0004 | 0x0008;         // PyBUF_FORMAT, PyBUF_ND: in one piece
constexpr int to_write = 0x0001 | 0x0004 | 0x0008;   // and PyBUF_WRITABLE

PyObject *none, *yes;

// None: a program has to do it, or to say what is wrong.
PyObject* refused() {
  PyErr_Clear();
  Py_IncRef(none);
  return none;
}

PyObject* done() {
  Py_IncRef(yes);
  return yes;
}

// The memory of an array of JAX's (of whom it waits until it is there) or of NumPy's.
struct Memory {
  Py_buffer view;
  bool is_there;
  char kind = 0;  // of its numbers, as `struct` names them; 'q' for what NumPy calls a long

  Memory(PyObject* array, int flags) : is_there(PyObject_GetBuffer(array, &view, flags) == 0) {
    if (!is_there || view.format == nullptr) return;
    kind = view.format[*view.format == '=' || *view.format == '@' ? 1 : 0];
    if (kind == 'l') kind = 'q';
  }
  Memory(const Memory&) = delete;
  ~Memory() {
    if (is_there) PyBuffer_Release(&view);
  }
  int64_t count() const { return view.itemsize ? view.len / view.itemsize : 0; }
  template <class T>
  T* as() const { return static_cast<T*>(view.buf); }
};

// A part of an array's numbers: those of a view that lies in one piece.
struct Part {
  Memory memory;
  int64_t start, count;
  Part(PyObject* const* given, bool all = false)
      : memory(given[0], with_format), start(PyLong_AsLongLong(given[1])), count(all ? 0 : PyLong_AsLongLong(given[2])) {
    if (all) count = memory.is_there ? memory.count() - start : -1;
  }
  bool is_there() const {
    return memory.is_there && start >= 0 && count >= 0 && count <= memory.count() && start <= memory.count() - count;
  }
  template <class T>
  const T* as() const { return memory.as<T>() + start; }
  const char* bytes() const { return memory.as<char>() + start * memory.view.itemsize; }
};

// ---------------------------------------------------------------- element by element

// XLA's threads take the smallest numbers (subnormal ones) for 0, in what goes in and in what comes out.
struct Abrupt {
  Abrupt() : before(_mm_getcsr()) { _mm_setcsr(before | 0x8040u); }
  ~Abrupt() { _mm_setcsr(before); }
  Abrupt(const Abrupt&) = delete;
  unsigned before;
};

// In the order of `_OPERATIONS` in native/at_once.py.
enum Operation : long { kAdd, kSub, kMul, kDiv, kEq, kNe, kLt, kLe, kGt, kGe };


template <class T, class R, class F>
INLINED void each(const T* a, int64_t count_a, const T* b, int64_t count_b, R* y, int64_t count, F f) {
  if (count_a == count && count_b == count) {
    for (int64_t i = 0; i < count; ++i) y[i] = f(a[i], b[i]);
    return;
  }
  const int64_t period = std::min(count_a, count_b);
  if (period == 1) {
    if (count_a == 1) {
      const T one = *a;
      for (int64_t i = 0; i < count; ++i) y[i] = f(one, b[i]);
    } else {
      const T one = *b;
      for (int64_t i = 0; i < count; ++i) y[i] = f(a[i], one);
    }
    return;
  }
  for (int64_t from = 0; from < count; from += period) {
    const T *x = count_a == count ? a + from : a, *z = count_b == count ? b + from : b;
    for (int64_t i = 0; i < period; ++i) y[from + i] = f(x[i], z[i]);
  }
}

// Whole numbers go round at the end of their range.
template <class T>
using Round = typename std::conditional<std::is_integral<T>::value, uint64_t, T>::type;

template <class T>
INLINED bool computed(long operation, const T* a, int64_t count_a, const T* b, int64_t count_b, void* y, int64_t count) {
  T* const same = static_cast<T*>(y);
  bool* const truth = static_cast<bool*>(y);
  using U = Round<T>;
  switch (operation) {
    case kAdd: each(a, count_a, b, count_b, same, count, [](T p, T q) { return T(U(p) + U(q)); }); return true;
    case kSub: each(a, count_a, b, count_b, same, count, [](T p, T q) { return T(U(p) - U(q)); }); return true;
    case kMul: each(a, count_a, b, count_b, same, count, [](T p, T q) { return T(U(p) * U(q)); }); return true;
    case kDiv:
      if constexpr (!std::is_integral<T>::value) {
        each(a, count_a, b, count_b, same, count, [](T p, T q) { return p / q; });
        return true;
      }
      return false;
    case kEq: each(a, count_a, b, count_b, truth, count, [](T p, T q) { return p == q; }); return true;
    case kNe: each(a, count_a, b, count_b, truth, count, [](T p, T q) { return p != q; }); return true;
    case kLt: each(a, count_a, b, count_b, truth, count, [](T p, T q) { return p < q; }); return true;
    case kLe: each(a, count_a, b, count_b, truth, count, [](T p, T q) { return p <= q; }); return true;
    case kGt: each(a, count_a, b, count_b, truth, count, [](T p, T q) { return p > q; }); return true;
    case kGe: each(a, count_a, b, count_b, truth, count, [](T p, T q) { return p >= q; }); return true;
  }
  return false;
}

VECTORISED(bool, computed_singly, (long operation, const float* a, int64_t n, const float* b, int64_t m, void* y, int64_t count),
           (operation, a, n, b, m, y, count)) {
  return computed(operation, a, n, b, m, y, count);
}
VECTORISED(bool, computed_doubly, (long operation, const double* a, int64_t n, const double* b, int64_t m, void* y, int64_t count),
           (operation, a, n, b, m, y, count)) {
  return computed(operation, a, n, b, m, y, count);
}
VECTORISED(bool, computed_whole, (long operation, const int64_t* a, int64_t n, const int64_t* b, int64_t m, void* y, int64_t count),
           (operation, a, n, b, m, y, count)) {
  return computed(operation, a, n, b, m, y, count);
}

template <class T>
bool computed_for(long operation, const Part& a, const T* b, int64_t period, const Memory& y) {
  const int64_t count = y.count();
  if (count % std::max<int64_t>(a.count, 1) != 0 || count % std::max<int64_t>(period, 1) != 0) return false;
  if (count != std::max(a.count, period)) return count == 0;
  if constexpr (std::is_same<T, float>::value) return computed_singly(operation, a.as<T>(), a.count, b, period, y.view.buf, count);
  if constexpr (std::is_same<T, double>::value) return computed_doubly(operation, a.as<T>(), a.count, b, period, y.view.buf, count);
  if constexpr (std::is_same<T, int64_t>::value) return computed_whole(operation, a.as<T>(), a.count, b, period, y.view.buf, count);
}

// With a number in the place of the second array.
bool computed_with(PyObject* given, bool whole, long operation, const Part& a, const Memory& y) {
  const double number = whole ? 0 : PyFloat_AsDouble(given);
  const int64_t integer = whole ? PyLong_AsLongLong(given) : 0;
  if (PyErr_Occurred() != nullptr || y.count() != a.count) return false;
  switch (a.memory.kind) {
    case 'f': {
      const float one = whole ? static_cast<float>(integer) : static_cast<float>(number);
      if (std::isinf(one) && !std::isinf(number)) return false;
      return computed_for<float>(operation, a, &one, 1, y);
    }
    case 'd': {
      const double one = whole ? static_cast<double>(integer) : number;
      return computed_for<double>(operation, a, &one, 1, y);
    }
    case 'q':
      return whole && computed_for<int64_t>(operation, a, &integer, 1, y);
  }
  return false;
}

// (operation, result, array, start, count, array, start, count), or with a number and whether it is a whole one at the end -> True, or
// None. The shorter of the two begins anew where it ends.
PyObject* elementwise(PyObject*, PyObject* const* given, Py_ssize_t count) {
  const long operation = PyLong_AsLong(given[0]);
  const Memory y(given[1], to_write);
  const Part a(given + 2);
  if (!y.is_there || !a.is_there() || y.kind != (operation >= kEq ? '?' : a.memory.kind)) return refused();
  const Abrupt underflow;
  if (count == 7) return computed_with(given[5], PyObject_IsTrue(given[6]) == 1, operation, a, y) ? done() : refused();
  const Part b(given + 5);
  if (!b.is_there() || b.memory.kind != a.memory.kind) return refused();
  bool made = false;
  switch (a.memory.kind) {
    case 'f': made = computed_for<float>(operation, a, b.as<float>(), b.count, y); break;
    case 'd': made = computed_for<double>(operation, a, b.as<double>(), b.count, y); break;
    case 'q': made = computed_for<int64_t>(operation, a, b.as<int64_t>(), b.count, y); break;
  }
  return made ? done() : refused();
}

// ---------------------------------------------------------------- by their numbers

struct Numbers {
  const void* memory;
  bool wide;
  int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(memory)[i] : static_cast<const int32_t*>(memory)[i];
  }
};

bool are_numbers(const Part& index) { return index.is_there() && (index.memory.kind == 'q' || index.memory.kind == 'i'); }
Numbers numbers_of(const Part& index) { return {index.bytes(), index.memory.kind == 'q'}; }

// The sizes of a tensor, which may be a view that has others than its array.
constexpr int most_dimensions = 8;
struct Sizes {
  int rank;
  int64_t of[most_dimensions];
  explicit Sizes(PyObject* shape) : rank(static_cast<int>(PyTuple_Size(shape))) {
    if (rank > most_dimensions) rank = -1;
    for (int d = 0; d < rank; ++d) of[d] = PyLong_AsLongLong(PyTuple_GetItem(shape, d));
  }
  int64_t from(int d) const {  // elements of the dimensions from here on
    int64_t product = 1;
    for (; d < rank; ++d) product *= of[d];
    return product;
  }
};

void copy(char* to, const char* from, int64_t bytes) {
  switch (bytes) {
    case 4: std::memcpy(to, from, 4); return;
    case 8: std::memcpy(to, from, 8); return;
    default: std::memcpy(to, from, bytes);
  }
}

bool like(const Part& x, const Sizes& sizes, const Memory& y) {
  return x.is_there() && y.is_there && sizes.rank > 0 && x.memory.kind == y.kind && x.memory.view.itemsize == y.view.itemsize &&
         sizes.from(0) <= x.count;
}

// (result, array, start, its shape, dimension, numbers, start, count) -> True, or None: the slices along a dimension that have these
// numbers, in their order.
PyObject* slices(PyObject*, PyObject* const* given, Py_ssize_t) {
  const Memory y(given[0], to_write);
  const Part x(given + 1, true), index(given + 5);
  const Sizes sizes(given[3]);
  const long axis = PyLong_AsLong(given[4]);
  if (!like(x, sizes, y) || !are_numbers(index) || axis < 0 || axis >= sizes.rank) return refused();
  const Numbers at = numbers_of(index);
  const int64_t size = sizes.of[axis], width = sizes.from(axis + 1) * y.view.itemsize;
  int64_t outer = 1;
  for (int d = 0; d < axis; ++d) outer *= sizes.of[d];
  if (y.view.len != outer * index.count * width) return refused();
  const char* from = x.bytes();
  char* to = y.as<char>();
  for (int64_t o = 0; o < outer; ++o, from += size * width) {
    for (int64_t i = 0; i < index.count; ++i, to += width) {
      const int64_t place = at[i];
      if (place < 0 || place >= size) return refused();
      copy(to, from + place * width, width);
    }
  }
  return done();
}

// (result, array, start, its shape, dimension, numbers, start, their shape) -> True, or None: the number of each element tells its place
// along the dimension.
PyObject* gathered(PyObject*, PyObject* const* given, Py_ssize_t) {
  const Memory y(given[0], to_write);
  const Part x(given + 1, true), index(given + 5, true);
  const Sizes all(given[3]), sizes(given[7]);
  const long axis = PyLong_AsLong(given[4]);
  const int rank = all.rank;
  if (!like(x, all, y) || !are_numbers(index) || axis < 0 || axis >= rank || sizes.rank != rank) return refused();
  const int64_t count = sizes.from(0), width = y.view.itemsize;
  if (y.count() != count || index.count < count) return refused();
  int64_t steps[most_dimensions], at[most_dimensions] = {}, base = 0, step = width;
  for (int d = rank; d-- > 0;) {
    if (d != axis && sizes.of[d] > all.of[d]) return refused();
    steps[d] = step;
    step *= all.of[d];
  }
  const Numbers number = numbers_of(index);
  const char* from = x.bytes();
  char* to = y.as<char>();
  for (int64_t i = 0; i < count; ++i, to += width) {
    const int64_t place = number[i];
    if (place < 0 || place >= all.of[axis]) return refused();
    copy(to, from + base + place * steps[axis], width);
    for (int d = rank; d-- > 0;) {
      if (d != axis) base += steps[d];
      if (++at[d] < sizes.of[d]) break;
      if (d != axis) base -= steps[d] * sizes.of[d];
      at[d] = 0;
    }
  }
  return done();
}

// (result, array, start, its shape, (numbers, start, count)...) -> True, or None: what the first dimensions' numbers name, which count from
// the end if they are below 0.
PyObject* named(PyObject*, PyObject* const* given, Py_ssize_t count) {
  constexpr int64_t most = 1024;
  const Memory y(given[0], to_write);
  const Part x(given + 1, true);
  const Sizes sizes(given[3]);
  const int dims = static_cast<int>(count - 4) / 3;
  if (!like(x, sizes, y) || dims < 1 || dims > sizes.rank) return refused();
  const int64_t width = sizes.from(dims) * y.view.itemsize, items = width ? y.view.len / width : 0;
  if (items * width != y.view.len || items > most) return refused();
  int64_t places[most], step = width;
  std::fill(places, places + items, 0);
  for (int d = dims; d-- > 0;) {
    const Part index(given + 4 + 3 * d);
    if (!are_numbers(index) || index.count != items) return refused();
    const Numbers number = numbers_of(index);
    const int64_t size = sizes.of[d];
    for (int64_t i = 0; i < items; ++i) {
      const int64_t place = number[i] < 0 ? number[i] + size : number[i];
      if (place < 0 || place >= size) return refused();
      places[i] += place * step;
    }
    step *= size;
  }
  char* const to = y.as<char>();
  for (int64_t i = 0; i < items; ++i) copy(to + i * width, x.bytes() + places[i], width);
  return done();
}

using Called = PyObject* (*)(PyObject*, PyObject*);
#define METHOD(name) {#name, reinterpret_cast<Called>(reinterpret_cast<void*>(name)), array_of_arguments, nullptr}
PyMethodDef functions[] = {METHOD(elementwise), METHOD(slices), METHOD(gathered), METHOD(named)};
#undef METHOD

}  // namespace

// (None, True) -> the functions. Called once, with the interpreter's lock.
PUBLIC PyObject* flambeau_at_once(PyObject* given) {
  Py_IncRef(given);  // what it holds stays
  none = PyTuple_GetItem(given, 0);
  yes = PyTuple_GetItem(given, 1);
  PyObject* made = PyTuple_New(4);
  for (int i = 0; i < 4; ++i) PyTuple_SetItem(made, i, PyCFunction_NewEx(&functions[i], nullptr, nullptr));
  return made;
}
