// The looks of a compiled function's conditions in one pass: what Python would ask one line at a time.

#include <vector>

#include "python.h"

namespace {

constexpr int no_arguments = 0x0004;  // METH_NOARGS

// In the order of `Kind` in compiler/guards/looks.py.
enum Kind { type_of, entry, absent, item, attribute, length, keys_and_values, members, empty, of_thread };

struct Look {
  long kind;
  PyObject *owner, *name, *value;  // borrowed: the function's `self` holds them, where Python's collector sees them
};

// Whether a new reference is to this very object; an error is an answer, too.
bool is(PyObject* found, PyObject* value) {
  if (found == nullptr) return false;
  Py_DecRef(found);
  return found == value;
}

bool holds_keys_and_values(PyObject* dict, PyObject* held) {
  const Py_ssize_t count = PyDict_Size(dict);
  if (PyTuple_Size(held) != 2 * count) return false;
  Py_ssize_t position = 0, i = 0;
  for (PyObject *key, *value; PyDict_Next(dict, &position, &key, &value); ++i)
    if (key != PyTuple_GetItem(held, i) || value != PyTuple_GetItem(held, count + i)) return false;
  return i == count;
}

bool holds_members(PyObject* list, PyObject* held) {
  const Py_ssize_t count = PyList_Size(list);
  if (PyTuple_Size(held) != count) return false;
  for (Py_ssize_t i = 0; i < count; ++i)
    if (PyList_GetItem(list, i) != PyTuple_GetItem(held, i)) return false;
  return true;
}

// The names are "__dict__" and those of a thread's own attributes; `values` holds what each is to be, and what it is by default.
bool holds_of_thread(PyObject* local, PyObject* names, PyObject* values) {
  PyObject* own = PyObject_GetAttr(local, PyTuple_GetItem(names, 0));
  if (own == nullptr) return false;
  bool same = true;
  for (Py_ssize_t i = 1, count = PyTuple_Size(names); same && i < count; ++i) {
    PyObject* found = PyDict_GetItemWithError(own, PyTuple_GetItem(names, i));
    if (found == nullptr) found = PyTuple_GetItem(values, 2 * i - 1);
    same = found == PyTuple_GetItem(values, 2 * i - 2);
  }
  Py_DecRef(own);
  return same;
}

bool holds(const Look& look) {
  switch (look.kind) {
    case type_of:
      return is(PyObject_Type(look.owner), look.value);
    case entry:
      return PyDict_GetItemWithError(look.owner, look.name) == look.value;
    case absent:
      return PyDict_GetItemWithError(look.owner, look.name) == nullptr && PyErr_Occurred() == nullptr;
    case item:
      return is(PyObject_GetItem(look.owner, look.name), look.value);
    case attribute:
      return is(PyObject_GetAttr(look.owner, look.name), look.value);
    case length:
      return PyObject_Size(look.owner) == PyLong_AsLong(look.value);
    case keys_and_values:
      return holds_keys_and_values(look.owner, look.value);
    case members:
      return holds_members(look.owner, look.value);
    case empty:
      return PyObject_Size(look.owner) == 0;
    case of_thread:
      return holds_of_thread(look.owner, look.name, look.value);
  }
  return false;
}

PyObject* look_at_all(PyObject* self, PyObject*) {
  const auto* looks = static_cast<const std::vector<Look>*>(PyCapsule_GetPointer(PyTuple_GetItem(self, 0), nullptr));
  for (const Look& look : *looks)
    if (!holds(look)) {
      PyErr_Clear();
      return PyBool_FromLong(0);
    }
  return PyBool_FromLong(1);
}

void forget(PyObject* capsule) { delete static_cast<std::vector<Look>*>(PyCapsule_GetPointer(capsule, nullptr)); }

PyMethodDef definition = {"holds", look_at_all, no_arguments, "Whether all of these looks find what they found."};

}  // namespace

// `looks` is a tuple of (kind, owner, name, value). Gives a function without arguments; the caller holds the interpreter's lock.
extern "C" __attribute__((visibility("default"))) PyObject* flambeau_looks(PyObject* looks) {
  const Py_ssize_t count = PyTuple_Size(looks);
  auto* made = new std::vector<Look>;
  made->reserve(count);
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* one = PyTuple_GetItem(looks, i);
    made->push_back({PyLong_AsLong(PyTuple_GetItem(one, 0)), PyTuple_GetItem(one, 1), PyTuple_GetItem(one, 2),
                     PyTuple_GetItem(one, 3)});
  }
  PyObject* self = PyTuple_New(2);
  PyTuple_SetItem(self, 0, PyCapsule_New(made, nullptr, forget));
  Py_IncRef(looks);
  PyTuple_SetItem(self, 1, looks);
  PyObject* function = PyCFunction_NewEx(&definition, self, nullptr);
  Py_DecRef(self);
  return function;
}
