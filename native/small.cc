// Whole programs of small arrays, which the host runs at once, operation by operation: a program of XLA takes longer to begin than these
// do in all. What they are made of was found to leave no choice in any bit (`core/array/small.py`); where values would, they give up, and
// XLA's program runs.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>
#include <xmmintrin.h>

#include "attributes.h"
#include "python.h"
#include "small_steps.h"

using namespace flambeau::small;

namespace {

constexpr int array_of_arguments = 0x0080;  // METH_FASTCALL
constexpr int with_format = 0x0004 | 0x0008;        // PyBUF_FORMAT, PyBUF_ND: in one piece
constexpr int to_write = 0x0001 | 0x0008;           // PyBUF_WRITABLE, PyBUF_ND
constexpr int most_arguments = 8, most_slots = 96;
constexpr size_t most_variants = 128;
constexpr int64_t most_elements = 1 << 12;  // of an argument
constexpr int seen_before = 24;             // calls after which a program is looked at

PyObject *none, *empty_array, *plain, *storage_class, *host_class, *array_class, *float_class, *int_class, *bool_class, *yes;
PyObject *view_name, *edge_name, *base_name, *storage_name, *value_name, *host_name, *aval_name, *shape_name;

struct Held {  // a new reference that ends with this
  PyObject* object;
  explicit Held(PyObject* made) : object(made) {}
  Held(const Held&) = delete;
  ~Held() {
    if (object != nullptr) Py_DecRef(object);
  }
  operator PyObject*() const { return object; }
};

PyObject* nothing() {
  PyErr_Clear();
  Py_IncRef(none);
  return none;
}

// ---------------------------------------------------------------- what a program is

struct Program {
  bool ready = false, refused = false;
  int calls = 0;
  std::vector<Step> steps;
  std::vector<int64_t> extra;
  std::vector<int64_t> places;  // of each slot: what kind it is, and where
  std::vector<char> constants;
  std::vector<PyObject*> shapes, dtypes;  // of the results, for ever
  std::vector<int64_t> result_slots;
  int64_t room = 0;
};

struct Programs {
  std::unordered_map<std::string, std::shared_ptr<Program>> known;
  std::vector<std::string> asked;  // those that wait to be looked at
  uint32_t in_vain = 0;            // how often, in a row, a call was none for us
};

enum Place : int64_t { kArgument, kConstant, kRoom, kResult };

// ---------------------------------------------------------------- a call

struct Argument {
  Py_buffer view;
  bool held = false;
  char* at = nullptr;
  int64_t number = 0;
  double real = 0;
  Argument() = default;
  Argument(const Argument&) = delete;
  ~Argument() {
    if (held) PyBuffer_Release(&view);
  }
};

constexpr int64_t a_number = 1 << 24;  // Python's, in a key: a tensor without dimensions is noted by its format alone, and some formats are I and B
void note(std::string& key, int64_t number) { key.append(reinterpret_cast<const char*>(&number), sizeof number); }

// Puts what kind of tensor it is into the key, and where its values begin into the argument; false if it is none for us.
bool look_at(PyObject* tensor, bool recording, Argument& argument, std::string& key) {
  const Held edge(PyObject_GetAttr(tensor, edge_name)), base(PyObject_GetAttr(tensor, base_name));
  if (edge == nullptr || base == nullptr) return false;
  if (recording) {
    if (edge.object != none) return false;
    if (base.object != none) {
      const Held of_base(PyObject_GetAttr(base, edge_name));
      if (of_base.object != none) return false;
    }
  }
  const Held storage(PyObject_GetAttr(tensor, storage_name)), view(PyObject_GetAttr(tensor, view_name));
  const Held kind(PyObject_Type(storage));
  const bool on_host = kind.object == host_class;
  if (!on_host && kind.object != storage_class) return false;
  const Held array(PyObject_GetAttr(storage, on_host ? host_name : value_name));
  if (array == nullptr) return false;
  if (!on_host) {
    const Held of_array(PyObject_Type(array));
    if (of_array.object != array_class) return false;
  }
  if (view.object != none) {  // how many elements it has, before anything is asked of the array
    PyObject* const shape = PyTuple_GetItem(view, 0);
    int64_t count = 1;
    for (Py_ssize_t d = 0, n = PyTuple_Size(shape); d < n; ++d) count *= PyLong_AsLongLong(PyTuple_GetItem(shape, d));
    if (count > most_elements) return false;
  }
  if (view.object == none && !on_host) {
    const Held about(PyObject_GetAttr(array, aval_name)), shape(about == nullptr ? nullptr : PyObject_GetAttr(about, shape_name));
    if (shape == nullptr) return false;
    int64_t count = 1;
    for (Py_ssize_t d = 0, n = PyTuple_Size(shape); d < n; ++d) count *= PyLong_AsLongLong(PyTuple_GetItem(shape, d));
    if (count > most_elements) return false;
  }
  if (PyObject_GetBuffer(array, &argument.view, with_format) != 0) return false;
  argument.held = true;
  const Py_buffer& memory = argument.view;
  if (memory.format == nullptr || memory.itemsize == 0) return false;
  char format = memory.format[*memory.format == '=' || *memory.format == '@' ? 1 : 0];
  if (format == 'l') format = 'q';
  const int64_t all = memory.len / memory.itemsize;
  argument.at = static_cast<char*>(memory.buf);
  if (view.object == none) {
    if (all > most_elements || memory.ndim > most_dimensions) return false;
    note(key, format | memory.ndim << 8);
    for (int d = 0; d < memory.ndim; ++d) note(key, memory.shape[d]);
    return true;
  }
  PyObject *const shape = PyTuple_GetItem(view, 0), *const steps = PyTuple_GetItem(view, 1), *const offset = PyTuple_GetItem(view, 2);
  const Held kind_of_offset(PyObject_Type(offset));
  if (PyTuple_GetItem(view, 3) != none || kind_of_offset.object != int_class) return false;
  const Py_ssize_t rank = PyTuple_Size(shape);
  const int64_t start = PyLong_AsLongLong(offset);
  if (rank > most_dimensions || start < 0) return false;
  note(key, format | rank << 8 | 1 << 16);
  int64_t last = start;
  bool some = true;
  for (Py_ssize_t d = 0; d < rank; ++d) {
    const int64_t size = PyLong_AsLongLong(PyTuple_GetItem(shape, d)), step = PyLong_AsLongLong(PyTuple_GetItem(steps, d));
    if (step < 0) return false;
    note(key, size);
    note(key, step);
    some = some && size > 0;
    last += (size - 1) * step;
  }
  if (!some || last >= all) return false;
  argument.at += start * memory.itemsize;
  return true;
}

bool look_at_any(PyObject* given, bool recording, Argument& argument, std::string& key) {
  const Held kind(PyObject_Type(given));
  if (PySet_Contains(plain, kind) == 1) return look_at(given, recording, argument, key);
  if (kind.object == float_class) {
    argument.real = PyFloat_AsDouble(given);
    argument.at = reinterpret_cast<char*>(&argument.real);
    note(key, a_number | 'F');
    return true;
  }
  if (kind.object == int_class || kind.object == bool_class) {
    argument.number = PyLong_AsLongLong(given);
    if (PyErr_Occurred() != nullptr) return false;
    argument.at = reinterpret_cast<char*>(&argument.number);
    note(key, a_number | (kind.object == int_class ? 'I' : 'B'));
    return true;
  }
  return false;
}

struct Abrupt {  // XLA's threads take the smallest numbers (subnormal ones) for 0, in what goes in and in what comes out
  Abrupt() : before(_mm_getcsr()) { _mm_setcsr(before | 0x8040u); }
  ~Abrupt() { _mm_setcsr(before); }
  Abrupt(const Abrupt&) = delete;
  unsigned before;
};

PyObject* ran(const Program& p, const Argument* arguments) {
  const size_t results = p.shapes.size();
  Py_buffer made[4];
  PyObject* arrays[4];
  size_t have = 0;
  bool good = true;
  for (; have < results; ++have) {
    arrays[have] = PyObject_CallFunctionObjArgs(empty_array, p.shapes[have], p.dtypes[have], nullptr);
    if (arrays[have] == nullptr || PyObject_GetBuffer(arrays[have], &made[have], to_write) != 0) {
      if (arrays[have] != nullptr) Py_DecRef(arrays[have]);
      good = false;
      break;
    }
  }
  if (good) {
    static thread_local std::vector<char> room;  // nothing below calls Python
    if (room.size() < static_cast<size_t>(p.room) + 64) room.resize(p.room + 64);
    char* at[most_slots];
    for (size_t i = 0, n = p.places.size() / 2; i < n; ++i) {
      const int64_t where = p.places[2 * i + 1];
      switch (p.places[2 * i]) {
        case kArgument: at[i] = arguments[where].at; break;
        case kConstant: at[i] = const_cast<char*>(p.constants.data()) + where; break;
        case kRoom: at[i] = room.data() + where; break;
        default: at[i] = static_cast<char*>(made[where].buf);
      }
    }
    const Abrupt underflow;
    for (const Step& step : p.steps) {
      if (!run_step(step, p.extra.data(), at)) {
        good = false;
        break;
      }
    }
  }
  for (size_t i = 0; i < have; ++i) PyBuffer_Release(&made[i]);
  if (!good) {
    for (size_t i = 0; i < have; ++i) Py_DecRef(arrays[i]);
    return nothing();
  }
  if (results == 1) return arrays[0];
  PyObject* const all = PyTuple_New(static_cast<Py_ssize_t>(results));
  for (size_t i = 0; i < results; ++i) PyTuple_SetItem(all, static_cast<Py_ssize_t>(i), arrays[i]);
  return all;
}

constexpr char name_of_programs[] = "flambeau.small";
Programs* programs_of(PyObject* given) { return static_cast<Programs*>(PyCapsule_GetPointer(given, name_of_programs)); }

// None; or -1, now and then, where call after call is none for us.
PyObject* in_vain(Programs& programs) {
  if (++programs.in_vain < 64) return nothing();
  programs.in_vain = 48;
  PyErr_Clear();
  return PyLong_FromLongLong(-1);
}

// (programs, arguments, whether calls are recorded) -> the results, in NumPy's memory; None: not by us; -1: nor are the next ones, it seems;
// or the number of a program that is to be looked at.
PyObject* run(PyObject*, PyObject* const* given, Py_ssize_t) {
  Programs* const programs = programs_of(given[0]);
  PyObject* const values = given[1];
  const Py_ssize_t count = PyTuple_Size(values);
  if (programs == nullptr || count < 0 || count > most_arguments) return nothing();
  Argument arguments[most_arguments];
  std::string key;
  key.reserve(256);
  const bool recording = given[2] != none;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (!look_at_any(PyTuple_GetItem(values, i), recording, arguments[i], key)) {
      return in_vain(*programs);
    }
  }
  auto found = programs->known.find(key);
  if (found == programs->known.end()) {
    if (programs->known.size() >= most_variants) programs->known.clear();
    found = programs->known.emplace(key, std::make_shared<Program>()).first;
  }
  const std::shared_ptr<Program> program = found->second;
  if (program->ready) {
    programs->in_vain = 0;
    return ran(*program, arguments);
  }
  if (program->refused) return in_vain(*programs);
  if (++program->calls != seen_before) return nothing();
  programs->asked.push_back(key);
  return PyLong_FromLongLong(static_cast<long long>(programs->asked.size()) - 1);
}

std::vector<int64_t> numbers(PyObject* list) {
  std::vector<int64_t> made;
  for (Py_ssize_t i = 0, n = PyTuple_Size(list); i < n; ++i) made.push_back(PyLong_AsLongLong(PyTuple_GetItem(list, i)));
  return made;
}

// (programs, number, steps, what they need besides, places, constants, shapes, dtypes, room); without what comes after the number it is refused
PyObject* enter(PyObject*, PyObject* const* given, Py_ssize_t count) {
  Programs* const programs = programs_of(given[0]);
  const auto number = static_cast<size_t>(PyLong_AsLongLong(given[1]));
  if (programs == nullptr || number >= programs->asked.size()) return nothing();
  const auto found = programs->known.find(programs->asked[number]);
  if (found == programs->known.end()) return nothing();
  Program& p = *found->second;
  if (p.ready) return nothing();  // threads asked for it twice, after it had been forgotten
  if (count == 2) {
    p.refused = true;
    return nothing();
  }
  const std::vector<int64_t> steps = numbers(given[2]);
  p.extra = numbers(given[3]);
  p.places = numbers(given[4]);
  for (size_t i = 0; i + 8 < steps.size(); i += 9) {
    p.steps.push_back({static_cast<Code>(steps[i]), static_cast<Type>(steps[i + 1]), static_cast<Type>(steps[i + 2]), steps[i + 3],
                       steps[i + 4], steps[i + 5], steps[i + 6], steps[i + 7], steps[i + 8]});
  }
  Py_buffer constants;
  if (PyObject_GetBuffer(given[5], &constants, 0) != 0) return nothing();
  p.constants.assign(static_cast<char*>(constants.buf), static_cast<char*>(constants.buf) + constants.len);
  PyBuffer_Release(&constants);
  for (Py_ssize_t i = 0, n = PyTuple_Size(given[6]); i < n; ++i) {
    PyObject *const shape = PyTuple_GetItem(given[6], i), *const dtype = PyTuple_GetItem(given[7], i);
    Py_IncRef(shape);
    Py_IncRef(dtype);
    p.shapes.push_back(shape);
    p.dtypes.push_back(dtype);
  }
  p.room = PyLong_AsLongLong(given[8]);
  p.ready = p.shapes.size() <= 4 && p.places.size() <= 2 * most_slots;
  p.refused = !p.ready;
  return nothing();
}

// (array, start, sizes, steps, number or None, NumPy's memory for it or None, array, start) -> True: what is at these places of the first array is the
// number now, or what is in the second one from a place on, in a row. With memory for it the first array stays, and all of it goes there. Else None.
PyObject* write(PyObject*, PyObject* const* given, Py_ssize_t count) {
  const bool copies = given[5] != none, all_one = count < 8;
  Argument to, from, source;
  if (copies) {
    if (PyObject_GetBuffer(given[0], &from.view, with_format) != 0) return nothing();
    from.held = true;
  }
  if (PyObject_GetBuffer(given[copies ? 5 : 0], &to.view, to_write | with_format) != 0) return nothing();
  to.held = true;
  if (copies && from.view.len != to.view.len) return nothing();
  if (!all_one) {
    if (PyObject_GetBuffer(given[6], &source.view, with_format) != 0) return nothing();
    source.held = true;
  }
  std::vector<int64_t> how = {PyTuple_Size(given[2]), PyLong_AsLongLong(given[1])};
  const int64_t rank = how[0], size = to.view.itemsize;
  int64_t last = how[1], elements = 1;
  for (Py_ssize_t d = 0; d < rank; ++d) how.push_back(PyLong_AsLongLong(PyTuple_GetItem(given[2], d)));
  for (Py_ssize_t d = 0; d < rank; ++d) {
    how.push_back(PyLong_AsLongLong(PyTuple_GetItem(given[3], d)));
    if (how[2 + d] < 1 || how.back() < 0) return nothing();
    last += (how[2 + d] - 1) * how.back();
    elements *= how[2 + d];
  }
  if (rank > most_dimensions || how[1] < 0 || last >= to.view.len / size) return nothing();
  alignas(8) char number[8] = {};
  const char* at = number;
  if (all_one) {
    const Held kind(PyObject_Type(given[4]));
    const bool real = kind.object == float_class;
    const double value = real ? PyFloat_AsDouble(given[4]) : 0;
    const int64_t whole = real ? 0 : PyLong_AsLongLong(given[4]);
    if (PyErr_Occurred() != nullptr) return nothing();
    const char* const format = to.view.format;
    switch (format[*format == '=' || *format == '@' ? 1 : 0]) {
      case 'f': {
        const float one = real ? static_cast<float>(value) : static_cast<float>(whole);
        std::memcpy(number, &one, sizeof one);
        break;
      }
      case 'd': {
        const double one = real ? value : static_cast<double>(whole);
        std::memcpy(number, &one, sizeof one);
        break;
      }
      case 'l':
      case 'q':
        if (real) return nothing();
        std::memcpy(number, &whole, sizeof whole);
        break;
      case '?': {
        const bool one = real ? value != 0 : whole != 0;
        std::memcpy(number, &one, sizeof one);
        break;
      }
      default: return nothing();
    }
  } else {
    const int64_t first = PyLong_AsLongLong(given[7]);
    if (source.view.itemsize != size || first < 0 || (first + elements) * size > source.view.len) return nothing();
    at = static_cast<const char*>(source.view.buf) + first * size;
  }
  if (copies) std::memcpy(to.view.buf, from.view.buf, from.view.len);
  std::vector<char> apart;
  if (!all_one) {  // it may lie in what is written
    apart.assign(at, at + elements * size);
    at = apart.data();
  }
  const int64_t steps = all_one ? 0 : 1;
  put_elements(size, how.data(), at, to.view.buf, steps);
  Py_IncRef(yes);
  return yes;
}

void gone(PyObject* capsule) { delete programs_of(capsule); }

PyObject* programs(PyObject*, PyObject* const*, Py_ssize_t) { return PyCapsule_New(new Programs, name_of_programs, gone); }

using Called = PyObject* (*)(PyObject*, PyObject*);
#define METHOD(name) {#name, reinterpret_cast<Called>(reinterpret_cast<void*>(name)), array_of_arguments, nullptr}
PyMethodDef functions[] = {METHOD(programs), METHOD(run), METHOD(enter), METHOD(write)};
#undef METHOD

}  // namespace

// (None, numpy.empty, the set of plain classes, Storage, HostStorage, the class of arrays, float, int, bool, True) -> the functions. Called once,
// with the interpreter's lock; what it is given stays.
PUBLIC PyObject* flambeau_small(PyObject* given) {
  Py_IncRef(given);
  PyObject** const kept[] = {&none, &empty_array, &plain, &storage_class, &host_class, &array_class, &float_class, &int_class, &bool_class, &yes};
  for (int i = 0; i < 10; ++i) *kept[i] = PyTuple_GetItem(given, i);
  view_name = PyUnicode_InternFromString("_view");
  edge_name = PyUnicode_InternFromString("_edge");
  base_name = PyUnicode_InternFromString("_base");
  storage_name = PyUnicode_InternFromString("_storage");
  value_name = PyUnicode_InternFromString("value");
  host_name = PyUnicode_InternFromString("host");
  aval_name = PyUnicode_InternFromString("aval");
  shape_name = PyUnicode_InternFromString("shape");
  PyObject* made = PyTuple_New(4);
  for (int i = 0; i < 4; ++i) PyTuple_SetItem(made, i, PyCFunction_NewEx(&functions[i], nullptr, nullptr));
  return made;
}
