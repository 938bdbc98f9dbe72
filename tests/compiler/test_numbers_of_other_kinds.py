"""NumPy's scalars, complex numbers and exponents that change from call to call are inputs, as Python's own numbers are."""

from __future__ import annotations

import decimal
import enum
import fractions
import types

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from flambeau import nn

case = Table()
OF_NUMPY = (
    np.int64,
    np.int32,
    np.int8,
    np.uint8,
    np.float64,
    np.float32,
    np.float16,
    np.complex64,
    np.complex128,
    complex,
)


def computed(x, n):
    return x * n, n + x, x - (n * n + 1), n / x, n * 2, 0.5 * n, abs(n), -n


def turned_into_others(x, n):
    return (
        x * n.item(),
        n.astype(np.float32),
        x * float(n.real),
        str(str(n.dtype)),
        np.float32(0.9) * n,
        n.conjugate(),
        n.imag * x,
    )


def made(x, n):
    return fb.tensor(n), fb.full((2,), n), fb.as_tensor(n) + x, x.clone().fill_(n) if n.imag == 0 else x


def asked(x, n):
    kind = "whole" if isinstance(n, (int, np.integer)) else "real" if isinstance(n, float) else "other"
    return x * 2 if n == 99 else x, kind, sum([n, n]), np.cos(n * 0.1)


def looked_up(x, n):
    return (
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0][n] * x,
        x[n % 3],
        {1: 2.0, 2: 3.0, 3: 1.0, 4: 7.0}[n] * x,
        min(n, 3),
        max(2.5, n),
    )


for kind in OF_NUMPY:
    for compute in (computed, turned_into_others, made, asked, looked_up):
        if (compute is turned_into_others and kind is complex) or (
            compute is looked_up and not issubclass(kind, np.signedinteger)
        ):
            continue

        def argument(compile, x, compute=compute, kind=kind):
            f = compile(lambda x, n: compute(x, n))
            for i in range(1, 5):
                yield f(x, kind(i))

        argument.__name__ = f"{compute.__name__}_{kind.__name__}"
        case(argument, programs=4 if compute is looked_up or kind is np.uint8 else 2)


def given_to_numpy(x, n):
    half = np.ones(2, np.float16)
    return [
        np.asarray(n), np.array([n, 1]), np.full(2, n), np.stack([n, n]), np.mean([n, n]), np.dot([n, n], [1, 2]), half * n,
        np.where(half > 0, n, np.float32(1)).dtype.name, np.result_type(n, np.float32).name, np.real(n), np.add(n, 1, dtype=np.complex128),
    ]  # fmt: skip


def written_into_a_tensor(x, n):
    y = x.clone()
    try:
        y[0] = n.real
    except TypeError:
        y[1] = -1.0
    return y


for kind in (*OF_NUMPY, int, float):
    for compute in (given_to_numpy, written_into_a_tensor):

        def handed(compile, x, compute=compute, kind=kind):
            f = compile(lambda x, n: compute(x, n))
            for i in range(1, 5):
                yield f(x, kind(i * 0.7 + 0.5))

        handed.__name__ = f"{compute.__name__}_{kind.__name__}"
        case(handed)


@case(programs=3)
def scalars_that_count(compile, x):
    state = types.SimpleNamespace(n=np.int64(0), mean=np.float32(1), z=1j, steps=[np.float32(0.5)])

    def step(x):
        state.n += 1
        state.mean = np.float32(0.9) * state.mean + 0.1 * 3
        state.z = state.z * 0.5j
        state.steps[0] *= np.float32(1.5)
        return x * state.n + state.mean + state.z.real + state.steps[0]

    f = compile(step)
    for _ in range(6):
        yield f(x), state


@case(programs=2)
def a_rate_of_numpy(compile, x):
    model = nn.Linear(3, 2)
    opt = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x, rate):
        for group in opt.param_groups:
            group["lr"] = rate
        opt.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.step()
        return loss

    f = compile(step)
    for i in range(4):
        yield f(x, np.float32(0.1 / (i + 1))), list(model.parameters()), opt.param_groups[0]["lr"]


@case(programs=3)
def exponents(compile, x):
    w = nn.Parameter(x * 1.0)

    def step(n):
        w.grad = None
        loss = (w**n * fb.tensor([1.0, -1.0, 0.5])).sum()
        loss.backward()
        return loss

    f = compile(step)
    for n in (1, 2, 3, 0, 8, -4, 5, -1, 9, 11):
        yield f(n), w.grad


@case(programs=3)
def exponents_that_are_halves(compile, x):
    f = compile(lambda x, n: x**n)
    for n in (1.5, 0.5, -0.5, 2.0, 0.0, 3.7, -2.2):
        yield f(fb.tensor([-1.0, -0.0, 0.0, 2.0, float("inf")]), n)


@case(programs=3)
def ints_that_need_more_than_64_bits(compile, x):
    f = compile(lambda x, n: x * (n % 1000) + (1.0 if n > 2**70 else 0.0))
    for n in (3, 5, 10**30, 7, 2**63, -(2**63)):
        yield f(x, n)


@case
def ints_that_need_too_many_bits_for_a_tensor(compile, x):
    f = compile(lambda x, n: x * n)
    for n in (3, 5, 10**30, 7):
        yield attempt(f, x, n)


@case
def a_root_of_a_negative_number(compile, x):
    f = compile(lambda x, n: (x * n**0.5, n**0.5))
    for n in (4.0, 9.0, -4.0, 2.0):
        yield f(x, n)


@case
def numpy_is_told_what_to_do_about_errors(compile, x):
    f = compile(lambda x, n: x + np.float32(1) / n)
    for n in (2, 1, 4):
        yield f(x, np.float32(n))
    for how in ("ignore", "raise"):
        with np.errstate(all=how):
            yield attempt(f, x, np.float32(0))


@case
def members_of_enumerations(compile, x):
    class Mode(enum.Enum):
        A, B = 1, 2

    class Level(enum.IntEnum):
        LOW, HIGH = 1, 2

    f = compile(lambda x, mode, level: (x * mode.value if mode is Mode.A else x - level, level + 1))
    for _ in range(2):
        for mode in Mode:
            for level in Level:
                yield f(x, mode, level)


@case(may_fall_back="a Fraction and a Decimal are values, and a program holds for each")
def fractions_and_decimals(compile, x):
    state = types.SimpleNamespace(q=fractions.Fraction(1, 2))

    def step(x, d):
        state.q = state.q / 2 + 1
        return x * float(state.q) + float(d * 2)

    f = compile(step)
    for i in range(10):
        yield f(x, decimal.Decimal(i) / 7), str(state.q)


@case.test
def test_numbers_of_other_kinds(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("kind", [np.int64, np.float32, complex])
def test_many_values_make_two_programs(kind):
    f = fb.compile(lambda x, n: x * n + n)
    for i in range(30):
        f(fb.tensor([1.0, 2.0]), kind(i))
    assert len(fb.compile.explain(f)) == 2
