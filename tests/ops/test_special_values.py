"""Values and slopes at infinities, nan and zeros, against torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same

INF, NAN = math.inf, math.nan
SPECIAL = [INF, -INF, NAN, 0.0, -0.0, 1.0, -1.0, 2.5, 0.5, 1e300, 1e-300]
PAIRS = list(zip(*itertools.product(SPECIAL, SPECIAL), strict=True))


@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_incomplete_gamma_functions_at_the_borders(name: str) -> None:
    ours, theirs = (getattr(t, name)(*(t.tensor(x, dtype=t.float64) for x in PAIRS)) for t in (fb, torch))
    same(ours, theirs)
    far = [1e12, 1e12 + 1e6, 1e12 - 2e6, 1.1e12]
    ours, theirs = (getattr(t, name)(t.tensor(1e12).double(), t.tensor(far, dtype=t.float64)) for t in (fb, torch))
    same(ours, theirs, rtol=1e-8)


@pytest.mark.parametrize("name", ["chebyshev_polynomial_t", "hermite_polynomial_he", "legendre_polynomial_p"])
def test_degrees_that_are_no_whole_numbers(name: str) -> None:
    degrees, at = [NAN, INF, -INF, 1e300, 2.5, 3.0], [2.0, 0.5, 1.0, 3.0, -INF, 2.0]
    ours, theirs = (getattr(t.special, name)(t.tensor(at), t.tensor(degrees)) for t in (fb, torch))
    same(ours, theirs)


ROWS: dict[str, tuple[list[Any], Callable[..., Any]]] = {
    "remainder": ([[1.0, -2.0, INF, 5.5, 1.0], [INF, INF, 2.0, -2.0, 0.0]], lambda t, x, y: t.remainder(x, y)),
    "cdist 1": ([[[1.0, 2.0], [NAN, 4.0]], [[1.0, 1.0], [1.0, 1.0]]], lambda t, x, y: t.cdist(x, y, p=1.0)),
    "pdist 1": ([[[1.0, 2.0], [NAN, 4.0], [3.0, 0.0]]], lambda t, x: t.nn.functional.pdist(x, p=1.0)),
    **{
        f"{name} inf, {kind}": ([[[1.0, 1.0, 0.0], rest]], call)
        for kind, rest in {"nan": [2.0, NAN, 3.0], "inf": [4.0, INF, 2.0], "both": [NAN, -INF, 0.0]}.items()
        for name, call in {
            "pdist": lambda t, x: t.nn.functional.pdist(x, p=INF),
            "cdist": lambda t, x: t.cdist(x, x[:1], p=INF),
        }.items()
    },
    "normalize": ([[3.0, -4.0, 0.0, INF]], lambda t, x: t.nn.functional.normalize(x, -1.0, 0).nan_to_num(0)),
    "normalize to its limit": ([[3.0, 4.0]], lambda t, x: t.nn.functional.normalize(x, 2.0, 0, eps=5.0)[0]),
    "polygamma": ([[0.0, -0.0, INF, NAN, -0.5, 1.0]], lambda t, x: t.polygamma(2, x)),
    "polygamma on the left": ([[-INF, -1.0, -3.0]], lambda t, x: t.polygamma(3, x)),
    "renorm": ([[[1.0, 2.0], [NAN, 4.0], [0.1, 0.2]]], lambda t, x: t.renorm(x, 2, 0, 1.0)),
    "renorm of columns": ([[[1.0, 2.0], [NAN, 4.0]]], lambda t, x: t.renorm(x, 2, 1, 0.5)),
    "logcumsumexp": ([[1.0, -INF, 2.0, 0.5]], lambda t, x: t.logcumsumexp(x, 0)),
    "logcumsumexp of nothing": ([[-INF, -INF, 2.0]], lambda t, x: t.logcumsumexp(x, 0)),
}


@pytest.mark.parametrize("name", ROWS)
def test_slopes(name: str) -> None:
    values, call = ROWS[name]
    found = []
    for t in (fb, torch):
        leaves = [t.tensor(v, requires_grad=True) for v in values]
        made = call(t, *leaves)
        found.append([made.detach(), *t.autograd.grad(made.sum(), leaves)])
    same(*found, rtol=1e-4)


def test_an_infinity_among_the_summed_has_the_whole_share() -> None:
    x = fb.tensor([1.0, INF, 2.0], requires_grad=True)
    fb.logcumsumexp(x, 0).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 0.0]  # torch has nan at the infinity
