"""Views written out by the native kernel: against NumPy's own look into the memory, to the bit."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau import native
from flambeau.core.array import geometry
from flambeau.native import moving

pytestmark = pytest.mark.skipif(not native.available(), reason="no compiled kernels")

DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
SIZE = 40_000
VIEWS: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [  # shape, strides, where it begins
    ((), (), 7),
    ((1, 1), (5, 3), 0),
    ((200, 200), (1, 200), 0),  # turned
    ((33, 67), (1, 100), 11),
    ((64, 48), (1, 64), 0),
    ((5, 16, 32), (512, 1, 16), 3),
    ((3, 17, 4, 19), (1292, 19, 323, 1), 0),  # heads
    ((4, 19, 17), (323, 1, 19), 1),
    ((50, 30), (90, 2), 1),  # every second one
    ((3, 20, 30), (0, 30, 1), 2),  # expanded, everywhere
    ((20, 30, 3), (30, 1, 0), 0),
    ((20, 3, 30), (1, 0, 20), 0),
    ((20, 9), (3, 3), 5),  # windows that overlap
    ((7, 1, 9), (9, 123, 1), 0),
    ((40_000,), (1,), 0),
    ((9, 8), (1, 4999), 0),
]


def numbers(dtype: str) -> Any:
    draw = np.random.default_rng(0)
    if dtype == "bool":
        return draw.integers(0, 2, SIZE).astype(bool)
    values = draw.integers(-100, 100, SIZE).astype(np.float64)
    values[::7] = 0.0 if "int" in dtype else np.nan
    values[::11] = 0.0 if "int" in dtype else -np.inf
    if "complex" in dtype:
        return np.stack([values, values[::-1]], -1).view(np.complex128)[:, 0].astype(dtype)
    return np.asarray(jnp.asarray(values).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_as_numpy_sees_it(dtype: str) -> None:
    memory = numbers(dtype)
    base = jnp.asarray(memory)
    for shape, strides, start in VIEWS:
        program = jax.jit(partial(moving.strided, shape=shape, strides=strides))
        made = np.asarray(program(base, np.int64(start)))
        steps = [step * memory.itemsize for step in strides]
        expected = np.lib.stride_tricks.as_strided(memory[start:], shape, steps)
        assert made.shape == shape
        assert made.tobytes() == np.ascontiguousarray(expected).tobytes(), (shape, strides)


def test_the_xla_form_gives_the_same() -> None:
    base = jnp.asarray(numbers("float32"))
    for shape, strides, start in VIEWS[2:12:3]:
        by_xla = moving._indexed(base, np.int64(start), shape=shape, strides=strides)
        by_kernel = moving.strided(base, np.int64(start), shape, strides)
        assert np.asarray(by_xla).tobytes() == np.asarray(by_kernel).tobytes()
    assert moving.strided(base, np.int64(0), (3, 0), (1, 1)).shape == (3, 0)


def test_a_view_beyond_its_memory_is_refused() -> None:
    base = jnp.zeros(20, np.float32)
    for start, strides in ((11, (1,)), (-1, (1,)), (0, (3,)), (5, (-1,))):
        with pytest.raises(Exception, match="beyond its memory of 20"):
            jax.block_until_ready(moving.strided(base, np.int64(start), (10,), strides))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "int16"])
def test_large_turned_tensors(dtype: str) -> None:
    x = torch.arange(150 * 200).reshape(150, 200).to(getattr(torch, dtype))
    ours = fb.arange(150 * 200).reshape(150, 200).to(getattr(fb, dtype)) * 1
    assert geometry._is_turned(ours._storage.value, ours.t()._view)
    for view in (lambda t: t.t(), lambda t: t[1:, 2:].t(), lambda t: t.view(10, 15, 200).mT, lambda t: t.t()[::1, 3:]):
        for _ in range(3):  # NumPy computes first calls
            assert view(ours).contiguous().tolist() == view(x).contiguous().tolist()
