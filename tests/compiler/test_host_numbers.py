"""What Python does with a number that changes from call to call: an argument, or a counter that the function keeps.

A number that has become an input of the program is still a Python number to the code that is traced.
"""

from __future__ import annotations

import copy
import decimal
import enum
import fractions
import itertools
import json
import math
import pickle
import statistics
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, attempt
from flambeau.nn import functional as F


class Level(enum.IntEnum):
    LOW = 1
    MID = 2
    HIGH = 3
    TOP = 4


# `n` is 1, 2, 3, 4 and `k` is n / 2
EXPRESSIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    # tensors and numbers
    "product": lambda x, n, k: x * n + k,
    "reflected": lambda x, n, k: (n - x, k / x, n**x, 2 % (x + n)),
    "power": lambda x, n, k: (x**n, x**k),
    "floor division and remainder": lambda x, n, k: (x // n, x % k),
    "comparison with a tensor": lambda x, n, k: (x > n, x == n, x <= k),
    "integers stay integers": lambda x, n, k: (x.long() * n, x.long() * k, x.long() // n),
    "in place": lambda x, n, k: x.clone().mul_(n).add_(k),
    "options": lambda x, n, k: (x.add(x, alpha=n), x.clamp(max=n), x.clamp(k, 2 * n)),
    "where and masked_fill": lambda x, n, k: (fb.where(x > n, x, k), x.masked_fill(x > 1, n)),
    "made tensors": lambda x, n, k: (fb.tensor(n), fb.tensor([n, k]), fb.full((2,), k), fb.full((2,), n)),
    "dtype of a made tensor": lambda x, n, k: (fb.tensor(n).dtype, fb.tensor(k).dtype, fb.tensor([n, 1]).dtype),
    "shapes": lambda x, n, k: (fb.zeros(n), fb.ones(2, n).shape, x.repeat(n)),
    "arange and linspace": lambda x, n, k: (fb.arange(n), fb.linspace(0, n, 3), fb.arange(0, 3, k)),
    "slices": lambda x, n, k: (x[:n], x[-n:], x[::n]),
    "an index": lambda x, n, k: (x[n % 3], x[n - 5 if n > 2 else 0]),
    "an index that may fail": lambda x, n, k: x[n],
    "an assignment": lambda x, n, k: fb.zeros(5).index_fill(0, fb.tensor([n]), k),
    "written at an index": lambda x, n, k: _written(fb.zeros(5), n, k),
    "roll, narrow, split": lambda x, n, k: (x.roll(n), x.narrow(0, 0, min(n, 3)), [len(p) for p in x.split(n)]),
    "dimension": lambda x, n, k: x.view(1, 3).sum(dim=n % 2),
    "one_hot": lambda x, n, k: F.one_hot(fb.tensor(0), n + 1),
    "dtype chosen": lambda x, n, k: x.to(fb.float32 if n % 2 else fb.float64),
    "NumPy numbers": lambda x, n, k: (x * np.float64(k), x * int(np.int64(n))),
    "NumPy arrays": lambda x, n, k: (x * fb.tensor(np.full(3, k)), np.arange(n).sum() + x),
    "generator's seed": lambda x, n, k: fb.rand(2, generator=fb.Generator().manual_seed(n)),
    "tensor from a list": lambda x, n, k: fb.tensor([i * k for i in range(3)]) * x,
    "softmax of a temperature": lambda x, n, k: (x / k).softmax(-1),
    "format of a tensor's size": lambda x, n, k: f"{tuple(x[: min(n, 3)].shape)}",
    # Python's arithmetic
    "arithmetic": lambda x, n, k: (x, n + 1, n - k, n * k, n / 3, n // 2, n % 3, n**2, -n, +k, abs(-k)),
    "bits": lambda x, n, k: (x, n & 1, n | 4, n ^ 3, ~n, n << 2, n >> 1, n.bit_length()),
    "divmod and pow": lambda x, n, k: (x, divmod(n, 2), pow(n, 2, 5), pow(2, n), divmod(k, 0.75)),
    "rounding": lambda x, n, k: (x, round(k), round(k / 3, 2), math.floor(k), math.ceil(k), math.trunc(k), int(k)),
    "math": lambda x, n, k: (x, math.sqrt(k), math.sin(k), math.log1p(k), math.gcd(n, 4), math.factorial(n), math.hypot(n, k)),
    "math on a tensor's side": lambda x, n, k: x * math.exp(-k) + math.comb(4, n),
    "classes": lambda x, n, k: (x, type(n) is int, type(k) is float, isinstance(n, int), isinstance(k, (int, float)), type(n)),
    "parts of a number": lambda x, n, k: (x, n.real, n.numerator, k.is_integer(), k.as_integer_ratio(), k.hex()),
    "conversions": lambda x, n, k: (x, float(n), str(n), repr(k), int(str(n)), complex(n, k), bool(n - 1), bytes(n)),
    "formats": lambda x, n, k: (x, f"{n:03d}", f"{k:.1f}", "%d of %s" % (n, k), "{:>4}".format(n)),  # noqa: UP031, UP032
    "json and pickle": lambda x, n, k: (x, json.dumps([n, k]), pickle.loads(pickle.dumps(n)), copy.deepcopy([k])),
    "hash and dict": lambda x, n, k: (x, hash(n) == hash(float(n)), {1: "a", 2: "b"}.get(n), {n: k}, {n, 2}),
    "list by number": lambda x, n, k: (x, [10, 20, 30, 40, 50][n], [0] * n, "ab" * n, (1, 2, 3, 4)[-n]),
    "min, max, sum, sorted": lambda x, n, k: (x, max(n, 3), min(k, 1.0), sum([n, k]), sorted([n, 2, k])),
    "ranges": lambda x, n, k: sum((x * i for i in range(n)), fb.zeros(3)),
    "ranges with a step": lambda x, n, k: (x, list(range(0, 5, n)), list(range(n, 0, -1)), n in range(1, 4)),
    "enumerate and zip": lambda x, n, k: sum(i * v for i, v in enumerate(x, start=n)),
    "itertools": lambda x, n, k: (x, list(itertools.islice("abcd", n)), list(itertools.repeat(k, n)), len([*itertools.combinations("abcd", n)])),
    "other numbers": lambda x, n, k: (x, str(decimal.Decimal(n) / 3)[:6], float(fractions.Fraction(n, 3)), statistics.mean([n, 2])),
    "enums": lambda x, n, k: x * Level(n) if Level(n) is not Level.MID else -x,
    "match": lambda x, n, k: _matched(x, n),
    # decisions
    "branch": lambda x, n, k: x * n if n > 2 else x - n,
    "branch on equality": lambda x, n, k: x * 10 if n == 2 else x * n,
    "branch on a derived number": lambda x, n, k: x if (n * 3 + 1) % 4 < 2 else -x * k,
    "branch on a float": lambda x, n, k: x if k >= 1.5 else x * k,
    "chained comparison": lambda x, n, k: x if 1 < n <= 3 else -x,
    "truth": lambda x, n, k: x * 2 if n - 1 else x,
    "and, or, not": lambda x, n, k: ((n - 1) or 7, (n - 2) and x, not (n - 3)),
    "membership": lambda x, n, k: x if n in (1, 4) else -x,
    "membership of a set": lambda x, n, k: x if n in {1, 4} else -x,
    "conditional index": lambda x, n, k: (x, -x)[n > 2],
    "while": lambda x, n, k: _halved(x, n),
    "any and all": lambda x, n, k: x * (any(n > i for i in (3, 2)) + all(n > i for i in (0, 1))),
    "an assertion": lambda x, n, k: _asserted(x, n),
    "an error of arithmetic": lambda x, n, k: x * (1 / (n - 2)),
    "an error of a shape": lambda x, n, k: x.view(n, -1),
    "a key that may be missing": lambda x, n, k: x * {1: 1.0, 3: 2.0}[n],
    "recursion": lambda x, n, k: _doubled(x, n),
    "returned as they are": lambda x, n, k: {"n": n, "k": [k, (n, None)], "x": x},
    "closures made of them": lambda x, n, k: (lambda y: y * n + k)(x),
    "default arguments": lambda x, n, k: _scaled(x, factor=n),
    "starred": lambda x, n, k: fb.stack([x] * n).sum(*[0] * (n > 1)),
    "attributes of a fresh object": lambda x, n, k: _boxed(x, n, k),
}  # fmt: skip


def _written(buffer, n, k):
    buffer[n] = k
    buffer[:n] += 1
    return buffer


def _matched(x, n):
    match n:
        case 1:
            return x
        case 2 | 3 if n > 2:
            return x * 3
        case _:
            return -x * n


def _halved(x, n):
    while n > 0:
        x, n = x * 0.5, n // 2
    return x


def _asserted(x, n):
    assert n != 3, f"n is {n}"
    return x * n


def _doubled(x, n):
    return x if n == 0 else _doubled(x * 2, n - 1)


def _scaled(x, factor=1.0):
    return x * factor


def _boxed(x, n, k):
    box = types.SimpleNamespace(n=n)
    box.n += k
    return x * box.n


# what looks at the number itself in a way that no program can follow
BY_FALLING_BACK = {
    "power", "where and masked_fill", "json and pickle", "an error of arithmetic", "classes", "other numbers", "enums",
    "generator's seed",
}  # fmt: skip


def reason(name: str) -> str:
    return "somebody looks at the number itself" if name in BY_FALLING_BACK else ""


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_as_an_argument(name: str) -> None:
    expression = EXPRESSIONS[name]

    def script(compile, x):
        f = compile(lambda x, n, k: expression(x, n, k))
        for n in (1, 2, 3, 4):
            yield attempt(f, x, n, n / 2)

    Case(script, reason(name)).check()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_as_a_counter(name: str) -> None:
    expression = EXPRESSIONS[name]

    def script(compile, x):
        box = types.SimpleNamespace(n=0, k=0.0)

        def step(x):
            box.n += 1
            box.k += 0.5
            return expression(x, box.n, box.k)

        f = compile(step)
        for _ in range(4):
            yield attempt(f, x), box.n, box.k

    Case(script, reason(name)).check()
