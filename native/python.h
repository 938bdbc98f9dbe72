// Python's own functions, declared by hand: they are a part of its stable ABI, so that one library serves every version, and
// none of Python's headers have to be installed. They are weak: the process that loads the library has them.
#pragma once

#include <cstddef>
#include <sys/types.h>

extern "C" {
struct PyObject;
using Py_ssize_t = ssize_t;
struct PyMethodDef {
  const char* name;
  PyObject* (*function)(PyObject*, PyObject*);
  int flags;
  const char* doc;
};
struct Py_buffer {  // in the stable ABI from 3.11 on, and the same before
  void* buf;
  PyObject* obj;
  Py_ssize_t len, itemsize;
  int readonly, ndim;
  char* format;
  Py_ssize_t *shape, *strides, *suboffsets;
  void* internal;
};
#pragma weak PyBool_FromLong
#pragma weak PyBuffer_Release
#pragma weak PyCFunction_NewEx
#pragma weak PyCapsule_GetPointer
#pragma weak PyCapsule_New
#pragma weak PyDict_GetItemWithError
#pragma weak PyDict_Next
#pragma weak PyDict_Size
#pragma weak PyErr_Clear
#pragma weak PyErr_Occurred
#pragma weak PyFloat_AsDouble
#pragma weak PyFloat_FromDouble
#pragma weak PyList_GetItem
#pragma weak PyList_Size
#pragma weak PyLong_AsLong
#pragma weak PyLong_AsLongLong
#pragma weak PyLong_FromLongLong
#pragma weak PyObject_CallFunctionObjArgs
#pragma weak PyObject_CallMethodObjArgs
#pragma weak PyObject_GetAttr
#pragma weak PyObject_GetBuffer
#pragma weak PyObject_GetItem
#pragma weak PyObject_IsTrue
#pragma weak PyObject_Size
#pragma weak PyObject_Type
#pragma weak PySet_Contains
#pragma weak PyTuple_GetItem
#pragma weak PyTuple_New
#pragma weak PyTuple_SetItem
#pragma weak PyTuple_Size
#pragma weak PyUnicode_CompareWithASCIIString
#pragma weak PyUnicode_InternFromString
#pragma weak PyWeakref_GetObject
#pragma weak PyWeakref_GetRef
#pragma weak PyWeakref_NewRef
#pragma weak Py_DecRef
#pragma weak Py_IncRef
PyObject* PyBool_FromLong(long);
void PyBuffer_Release(Py_buffer*);
PyObject* PyCFunction_NewEx(PyMethodDef*, PyObject* self, PyObject* module);
void* PyCapsule_GetPointer(PyObject*, const char* name);
PyObject* PyCapsule_New(void*, const char* name, void (*destructor)(PyObject*));
PyObject* PyDict_GetItemWithError(PyObject*, PyObject* key);  // borrowed
int PyDict_Next(PyObject*, Py_ssize_t* position, PyObject** key, PyObject** value);
Py_ssize_t PyDict_Size(PyObject*);
void PyErr_Clear();
PyObject* PyErr_Occurred();
double PyFloat_AsDouble(PyObject*);
PyObject* PyFloat_FromDouble(double);
PyObject* PyList_GetItem(PyObject*, Py_ssize_t);  // borrowed
Py_ssize_t PyList_Size(PyObject*);
long PyLong_AsLong(PyObject*);
long long PyLong_AsLongLong(PyObject*);
PyObject* PyLong_FromLongLong(long long);
PyObject* PyObject_CallFunctionObjArgs(PyObject*, ...);  // and nullptr
PyObject* PyObject_CallMethodObjArgs(PyObject*, PyObject* name, ...);  // and nullptr
PyObject* PyObject_GetAttr(PyObject*, PyObject* name);
int PyObject_GetBuffer(PyObject*, Py_buffer*, int flags);
PyObject* PyObject_GetItem(PyObject*, PyObject* key);
int PyObject_IsTrue(PyObject*);
Py_ssize_t PyObject_Size(PyObject*);
PyObject* PyObject_Type(PyObject*);
int PySet_Contains(PyObject*, PyObject* item);
PyObject* PyTuple_GetItem(PyObject*, Py_ssize_t);  // borrowed
PyObject* PyTuple_New(Py_ssize_t);
int PyTuple_SetItem(PyObject*, Py_ssize_t, PyObject*);  // takes the reference
Py_ssize_t PyTuple_Size(PyObject*);
int PyUnicode_CompareWithASCIIString(PyObject*, const char*);
PyObject* PyUnicode_InternFromString(const char*);
PyObject* PyWeakref_GetObject(PyObject*);  // borrowed
int PyWeakref_GetRef(PyObject*, PyObject** object);  // from 3.13 on
PyObject* PyWeakref_NewRef(PyObject*, PyObject* callback);
void Py_DecRef(PyObject*);
void Py_IncRef(PyObject*);
}
