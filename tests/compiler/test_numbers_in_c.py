"""Numbers that are inputs of a program, on their way into code in C that takes their values without asking: each call has its own."""

from __future__ import annotations

import functools
import json  # noqa: F401
import math
import warnings
from collections import UserDict, UserList, deque  # noqa: F401
from typing import Any

import numpy as np
import pytest

import flambeau as fl


class Given:
    """An object whose parts a generator gives."""

    def __init__(self) -> None:
        self.parts = [1, 2]

    def __iter__(self) -> Any:
        yield from self.parts

    def set(self, k: int) -> None:
        self.parts[0] = k


class ByItem:
    """An object of which Python asks item by item."""

    def __init__(self) -> None:
        self.parts = [1, 2]

    def __getitem__(self, i: int) -> int:
        return self.parts[i]

    set = Given.set


class Row(list):
    """A list of a class of its own."""

    def set(self, k: int) -> None:
        self[0] = k


class OfUser(UserList):
    set = Row.set

    def __init__(self) -> None:
        super().__init__([1, 2])


class Named(UserDict):
    set = Row.set

    def __init__(self) -> None:
        super().__init__({0: 1, 1: 2})


class Counted:
    """A number in an attribute."""

    def __init__(self) -> None:
        self.k = 1

    def set(self, k: int) -> None:
        self.k = k


class Told:
    """What `%` and `format` ask by name."""

    def __init__(self) -> None:
        self.parts = {"a": 1}

    def __getitem__(self, name: str) -> int:
        return self.parts[name]

    def set(self, k: int) -> None:
        self.parts["a"] = k


_GONE_THROUGH = (
    "range(*p)",
    "bytes(p)",
    "list(fl.Size(p))",
    "math.fsum(p)",
    "math.gcd(*p)",
    "list(map((1).__add__, p))",
    "''.join(map(chr, p))",
    "range(*(k for k in p))",
    "list(fl.zeros(*(k for k in p)).shape)",
    "max(p), sum(p), [*p], [k * 2 for k in p]",
)
_PLACED = (
    "{}.__getitem__(p.k)",
    "changed({}, 'pop', p.k)",
    "changed({}, 'insert', p.k, 5)",
    "changed({}, '__setitem__', p.k, 5)",
    "changed({}, '__delitem__', p.k)",
    "changed({}, '__imul__', p.k)",
    "{}.__mul__(p.k)",
)
_SINGLE = (
    "[0, 1, 0, 1, 0, 1].index(1, p.k)",
    "deque([0, 1, 0, 1, 0, 1]).index(1, p.k)",
    "changed(deque([1, 2, 3]), 'rotate', p.k)",
    "deque([1, 2, 3, 4], maxlen=p.k).maxlen",
    "deque([1, 2, 3, 4], p.k)",
    "np.arange(8).cumsum().item(p.k)",
    "held.cumsum().item(p.k)",
    "held.repeat(p.k).size",
)

held = np.arange(8)


def changed(container: Any, name: str, *args: Any) -> Any:
    getattr(container, name)(*args)
    return list(container)


def _rows() -> list[tuple[Any, str]]:
    rows: list[tuple[Any, str]] = [(Given, text) for text in _GONE_THROUGH]
    rows += [(kind, text) for kind in (ByItem, OfUser) for text in _GONE_THROUGH[:3]]
    rows += [(Named, "list(fl.Size(p.values()))"), (Named, "bytes(p.values())"), (Named, "range(*p.values())")]
    rows += [(lambda: Row([1, 2]), "json.dumps(p)"), (Told, "'%(a)d' % p"), (Told, "'{0[a]}'.format(p)")]
    rows += [(Counted, text.format("[*range(9, 18)]")) for text in _PLACED]
    rows += [(Counted, text.format("deque(range(9, 18))")) for text in _PLACED if "'pop'" not in text]
    return rows + [(Counted, text) for text in _SINGLE]


def test_what_a_partial_function_keeps_is_no_input() -> None:
    p = functools.partial(lambda a, x: x * a, 2.0)
    f = fl.compile(lambda x: p(x))
    assert f(fl.ones(2)).tolist() == [2, 2]
    for k in (1.0, 3.0, 4.0):
        p.__setstate__((p.func, (k,), {}, None))
        assert f(fl.ones(2)).tolist() == [k, k]


@pytest.mark.parametrize(("kind", "text"), _rows())
def test_a_number_that_code_in_c_takes(kind: Any, text: str) -> None:
    found = []
    for compile in (lambda f: f, fl.compile):
        p = kind()
        scope = {**globals(), "p": p}
        exec(f"def step(x):\n    return x * 1, {text}, 0", scope)
        f = compile(scope["step"])
        found.append([])
        for k in (1, 3, 4):
            p.set(k)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that some run uncompiled
                found[-1].append(repr(f(fl.ones(2))[1:]))
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


def test_what_is_gone_through_by_code_is_told() -> None:
    p = Given()
    f = fl.compile(lambda x: (x * 1, math.fsum(p)))
    f(fl.ones(2))
    p.set(3)
    with pytest.warns(UserWarning, match=r"test_numbers_in_c(?s:.)*gives fsum"):
        assert f(fl.ones(2))[1] == 5.0
    p.set(4)
    assert f(fl.ones(2))[1] == 6.0


METHODS = {
    "array": lambda k: [r is NotImplemented for r in map(k.__lt__, np.array([1.0, 2.0, 3.0]))],
    "list": lambda k: [r is NotImplemented for r in map(k.__gt__, [1.0, 2.0, 3.0])],
    "ints": lambda k: len(list(filter(k.__gt__, [1, 2, 3]))),
    "equal": lambda k: NotImplemented in list(map(k.__eq__, [1.5, 2.5])),
    "called": lambda k: (k.__lt__(2.0) is NotImplemented, k.__lt__(2), k.__add__(2)),
    "kept": lambda k: (lambda compare: (compare(2.0) is NotImplemented, compare(2)))(k.__ge__),
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("use", METHODS)
def test_methods_of_an_int_by_name_know_no_floats(use: str, given: bool) -> None:
    """`(1).__lt__(2.0)` is NotImplemented, and that is true: what stands for an int that is an input had compared."""
    held = {"k": 1}
    f = fl.compile(lambda k, x: (x * k, METHODS[use](k if given else held["k"])))
    for k in (1, 2, 0, 3, 1, 5):
        held["k"] = k
        found, answer = f(k, fl.ones(1))
        assert (found.item(), answer) == (k, METHODS[use](k))


def test_methods_of_a_scalar_of_numpy_by_name_know_its_type() -> None:
    """`np.int32(1).__eq__(np.int64(1))` is NotImplemented."""
    f = fl.compile(lambda k, x: (x, k.__eq__(np.int64(1)) is NotImplemented, k.__eq__(np.int64(1))))
    for k in (np.int64(1), np.int64(2), np.int32(1), np.int32(2), np.int32(1)):
        assert f(k, fl.ones(1))[1:] == (k.__eq__(np.int64(1)) is NotImplemented, k.__eq__(np.int64(1)))
