"""Bessel functions, the Airy function and orthogonal polynomials: against exact values, and against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

import flambeau as fb
from support.expressions import check

EXACT: dict[str, Callable[[Any], Any]] = {
    **{f"bessel_j{a}": lambda x, a=a: mpmath.besselj(a, x) for a in (0, 1)},
    **{f"bessel_y{a}": lambda x, a=a: mpmath.bessely(a, x) for a in (0, 1)},
    **{f"modified_bessel_i{a}": lambda x, a=a: mpmath.besseli(a, x) for a in (0, 1)},
    **{f"modified_bessel_k{a}": lambda x, a=a: mpmath.besselk(a, x) for a in (0, 1)},
    **{f"scaled_modified_bessel_k{a}": lambda x, a=a: mpmath.besselk(a, x) * mpmath.exp(x) for a in (0, 1)},
    "airy_ai": mpmath.airyai,
    "spherical_bessel_j0": lambda x: mpmath.sin(x) / x,
}
PLACES = np.concatenate([np.linspace(0.01, 30, 40), [1e-8, 1.99, 2.01, 1e3, 1e5]])
EDGES = torch.tensor([-0.0, 0.0, 1e-300, 1e-5, -3.0, -0.5, 7.0, 200.0, float("nan")], dtype=torch.float64)
BOTH_SIDES = ("airy_ai", "bessel_j0", "bessel_j1", "spherical_bessel_j0")


@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str) -> None:
    places = np.concatenate([PLACES, -PLACES]) if name in BOTH_SIDES else PLACES[PLACES < 700]
    with mpmath.workdps(25):
        expected = np.array([float(EXACT[name](mpmath.mpf(float(x)))) for x in places])
    ours = getattr(fb.special, name)(fb.tensor(places)).numpy()
    phase = np.abs(places) ** (1.5 if name == "airy_ai" else 1)  # of which a rounding error tells
    assert (np.abs(ours - expected) <= 1e-12 * np.abs(expected) + 1e-15 * (1 + phase)).all()
    check(f"torch.special.{name}(x)", {"x": EDGES}, rtol=1e-5)
    # in float32 the results are the exact ones, rounded (XLA makes numbers below 1.2e-38 zeros)
    single = places.astype(np.float32)
    twice = getattr(fb.special, name)(fb.tensor(single.astype(np.float64))).numpy().astype(np.float32)
    np.testing.assert_allclose(getattr(fb.special, name)(fb.tensor(single)).numpy(), twice, rtol=0, atol=1.2e-38)


@pytest.mark.parametrize("name", EXACT)
def test_dtypes_and_tape(name: str) -> None:
    function = getattr(fb.special, name)
    assert function(fb.tensor([1, 2])).dtype is fb.float32
    assert not function(fb.ones(2, requires_grad=True)).requires_grad
    assert function(fb.ones(0, 3)).shape == (0, 3)
    for expression in ("torch.ones(2).half()", "torch.ones(2) * 1j"):
        check(f"torch.special.{name}({expression})", {})
    check(f"torch.special.{name}(torch.ones(2), out=torch.empty(2, dtype=torch.float64)).dtype", {})
    keyword = "input" if "bessel" in name and not name.startswith(("scaled", "spherical")) else "x"
    check(f"torch.special.{name}({keyword}=torch.ones(2))", {}, rtol=1e-5)


def _names() -> list[str]:
    return [n for n in dir(torch.special) if "_polynomial_" in n]


@pytest.mark.parametrize("name", _names())
def test_polynomials(name: str) -> None:
    values = {"x": torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.3, 1.0, 2.5], dtype=torch.float64)}
    for n in (-1, 0, 1, 2, 3, 7, 8, 9, 40):
        check(f"torch.special.{name}(x, {n})", values, rtol=1e-9)
    degrees = {"n": torch.tensor([[3], [0], [-2], [11]]), "x": values["x"]}
    for call in (
        "x, n",
        "x, n + 0.7",
        "0.3, n",
        "n, n",
        "x=x, n=n",
        "x.half(), 3",
        "x * 1j, 3",
        "x.requires_grad_(), 3",
    ):
        check(f"torch.special.{name}({call})", degrees, rtol=1e-5 if call in ("n, n", "0.3, n") else 1e-9)
    assert getattr(fb.special, name)(fb.tensor([1, 2]), fb.tensor([2, 3])).dtype is fb.float32
    assert not getattr(fb.special, name)(fb.ones(2, requires_grad=True), 3).requires_grad


def test_compiled_and_mapped() -> None:
    x = fb.linspace(0.1, 9.0, 12, dtype=fb.float64)
    for name in ("bessel_y1", "legendre_polynomial_p"):
        function = (
            getattr(fb.special, name) if name == "bessel_y1" else lambda x: fb.special.legendre_polynomial_p(x, 4)
        )
        np.testing.assert_allclose(fb.compile(function)(x).numpy(), function(x).numpy(), rtol=1e-13)
        np.testing.assert_allclose(fb.vmap(function)(x.view(3, 4)).numpy().ravel(), function(x).numpy(), rtol=1e-13)
