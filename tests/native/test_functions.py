"""Elementwise functions, running sums and products in vectors, against the C library and XLA's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.native import available, functions, portable
from support.values import same, to_flambeau

UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sin": (functions.sin, np.sin),
    "cos": (functions.cos, np.cos),
    "tan": (functions.tan, np.tan),
    "atan": (functions.arctan, np.arctan),
}
BINARY = {"atan2": (functions.arctan2, np.arctan2), "fmod": (functions.rem, np.fmod)}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e35, 1.0, -1.0, 2.0**20, 2.0**20 + 1, 1e-30]
COUNT = 3 * functions.SMALL + 5


def numbers(dtype: Any) -> np.ndarray:
    """Of all sizes, near multiples of pi/2, and special ones."""
    draw = np.random.default_rng(5)
    parts = [
        draw.uniform(-4, 4, COUNT),
        draw.uniform(-1e6, 1e6, COUNT),
        draw.standard_normal(COUNT) * 10.0 ** draw.integers(-30, 30, COUNT),
        draw.integers(1, 600_000, COUNT) * (np.pi / 2),
        np.array(SPECIAL),
    ]
    return np.concatenate(parts).astype(dtype)


def units(got: np.ndarray, exact: np.ndarray) -> float:
    """The largest error in units of the last place; not finite ones and signs of 0 have to be equal."""
    rounded = exact.astype(got.dtype)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(rounded[finite]))
    error = np.abs(got.astype(np.longdouble) - exact)[finite] / np.spacing(np.abs(rounded[finite]))
    return float(error.max())


@pytest.mark.skipif(not available(), reason="no compiled kernels")
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 0.8), (np.float64, 2.0)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_last_place_is_right(dtype: Any, bound: float) -> None:
    x = numbers(dtype)
    y = np.random.default_rng(6).permutation(x)
    for name, (ours, exact) in UNARY.items():
        assert units(np.asarray(ours(jnp.asarray(x))), exact(x.astype(np.longdouble))) < bound, name
    usual = np.abs(np.arctan2(x, y)) > 1e-37  # smaller ones are no usual numbers of 32 bits
    assert units(np.asarray(functions.arctan2(x, y))[usual], np.arctan2(x.astype(np.longdouble), y)[usual]) < bound
    np.testing.assert_array_equal(np.asarray(functions.rem(jnp.asarray(x), jnp.asarray(y))), np.fmod(x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_pairs_of_special_numbers(dtype: Any) -> None:
    x, y = (np.tile(side.ravel(), 20).astype(dtype) for side in np.meshgrid(SPECIAL, SPECIAL))
    for name, (ours, exact) in BINARY.items():
        got, wanted = np.asarray(ours(jnp.asarray(x), jnp.asarray(y))), exact(x, y)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-37, err_msg=name)
        kept = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got)[kept], np.signbit(wanted)[kept], err_msg=name)


RULES = {
    **{name: ours for name, (ours, _) in UNARY.items()},
    "atan2": lambda x: functions.arctan2(x, jnp.flip(x, 0)),
    "rem": lambda x: functions.rem(x, jnp.flip(x, 0)),
    "cumsum": lambda x: functions.cumsum(x, 0),
    "cumsum, rows": lambda x: functions.cumsum(x, 1),
    "cumprod": lambda x: functions.cumprod(x, 1),
}


@pytest.mark.parametrize("name", RULES)
def test_the_rules_are_those_of_xla(name: str) -> None:
    """Values, derivatives both ways, second ones, and under vmap."""
    x = jnp.asarray(np.random.default_rng(2).uniform(0.5, 1.5, (3, 68, 33)))

    def all_of(form: Any, x: Any) -> list[Any]:
        first = jax.grad(lambda x: jnp.sum(jnp.sin(form(x))))
        return [
            form(x[0]),
            jax.jvp(form, (x[0],), (x[1],)),
            jax.vmap(form)(x),
            first(x[0]),
            jax.jvp(first, (x[0],), (x[1],)),
        ]

    ours = jax.jit(lambda x: all_of(RULES[name], x))(x)
    with portable():
        xla = jax.jit(lambda x: all_of(RULES[name], x))(x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), ours, xla)


@pytest.mark.parametrize("shape", [(70, 100), (3, 41, 50), (5000,), (1, 9000)])
def test_running_sums_are_torchs(shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16):
        x = (torch.arange(torch.Size(shape).numel()) % 7 - 3).reshape(shape).to(dtype)
        for dim in range(len(shape)):
            same(to_flambeau(x).cumsum(dim), x.cumsum(dim))
            same((to_flambeau(x) == 1).cumprod(dim), (x == 1).cumprod(dim))


def test_products_with_zeros() -> None:
    """The gradient of a product whose factors are 0, and the second one."""
    base = torch.linspace(0.5, 1.5, 160, dtype=torch.float64).reshape(4, 40)
    base[1, 3] = base[2, 5] = base[2, 6] = 0
    results = []
    for lib, x in ((torch, base.clone()), (fb, to_flambeau(base))):
        x.requires_grad_()
        (g,) = lib.autograd.grad((x.prod(1) ** 2 + x.prod(1)).sum(), x, create_graph=True)
        (h,) = lib.autograd.grad((g * g).sum() + g.sum(), x)
        results.append((x.prod(), x.prod(1, keepdim=True), x.prod(0), g, h))
    for ours, theirs in zip(results[1], results[0], strict=True):
        same(ours, theirs)
