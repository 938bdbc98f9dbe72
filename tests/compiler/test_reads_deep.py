"""Values that code in C takes apart: lists as positions, containers that `in`, `index` and `key=str` compare or show."""

from __future__ import annotations

import collections
import operator
from typing import Any

import numpy as np
import pytest

import flambeau as fb

ROWS: list[Any] = [[1], [2], (0, [1])]
TABLE = np.arange(12.0).reshape(3, 4)
V: list[Any] = [1]
DEEP = (0, V)
QUEUE = collections.deque([0, 1])


def picked(x):
    return x * np.arange(12.0).reshape(3, 4)[V].sum()


def picked_in_a_tuple(x):
    return x * TABLE.copy()[(V, 0)].sum()


def picked_by_operator(x):
    return x * operator.getitem(TABLE.copy(), V).sum()


def set_under(x):
    made = np.zeros(4)
    made[V] = 5.0
    return x * made[1]


def set_to(x):
    made = np.zeros(1)
    made[:] = V
    return x * made[0]


def counted(x):
    return x * ROWS.count(V)


def found(x):
    return x * ROWS.index(V) if V in ROWS else x * 9


def in_a_new_tuple(x):
    return x * 2 if V in ([1], [2]) else x


def deep_in_a_list(x):
    return x * 2 if DEEP in ROWS else x


def not_in(x):
    return x * 2 if V not in ROWS else x


def shown_by_c(x):
    return x * (max([V, [2]], key=str) is V)


def mapped_by_c(x):
    return x * len("".join(map(repr, [V, QUEUE])))


PROGRAMS = [picked, picked_in_a_tuple, picked_by_operator, set_under, set_to, counted, found, in_a_new_tuple,
            deep_in_a_list, not_in, shown_by_c, mapped_by_c]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_code_in_c_looks_into_is_seen_to_change(program):
    V[:] = [1]
    step, x = fb.compile(program), fb.ones(1)
    seen = []
    for value in (1, 2, 0, 3, 1):
        V[0] = value if program not in (picked, picked_in_a_tuple, picked_by_operator) else value % 3
        QUEUE[0] = 10**value
        seen.append(program(x).item())
        assert step(x).item() == seen[-1]
    assert len(set(seen)) > 1


def test_a_number_that_is_an_input_has_no_more_attributes_than_a_number():
    box = [7]

    def asks(x):
        return x * (2 if getattr(box[0], "__dict__", None) is None else 3) * (1 if hasattr(box[0], "reads") else 5)

    step, x = fb.compile(asks), fb.ones(1)
    for value in (7, 8, 9, 10):
        box[0] = value
        assert step(x).item() == 10.0


NESTED: list[Any] = [[3], [1]]
LAYER = fb.nn.Linear(1, 1)

INNER = {
    "sorted": lambda x: x * sorted(NESTED)[0][0],
    "sort": lambda x: x * (lambda made: made.sort() or made[0][0])(list(NESTED)),
    "max": lambda x: x * max(NESTED)[0],
    "min of two": lambda x: x * min(NESTED[0], NESTED[1])[0],
    "sum": lambda x: x * sum(sum(NESTED, [])),  # noqa: RUF017
    "dict": lambda x: x * len(dict(zip(*[NESTED[0], NESTED[1]], strict=True))) * sum(map(sum, NESTED)),
    "beside an array": lambda x: x * (np.ones((2, 1)) * NESTED).sum(),
    "beside a tensor": lambda x: x * (np.array([[3], [1]]) > NESTED).sum(),
    "equal": lambda x: x * (2 if (0, NESTED).__eq__((0, [[3], [1]])) else 3),
    "bisect": lambda x: x * __import__("bisect").bisect([[0], [2], [4]], NESTED[0]),
}


@pytest.mark.parametrize("name", INNER)
def test_lists_in_lists_that_code_in_c_takes_apart(name):
    step, x, seen = fb.compile(INNER[name]), fb.ones(1), []
    for value in (3, 1, 0, 5, 3):
        NESTED[0][0] = value
        seen.append(INNER[name](x).item())
        assert step(x).item() == seen[-1]
    assert len(set(seen)) > 1


LAYERS = fb.nn.ModuleDict({"a": fb.nn.ReLU()})
MODULES = {
    "named": lambda x: x * len((lambda *names: names)(*LAYERS)),
    "filled in": lambda x: x * len("%r" % LAYERS),  # noqa: UP031
    "formatted": lambda x: x * len("{}".format(LAYERS)),  # noqa: UP032
    "text": lambda x: x * len(str(LAYERS)),
    "longest": lambda x: x * len(str(max([LAYERS, fb.nn.Identity()], key=str))),
    "size": lambda x: x.expand(fb.Size(QUEUE)).sum(),
}


@pytest.mark.parametrize("name", MODULES)
def test_containers_of_ours_that_are_looked_through(name):
    LAYERS.clear()
    LAYERS["a"] = fb.nn.ReLU()
    QUEUE[0] = QUEUE[1] = 1
    step, x, seen = fb.compile(MODULES[name]), fb.ones(1), []
    for i in range(3):
        seen.append(MODULES[name](x).item())
        assert step(x).item() == seen[-1]
        LAYERS[f"b{i}"], QUEUE[1] = fb.nn.Tanh(), i + 2
    assert len(set(seen)) == 3


def test_the_text_of_a_layer_that_is_changed():
    step, x = fb.compile(lambda x: (x, "{}".format(str(LAYER)), f"{LAYER}")), fb.ones(1)  # noqa: UP032
    for bias in (LAYER.bias, None, LAYER.bias):
        LAYER.bias = bias
        assert step(x)[1:] == (str(LAYER), str(LAYER))


@pytest.mark.filterwarnings("ignore")
def test_numpy_does_not_take_a_request_for_values_for_an_error():
    one, other = fb.ones(3), fb.ones(3)
    step = fb.compile(lambda x: (x * 1, np.array_equal(one, other)))
    for value in (1.0, 2.0, 1.0):
        other = fb.full((3,), value)
        assert step(fb.ones(1))[1] is (value == 1.0)


def test_the_text_of_a_generator_that_is_seeded_again():
    made = fb.Generator()
    step = fb.compile(lambda x: (x * 1, f"{made}", str(made), "%s" % made))  # noqa: UP031
    for seed in (1, 2, 1):
        made.manual_seed(seed)
        assert step(fb.ones(1))[1:] == (str(made),) * 3
