"""Which tuple it is that a compiled function keeps, gives out or asks for by `is`."""

from __future__ import annotations

import pytest

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Box

case = Table()

KINDS = {
    "numbers": lambda k: (k + 1.0, 2.0),
    "the same numbers": lambda k: (float("1"), 2.0),
    "list": lambda k: ([1.0, k], 3),
    "tensors": lambda k: (fb.full((3,), k + 1.0), fb.ones(3)),
    "nested": lambda k: ((1, [k]), 3),
    "object": lambda k: (Box(n=k), 1),
}


def first_of(found):
    return found if isinstance(found, (int, float, fb.Tensor)) else 1.0


def a_tuple_that_is_kept(compile, x, kind):
    """It is the one that the place holds at the call."""
    held = Box(a=KINDS[kind](0), b=None, kept=[])

    def step(x):
        held.b = held.a
        held.kept.append(held.a[0])
        return x * first_of(held.a[0]), held.a

    f = compile(step)
    for k in range(5):
        found, given = f(x)
        yield found, given is held.a, held.b is held.a, isinstance(held.a[0], float) or held.kept[-1] is held.a[0]
        if k % 2:
            held.a = KINDS[kind](k)


def a_tuple_that_is_an_argument(compile, x, kind):
    held = Box(b=None, kept=[])

    def step(x, pair):
        held.b = pair
        held.kept.append(pair)
        return x * 1, pair

    f = compile(step)
    for k in range(4):
        pair = KINDS[kind](k)
        _, given = f(x, pair)
        yield given is pair, held.b is pair, held.kept[-1] is pair


@case
def a_tuple_out_of_a_list_is_kept(compile, x):
    held = Box(rows=[(1.0, [2]), (3.0, [4])], best=None)

    def step(x):
        for row in held.rows:
            if row[0] > 2:
                held.best = row
        return x * 1

    f = compile(step)
    for _ in range(4):
        yield f(x), held.best is held.rows[1]
        held.rows[1] = (3.0, held.rows[1][1])


def which_tuple_it_is(compile, x, kind):
    held = Box(a=KINDS[kind](0), b=None)

    def step(x):
        return x * (2 if held.a is held.b else 3)

    f = compile(step)
    for k in range(7):
        yield f(x)
        held.a = KINDS[kind](k)
        held.b = held.a if k % 2 else (*held.a,)


@case(may_fall_back="which tuple an argument is")
def which_tuples_are_given(compile, x):
    f, pair = compile(lambda a, b, x: x * (2 if a is b else 3)), (1.0, fb.ones(1))
    for other in (pair, (*pair,), pair):
        yield f(pair, other, x)


@case
def which_tuple_of_a_list_it_is(compile, x):
    held = Box(rows=[(1.0, [2]), (3.0, [4])], best=None)

    def step(x):
        return x * (2 if any(row is held.best for row in held.rows) else 3)

    f = compile(step)
    for k in range(6):
        yield f(x)
        held.best = held.rows[k % 2] if k % 3 else (*held.rows[0],)


@case.test
def test_tuples(case) -> None:
    case.check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "of", [a_tuple_that_is_kept, a_tuple_that_is_an_argument, which_tuple_it_is], ids=lambda f: f.__name__
)
def test_kinds_of_tuples(of, kind) -> None:
    def scenario(compile, x):
        yield from of(compile, x, kind)

    numbers = "numbers that are inputs have no identity" if of is which_tuple_it_is and "numbers" in kind else ""
    Case(scenario, may_fall_back=numbers).check()
