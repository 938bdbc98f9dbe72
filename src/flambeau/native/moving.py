"""Rows of an array by their numbers (`native/moving.cc`): XLA's CPU compiler copies these element by element."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad

from .kernel import kernel

__all__ = ["rows_at"]

_LEAST = 1 << 13  # elements: below, XLA's loop takes no longer than the call
_WHOLE = (np.dtype(np.int32), np.dtype(np.int64))


def _xla(x: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take(x, index, axis=0, mode="clip")


def _native(x: jax.Array, index: jax.Array, *, result: Any) -> Any:
    return jax.ffi.ffi_call("flambeau_rows", jax.ShapeDtypeStruct(result.shape, result.dtype))(x, index)


def _fits(x: tuple[int, ...], index: tuple[int, ...], y: tuple[int, ...]) -> bool:
    return 0 not in x and math.prod(y) >= _LEAST and math.prod(x[1:]) >= 8


def _jvp(primals: Any, tangents: Any) -> Any:
    x, index = primals
    moved = tangents[0]
    made = _rows_p.bind(x, index)
    return made, jnp.zeros_like(made) if type(moved) is ad.Zero else _rows_p.bind(moved, index)


def _transpose(cotangent: Any, x: Any, index: Any) -> Any:
    back = jax.linear_transpose(lambda rows: _xla(rows, index), jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype))
    return [back(cotangent)[0], None]


_rows_p = kernel(
    "flambeau_rows",
    _xla,
    _native,
    fits=_fits,
    dtypes=("float32", "float64", "bfloat16", "float16", "int64", "int32"),
    jvp=_jvp,
    transpose=_transpose,
    alone=True,
)


def rows_at(x: jax.Array, index: jax.Array) -> jax.Array:
    """`x[index]` for whole numbers of any shape; of rows that are not there, the nearest one."""
    if index.dtype not in _WHOLE or not x.ndim:
        return _xla(x, index)
    return _rows_p.bind(x, index)  # type: ignore[no-any-return]
