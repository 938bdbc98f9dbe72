"""The product of two matrices as a bilinear JAX primitive, each of them stored as it is or transposed."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .kernel import kernel

__all__ = ["product"]

_SMALL = {"float32": 4_000_000, "bfloat16": 100_000}  # multiply-adds from which on the kernel is quicker


def _xla(a: jax.Array, b: jax.Array, *, transpose_a: bool, transpose_b: bool) -> jax.Array:
    dimensions = (((0 if transpose_a else 1,), (1 if transpose_b else 0,)), ((), ()))
    return lax.dot_general(a, b, dimensions, precision=lax.Precision.HIGHEST)


def _shape(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    return jax.core.ShapedArray((a.shape[1 if transpose_a else 0], b.shape[0 if transpose_b else 1]), a.dtype)


def _by_a(ct: Any, a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    if transpose_a:
        return _product_p.bind(b, ct, transpose_a=transpose_b, transpose_b=True)
    return _product_p.bind(ct, b, transpose_a=False, transpose_b=not transpose_b)


def _by_b(ct: Any, a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    if transpose_b:
        return _product_p.bind(ct, a, transpose_a=True, transpose_b=transpose_a)
    return _product_p.bind(a, ct, transpose_a=not transpose_a, transpose_b=False)


def _native(a: jax.Array, b: jax.Array, *, result: Any, transpose_a: bool, transpose_b: bool) -> jax.Array:
    depth = a.shape[0 if transpose_a else 1]
    is_mostly_writing = depth <= 32 and result.size >= 1 << 24 and a.dtype == np.float32
    if a.size * result.shape[1] < _SMALL[a.dtype.name] or is_mostly_writing:
        return _xla(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    call = jax.ffi.ffi_call("flambeau_product", jax.ShapeDtypeStruct(result.shape, result.dtype))
    return call(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


_product_p = kernel(
    "flambeau_product",
    _xla,
    _native,
    shape=_shape,
    fits=lambda a, b, c, **_: min(*a, *b) > 0,
    bilinear=(_by_a, _by_b),
    multiply_adds=lambda a, b, c, transpose_a, **_: math.prod(c) * a[0 if transpose_a else 1],
    rows=lambda dims, *_, **__: True,
    sums=lambda *_, transpose_a, transpose_b: ((0 if transpose_a else 1,), (1 if transpose_b else 0,)),
)


def product(a: jax.Array, b: jax.Array, transpose_a: bool = False, transpose_b: bool = False) -> jax.Array:
    """`a @ b` with all of the dtype's digits; `transpose_a`, `transpose_b` take the matrices transposed."""
    return _product_p.bind(jnp.asarray(a), jnp.asarray(b), transpose_a=transpose_a, transpose_b=transpose_b)
