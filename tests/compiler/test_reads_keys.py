"""What a compiled function indexes with, and looks up by: lists of indices, tensors as keys."""

from __future__ import annotations

import types

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table

case = Table()


@case
def lists_as_indices(compile, x):
    box = types.SimpleNamespace(i=[0, 2], rows=([1, 2], [[0], [0, 1]]), table=np.arange(6.0))
    f = compile(lambda x: x[box.i])
    g = compile(
        lambda x: (x.outer(x)[:, box.rows[0]], x.outer(x)[box.rows[1][0], box.rows[1][1]], box.table[box.i].sum() * x)
    )

    def put(x):
        y = x * 1
        y[box.i] = 9.0
        return y

    h = compile(put)

    def change():
        box.i.append(1)
        yield
        box.i[0] = -1
        yield
        box.rows[0].pop()
        box.rows[1][1].append(2)
        yield
        box.i[:] = [2]
        yield

    yield f(x), g(x), h(x)
    for _ in change():
        yield f(x), g(x), h(x)


@case
def tensors_as_keys_that_are_replaced(compile, x):
    first, second = fb.ones(3), fb.ones(3)
    box = types.SimpleNamespace(
        w=first, d={first: 1.0, second: 2.0}, s={second}, pairs={(first, 1): 5.0}, ids={id(first): 7.0}
    )  # fmt: skip

    def step(x):
        known = box.ids.get(id(box.w), 1.0) * box.pairs.get((box.w, 1), 2.0) * (3 if box.w in box.s else 4)
        return x * box.w * known * box.d[box.w]

    f = compile(step)
    for box.w in (first, second, first, fb.ones(3), second):
        try:
            yield f(x)
        except KeyError:
            yield "not there"


@case.test
def test_keys(case: Case) -> None:
    case.check()
