// Single values of arrays in the CPU's memory, and whether whole numbers lie within limits: what eager calls ask before they
// compute, for which NumPy's way through Python takes as long as a program of XLA.

#include <cstdint>

#include "attributes.h"
#include "python.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace {

constexpr int array_of_arguments = 0x0080;  // METH_FASTCALL

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

// Whether all of them are in [low, low + size): one comparison each, since what is below is very large without a sign.
VECTORISED bool all_inside_64(const int64_t* x, int64_t count, int64_t low, uint64_t size) {
  uint64_t outside = 0;
  for (int64_t i = 0; i < count; ++i) outside |= static_cast<uint64_t>(x[i]) - static_cast<uint64_t>(low) >= size;
  return outside == 0;
}

VECTORISED bool all_inside_32(const int32_t* x, int64_t count, int64_t low, uint64_t size) {
  uint64_t outside = 0;
  for (int64_t i = 0; i < count; ++i)
    outside |= static_cast<uint64_t>(static_cast<int64_t>(x[i])) - static_cast<uint64_t>(low) >= size;
  return outside == 0;
}

// Whether whole numbers are in [low, high); None where they are not at hand.
PyObject* all_inside(PyObject*, PyObject* const* given, Py_ssize_t) {
  const Values values = values_of(given[0]);
  const int64_t low = PyLong_AsLongLong(given[1]), high = PyLong_AsLongLong(given[2]);
  if (values.memory == nullptr || high < low || PyErr_Occurred() != nullptr) return nothing();
  const uint64_t size = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (values.number == int64)
    return PyBool_FromLong(all_inside_64(reinterpret_cast<const int64_t*>(values.memory), values.count, low, size));
  if (values.number == int32)
    return PyBool_FromLong(all_inside_32(reinterpret_cast<const int32_t*>(values.memory), values.count, low, size));
  return nothing();
}

using Called = PyObject* (*)(PyObject*, PyObject*);
PyMethodDef functions[] = {
    {"number_at", reinterpret_cast<Called>(reinterpret_cast<void*>(number_at)), array_of_arguments, nullptr},
    {"all_inside", reinterpret_cast<Called>(reinterpret_cast<void*>(all_inside)), array_of_arguments, nullptr},
};

}  // namespace

// (None, the class of arrays, a dict of dtypes) -> (number_at, all_inside). Called once, with the interpreter's lock.
PUBLIC PyObject* flambeau_reading(PyObject* given) {
  Py_IncRef(given);  // what it holds stays
  none = PyTuple_GetItem(given, 0);
  kind_of_array = PyTuple_GetItem(given, 1);
  numbers = PyTuple_GetItem(given, 2);
  PyObject** const names[] = {&aval, &dtype, &shape, &sharding, &device, &platform, &is_deleted, &is_ready, &pointer};
  const char* const texts[] = {"aval", "dtype", "shape", "sharding", "_device", "platform", "is_deleted", "is_ready",
                               "unsafe_buffer_pointer"};
  for (int i = 0; i < 9; ++i) *names[i] = PyUnicode_InternFromString(texts[i]);
  PyObject* made = PyTuple_New(2);
  for (int i = 0; i < 2; ++i) PyTuple_SetItem(made, i, PyCFunction_NewEx(&functions[i], nullptr, nullptr));
  return made;
}
