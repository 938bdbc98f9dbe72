"""Memory of NumPy's that several hold: tensors over one array, arrays and views of arrays, written through each and read through each."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Box

case = Table()

WRITES = {
    "add_": lambda b: b.tensor.add_(1),
    "part": lambda b: b.tail.mul_(2),
    "view": lambda b: b.cut.mul_(2),
    "item": lambda b: operator.setitem(b.tensor, 0, b.tensor[0] + 7),
    "copy_": lambda b: b.twin.copy_(b.twin * 3),
    "data": lambda b: b.tensor.data.add_(1),
    "detached": lambda b: b.detached.sub_(1),
    "numpy": lambda b: b.tensor.numpy().__iadd__(1),
    "method": lambda b: b.ends.__iadd__(1),
    "out": lambda b: np.add(b.array, 1, out=b.array),
    "copyto": lambda b: np.copyto(b.array, b.array * 2),
    "memoryview": lambda b: operator.setitem(b.bytes, 0, b.bytes[0] + 1),
}
READS = {
    "item": lambda b, x: x * b.array[0],
    "as_tensor": lambda b, x: x * fb.as_tensor(b.array),
    "tensor": lambda b, x: x * b.tensor,
    "twin": lambda b, x: x * b.twin,
    "tail": lambda b, x: x[1:] * b.tail,
    "sum": lambda b, x: x * b.array.sum(),
    "bytes": lambda b, x: x * b.bytes[0],
    "ends": lambda b, x: x * b.ends[0],
    "backwards": lambda b, x: x * float(b.backwards[-1]),
    "list": lambda b, x: x * b.kept[0][1],
    "computed": lambda b, x: x * fb.from_numpy(b.array * 2),
}


def _over(array):
    return Box(
        array=array, tensor=fb.from_numpy(array), twin=fb.from_numpy(array), tail=fb.from_numpy(array[1:]),
        cut=fb.from_numpy(array)[1:], detached=fb.from_numpy(array).detach(), bytes=memoryview(array), ends=array[1:],
        backwards=array[::-1], kept=[array],
    )  # fmt: skip


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", WRITES)
def test_written_and_read(write, read) -> None:
    def scenario(compile, x):
        for first in (write, read):
            array = np.arange(3.0)
            held = _over(array)

            def step(x, first=first, held=held):
                if first == write:
                    WRITES[write](held)
                found = READS[read](held, x)
                if first != write:
                    WRITES[write](held)
                return found

            f = compile(step)
            for k in range(3):
                yield f(x), array, held.tensor, held.cut
                array += 10 * (k == 1)

    Case(scenario, may_fall_back="the memory is shared").check()


@case(may_fall_back="the memory is shared")
def the_array_is_an_argument(compile, x):
    array = np.arange(3.0)
    tensor = fb.from_numpy(array)

    def step(a, x):
        tensor.add_(1)
        return x * a[0] + fb.as_tensor(a)

    f = compile(step)
    yield f(np.arange(3.0), x), array
    array[...] = np.arange(3.0)  # as the argument was
    yield f(array, x), array
    yield f(np.arange(3.0), x), array
    yield f(array[::1], x), array
    yield f(tensor.numpy(), x), array


@case(may_fall_back="the memory is shared")
def an_argument_is_written(compile, x):
    array = np.arange(3.0)
    held = Box(a=np.arange(3.0))

    def step(t, x):
        t.mul_(2)
        return x * held.a[1]

    f = compile(step)
    yield f(fb.arange(3.0), x)
    held.a = array  # the same values
    yield f(fb.arange(3.0), x), array
    yield f(fb.from_numpy(array), x), array
    yield f(fb.from_numpy(array[1:]), x), array


@case(may_fall_back="the memory is shared")
def two_arguments_over_one_array(compile, x):
    def step(a, b):
        a.add_(1)
        return a * b

    f = compile(step)
    array = np.arange(3.0)
    yield f(fb.arange(3.0), fb.arange(3.0))
    yield f(fb.from_numpy(array), fb.arange(3.0)), array
    yield f(fb.from_numpy(array), fb.from_numpy(array)), array
    yield f(fb.from_numpy(array[1:]), fb.from_numpy(array[:2])), array
    yield f(fb.from_numpy(array[:1]), fb.from_numpy(array[1:2])), array


@case(may_fall_back="the memory is shared")
def state_is_shared_after_the_trace(compile, x):
    weight, held = fb.arange(3.0), Box(a=np.arange(3.0), rows=[np.arange(3.0)])

    def step(x):
        weight.add_(1)
        return x * held.a[0] + held.rows[0][1]

    f = compile(step)
    yield f(x), weight
    weight.sub_(1)
    held.a = weight.numpy()  # equal to what was there
    yield f(x), weight, held.a
    yield f(x), weight, held.a
    held.a = np.arange(3.0)
    weight.copy_(fb.arange(3.0))
    held.rows[0] = weight.numpy()[:]
    yield f(x), weight, held.rows


@case
def other_memory_is_no_hindrance(compile, x):
    weight, mean = fb.from_numpy(np.arange(3.0)), np.ones(3)

    def step(x):
        weight.add_(1)
        return x * weight + fb.as_tensor(mean)

    f = compile(step)
    for _ in range(3):
        yield f(x), weight
        mean += 1


@case
def arguments_of_other_memory_are_no_hindrance(compile, x):
    weight = fb.arange(3.0)
    seen = weight.numpy()

    def step(a):
        weight.add_(a)
        return a * weight

    f = compile(step)
    for k in range(4):
        yield f(fb.from_numpy(np.arange(3.0) + k)), weight, seen


@case
def an_argument_that_is_kept(compile, x):
    """Calls with equal arrays share a program, and each keeps its own."""
    kept = Box(last=None, all=[])

    def step(a, x):
        kept.last = a
        kept.all.append(a)
        return x * a[0], a

    f = compile(step)
    for _ in range(3):
        array = np.ones(3)
        found, out = f(array, x)
        array += 1
        yield found, out is array, kept.last is array, kept.all[-1] is array


@case(may_fall_back="the array is an argument and stands elsewhere")
def an_argument_that_is_kept_and_found(compile, x):
    held = Box(a=np.ones(3), b=None)

    def step(a, x):
        held.b = held.a
        return x * a[0]

    f = compile(step)
    for array in (held.a, np.ones(3), held.a):
        yield f(array, x), held.b is held.a


@case(may_fall_back="the array is an argument and stands elsewhere")
def an_argument_that_is_kept_and_found_in_a_tuple(compile, x):
    held = Box(a=(np.ones(3), 1), b=None, c=None)

    def step(a, x):
        held.b, held.c = a, held.a[0]
        return x * a[0]

    f = compile(step)
    for array in (held.a[0], np.ones(3), held.a[0]):
        yield f(array, x), held.b is array, held.c is held.a[0]


@case(may_fall_back="which array an argument is")
def an_argument_that_is_asked_for(compile, x):
    held = Box(a=np.ones(3), rows=[np.ones(3)])

    def step(a, x):
        return x * (2 if a is held.a else 3) * (5 if any(a is row for row in held.rows) else 7)

    f = compile(step)
    for array in (held.a, np.ones(3), held.rows[0], held.a):
        yield f(array, x)


@case
def containers_in_attributes_of_an_argument(compile, x):
    def step(t):
        return t * t.scale[0] + len(t.names)

    f, t = compile(step), x.clone()
    t.scale, t.names = [1.0], {"a": 1}
    for k in range(3):
        yield f(t)
        t.scale[0] += 1
        t.names[k] = 1


@case.test
def test_memory_of_numpy(case) -> None:
    case.check()
