"""A compiled function that writes into a part of an array what it computes from other parts of it (see `compiler/overwriting.py`)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import flambeau as fb
from flambeau.compiler import capture, overwriting

SHAPES = [(5, 4), (1, 5, 4), (4, 5), (20,), (2, 2, 5), (5, 1, 4), (2, 10)]
INDICES = ([0, 1, 2], [2, 1, 0], [3, 0, 3])


def same(function: Callable[..., Any], *batches: tuple[Any, ...]) -> None:
    compiled = fb.compile(function, fullgraph=True)
    for batch in batches:
        fb.testing.assert_close(compiled(*batch), function(*batch))


def gradient(result: Any, x: Any) -> Any:
    return fb.autograd.grad(result.square().sum(), x)[0]


def written(x: Any, new: Callable[[Any, Any], Any], i: Any) -> Any:
    y = x * 2
    y.view(20)[:12] = new(y, i).reshape(20)[:12]
    return y


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "transposed": lambda y, i: y.t(),
    "rolled": lambda y, i: y.roll(1, 0),
    "turned round": lambda y, i: y.flip(0),
    "gathered": lambda y, i: y.view(1, 5, 4)[:, fb.cat([i, i])[:5]],
    "sums": lambda y, i: y.cumsum(0),
    "shifted": lambda y, i: fb.cat([y[1:], y[:1]]),
    "of a row": lambda y, i: y[4].expand(5, 4),
}


@pytest.mark.parametrize("way", WAYS)
def test_written_over_by_its_own_elements(way: str) -> None:
    x = fb.arange(20.0).view(5, 4).sin()
    same(lambda x, i: written(x, WAYS[way], i), *[(x, fb.tensor(i)) for i in INDICES])
    same(lambda x, i: gradient(written(x := x.detach().requires_grad_(), WAYS[way], i), x), (x, fb.tensor([2, 1, 0])))


@pytest.mark.parametrize("name", ["index_add", "index_copy", "scatter_add"])
def test_gradients_of_indexed_samples(name: str) -> None:
    w = fb.arange(20.0).view(5, 4).cos().requires_grad_()

    def one(a: Any, i: Any) -> Any:
        if name == "scatter_add":
            return a.scatter_add(0, i[:, None].expand(3, 4), a[:3])
        return getattr(a, name)(0, i, a[:3])

    def step(i: Any, w: Any) -> Any:
        return gradient(fb.vmap(lambda a: one(a, i))(w[None]), w)

    same(step, *[(fb.tensor(i), w) for i in INDICES[:2]])


def test_a_part_whose_place_is_an_input() -> None:
    def step(x: Any, k: int) -> Any:
        y = x * 2
        y.view(20)[k : k + 8] = y.t().reshape(20)[:8]
        return y

    compiled = fb.compile(step, fullgraph=True)
    x = fb.arange(20.0).view(5, 4).sin()
    for k in (0, 3, 7, 12, 5):
        fb.testing.assert_close(compiled(x, k), step(x, k))


ORDINARY: dict[str, Callable[[Any], Any]] = {
    "cache": lambda x: fb.zeros(1, 2, 16, 4).index_fill(0, fb.tensor([0]), 1.0).clone()[:, :, 3:4].copy_(x[:2, None]),
    "added to": lambda x: (x * 2).view(20)[3:9].add_(1).mul_(x.view(20)[:6]),
    "rows": lambda x: _rows(x),
}


def _rows(x: Any) -> Any:
    out, h = fb.zeros(5, 4), fb.zeros(4)
    for i in range(5):
        h = fb.tanh(h + x[i])
        out[i] = h
    out[1:3] += 1
    out[:, 2] *= 3
    return out


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_writes_stay_in_place(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    left = []

    def looked_at(closed: Any) -> Any:
        made = overwriting.apart(closed)
        left.append(made is closed)
        return made

    monkeypatch.setattr(capture, "apart", looked_at)
    same(ORDINARY[name], (fb.arange(20.0).view(5, 4).sin(),))
    assert left == [True]


# ---------------------------------------------------------------- programs of random writes


class Choices:
    """The same choices at each run."""

    def __init__(self, numbers: list[float]):
        self.numbers = numbers
        self.place = 0

    def below(self, n: int) -> int:
        self.place += 1
        return int(self.numbers[self.place - 1] * n)


def values(y: Any, choices: Choices, i: Any) -> Any:
    v = y.view(SHAPES[choices.below(len(SHAPES))])
    kind, d = choices.below(9), choices.below(v.dim())
    index = i % v.shape[d]
    if kind == 0:
        return v.flip(d)
    if kind == 1:
        return v.roll(1, d)
    if kind == 2:
        return v.transpose(0, -1)
    if kind == 3:
        return v.index_select(d, index)
    if kind == 4:
        sizes = [3 if j == d else n for j, n in enumerate(v.shape)]
        return v.gather(d, index.view([-1 if j == d else 1 for j in range(v.dim())]).expand(sizes))
    return (v.cumsum(d), v.sort(d)[0], v * 2 + 1, v.softmax(d))[kind - 5]


def program(seed: int) -> Callable[[Any, Any], Any]:
    draw = random.Random(seed)
    numbers = [draw.random() for _ in range(40)]

    def run(x: Any, i: Any) -> Any:
        choices, y = Choices(numbers), x * 2
        for _ in range(1 + choices.below(3)):
            new, shown = values(y, choices, i).reshape(-1), y.view(SHAPES[choices.below(len(SHAPES))])
            d = choices.below(shown.dim())
            start = choices.below(shown.shape[d])
            part = shown.narrow(d, start, 1 + choices.below(shown.shape[d] - start))
            if choices.below(3) == 0:
                part = part.transpose(0, -1)
            while new.numel() < part.numel():
                new = fb.cat([new, new + 1])
            new = new[: part.numel()].reshape(part.shape)
            part.copy_(new) if choices.below(2) else part.add_(new)
        return y

    return run


def check(seeds: range) -> None:
    fb.manual_seed(0)
    x = fb.randn(20, dtype=fb.float64)
    for seed in seeds:
        run = program(seed)
        same(run, *[(x, fb.tensor(i)) for i in INDICES])
        same(lambda x, i, run=run: gradient(run(x := x.detach().requires_grad_(), i), x), (x, fb.tensor(INDICES[1])))


def test_random_writes() -> None:
    check(range(15))


@pytest.mark.slow
def test_many_random_writes() -> None:
    check(range(15, 400))


def test_exported_programs() -> None:
    class Writes(fb.nn.Module):
        def forward(self, x: Any) -> Any:
            return written(x, WAYS["transposed"], None)

    x = fb.arange(20.0).view(5, 4).sin()
    fb.testing.assert_close(fb.export(Writes(), x)(x), Writes()(x))  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["while", "scan", "cond"])
def test_programs_within_loops_and_branches(kind: str) -> None:
    """Of jaxprs, since no loop of PyTorch's takes a function that writes in place."""

    def one(y: Any) -> Any:
        y = y * 2
        return jax.lax.dynamic_update_slice(y, y.reshape(5, 4).T.reshape(20)[:12], (0,))

    def run(y: Any) -> Any:
        if kind == "while":
            return jax.lax.while_loop(lambda v: v[1] < 3, lambda v: (one(v[0]), v[1] + 1), (y, 0))[0]
        if kind == "scan":
            return jax.lax.scan(lambda y, _: (one(y), None), y, None, length=3)[0]
        return jax.lax.cond(y[0] < 9, one, lambda y: y, y)

    y = np.sin(np.arange(20.0))
    closed = jax.make_jaxpr(run)(y)
    made = overwriting.apart(closed)
    assert made is not closed
    exact = y
    for _ in range(1 if kind == "cond" else 3):
        exact = np.concatenate([(exact * 2).reshape(5, 4).T.reshape(20)[:12], exact[12:] * 2])
    got = jax.jit(lambda y: jax.core.eval_jaxpr(made.jaxpr, made.consts, y))(y)[0]
    np.testing.assert_array_equal(got, exact)
