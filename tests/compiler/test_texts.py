"""Texts and tuples of numbers that count, as keys and as values, and containers of numbers: no program for each value."""

from __future__ import annotations

import collections
import functools
import math
import types
from typing import NamedTuple

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table, attempt

case = Table()

PERCENT, FLOAT = "percent %d of %s", "%5.1f"


class Point(NamedTuple):
    i: int
    v: float


@functools.lru_cache
def number_in(name):
    return float(name[1:])


@case(programs=1)
def texts_as_keys(compile, x):
    state, log, seen = types.SimpleNamespace(n=0), {}, set()

    @compile
    def step(x):
        log[f"step{state.n}"] = x.sum() * state.n
        log[PERCENT % (state.n, "all")] = state.n
        log["lr/" + str(state.n)] = 0.5 * state.n
        seen.add(f"e{state.n}")
        state.n += 1
        return x * state.n, log[f"step{state.n - 1}"], f"e{state.n}" in seen

    for _ in range(5):
        yield step(x), log, seen


@case(programs=1)
def texts_as_values(compile, x):
    state, lines, keep = types.SimpleNamespace(n=0, v=1.0, text=""), [], []

    def name(n):
        return f"<{n}>"

    @compile
    def step(x):
        state.n += 1
        state.v *= 0.5
        state.text = (
            f"{state.n:03d}|{state.v:.2e}|{state.n!r:>4}|{state.v=}" + repr(state.v) + FLOAT % state.v + name(state.n)
        )
        lines.append((f"epoch {state.n}", {"at": str(state.n)}))
        said = f"fn{state.n}"
        keep.append(lambda: said)
        return x * state.v, state.text

    for _ in range(4):
        yield step(x), state.text, lines, [function() for function in keep]


@case
def texts_that_functions_in_c_take(compile, x):
    state, held = types.SimpleNamespace(n=0), types.SimpleNamespace(w1=1.0, w2=2.0, w3=3.0)

    def text(i):
        return f"{i}{state.n}"

    @compile
    def step(x):
        state.n += 1
        name = f"w{state.n}"
        joined = ",".join(f"k{state.n + i}" for i in range(2)) + "".join(map(text, range(2)))
        setattr(held, name, getattr(held, name) * 2)
        found = (
            len(name),
            int(name[1:]),
            name.upper(),
            name in "xw1x",
            name < "w2",
            name == "w2",
            hash(name) == hash("w2"),
        )
        return (
            x * getattr(held, name) * number_in(name),
            joined,
            found,
            type(name) is str,
            isinstance(name, str),
            {name},
            {name: 1},
        )

    for _ in range(3):
        yield step(x), vars(held)


@case(programs=2)
def tuples_as_keys(compile, x):
    state, log, other = types.SimpleNamespace(n=0), {}, {(i, "a"): i * 1.5 for i in range(9)}

    @compile
    def step(x):
        log[state.n, "a"] = x * state.n
        log[f"k{state.n}", state.n] = state.n
        y = x * other[state.n, "a"] + log.get((state.n, "b"), 0.5)
        gone = other.pop((state.n, "a"))
        state.n += 1
        return y, gone, (state.n, "a") in log

    for _ in range(5):
        yield step(x), log, other


@case
def keys_that_meet(compile, x):
    state, log = types.SimpleNamespace(n=0), {}

    @compile
    def step(x):
        key, pair = f"k{state.n % 2}", (state.n % 3, "a")
        log[key] = log.get(key, 0) + 1
        log["k1"] = log.get("k1", 0) + 10
        log[pair] = log.get(pair, 0) + 1
        log[1, "a"] = log.get((1, "a"), 0) + 10
        state.n += 1
        return x * log[key], log["k1"], log[1, "a"]

    for _ in range(6):
        yield step(x), log


@case(programs=2)
def tuples_that_are_replaced(compile, x):
    state = types.SimpleNamespace(pair=(0, 1), nested=((0, 1.0), "k"), point=Point(0, 1.0), first=None)

    @compile
    def step(x):
        state.pair = state.pair[1], state.pair[0] + state.pair[1]
        (n, v), k = state.nested
        state.nested = (n + 1, v * 0.9), k
        state.point = Point(state.point.i + 1, state.point.v / 2)
        asked = state.nested is None
        return x * state.pair[0] * v + state.point.v, state.point, asked, math.hypot(v, n)

    for _ in range(6):
        yield step(x), state
    state.nested = (7, 2.0), "k"
    yield step(x), state


@case
def tuples_of_another_kind(compile, x):
    state = types.SimpleNamespace(pair=(0, "a"))

    @compile
    def step(x):
        n, t = state.pair
        state.pair = (n + 0.5 if n > 3 else n + 1, "b" if n > 1 else t)
        if n == 4.5:
            raise ValueError("no further")
        return (x if t == "a" else -x) * n

    for _ in range(7):
        yield attempt(step, x), state.pair


@case(programs=4)
def sums_of_lists(compile, x):
    weights, window, table = [0.1, 0.2, 0.3], collections.deque([1.0, 2.0, 3.0], maxlen=3), {"a": 1.0, "b": 2.0}

    @compile
    def step(x):
        window.append(window[-1] * 1.1)
        for key in table:
            table[key] *= 0.5
        weighted = sum(w * x for w, _ in zip(weights, range(3), strict=True))
        return weighted * (sum(window) / len(window)), sum(table.values())

    for i in range(7):
        weights[1] = 0.5 * i
        yield step(x), window, table


@case
def lists_that_functions_in_c_take(compile, x):
    numbers = [1, 4]

    @compile
    def step(x):
        y = 0
        for n in numbers:
            y = y + x[n % 3]  # an int from here on
        found = (
            sum([0.5, *numbers]),
            max([0.25, *numbers]),
            min(1.5, *numbers),
            sorted(numbers),
            numbers == [2, 4],
            2 in numbers,
        )
        return (
            y,
            found,
            fb.tensor(numbers),
            float(np.mean(numbers)),
            ",".join(map(str, numbers)),
            any(numbers),
            numbers.index(4),
        )

    for n in (1, 2, 4, 3, 0):
        numbers[0] = n
        yield step(x)
    numbers[1] = 4.5
    yield attempt(step, x)


@case.test
def test_texts(case: Case) -> None:
    case.check()
