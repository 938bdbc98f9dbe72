"""Python ints that pick elements and begin slices are inputs of a compiled program: one program for all, and the eager values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import flambeau as fb
from flambeau import nn

X = fb.arange(60.0, dtype=fb.float64).reshape(3, 20)


def plain(value: Any) -> Any:
    return (
        value.tolist()
        if isinstance(value, fb.Tensor)
        else [plain(v) for v in value]
        if isinstance(value, (list, tuple))
        else value
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if isinstance(a, float) else a == b


def played(make: Callable[..., Any], wrap: Any, calls: int) -> tuple[list[Any], Any]:
    fb.manual_seed(0)
    function, call = make(wrap)
    found = []
    for k in range(calls):
        try:
            found.append(plain(call(function, k)))
        except IndexError as error:
            found.append([type(error).__name__, str(error)])
    return found, function


def check(make: Callable[..., Any], most: int, calls: int = 6) -> None:
    expected, _ = played(make, lambda f: f, calls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if most > 8 else "error")
        found, function = played(make, fb.compile, calls)
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert same(a, b), (k, a, b)
    assert function.traces <= most, function.reasons


def written(x: Any, i: int) -> Any:
    y = x * 1.0
    y[i] *= 3
    view = y[i]
    view.add_(10)
    y[i + 1].zero_()
    y[i, 2:5] = 7
    return y


# of a matrix of 3 x 20 and the number of the call; how many programs there may be
READS = {
    "one column": (lambda x, i: x[:, i] * 2, 2),
    "from behind": (lambda x, i: x[:, -i - 1] * 2, 2),
    "a window": (lambda x, i: x[:, i : i + 4].sum(1), 2),
    "blocks": (lambda x, i: x[:, i * 2 : (i + 1) * 2].sum(1), 2),
    "the rest": (lambda x, i: x[:, i:].sum(1) * 1, 9),
    "narrow": (lambda x, i: x.narrow(1, i, 3) * 2, 2),
    "select": (lambda x, i: x.select(1, i) * 2, 2),
    "two": (lambda x, i: x[i % 3, i] * 2, 2),
    "None and a window": (lambda x, i: x[i % 3, None, i : i + 2] * 2, 2),
    "turned": (lambda x, i: x.t()[i] * 2, 2),
    "of a view": (lambda x, i: x[1:][..., i] * 2, 2),
    "steps": (lambda x, i: x[:, ::2][:, i] * 2, 2),
    "a chain of views": (lambda x, i: x.view(3, 4, 5)[:, i % 4][:, i % 5].exp(), 2),
    "a diagonal": (lambda x, i: x[:, i : i + 3].diagonal() * 2, 2),
    "a length that changes": (lambda x, i: x[:, i : i + 4].reshape(-1)[i % 3 :].sum(), 4),
    "complex": (lambda x, i: fb.view_as_real((x + 1j * x)[:, i]) * 1 + (x + 2j * x)[:, i : i + 1].imag, 2),
    "a list": (lambda x, i: x[:, [i, i + 1]] * 2, 2),
    "an offset": (lambda x, i: (x * 1)[:, i].storage_offset() + x.sum() * 0, 2),
    "a slice": (
        lambda x, i: (x[0, slice(i, i + 3)] * 1, list(range(20))[slice(i, i + 3)], slice(i, i + 3).indices(7)),
        9,
    ),
    "a view that is handed out": (lambda x, i: (x[:, i], x[1:][:, i : i + 2].t().detach()), 2),
    "a view of new memory": (lambda x, i: (x * 2)[:, i], 9),
    "vmap": (lambda x, i: fb.func.vmap(lambda r: r[i] * r[i : i + 2])(x), 2),
    "grad": (lambda x, i: fb.func.grad(lambda r: (r[:, i] ** 2).sum())(x), 2),
    "writes": (lambda x, i: written(x.reshape(10, 6), i), 2),
    "a loop": (lambda x, i: sum(x[:, i + j] * j for j in range(3)), 2),
}


@pytest.mark.parametrize("name", READS)
def test_reads(name: str) -> None:
    function, most = READS[name]
    check(lambda wrap: (wrap(function), lambda f, k: f(X, k)), most)


def test_what_is_out_of_range_is_refused() -> None:
    check(lambda wrap: (wrap(lambda x, i: x[:, i] * 2), lambda f, k: f(X, k + 17)), 6)


def cache(wrap: Any) -> Any:
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("k", fb.zeros(2, 16, 3, dtype=fb.float64))
            self.pos = 0
            self.lin = nn.Linear(3, 3, dtype=fb.float64)

        def forward(self, x: Any) -> Any:
            self.k[:, self.pos] = self.lin(x).detach()
            self.k[:, self.pos + 1 : self.pos + 2] *= 2
            self.pos += 1
            if self.pos >= 6:
                self.pos = 0
            return self.k[:, self.pos].clone() + self.k.mean(1)

    model = Cache()
    step = wrap(model.forward)
    return step, lambda f, k: (f(fb.ones(2, 3, dtype=fb.float64) * k), model.pos, model.k)


def trained(wrap: Any) -> Any:
    w = fb.arange(1.0, 13.0, dtype=fb.float64).reshape(4, 3).requires_grad_()
    optimizer = fb.optim.SGD([w], lr=0.01, momentum=0.9)
    data = fb.randn(32, 3, dtype=fb.float64)

    def step(i: int) -> Any:
        optimizer.zero_grad()
        y = w * w
        y[i % 4] = y[i % 4] * 2
        loss = y[:, i % 3].sum() + (data[i * 2 : i * 2 + 2] @ w[i % 4 : i % 4 + 1].mT).sum()
        loss.backward()
        optimizer.step()
        return loss

    return wrap(step), lambda f, k: (f(k), w.detach())


def outside(wrap: Any) -> Any:
    w = fb.arange(1.0, 13.0, dtype=fb.float64).reshape(4, 3).requires_grad_()

    def step(i: int) -> Any:
        y = w * w
        y[i].mul_(2)
        return y[:, i % 3].sum() + y[i : i + 1].sin().sum()

    def call(f: Any, k: int) -> Any:
        w.grad = None
        loss = f(k % 4)
        loss.backward()
        return loss.detach(), w.grad

    return wrap(step), call


def second(wrap: Any) -> Any:
    w = fb.arange(1.0, 7.0, dtype=fb.float64).reshape(2, 3).requires_grad_()

    def step(i: int) -> Any:
        (g,) = fb.autograd.grad((w**3)[:, i].sum(), w, create_graph=True)
        return fb.autograd.grad((g[0:2, i] ** 2).sum(), w)[0]

    return wrap(step), lambda f, k: f(k % 3)


def kept(wrap: Any) -> Any:
    store: dict[str, Any] = {}

    def step(x: Any, i: int) -> Any:
        h = x * 2
        store["view"] = h[:, i]
        return h

    def call(f: Any, k: int) -> Any:
        h = f(X, k)
        store["view"].add_(1)
        return h, store["view"]

    return wrap(step), call


def handed_out(wrap: Any) -> Any:
    held = [fb.arange(20.0, dtype=fb.float64).reshape(10, 2)]
    last: list[Any] = []

    def step(i: int) -> Any:
        last[:] = [held[0][-i - 1]]
        return held[0][i], held[0].t()[:, i * 2 : i * 2 + 2]

    def call(f: Any, k: int) -> Any:
        row, part = f(k % 5)
        row.add_(1)
        part.mul_(2)
        last[0].sub_(3)
        held[0] = held[0] * 1 if k == 3 else held[0]
        return row, part, held[0], last

    return wrap(step), call


def of_a_leaf(wrap: Any) -> Any:
    w = fb.arange(20.0, dtype=fb.float64).reshape(10, 2).clone().requires_grad_()
    step = wrap(lambda i: w[i])

    def call(f: Any, k: int) -> Any:
        (f(k) ** 2).sum().backward()
        return w.grad

    return step, call


@pytest.mark.parametrize(
    "make, most", [(handed_out, 3), (of_a_leaf, 6), (cache, 4), (trained, 5), (outside, 6), (second, 2), (kept, 9)]
)
def test_programs(make: Any, most: int) -> None:
    check(make, most)
