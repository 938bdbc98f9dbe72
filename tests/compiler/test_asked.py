"""What C does with a number that is an input of the program: a float takes an int's value without asking it, a bool and a member of an
enumeration do, and so do `sum`, `round`, `divmod` and comparisons of lists. Each of these is a function of its own here.
"""

from __future__ import annotations

import collections
import enum
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compiler.scenarios import Case, attempt


class Level(enum.IntEnum):
    MIDDLE = 3


class Half(float):
    pass


Pair = collections.namedtuple("Pair", "a b")

# of the tensor x, an int n and a float v that count
WRONG_BEFORE = """
n.real, v.real, n.numerator | round(v, n) | round(12345, -n) | 2.5 < n | 3.0 != n | True == n | Level.MIDDLE <= n | 1.5 < n < 4.5
n < 2.5 | Half(2.5) < n | np.float64(3) < n | x * 2 if 2.5 < n else x | True * n | Level.MIDDLE * n | Half(0.5) * v | 0.9**n
7.5 // n | min(2.5, n) | min(n, 2.5) | max(n, Level.MIDDLE) | sum([0.5, n]) | sum(k for k in (0.5, n)) | sum([n], 0.5) | sum([True, n])
[2.5, 1] < [n, 0] | (3.0,) == (n,) | 3.0 in [n, 1] | {"a": n} == {"a": 3.0} | sorted([2.5, n, 3]) | max(*[n, 2.5]) | divmod(7, n)
divmod(7.5, n) | pow(0.9, n) | pow(2, n, 5) | x * divmod(7, v)[1] | functools.reduce(operator.add, [0.5, n]) | "%d" % (n,)
fb.zeros(fb.Size([n, 1])) | x.view(Pair(1, 3)).repeat(Pair(n, 1)) | 10**-n | isinstance(n, int) | min([0.5, n], key=lambda k: -k)
"""
OTHERS = """
"%s" % n | f"{n:03d}" | f"{v:.3f}" | str([n]) | repr((n, v)) | n.bit_length() | v.is_integer() | v.as_integer_ratio() | n.conjugate()
int.__add__(n, 1) | float.__mul__(v, 2.0) | round(n, -1) | L(3) == n | n == True | 0.6 < v | np.float64(0.6) < v | np.int64(3) < n
1j * n | 1j * v | True / n | False - v | x * (True + n) | x * (True and n) | x * (n or 3) | min(True, n) | max((0.5, n)) | min(v, 0.5)
sum([v, n]) | sum((1, n, v)) | sum([0.5, n], 1.5) | (1, n) == (1, 3.0) | n in (1.0, 3.0) | n in [True, 5] | sorted((n, 2.5), reverse=True)
divmod(n, 2) | divmod(n, v) | abs(n - 3) | operator.lt(2.5, n) | operator.mod(7, n) | list(itertools.accumulate([0.5, n, v]))
list(map(pow, [0.9], [n])) | list(map(max, [2.5], [n])) | any(k > 2.5 for k in [n]) | all([n - 3, 1]) | list(zip([n], [v]))
list(enumerate([1], n)) | complex(n, v) | bool(n - 3) | hash(n) | {n: 1} | {3.0: 1}.get(n) | {True: 1}.get(n) | [1, 2] * n | range(20)[n]
[*range(n)] | (lambda *a, **k: (a, k))(n, v=v) | functools.partial(lambda a, b: a * b, n)(2) | n and v | not n - 3 | (n > 2) * n
n if n > 2.5 else v | 12 & n | 1 << n | ~n | x > n | x // n | n**x | x.clamp(n, n + v) | fb.tensor([[n], [v]]) | fb.full((n,), v)
x.roll(n) | x.expand(n, 3) | np.array([n, v]) | np.float64(2) ** n | np.arange(3) * n | np.clip(n, 0, 2.5) | np.linspace(0, 1, n + 1)
""".replace("L(3)", "Level(3)")


def expressions(text: str) -> list[str]:
    return [part.strip() for line in text.strip().splitlines() for part in line.split(" | ")]


def asked(expression: str, as_index: bool) -> Case:
    compute: Callable[..., Any] = eval(f"lambda x, n, v: ({expression})", globals())

    def script(compile: Any, x: Any) -> Iterator[Any]:
        state = types.SimpleNamespace(n=0, v=0.25)

        def step(x: Any) -> Any:
            state.n += 1
            state.v *= 1.5
            return compute(x, state.n, state.v), x[state.n % 3] if as_index else 0  # an int that is an index stays one

        function = compile(step)
        for _ in range(5):
            yield attempt(function, x), vars(state)

    return Case(script)


def test_functions_in_c_ask() -> None:
    for expression in expressions(WRONG_BEFORE):
        asked(expression, as_index=True).check()


@pytest.mark.slow
@pytest.mark.parametrize("as_index", [True, False])
def test_all_functions_in_c_ask(as_index: bool) -> None:
    for expression in expressions(WRONG_BEFORE + OTHERS):
        asked(expression, as_index).check()
