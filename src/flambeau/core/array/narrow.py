"""Floating point numbers of 8 bits: how other numbers are rounded to them, as PyTorch does it (which is not always as XLA does)."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

E4M3FN, E4M3FNUZ, E5M2, E5M2FNUZ, E8M0FNU = (
    np.dtype(getattr(ml_dtypes, f"float8_{name}")) for name in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")
)
NARROW = frozenset((E4M3FN, E4M3FNUZ, E5M2, E5M2FNUZ, E8M0FNU))


def narrowed(values: Any, target: np.dtype, xp: Any) -> Any:
    """Real numbers as elements of 8 bits; `xp` is NumPy or jax.numpy. They go through float32.

    What is too great for E4M3FN becomes its greatest number, infinity too; E8M0FNU has neither signs nor 0.
    """
    return _narrowed(values.astype(np.float32), target, xp) if xp is np else _differentiable(values, target)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _differentiable(values: Any, target: np.dtype) -> Any:
    return _narrowed(values.astype(np.float32), target, jnp)


@_differentiable.defjvp
def _converted(target: np.dtype, primals: Any, tangents: Any) -> Any:
    return _differentiable(primals[0], target), tangents[0].astype(target)


def _narrowed(values: Any, target: np.dtype, xp: Any) -> Any:
    if target == E4M3FN:
        return xp.clip(values, -448.0, 448.0).astype(target)
    if target == E8M0FNU:
        bits = values.view(np.uint32)
        exponent, half, rest = (bits >> 23) & 255, (bits >> 22) & 1, bits & 0x3FFFFF
        up = half & ((exponent > 0) | (rest > 0))  # from the middle up, but to even at the lower end
        return xp.where(exponent == 255, exponent, exponent + up).astype(np.uint8).view(target)
    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(target)
    if target == E5M2:  # of several kinds of NaN, PyTorch makes one
        bits = made.view(np.uint8)
        made = xp.where(xp.isnan(values), bits | 3, bits).astype(np.uint8).view(target)
    return made
