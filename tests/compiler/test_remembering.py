"""Python that acts when it is looked at, and state that C keeps: as in the uncompiled run, also while a program looks what it holds for."""

from __future__ import annotations

import ctypes
import decimal
import functools
import mmap
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, Table

case = Table()


@case
def remembered_after_a_write_to_a_tensor(compile, x):
    w = fb.ones(3)

    @functools.lru_cache
    def times(n):
        return w * n

    def step(x):
        w.add_(1)
        return x * times(2)

    f = compile(step)
    for _ in range(3):
        yield f(x), w
    times.cache_clear()
    yield f(x), w


@case
def remembered_after_a_draw(compile, x):
    @functools.lru_cache
    def noise(n):
        return fb.rand(n)

    def step(x):
        return x + fb.rand(3) + noise(3) + fb.rand(3)

    f = compile(step, fullgraph=True)
    for _ in range(3):
        yield f(x)


@case
def remembered_under_a_mode(compile, x):
    w = fb.ones(3, requires_grad=True)

    @functools.lru_cache
    def doubled(n):
        return w * n

    def step(x):
        with fb.no_grad():
            y = doubled(2)
        return x * y

    f = compile(step)
    for _ in range(2):
        yield f(x), doubled(2)


@case
def remembering_that_counts(compile, x):
    class Settings:
        def __init__(self):
            self.k, self.computed = 1.0, 0

        @functools.cache  # noqa: B019
        def scale(self, power=1):
            self.computed += 1
            return self.k**power

    s = Settings()

    def step(x):
        s.k += 1
        return x * s.scale() + s.scale(power=2) + s.computed

    f = compile(step)
    for _ in range(3):
        yield f(x), s.k, s.computed, Settings.scale.cache_info().misses
    Settings.scale.cache_clear()
    yield f(x), s.k, s.computed


@case(may_fall_back="one place for two results: it never remembers")
def forgotten_at_each_call(compile, x):
    log = []

    @functools.lru_cache(maxsize=1)
    def logged(n):
        log.append(n)
        return float(n)

    f = compile(lambda x: x * logged(1) + logged(2))
    for _ in range(4):
        yield f(x), log


@case
def remembering_that_raises(compile, x):
    calls = []

    @functools.lru_cache
    def small(n):
        calls.append(n)
        if n > 1:
            raise ValueError(n)
        return float(n)

    def step(x, n):
        try:
            return x * small(n)
        except ValueError:
            return -x

    f = compile(step)
    for n in (1, 2, 2, 1):
        yield f(x, n), calls


@case(programs=2)
def remembered_by_type(compile, x):
    @functools.lru_cache(typed=True)
    def gain(n, k=1):
        return type(n).__name__ == "int", float(n) * k

    f = compile(lambda x, n: x * gain(n, k=2)[1])
    yield f(x, 3), f(x, 3), f(x, 3.0), gain.cache_info().misses


@case
def asked_for_what_is_not_there(compile, x):
    class Settings:
        def __init__(self):
            self.asked = []

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            self.__dict__["asked"].append(name)
            return 2.0

    s = Settings()
    f = compile(lambda x: x * s.rate + s.momentum)
    yield f(x), s.asked
    s.rate = 5.0
    yield f(x), s.asked
    yield f(x), s.asked
    del s.rate
    yield f(x), s.asked


@case(may_fall_back="a key that counts how often it is compared")
def keys_that_count(compile, x):
    class Key:
        compared = 0

        def __init__(self, n):
            self.n = n

        def __eq__(self, other):
            Key.compared += 1
            return self.n == other.n

        def __hash__(self):
            return hash(self.n)

    table, key = {Key(1): 2.0, Key(2): 3.0}, [Key(1)]
    f = compile(lambda x: x * table[key[0]])
    yield f(x), Key.compared
    key[0] = Key(2)
    yield f(x), Key.compared
    yield f(x), Key.compared


@case
def context_of_decimals(compile, x):
    f = compile(lambda x: x * float(decimal.Decimal(1) / decimal.Decimal(3)))
    with decimal.localcontext() as context:
        for context.prec in (3, 10, 3):
            yield f(x)


@case(may_fall_back="memory of a package in C")
def fields_of_a_structure_in_c(compile, x):
    class Pair(ctypes.Structure):
        _fields_ = [("a", ctypes.c_double), ("n", ctypes.c_int)]

    p = Pair(2.0, 1)

    def step(x):
        p.n += 1
        return x * p.a * p.n

    f = compile(step)
    for p.a in (2.0, 2.0, 5.0):
        yield f(x), p.n


@case(may_fall_back="its __del__ has to run at each call")
def finalizers_of_what_is_replaced(compile, x):
    gone = []

    class Resource:
        def __init__(self, n):
            self.n = n

        def __del__(self):
            gone.append(self.n)

    box = SimpleNamespace(held=Resource(1.0))

    def step(x):
        box.held = Resource(box.held.n + 1)
        return x * box.held.n

    f = compile(step)
    for _ in range(3):
        yield f(x), gone


@case(may_fall_back="which object a number is, is Python's affair")
def numbers_compared_by_is(compile, x):
    a, b = [int("257")], [int("257")]
    f = compile(lambda x: x * 2 if a[0] is b[0] else x * 3)
    yield f(x)
    b[0] = a[0]
    yield f(x)


@case(may_fall_back="memory of a package in C")
def elements_of_a_tree(compile, x):
    tree = ElementTree.fromstring('<a><b v="3"/><b v="4"/></a>')

    def step(x):
        for part in tree:
            x = x + float(part.attrib["v"])
        return x

    f = compile(step)
    yield f(x)
    tree[0].attrib["v"] = "10"
    yield f(x)
    tree.remove(tree[1])
    yield f(x)


@case(may_fall_back="memory of a package in C")
def memory_in_c(compile, x):
    cell, row, mapped = ctypes.c_int(2), (ctypes.c_double * 2)(1, 2), mmap.mmap(-1, 8)

    def step(x):
        cell.value += 1
        row[0] += cell.value
        mapped[0] = mapped[0] + 1
        return x * row[0] + mapped[0]

    f = compile(step)
    g, h = compile(lambda x: x * sum(row)), compile(lambda x: x * mapped[0] + len(row))
    for _ in range(3):
        yield f(x), cell.value, list(row), mapped[0], g(x), h(x)


@case
def what_numpy_is_told(compile, x):
    values, shown = [1.0], np.array([1.23456])

    def logarithm(x):
        try:
            with np.errstate(divide="raise"):
                k = float(np.log(values[0]))
        except FloatingPointError:
            k = -5.0
        return x * k

    f, g = compile(logarithm), compile(lambda x: (x * len(str(shown)), f"{shown}"))
    for values[0] in (1.0, 2.0, 3.0, 0.0, 4.0):
        yield f(x)
    yield g(x)
    with np.printoptions(precision=2):
        yield g(x)


@case
def subclasses_that_come(compile, x):
    class Plugin:
        k = 1.0

    class First(Plugin):
        k = 2.0

    f = compile(lambda x: x * sum(c.k for c in Plugin.__subclasses__()))
    yield f(x)

    class Second(Plugin):
        k = 5.0

    yield f(x)
    First.k = 3.0
    yield f(x), Second.k


@case
def a_partial_that_is_given_another_state(compile, x):
    p = functools.partial(lambda x, k: x * k, k=1.0)
    f = compile(lambda x: p(x))
    yield f(x)
    p.__setstate__((lambda x, k: x + k, (), {"k": 2.0}, {}))
    yield f(x)


@case.test
def test_same_as_uncompiled(case: Case) -> None:
    case.check()


def test_the_warning_names_the_users_line_and_a_cure() -> None:
    import random

    layers = [fb.sin, fb.cos]

    def step(x: Any) -> Any:
        random.shuffle(layers)  # the line
        return layers[0](x)

    with pytest.warns(UserWarning, match="test_remembering.py.*random.shuffle") as caught:
        fb.compile(step)(fb.ones(2))
    assert "outside" in str(caught[0].message)
