"""Tensors that are others at each call: in attributes, lists, deques, tuples; alone, shared with each other, with arguments and state."""

from __future__ import annotations

import collections
import copy
import types

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from flambeau import nn

Box = types.SimpleNamespace
case = Table()


# ------------------------------------------------------------------------------------------- gradients and views


@case(programs=3)
def gradient_of_a_replaced_leaf(compile, x):
    box = Box(w=fb.ones(3, requires_grad=True))

    def step(y):
        (box.w * y).sum().backward()
        return box.w.grad

    f = compile(step)
    for i in range(6):
        box.w = fb.full((3,), float(i), requires_grad=True)
        yield f(x), box.w.grad
        if i % 2:
            yield f(x), box.w.grad


@case(programs=2)
def backward_of_a_result_to_a_replaced_leaf(compile, x):
    box = Box(w=fb.ones(3, requires_grad=True))
    f = compile(lambda y: (box.w * y).sum())
    for i in range(6):
        box.w = fb.full((3,), float(i), requires_grad=True)
        r = f(x)
        r.backward()
        yield r, box.w.grad


@case(programs=1)
def view_of_what_is_replaced(compile, x):
    box = Box(h=fb.zeros(3))

    def step(y):
        view = box.h[:2]
        box.h = box.h + y
        return view

    f = compile(step)
    for _ in range(5):
        before = box.h
        r = f(x)
        yield r
        r.mul_(10)
        yield before, box.h


@case(programs=2)
def view_of_what_others_replace(compile, x):
    box = Box(h=fb.zeros(3))

    def step(y):
        view = box.h[:2]
        box.h.add_(y)
        return view

    f = compile(step)
    for i in range(5):
        box.h = fb.zeros(3) + i
        r = f(x)
        r.mul_(10)
        yield r, box.h


@case(may_fall_back="the gradient of a state that the next call reads is refused, and the calls go on uncompiled")
def graph_that_goes_on_from_call_to_call(compile, x):
    box, w = Box(h=fb.zeros(3)), fb.ones(3, requires_grad=True)

    def step(y):
        box.h = box.h * 0.5 + w * y
        return box.h.sum()

    f = compile(step)
    for _ in range(4):
        loss = f(x)
        w.grad = None
        loss.backward(retain_graph=True)
        yield loss, w.grad, box.h


@case(may_fall_back="backward through what was freed raises")
def graph_that_was_freed(compile, x):
    box, w = Box(h=fb.zeros(3)), fb.ones(3, requires_grad=True)

    def step(y):
        box.h = box.h * 0.5 + w * y
        box.h.sum().backward()

    f = compile(step)
    for _ in range(4):
        yield attempt(f, x), w.grad


@case
def gradient_that_is_handed_out(compile, x):
    w = fb.ones(3, requires_grad=True)

    def step(y):
        (w * y).sum().backward()
        return w.grad

    f = compile(step)
    for i in range(6):
        if i % 3 == 2:
            w.grad = None
        yield f(x), w.grad


# ---------------------------------------------------------------------------------------------- shared memory


@case(programs=2)
def one_tensor_in_two_attributes(compile, x):
    box = Box(a=fb.zeros(3))
    box.b = box.a

    def step(y):
        box.a = box.a + y
        box.b = box.b * 2 + 1
        return box.a + box.b

    f = compile(step)
    for _ in range(6):
        yield f(x), box.a, box.b


@case(programs=2)
def one_tensor_twice_in_a_tuple(compile, x):
    zero = fb.zeros(3)
    box = Box(h=(zero, zero))

    def step(y):
        h, c = box.h
        box.h = (h + y, c * 2 + 1)
        return h - c

    f = compile(step)
    for _ in range(5):
        yield f(x), box.h


@case(programs=2)
def argument_that_is_kept_and_written(compile, x):
    box = Box(last=fb.zeros(3))

    def step(y):
        y.add_(1)
        r = box.last * 1
        box.last = y
        return r

    f = compile(step)
    for _ in range(6):
        yield f(x), box.last, x


@case(programs=2)
def kept_argument_that_is_written(compile, x):
    box = Box(last=fb.zeros(3))

    def step(y):
        box.last.mul_(2)
        r = y * 1
        box.last = y
        return r

    f = compile(step)
    for _ in range(6):
        yield f(x), box.last, x


@case(programs=2)
def state_that_becomes_the_same_as_another(compile, x):
    w, box = fb.ones(3), Box(last=fb.zeros(3))

    def step(y):
        box.last.add_(y)
        r = box.last + w
        box.last = box.last * 1
        return r

    f = compile(step)
    for i in range(6):
        if i == 4:
            box.last = w
        yield f(x), box.last, w


@case
def identity_of_what_is_replaced(compile, x):
    box = Box(last=fb.zeros(3))
    box.first = box.last

    def step(y):
        r = y * 2 if box.last is box.first else y
        box.last = box.last + 1
        return r

    f = compile(step)
    for i in range(6):
        if i == 3:
            box.first = box.last
        yield f(x)


@case
def gradients_that_are_one_tensor(compile, x):
    a, b = fb.ones(3, requires_grad=True), fb.ones(3, requires_grad=True)

    def step():
        for p in (a, b):
            p.grad.mul_(2)
        return a.grad + b.grad

    f = compile(step)
    for i in range(5):
        a.grad = fb.ones(3)
        b.grad = fb.ones(3) if i % 2 == 0 else a.grad
        yield f(), a.grad, b.grad


@case(programs=1)
def swapped_tensors(compile, x):
    box = Box(a=x * 1, b=x * 2)

    def step(y):
        box.a, box.b = box.b, box.a
        box.a.add_(y)
        return box.a * 1

    f = compile(step)
    for _ in range(5):
        yield f(x), box.a, box.b


# ----------------------------------------------------------------------------------------------- sliding windows


@case(programs=4)
def window_in_a_deque(compile, x):
    window = collections.deque(maxlen=3)

    def step(y):
        window.append(y.sum())
        return fb.stack(list(window)).mean()

    f = compile(step)
    for i in range(12):
        yield f(x * i), list(window)


@case(programs=4)
def window_in_a_list(compile, x):
    window = []

    def step(y):
        window.append(y.sum())
        if len(window) > 3:
            window.pop(0)
        return sum(window) / len(window)

    f = compile(step)
    for i in range(12):
        yield f(x * i), list(window)


@case(programs=3)
def window_in_a_list_that_is_replaced(compile, x):
    class Window(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = [fb.zeros(3)] * 3

        def forward(self, y):
            self.rows = [*self.rows[1:], y]
            return fb.stack(self.rows).mean(0)

    f = compile(Window())
    for i in range(12):
        yield f(x * i)


@case(programs=4)
def window_of_pairs(compile, x):
    window = collections.deque(maxlen=3)

    def step(y):
        window.append((y, {"sum": y.sum()}))
        return sum(a * b["sum"] for a, b in window)

    f = compile(step)
    for i in range(12):
        yield f(x * i)


@case(programs=1)
def elements_that_are_replaced(compile, x):
    rows = [fb.zeros(3), fb.ones(3)]

    def step(y):
        rows[0] = rows[0] * 0.5 + y
        rows[1] = rows[0] + rows[1]
        return rows[0] + rows[1]

    f = compile(step)
    for i in range(12):
        yield f(x * i), list(rows)


@case(programs=1)
def last_of_a_growing_list(compile, x):
    losses = []

    def step(y):
        losses.append(y.sum())
        return losses[-1] * 2

    f = compile(step)
    for i in range(12):
        yield f(x * i), list(losses)


@case(programs=2)
def window_that_others_fill(compile, x):
    window = [x, x * 2]
    f = compile(lambda y: y + sum(window))
    for i in range(8):
        window[i % 2] = x * i
        window.append(window.pop(0))
        yield f(x)


@case(may_fall_back="a list that is replaced is handed out")
def list_that_is_taken_away(compile, x):
    box = Box(rows=[fb.zeros(3)])

    def step(y):
        before = box.rows
        box.rows = [before[0] + y]
        before.append(y)
        return before

    f = compile(step)
    for _ in range(4):
        before = box.rows
        yield f(x) is before, before, box.rows


# ------------------------------------------------------------------------------------------------------- lengths


@case
def element_set_and_read_by_another_index(compile, x):
    rows = [0]

    def step(y):
        rows[0] = 1
        rows[-1] = 2
        return y * rows[0]

    f = compile(step)
    for i in range(4):
        yield f(x), list(rows)
        if i == 1:
            rows.append(0.0)


@case(may_fall_back="it raises")
def element_that_is_no_more_there(compile, x):
    rows, w = [0, 0], fb.zeros(3)

    def step(y):
        rows[1] = 5
        w.add_(y)
        return y

    f = compile(step)
    for i in range(4):
        yield attempt(f, x), list(rows), w
        if i == 1:
            rows.pop()


@case
def exception_of_an_index_caught_inside(compile, x):
    rows = [0, 0]

    def step(y):
        try:
            rows[1] = 5
        except IndexError:
            return -y
        return y

    f = compile(step)
    for i in range(4):
        yield f(x), list(rows)
        if i == 1:
            rows.pop()


@case(may_fall_back="it raises")
def deleted_elements(compile, x):
    rows, w = [0, 1, 2, 3, 4], fb.zeros(3)

    def step(y):
        del rows[2]
        w.add_(1)
        return y * 2

    f = compile(step)
    for _ in range(5):
        yield attempt(f, x), list(rows), w


@case(programs=1)
def shrinking_slices(compile, x):
    rows, w = [0, 1, 2, 3, 4], fb.zeros(3)

    def step(y):
        rows[1:3] = [y]
        w.add_(1)
        return y * 2

    f = compile(step)
    for _ in range(5):
        yield attempt(f, x), list(rows), w


@case(may_fall_back="it raises")
def slices_with_a_step(compile, x):
    rows, w = [0, 1, 2, 3], fb.zeros(3)

    def step(y):
        rows[::2] = [y, 1]
        w.add_(1)
        return y * 2

    f = compile(step)
    for i in range(5):
        yield attempt(f, x), list(rows), w
        if i == 2:
            rows.append(3)


@case.test
def test_same_as_uncompiled(case: Case) -> None:
    case.check()


COPIES = {
    "detach": lambda v: v.detach(),
    "data": lambda v: v.data,
    "copy": copy.copy,
    "parameter": lambda v: nn.Parameter(v.data),
    "a part": lambda v: v.detach()[1:],
    "turned": lambda v: v.data.view(2, 1),
    "numpy": lambda v: fb.tensor(v.detach().numpy()),
    "a part in numpy": lambda v: fb.tensor(v.data[1:].numpy()),
    "numpy's sum": lambda v: fb.tensor(np.add(v.detach().numpy(), 1.0)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [nn.Parameter, lambda v: v], ids=["parameter", "tensor"])
@pytest.mark.parametrize("name", COPIES)
def test_what_shares_the_memory_of_a_replaced_tensor(name, kind):
    box = Box(v=kind(fb.ones(2)), kept=None)

    def step(x):
        box.kept = COPIES[name](box.v)
        return x, COPIES[name](box.v)

    compiled = fb.compile(step)
    for i in range(5):
        wanted = step(fb.ones(1))[1]
        _, found = compiled(fb.ones(1))
        assert found.tolist() == wanted.tolist() == box.kept.tolist()
        assert (found.requires_grad, type(found)) == (wanted.requires_grad, type(wanted))
        assert (found.data_ptr() == box.v.data_ptr()) == (wanted.data_ptr() == box.v.data_ptr())
        box.v = kind(fb.full((2,), i + 2.0))
