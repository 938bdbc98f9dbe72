// Single values of arrays in the CPU's memory, and whether whole numbers lie within limits: what eager calls ask before they
// compute, for which NumPy's way through Python takes as long as a program of XLA.

#include <cstdint>
#include <memory>
#include <vector>

#include "attributes.h"
#include "python.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace {

constexpr int array_of_arguments = 0x0080;  // METH_FASTCALL
constexpr int one_argument = 0x0008;        // METH_O
constexpr int no_arguments = 0x0004;        // METH_NOARGS
constexpr int buffer_with_format = 0x0004 | 0x0008;  // PyBUF_FORMAT, PyBUF_ND: in one piece

// In the order of `_NUMBERS` in native/reading.py.
enum Number : long { float32, float64, int64, int32, int16, int8, uint8, boolean };

PyObject *none, *numbers, *kind_of_array;  // None; which Number a dtype is; the class of arrays. For ever.
PyObject *aval, *dtype, *shape, *sharding, *device, *platform, *is_deleted, *is_ready, *pointer;

// A new reference that ends with this.
struct Held {
  PyObject* object;
  explicit Held(PyObject* made) : object(made) {}
  Held(const Held&) = delete;
  ~Held() {
    if (object != nullptr) Py_DecRef(object);
  }
  operator PyObject*() const { return object; }
};

PyObject* attribute(PyObject* owner, PyObject* name) { return owner == nullptr ? nullptr : PyObject_GetAttr(owner, name); }

struct Values {
  const char* memory = nullptr;  // nullptr: they are not at hand
  long number = -1;
  int64_t count = 1;
};

// The values of an array that lies whole in the CPU's memory, is there already, and has numbers that are known here.
Values values_of(PyObject* array) {
  Values found;
  const Held kind(PyObject_Type(array));
  if (kind != kind_of_array) return found;
  const Held about(attribute(array, aval)), type(attribute(about, dtype)), sizes(attribute(about, shape));
  const Held where(attribute(array, sharding)), one(attribute(where, device)), name(attribute(one, platform));
  if (type == nullptr || sizes == nullptr || name == nullptr) return found;
  PyObject* number = PyDict_GetItemWithError(numbers, type);
  if (number == nullptr || PyUnicode_CompareWithASCIIString(name, "cpu") != 0) return found;
  const Held gone(PyObject_CallMethodObjArgs(array, is_deleted, nullptr));  // JAX would look into what is not there
  if (gone == nullptr || PyObject_IsTrue(gone) != 0) return found;
  const Held ready(PyObject_CallMethodObjArgs(array, is_ready, nullptr));
  if (ready == nullptr || PyObject_IsTrue(ready) != 1) return found;
  const Held address(PyObject_CallMethodObjArgs(array, pointer, nullptr));
  if (address == nullptr) return found;
  found.number = PyLong_AsLong(number);
  for (Py_ssize_t i = 0, n = PyTuple_Size(sizes); i < n; ++i) found.count *= PyLong_AsLongLong(PyTuple_GetItem(sizes, i));
  found.memory = reinterpret_cast<const char*>(PyLong_AsLongLong(address));
  return found;
}

PyObject* nothing() {
  PyErr_Clear();  // whoever asks goes another way, which says what is wrong
  Py_IncRef(none);
  return none;
}

// The number at a place of an array, as Python's own; None where it is not at hand.
PyObject* number_at(PyObject*, PyObject* const* given, Py_ssize_t) {
  const Values values = values_of(given[0]);
  const int64_t place = PyLong_AsLongLong(given[1]);
  if (values.memory == nullptr || place < 0 || place >= values.count) return nothing();
  const char* const memory = values.memory;
  switch (values.number) {
    case float32:
      return PyFloat_FromDouble(reinterpret_cast<const float*>(memory)[place]);
    case float64:
      return PyFloat_FromDouble(reinterpret_cast<const double*>(memory)[place]);
    case int64:
      return PyLong_FromLongLong(reinterpret_cast<const int64_t*>(memory)[place]);
    case int32:
      return PyLong_FromLongLong(reinterpret_cast<const int32_t*>(memory)[place]);
    case int16:
      return PyLong_FromLongLong(reinterpret_cast<const int16_t*>(memory)[place]);
    case int8:
      return PyLong_FromLongLong(reinterpret_cast<const int8_t*>(memory)[place]);
    case uint8:
      return PyLong_FromLongLong(reinterpret_cast<const uint8_t*>(memory)[place]);
    case boolean:
      return PyBool_FromLong(memory[place] != 0);
  }
  return nothing();
}

struct Limits {
  int64_t low, ignored;
  uint64_t size;
  bool right = false;
  Limits(PyObject* first, PyObject* end, PyObject* beside) {
    const int64_t high = PyLong_AsLongLong(end);
    low = PyLong_AsLongLong(first), ignored = PyLong_AsLongLong(beside);
    size = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    right = PyErr_Occurred() == nullptr && low <= high;
  }
};

// Whether all of them are in [low, low + size) or `ignored` (a number in there: none is): one comparison for both limits, since what
// is below is very large without a sign.
template <typename Number>
inline __attribute__((always_inline)) bool all_inside_of(const void* memory, int64_t count, Limits limits) {
  const Number* const x = static_cast<const Number*>(memory);
  uint64_t outside = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t value = x[i];
    outside |= (static_cast<uint64_t>(value) - static_cast<uint64_t>(limits.low) >= limits.size) & (value != limits.ignored);
  }
  return outside == 0;
}

VECTORISED(bool, all_inside_of_kind, (long number, const void* memory, int64_t count, const Limits& limits),
           (number, memory, count, limits)) {
  switch (number) {
    case int64:
      return all_inside_of<int64_t>(memory, count, limits);
    case int32:
      return all_inside_of<int32_t>(memory, count, limits);
    case int16:
      return all_inside_of<int16_t>(memory, count, limits);
    case int8:
      return all_inside_of<int8_t>(memory, count, limits);
    default:
      return all_inside_of<uint8_t>(memory, count, limits);
  }
}

// (array, low, high[, ignored]) -> whether whole numbers are in [low, high) or `ignored`; None where they are not at hand.
PyObject* all_inside(PyObject*, PyObject* const* given, Py_ssize_t count) {
  const Values values = values_of(given[0]);
  const Limits limits(given[1], given[2], given[count > 3 ? 3 : 1]);
  if (values.memory == nullptr || !limits.right || (values.number != int64 && values.number != int32)) return nothing();
  return PyBool_FromLong(all_inside_of_kind(values.number, values.memory, values.count, limits));
}

// What Python's buffers call the whole numbers that are known here, in the machine's own order.
long number_of(const char* format) {
  if (format == nullptr) return -1;
  switch (format[*format == '=' || *format == '@' ? 1 : 0]) {
    case 'q':
    case 'l':  // what NumPy calls it
      return int64;
    case 'i':
      return int32;
    case 'h':
      return int16;
    case 'b':
      return int8;
    case 'B':
      return uint8;
  }
  return -1;
}

// Whether an array's whole numbers are seen to be inside. A program's call feels each question to JAX, whose code is not in the
// processor's caches then: a buffer is one for all, which also waits until the array is there.
bool is_inside(PyObject* array, const Limits& limits) {
  Py_buffer view;
  if (array == nullptr || !limits.right || PyObject_GetBuffer(array, &view, buffer_with_format) != 0) return false;
  const long number = number_of(view.format);
  const bool inside = number >= 0 && all_inside_of_kind(number, view.buf, view.len / view.itemsize, limits);
  PyBuffer_Release(&view);
  return inside;
}

bool addresses_are_known = false;  // whether memory of whole numbers may be written to by somebody who has its address

// What looks have found inside lately, by weak references: an array's numbers stay what they are as long as it lives, and what a
// training step is given again, the positions that it embeds or a batch of the last epoch, is not looked through again.
class Seen {
 public:
  bool has(PyObject* array) {
    PyObject* reference = places[place_of(array)];
    if (reference == nullptr || addresses_are_known) return false;
    if (PyWeakref_GetRef == nullptr) return PyWeakref_GetObject(reference) == array;
    PyObject* held = nullptr;
    PyWeakref_GetRef(reference, &held);
    if (held != nullptr) Py_DecRef(held);
    return held == array;
  }

  void add(PyObject* array) {
    if (addresses_are_known) return;
    PyObject*& place = places[place_of(array)];
    PyObject* before = place;
    place = PyWeakref_NewRef(array, nullptr);
    if (place == nullptr) PyErr_Clear();
    if (before != nullptr) Py_DecRef(before);
  }

  Seen() = default;
  Seen(const Seen&) = delete;
  ~Seen() {
    for (PyObject* reference : places)
      if (reference != nullptr) Py_DecRef(reference);
  }

 private:
  static constexpr int bits = 8;
  PyObject* places[1 << bits] = {};

  static size_t place_of(PyObject* array) {
    return (reinterpret_cast<uint64_t>(array) >> 4) * 0x9e3779b97f4a7c15u >> (64 - bits);
  }
};

struct Look {
  Py_ssize_t place, in_numpy;
  Limits limits;
  std::unique_ptr<Seen> seen = std::make_unique<Seen>();
};

bool is_seen_inside(const Look& look, PyObject* arrays, PyObject* const* in_numpy) {
  PyObject* array = PyList_GetItem(arrays, look.place);
  if (array == nullptr) return false;
  if (look.seen->has(array)) return true;
  if (look.in_numpy >= 0 && in_numpy[look.in_numpy] != none) {
    if (is_inside(in_numpy[look.in_numpy], look.limits)) return true;
    PyErr_Clear();
  }
  if (!is_inside(array, look.limits)) return false;
  look.seen->add(array);
  return true;
}

// (A list of arrays, memory of NumPy's or None...) -> whether those that are looked at are seen to be inside. An array whose numbers came
// from NumPy's memory just now may still be on its way, which to wait for takes longer than to look there.
PyObject* are_inside(PyObject* self, PyObject* const* given, Py_ssize_t) {
  for (const Look& look : *static_cast<const std::vector<Look>*>(PyCapsule_GetPointer(self, nullptr)))
    if (!is_seen_inside(look, given[0], given + 1)) {
      PyErr_Clear();  // whoever asks looks again, and says what is wrong
      return PyBool_FromLong(0);
    }
  return PyBool_FromLong(1);
}

// From now on nothing is remembered of arrays.
PyObject* know_addresses(PyObject*, PyObject*) {
  addresses_are_known = true;
  return nothing();
}

using Called = PyObject* (*)(PyObject*, PyObject*);

PyMethodDef looking_definition = {"are_inside", reinterpret_cast<Called>(reinterpret_cast<void*>(are_inside)),
                                  array_of_arguments, nullptr};

void forget(PyObject* capsule) { delete static_cast<std::vector<Look>*>(PyCapsule_GetPointer(capsule, nullptr)); }

// (place, low, high, ignored, number of the memory of NumPy's or -1) of each look, one after the other -> the function that makes them.
PyObject* looking(PyObject*, PyObject* numbers) {
  auto* made = new std::vector<Look>;
  for (Py_ssize_t i = 0, n = PyTuple_Size(numbers); i < n; i += 5) {
    PyObject* one[5];
    for (int k = 0; k < 5; ++k) one[k] = PyTuple_GetItem(numbers, i + k);
    made->push_back({PyLong_AsLong(one[0]), PyLong_AsLong(one[4]), Limits(one[1], one[2], one[3])});
  }
  PyErr_Clear();  // limits that are none are never kept
  PyObject* self = PyCapsule_New(made, nullptr, forget);
  PyObject* function = PyCFunction_NewEx(&looking_definition, self, nullptr);
  Py_DecRef(self);
  return function;
}

PyMethodDef functions[] = {
    {"number_at", reinterpret_cast<Called>(reinterpret_cast<void*>(number_at)), array_of_arguments, nullptr},
    {"all_inside", reinterpret_cast<Called>(reinterpret_cast<void*>(all_inside)), array_of_arguments, nullptr},
    {"looking", looking, one_argument, nullptr},
    {"know_addresses", know_addresses, no_arguments, nullptr},
};

}  // namespace

// (None, the class of arrays, a dict of dtypes) -> (number_at, all_inside, looking, know_addresses). Called once, with the interpreter's lock.
PUBLIC PyObject* flambeau_reading(PyObject* given) {
  Py_IncRef(given);  // what it holds stays
  none = PyTuple_GetItem(given, 0);
  kind_of_array = PyTuple_GetItem(given, 1);
  numbers = PyTuple_GetItem(given, 2);
  PyObject** const names[] = {&aval, &dtype, &shape, &sharding, &device, &platform, &is_deleted, &is_ready, &pointer};
  const char* const texts[] = {"aval", "dtype", "shape", "sharding", "_device", "platform", "is_deleted", "is_ready",
                               "unsafe_buffer_pointer"};
  for (int i = 0; i < 9; ++i) *names[i] = PyUnicode_InternFromString(texts[i]);
  PyObject* made = PyTuple_New(4);
  for (int i = 0; i < 4; ++i) PyTuple_SetItem(made, i, PyCFunction_NewEx(&functions[i], nullptr, nullptr));
  return made;
}
