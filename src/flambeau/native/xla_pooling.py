"""The windows of a pool, and pooling in XLA's own operators.

A pool works along one dimension after the other. Along a dimension, the windows are a static table of positions
(`Windows`), and what is pooled is the table's columns: the first element of every window, the second, and so on,
each a strided slice. So one mechanism serves maximum and sum, any number of dimensions, regular and adaptive
windows, padding, dilation and ceil_mode; and since a maximum is a chain of strict comparisons in row-major order, its
gradient goes to the first maximum, as PyTorch's does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

UNROLLED = 32  # longer windows are gathered instead of sliced column by column


@dataclass(frozen=True)
class Windows:
    """Windows of `length` elements along a dimension of `size`.

    Element j of window o is at `firsts[o] + j * step`, if that is not negative and below `ends[o]`.
    """

    size: int
    length: int
    step: int
    firsts: tuple[int, ...]
    ends: tuple[int, ...]

    @cached_property
    def positions(self) -> np.ndarray:
        """`positions[o, j]` is where element j of window o is, or would be."""
        return np.array(self.firsts, int)[:, None] + np.arange(self.length) * self.step

    @cached_property
    def valid(self) -> np.ndarray:
        """Whether window o has an element j."""
        return (self.positions >= 0) & (self.positions < np.array(self.ends, int)[:, None])

    @property
    def count(self) -> int:
        """The number of windows."""
        return len(self.firsts)

    @property
    def tiles(self) -> bool:
        """Whether the windows lie side by side and cover the first elements without a gap."""
        return bool(self.valid.all() and (self.positions.ravel() == np.arange(self.positions.size)).all())

    def column(self, array: jax.Array, axis: int, j: int, fill: Any) -> jax.Array:
        """Element j of every window along `axis`; `fill` where the window has none."""
        where = self.positions[:, j]
        steps = np.diff(where)
        step = int(steps[0]) if steps.size else 1
        if step > 0 and (steps == step).all():
            first, last = int(where[0]), int(where[-1])
            before, after = max(-first, 0), max(last + 1 - self.size, 0)
            if before or after:
                config = [(0, 0, 0)] * array.ndim
                config[axis] = (before, after, 0)
                array = lax.pad(array, jnp.asarray(fill, array.dtype), config)
            return lax.slice_in_dim(array, first + before, last + before + 1, step, axis)
        taken = jnp.take(array, np.where(self.valid[:, j], where, 0), axis, mode="clip")
        return jnp.where(shaped(self.valid[:, j], array.ndim, axis), taken, jnp.asarray(fill, array.dtype))


def shaped(values: np.ndarray, ndim: int, axis: int) -> np.ndarray:
    """A vector laid along one axis, for broadcasting."""
    shape = [1] * ndim
    shape[axis] = values.shape[0]
    return values.reshape(shape)


def regular(size: int, kernel: int, stride: int, padding: int, dilation: int, count: int) -> Windows:
    """`count` windows that are `stride` elements apart."""
    firsts = tuple(o * stride - padding for o in range(count))
    return Windows(size, kernel, dilation, firsts, (size,) * count)


def adaptive(size: int, count: int) -> Windows:
    """`count` windows of nearly the same length that cover all elements."""
    starts = tuple(o * size // count for o in range(count))
    ends = tuple(-(-(o + 1) * size // count) for o in range(count))
    length = max((e - s for s, e in zip(starts, ends, strict=True)), default=1)
    return Windows(size, length, 1, starts, ends)


# ---------------------------------------------------------------- folding windows


def sum_along(x: jax.Array, axis: int, windows: Windows) -> jax.Array:
    """The sums along `axis`."""
    if windows.count == 1 and windows.tiles:  # the same operations whatever the size is
        return lax.slice_in_dim(x, 0, windows.length, axis=axis).sum(axis, keepdims=True)
    if windows.tiles and windows.length > 4:
        tiled = lax.slice_in_dim(x, 0, windows.positions.size, axis=axis)
        return tiled.reshape(*x.shape[:axis], windows.count, windows.length, *x.shape[axis + 1 :]).sum(axis + 1)
    if windows.length <= UNROLLED:
        return sum(windows.column(x, axis, j, 0) for j in range(1, windows.length)) + windows.column(x, axis, 0, 0)
    taken = jnp.take(x, np.where(windows.valid, windows.positions, 0), axis, mode="clip")
    valid = windows.valid.reshape((1,) * axis + windows.valid.shape + (1,) * (x.ndim - axis - 1))
    return jnp.where(valid, taken, jnp.zeros((), x.dtype)).sum(axis + 1)


def _max_along(x: jax.Array, indices: jax.Array | None, axis: int, windows: Windows) -> tuple[jax.Array, Any]:
    """The maxima along `axis` and, if `indices` are carried, where in the plane they were."""
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    best: Any = None
    place: Any = None
    seen = np.zeros(windows.count, bool)  # whether the window has had an element so far
    for j in range(windows.length):
        value = windows.column(x, axis, j, lowest)
        at = None if indices is None else windows.column(indices, axis, j, 0)
        if best is None:
            best, place = value, at
        else:
            better = (value > best) | (value != value)
            fresh = windows.valid[:, j] & ~seen
            if fresh.any():
                better |= shaped(fresh, x.ndim, axis)
            if not windows.valid[:, j].all():
                better &= shaped(windows.valid[:, j], x.ndim, axis)
            best = jnp.where(better, value, best)
            place = None if at is None else jnp.where(better, at, place)
        seen |= windows.valid[:, j]
    return best, place


def _long_max_along(x: jax.Array, indices: jax.Array | None, axis: int, windows: Windows) -> tuple[jax.Array, Any]:
    """`_max_along` for long windows: neighbours are compared, then the better ones of neighbouring pairs, and so on."""
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    missing = -windows.length % (1 << (windows.length - 1).bit_length())
    best = _in_windows(x, axis, windows, missing, lowest)
    place = None if indices is None else _in_windows(indices, axis, windows, missing, 0)
    valid = np.pad(windows.valid, ((0, 0), (0, missing)))
    while best.shape[axis + 1] > 1:
        (first, second), (is_first, is_second) = _pairs(best, axis + 1), _pairs(valid, 1)
        better = (second > first) | (second != second)
        if not (is_first.all() and is_second.all()):
            over, under = (
                flags.reshape((1,) * axis + flags.shape + (1,) * (x.ndim - axis - 1))
                for flags in (~is_first, is_second)
            )
            better = (better | over) & under
        best, valid = jnp.where(better, second, first), is_first | is_second
        if place is not None:
            at, other = _pairs(place, axis + 1)
            place = jnp.where(better, other, at)
    return best.squeeze(axis + 1), None if place is None else place.squeeze(axis + 1)


def _pairs(x: Any, axis: int) -> list[Any]:
    """Elements 0, 2, 4, ... and 1, 3, 5, ... of a dimension."""
    paired = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    return [paired[(slice(None),) * (axis + 1) + (i,)] for i in range(2)]


def _in_windows(x: jax.Array, axis: int, windows: Windows, more: int, fill: Any) -> jax.Array:
    """The windows' elements as a dimension behind `axis`, with `more` of them at the end; `fill` where there are none."""
    if windows.tiles:
        tiled = lax.slice_in_dim(x, 0, windows.positions.size, axis=axis)
        made = tiled.reshape(*x.shape[:axis], windows.count, windows.length, *x.shape[axis + 1 :])
    else:
        made = jnp.take(x, np.where(windows.valid, windows.positions, 0), axis, mode="clip")
        valid = windows.valid.reshape((1,) * axis + windows.valid.shape + (1,) * (x.ndim - axis - 1))
        made = jnp.where(valid, made, jnp.asarray(fill, x.dtype))
    widths = [(0, more * (d == axis + 1), 0) for d in range(made.ndim)]
    return lax.pad(made, jnp.asarray(fill, x.dtype), widths) if more else made


def max_pooled(x: jax.Array, windows: Sequence[Windows], with_indices: bool) -> tuple[jax.Array, jax.Array | None]:
    """The maxima over the last dimensions and, if wanted, where in the plane they were (int32)."""
    n = len(windows)
    sizes = x.shape[-n:]
    indices = None
    if with_indices:
        plane = lax.iota(jnp.int32, math.prod(sizes)).reshape(sizes)
        indices = jnp.broadcast_to(plane, x.shape)
    for axis, w in zip(range(x.ndim - 1, x.ndim - n - 1, -1), reversed(windows), strict=True):
        along = _max_along if w.length <= UNROLLED else _long_max_along
        x, indices = along(x, indices, axis, w)
    return x, indices
