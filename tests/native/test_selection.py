"""The place of a rank, by the native kernel and by XLA's sort, and the operators that are made of it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.native import available, selection

SHAPES = ((200,), (5000,), (3, 300), (300, 3), (4, 65, 17))
DTYPES = (np.float32, np.float64, np.int32, np.int64)


def numbers(shape: tuple[int, ...], dtype: Any, style: str) -> np.ndarray:
    draw = np.random.default_rng(3)
    x = draw.standard_normal(shape) * (1 if style == "equal" else 1e3)
    if style == "equal":
        x = np.round(x)
    if style == "special" and np.dtype(dtype).kind == "f":
        for value in (np.nan, -np.nan, -0.0, 0.0, np.inf, -np.inf, 1e-42):
            x[draw.random(shape) < 0.03] = value
    return x.astype(dtype)


@pytest.mark.skipif(not available(), reason="no compiled kernels")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("style", ["usual", "equal", "special"])
def test_both_forms_find_the_same_place(dtype: Any, style: str) -> None:
    for shape in SHAPES:
        x = jnp.asarray(numbers(shape, dtype, style))
        for axis in range(x.ndim):
            order = np.asarray(selection.ascending(x, axis))
            ranks = (0, shape[axis] // 3, shape[axis] - 1)
            found = jax.jit(lambda x, axis=axis, ranks=ranks: [selection.ranked(x, axis, rank) for rank in ranks])(x)
            np.testing.assert_array_equal(np.concatenate(found, axis), np.take(order, ranks, axis))
        for rank in (selection.MIDDLE, selection.MIDDLE_OF_NUMBERS):
            native = jax.jit(lambda x, rank=rank: selection.ranked(x, 0, rank))(x)
            np.testing.assert_array_equal(native, selection._xla(x, axis=0, rank=rank))


def test_every_element_is_found_in_its_place() -> None:
    x = jnp.asarray(numbers((4100,), np.float32, "equal"))
    order = np.asarray(selection.ascending(x, 0))
    find = jax.jit(lambda x: jnp.concatenate([selection.ranked(x, 0, rank) for rank in range(0, 4100, 41)]))
    np.testing.assert_array_equal(find(x), order[::41])


def test_medians_are_pytorchs() -> None:
    for style in ("usual", "special"):
        for dtype in (torch.float32, torch.float64, torch.int64, torch.int16, torch.float16, torch.bfloat16):
            x = numbers((40, 101), np.float64, style)
            theirs = torch.tensor(np.where(abs(x) < 1e-30, 0.0, x)).to(dtype)
            ours = fb.tensor(theirs.double().numpy()).to(getattr(fb, str(dtype).split(".")[-1]))
            for name in ("median", "nanmedian"):
                pairs = [(getattr(x, name)(), *(getattr(x, name)(d)[0] for d in (0, 1))) for x in (ours, theirs)]
                pairs = [[v.double().numpy() for v in values] for values in pairs]
                for got, wanted in zip(*pairs, strict=True):
                    np.testing.assert_array_equal(got, wanted)
            got, wanted = (x.kthvalue(17, 1)[0].double().numpy() for x in (ours, theirs))
            np.testing.assert_array_equal(got, wanted)


def test_gradients_and_vmap_go_through() -> None:
    x = numbers((7, 90), np.float64, "equal")
    grads = []
    for library in (fb, torch):
        leaf = library.tensor(x, requires_grad=True)
        (leaf.median() * 3 + leaf.median(1)[0].pow(2).sum()).backward()
        grads.append((leaf.grad.sum(1) - 0).numpy())
    np.testing.assert_allclose(*grads)
    mapped = fb.func.vmap(lambda row: row.median())(fb.tensor(x))
    np.testing.assert_array_equal(mapped.numpy(), torch.tensor(x).median(1)[0].numpy())
