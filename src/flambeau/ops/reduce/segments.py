"""Reductions over pieces of a dimension (`segment_reduce`), and `hash_tensor`."""

from __future__ import annotations

import functools
import operator as operators
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array.dtypes import BOOL, FLOAT, INTEGER
from ...core.dispatch.operator import Array, _publish, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import axes_of, category, demand, require_floating, type_name

_REDUCES = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -np.inf, "amax": -np.inf, "min": np.inf, "amin": np.inf}


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _product(x: jax.Array, segment: Any, count: int) -> jax.Array:
    return jax.ops.segment_prod(x, segment, count)


@_product.defjvp
def _(segment: Any, count: int, primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    zero = x == 0  # the others' product where one element is 0, nothing where two are
    rest = jnp.where(zero, 1, x)
    others = jax.ops.segment_prod(rest, segment, count)
    zeros = jax.ops.segment_sum(zero.astype(np.int32), segment, count)
    places = jnp.clip(segment, 0, count - 1)
    slope = jnp.where((zeros[places] - zero) > 0, 0, others[places] / rest)
    return _product(x, segment, count), jax.ops.segment_sum(slope * dx, segment, count)


def _reduced(x: jax.Array, lengths: jax.Array, reduce: str, initial: Any) -> jax.Array:
    """Pieces of the first dimension. What lies behind the last one belongs to none."""
    count = lengths.shape[0]
    ends = jnp.cumsum(lengths)
    segment = jnp.searchsorted(ends, jnp.arange(x.shape[0]), side="right")
    size = lengths.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
    start = _REDUCES[reduce] if initial is None else initial
    if reduce in ("sum", "mean"):
        total = jax.ops.segment_sum(x, segment, count) + start
        if reduce == "sum":
            return total
        empty = total if initial is not None else jnp.full_like(total, jnp.nan)
        return jnp.where(size == 0, empty, total / jnp.where(size == 0, 1, size))
    if reduce == "prod":
        return _product(x, segment, count) * start
    extreme = jax.ops.segment_max if reduce in ("max", "amax") else jax.ops.segment_min
    choose = jnp.maximum if reduce in ("max", "amax") else jnp.minimum
    value = choose(extreme(lax.stop_gradient(x), segment, count), jnp.asarray(start, x.dtype))
    same = x == value[jnp.clip(segment, 0, count - 1)]  # equal elements share the gradient
    ties = jnp.maximum(jax.ops.segment_sum(same.astype(x.dtype), segment, count), 1)
    moved = jnp.where(same, x - lax.stop_gradient(x), 0)
    return value + jax.ops.segment_sum(jnp.where(jnp.isfinite(x), moved, 0), segment, count) / ties


@operator(methods=False, public=(), grad="SegmentReduceBackward0", room={"initial": "own floats"})
def _segment_reduce(data: Array, lengths: Array, reduce: str, axis: int, initial: float | None) -> Array:
    require_floating("_segment_reduce_cpu", data)
    if category(lengths) != INTEGER:
        raise NotImplementedError(f"\"_segment_reduce_lengths_cpu_kernel1\" not implemented for '{type_name(lengths)}'")
    reduced = functools.partial(_reduced, reduce=reduce, initial=initial)
    for _ in range(axis):
        reduced = jax.vmap(reduced)
    return reduced(data, lengths)


@composite(methods=False)
def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """Sums, means, products or extremes of pieces along `axis`, which have these `lengths` or lie between these `offsets`.

    `lengths` has the dimensions of `data` up to `axis`, where it has the number of pieces (`offsets`: one more). Empty pieces
    give `initial`, or what the reduction starts with (a mean: nan). Unless `unsafe`, RuntimeError if lengths are negative or
    do not sum to the dimension's size.
    """
    if reduce not in _REDUCES:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    given = lengths if lengths is not None else offsets.diff()  # type: ignore[union-attr]
    axis = axis + data.ndim if axis < 0 else axis
    if given.ndim != axis + 1:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of lengths but got {axis}.")
    size = data.shape[axis]
    if not unsafe and lengths is not None:
        demand(lambda x: (x < 0, x), lambda _: RuntimeError("lengths contains negative value!"), given)
        demand(
            lambda x: (x.sum(-1) != size, x.sum(-1)),
            lambda _: RuntimeError(
                "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe."
            ),
            given,
        )
    return _segment_reduce(data, given, reduce, axis, initial)


_publish("_segment_reduce", segment_reduce, ("torch",))  # PyTorch has it under both names


@operator()
def hash_tensor(input: Array, dim: int | tuple[int, ...] | None = (), *, keepdim: bool = False, mode: int = 0) -> Array:
    """The exclusive or over `dim` (default: all) of the elements' bits as 64 bit numbers, float64's for all floating ones.

    `mode` has to be 0 (RuntimeError).
    """
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    if input.size == 0 and dim in ((), None):
        given = "specified"
        raise RuntimeError(
            f"hash_tensor: Expected reduction dim to be {given} for input.numel() == 0. Specify the reduction dim with the "
            "'dim' argument."
        )
    kind = category(input)
    if kind > FLOAT:
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{type_name(input)}'")
    if kind == FLOAT:
        bits = lax.bitcast_convert_type(input.astype(np.float64), np.uint64)
    else:
        bits = input.astype(np.uint64) if kind == BOOL else input.astype(np.int64).astype(np.uint64)
    made = lax.reduce(bits, np.uint64(0), operators.xor, axes := axes_of(dim, input.ndim))
    return jnp.expand_dims(made, axes) if keepdim else made
