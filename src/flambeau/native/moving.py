"""Rows of an array by their numbers (`native/moving.cc`), which XLA's CPU compiler copies element by element, and views, written out
(`native/strided.cc`).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad

from . import serves
from .kernel import kernel

__all__ = ["kernel_takes", "rows_at", "strided"]

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
    moves=True,
)


def rows_at(x: jax.Array, index: jax.Array) -> jax.Array:
    """`x[index]` for whole numbers of any shape; of rows that are not there, the nearest one."""
    if index.dtype not in _WHOLE or not x.ndim:
        return _xla(x, index)
    if index.size and not x.shape[0]:
        raise IndexError("index out of range in self")
    return _rows_p.bind(x, index)  # type: ignore[no-any-return]


# ---------------------------------------------------------------- views


_BYTES = "bool int8 uint8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split()


def _indexed(memory: jax.Array, start: jax.Array, *, shape: tuple[int, ...], strides: tuple[int, ...]) -> jax.Array:
    places = jnp.full(shape, start, np.int64)
    for axis, stride in enumerate(strides):
        places = places + jax.lax.broadcasted_iota(np.int64, shape, axis) * stride
    return memory.reshape(-1)[places]


def _strided(memory: jax.Array, start: jax.Array, *, result: Any, shape: Any, strides: tuple[int, ...]) -> Any:
    call = jax.ffi.ffi_call("flambeau_strided", jax.ShapeDtypeStruct(result.shape, result.dtype))
    return call(memory, start, strides=np.asarray(strides, np.int64))


_strided_p = kernel(
    "flambeau_strided", _indexed, _strided, fits=lambda *_, shape, **__: 0 not in shape, dtypes=_BYTES, moves=True
)


def kernel_takes(dtype: Any) -> bool:
    """Whether there is a kernel for `strided` of arrays of this dtype."""
    return serves(dtype, "flambeau_strided", _BYTES, moves=True)


def strided(memory: jax.Array, start: jax.Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> jax.Array:
    """The array that strides show in a memory from an element on, which its place in an int64 tells, written out."""
    return _strided_p.bind(memory, start, shape=shape, strides=strides)  # type: ignore[no-any-return]
