"""log2, log10 and exp2 are exact where they can be, and near the true value elsewhere, as in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import flambeau as fb

KINDS = [np.float32, np.float64]
NAMES = ["log2", "log10", "exp2"]


def _values(name: str, kind: type) -> np.ndarray:
    draw, far = np.random.default_rng(0), 120 if kind is np.float32 else 1000
    if name == "exp2":
        return np.concatenate([draw.uniform(-far, far, 20000), draw.uniform(-2, 2, 5000)]).astype(kind)
    near = [draw.uniform(0.5, 2, 5000), 1 + draw.uniform(-1, 1, 2000) * 1e-3]
    return np.concatenate([2.0 ** draw.uniform(-far, far, 20000), *near]).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_results(kind):
    powers = np.arange(-120.0, 121, dtype=kind)
    assert fb.log2(fb.from_numpy(np.exp2(powers).astype(kind))).tolist() == powers.tolist()
    assert fb.exp2(fb.from_numpy(powers)).tolist() == (2.0 ** powers.astype(np.float64)).tolist()
    tens = np.arange(0.0, 11 if kind is np.float32 else 23, dtype=kind)
    assert fb.log10(fb.from_numpy(10**tens)).tolist() == tens.tolist()
    for half in ("float16", "bfloat16"):
        assert fb.log2(fb.tensor([0.25, 8, 128], dtype=getattr(fb, half))).tolist() == [-2, 3, 7]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_true_values(name, kind):
    x = _values(name, kind)
    true = getattr(np, name)(x.astype(np.longdouble))
    off = abs(getattr(fb, name)(fb.from_numpy(x)).numpy().astype(np.longdouble) - true) / np.spacing(
        abs(true.astype(kind))
    )
    assert off.max() < 3.5 and off.mean() < 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_special_values_and_derivatives(name, kind):
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, -1, 2000, -2000, 1, 3, 0.1], kind)
    ours, theirs = (getattr(lib, name)(lib.from_numpy(x.copy())).numpy() for lib in (fb, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6 if kind is np.float32 else 1e-15)
    made = []
    for lib in (fb, torch):
        t = lib.tensor([0.3, 1.0, 8.0, 30.0], dtype=getattr(lib, kind.__name__), requires_grad=True)
        (first,) = lib.autograd.grad(getattr(lib, name)(t).sum(), t, create_graph=True)
        (second,) = lib.autograd.grad(first.sum(), t)
        made.append([first.tolist(), second.tolist()])
    np.testing.assert_allclose(*made, rtol=1e-6 if kind is np.float32 else 1e-14)
