"""What array functions ask about their arguments: kinds of dtype, dimensions, and the errors when they do not fit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.dtypes import BOOL, COMPLEX, FLOAT, INTEGER, from_numpy, get_default_dtype
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable
from ...core.dispatch.checks import demand, refuse_outside
from ...core.tensor.tensor import Tensor
from .layer_support import normalized_dim, on_host, type_name, wide

__all__ = [
    "BOOL",
    "COMPLEX",
    "FLOAT",
    "INTEGER",
    "demand",
    "normalized_dim",
    "on_host",
    "refuse_outside",
    "type_name",
    "wide",
]


def category(x: jax.Array) -> int:
    """BOOL, INTEGER, FLOAT or COMPLEX."""
    return from_numpy(x.dtype).category


def refuse(kernel: str, x: jax.Array, *categories: int) -> None:
    """Raise NotImplementedError if the element type of `x` is of one of these categories."""
    if category(x) in categories:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(x)}'")


def inexact(x: jax.Array) -> jax.Array:
    """`x` itself if floating or complex, else in the default dtype."""
    return x if category(x) >= FLOAT else x.astype(get_default_dtype().numpy)


def summed_dtype(x: jax.Array, dtype: Any = None) -> Any:
    """The dtype in which sums and products are given: integers and bools become int64 unless told otherwise."""
    if dtype is not None:
        return dtype
    return x.dtype if category(x) >= FLOAT else jnp.dtype("int64")


def axes_of(dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The axes to reduce: `None` and an empty tuple mean all of them."""
    if dim is None or dim == ():
        return tuple(range(ndim))
    found: list[int] = []
    for d in (dim,) if isinstance(dim, int) else dim:
        axis = normalized_dim(d, ndim)
        if axis in found:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
        found.append(axis)
    return tuple(found) if ndim else ()


def need_elements(name: str, x: jax.Array, axes: tuple[int, ...]) -> None:
    """Raise IndexError, with `name` before its text, where a reduction without an identity meets an axis of size 0."""
    for axis in axes:
        if x.ndim and x.shape[axis] == 0:
            raise IndexError(f"{name}: Expected reduction dim {axis} to have non-zero size.")


def host_values(x: Tensor, name: str) -> np.ndarray:
    """The values, for an operator whose result's size depends on them; RuntimeError inside a compiled function."""
    if isinstance(x._array, jax.core.Tracer):
        error = RuntimeError if grad_state.trace is None else Untraceable
        raise error(
            f"{name}: the size of the result depends on the data, which is not known inside a compiled function. "
            f"Call {name} outside of it."
        )
    return np.asarray(x._array)
