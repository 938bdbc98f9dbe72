"""Every element several times in a row: `repeat_interleave`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.meta import MetaArray
from ...core.dispatch.operator import Array, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import demand, normalized_dim, type_name
from .gathering import index_select
from .masking import host_values, like_on_device


@operator(methods=False, public=(), grad="ViewBackward0")
def _repeat_each(input: Array, count: int, dim: int | None) -> Array:
    if dim is None:
        input, dim = input.reshape(-1), 0
    return jnp.repeat(input, count, normalized_dim(dim, input.ndim)) if input.ndim else jnp.repeat(input, count)


@operator(methods=False, public=(), grad="IndexSelectBackward0")
def _repeat_to(input: Array, repeats: Array, dim: int | None, size: int) -> Array:
    if dim is None:
        input, dim = input.reshape(-1), 0
    return jnp.repeat(input, repeats, normalized_dim(dim, input.ndim), total_repeat_length=size)


@composite()
def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element (or slice along `dim`; without `dim` the input is flattened) `repeats` times in a row.

    `repeats` is a number or a vector with one for each slice. With one argument, that is the repeats, and the result
    the indices repeated. `output_size` is the size to come, which a compiled function has to be told.
    """
    if repeats is None:
        counts = host_values("repeat_interleave", input)
        _check_repeats(counts)
        return like_on_device(np.repeat(np.arange(counts.size), counts), input)
    if not isinstance(repeats, Tensor):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        made = _repeat_each(input, repeats, dim)
        if output_size is not None and made.shape[dim or 0] != output_size:
            raise RuntimeError("repeat_interleave: Invalid output_size")
        return made
    slices = input.numel() if dim is None else input.shape[normalized_dim(dim, input.ndim)]
    if repeats.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if repeats.numel() not in (1, slices):
        raise RuntimeError(
            "repeats must have the same size as input along dim, "
            f"but got repeats.size(0) = {repeats.numel()} and input.size({dim or 0}) = {slices}"
        )
    if output_size is not None:
        _demand_size(repeats, slices, output_size)
    if isinstance(repeats._array, (jax.core.Tracer, MetaArray)) and output_size is not None:
        return _repeat_to(input, repeats.reshape(-1).expand(slices), dim, output_size)
    counts = host_values("repeat_interleave", repeats).reshape(-1)
    _check_repeats(counts)
    places = np.repeat(np.arange(slices), counts if counts.size == slices else counts.repeat(slices))
    if dim is None:
        input, dim = input.reshape(-1), 0
    return index_select(input, dim, like_on_device(places, input))


def _demand_size(repeats: Tensor, slices: int, output_size: int) -> None:
    def look(counts: Any) -> tuple[Any, Any]:
        return counts.sum() * (slices // max(counts.size, 1)) != output_size, 0

    demand(look, lambda _: RuntimeError("allocated size does not match required size"), repeats)
    demand(lambda counts: (counts < 0, 0), lambda _: RuntimeError("repeats can not be negative"), repeats)


def _check_repeats(counts: np.ndarray) -> None:
    if counts.dtype not in (np.int32, np.int64):
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{type_name(jnp.asarray(counts))}'")
    if counts.ndim > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
