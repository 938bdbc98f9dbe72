"""Order: the indices that sort, and where the element of one rank is (`native/selection.cc`)."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .kernel import kernel

__all__ = ["MIDDLE", "MIDDLE_OF_NUMBERS", "ascending", "ranked"]

MIDDLE, MIDDLE_OF_NUMBERS = (
    -1,
    -2,
)  # ranks: of the lower median, which is nan if there is one, and of that of the numbers alone
_SMALL = 64  # elements up to which XLA's sort costs less than the call


def ascending(x: jax.Array, axis: int) -> jax.Array:
    """The indices that sort `x` along `axis`; equal elements keep their order, nan comes last."""
    places = lax.broadcasted_iota(jnp.int64, x.shape, axis)
    if x.dtype.itemsize <= 4 and not jnp.iscomplexobj(x):
        # XLA sorts one array of whole numbers five times as fast as pairs
        return lax.sort(_in_order(lax.stop_gradient(x)) << 32 | places, dimension=axis, is_stable=False) & 0xFFFFFFFF
    return lax.sort((lax.stop_gradient(x), places), dimension=axis, is_stable=True, num_keys=1)[1]


def _in_order(x: jax.Array) -> jax.Array:
    """Whole numbers (int64, of 32 bits) that are in the order of the elements; nan is the largest."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(np.int64) - (1 << 31 if x.dtype == np.uint32 else 0)
    x = x.astype(np.float32)
    bits = jnp.where(x != x, np.int32(0x7FC00000), lax.bitcast_convert_type(x, np.int32))
    return jnp.where(bits < 0, np.int32(-(1 << 31)) - bits, bits).astype(np.int64)  # -0.0 is 0, too


def _xla(x: jax.Array, *, axis: int, rank: int) -> jax.Array:
    order, length = ascending(x, axis), x.shape[axis]
    if rank >= 0:
        return lax.slice_in_dim(order, rank, rank + 1, axis=axis)
    present = length - jnp.sum(x != x, axis, keepdims=True)
    if rank == MIDDLE_OF_NUMBERS:
        place = jnp.maximum((present - 1) // 2, 0)
    else:
        place = jnp.where(present < length, present, (length - 1) // 2)  # the first nan, if any
    return jnp.take_along_axis(order, place, axis)


def _native(x: jax.Array, *, result: Any, axis: int, rank: int) -> Any:
    call = jax.ffi.ffi_call("flambeau_ranked", jax.ShapeDtypeStruct(result.shape, result.dtype))
    inner = np.int64(math.prod(x.shape[axis + 1 :]))
    return call(x, length=np.int64(x.shape[axis]), inner=inner, rank=np.int64(rank))


def _mapped(primitive: Any, arrays: Any, dims: Any, *, axis: int, rank: int) -> Any:
    return primitive.bind(jnp.moveaxis(arrays[0], dims[0], 0), axis=axis + 1, rank=rank), 0


_ranked_p = kernel(
    "flambeau_ranked",
    _xla,
    _native,
    fits=lambda x, y, **_: math.prod(x) > _SMALL,
    dtypes=("float32", "float64", "int32", "int64"),
    batched=_mapped,
    rows=lambda dims, *_, axis, **__: axis not in dims[0],
)


def ranked(x: jax.Array, axis: int, rank: int) -> jax.Array:
    """Where along `axis` (which stays, with size 1) the element is that sorting, with equal ones in their order and nan last,
    puts at place `rank`: a number, `MIDDLE` or `MIDDLE_OF_NUMBERS`.
    """
    kind, size = x.dtype.kind, x.dtype.itemsize
    if kind in "iub" and size < 4:
        x = x.astype(np.int32)
    elif x.dtype == np.uint32:
        x = x.astype(np.int64)
    elif jnp.issubdtype(x.dtype, jnp.floating) and size < 4:
        x = x.astype(np.float32)
    return _ranked_p.bind(lax.stop_gradient(x), axis=axis, rank=rank)  # type: ignore[no-any-return]
