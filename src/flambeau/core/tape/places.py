"""Where in a tensor's values a view lies, and how values get there and back: reading, writing, and the transpose of reading."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..array import devices, geometry, programs
from ..array.geometry import Geometry
from ..array.meta import MetaArray


class Through(NamedTuple):
    """A view `g` of a memory of `size` elements, seen from a tensor that shows `source` of it.

    Where the steps of `g` are no steps of that tensor (a row, seen from the diagonal), the way leads through the memory:
    elements that the tensor does not show are zero there.
    """

    g: Geometry
    source: Geometry
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.g.shape

    def memory(self, values: Any) -> Any:
        """The memory with the tensor's values in their places."""
        return put(_shared(values, self.source, self.size), (self.size,), self.source)

    def shown(self, memory: Any) -> Any:
        """What the tensor shows of it; the transpose of `memory`."""
        return _shared(geometry.read(memory, self.source), self.source, self.size)


Look = Geometry | Through  # where in a tensor's values a view lies


def seen_from(base: Geometry | None, g: Geometry, size: int) -> Look:
    """`g`, given in a memory of `size` elements, as seen from the values of a tensor that shows `base` of it."""
    if base is None:
        return g
    if base.bits is not None:  # count in the tensor's elements
        held, base = base.bits, base._replace(bits=None)
        if g.bits == held:
            g = g._replace(bits=None)
    if g.bits is None:
        direct = _translated(base, g)
        if direct is not None:
            return direct
    elif base.offset == 0 and base.contiguous and base.numel == size:
        return g
    return Through(g, base, size)


def _translated(base: Geometry, g: Geometry) -> Geometry | None:
    """`g` in steps of the base's own values; None where there are no such steps."""
    if 0 in g.shape:
        return g._replace(offset=0)
    own = geometry.contiguous_strides(base.shape)
    order = sorted((i for i, n in enumerate(base.shape) if n > 1), key=lambda i: -base.strides[i])
    room = {i: base.shape[i] - 1 for i in order}  # how far one can still go in each dimension
    if g.offset < base.offset or (geometry.overlaps(base) and not base.contiguous):
        return None

    def translate(distance: int, count: int) -> int | None:
        total = 0
        for i in order:
            digit, distance = divmod(distance, base.strides[i])
            room[i] -= digit * count
            if room[i] < 0:
                return None
            total += digit * own[i]
        return None if distance else total

    offset = translate(g.offset - base.offset, 1)
    strides = [translate(s, n - 1) if n > 1 else 0 for n, s in zip(g.shape, g.strides, strict=True)]
    if offset is None or None in strides:
        return None
    return g._replace(offset=offset, strides=tuple(strides))  # type: ignore[arg-type]


def _shared(values: Any, source: Geometry, size: int) -> Any:
    """Values of which several indices lead to one element, divided by how many."""
    if not geometry.overlaps(source) and all(s or n == 1 for n, s in zip(source.shape, source.strides, strict=True)):
        return values
    counts = put(jnp.ones(source.shape, values.dtype), (size,), source)
    return values / geometry.read(counts, source)


def take(values: Any, look: Look) -> Any:
    """What a view shows of the values."""
    if isinstance(look, Through):
        return geometry.read(look.memory(values), look.g)
    return geometry.read(values, look)


def replaced(values: Any, look: Look, new: Any) -> Any:
    """The values with others in the places that a view shows."""
    if isinstance(look, Through):
        return look.shown(geometry.write(look.memory(values), look.g, new))
    return geometry.write(values, look, new)


def put(values: Any, shape: tuple[int, ...], g: Look) -> Any:
    """Zeros of `shape` with `values` added at the places that `g` shows (the transpose of reading `g`)."""
    if type(values) is MetaArray:
        seen = g if type(g) is Geometry else None
        where = g.source.shape if seen is None else shape  # type: ignore[union-attr]
        return MetaArray(where, values.dtype if seen is None or seen.bits is None else _parts_or_whole(seen.bits))
    if isinstance(g, Through):
        return g.shown(put(values, (g.size,), g.g))
    if g.bits is not None:
        return _put_bits(values, shape, g)
    if 0 in stretched(g):
        axes = tuple(i for i, (n, s) in enumerate(zip(g.shape, g.strides, strict=True)) if s == 0 and n != 1)
        values = _sum(values, axes)
        g = Geometry(values.shape, g.strides, g.offset)
    if g.numel and geometry.overlaps(g):
        return _put_overlapping(values, shape, g)
    return _put_plain(values, shape, g)


def stretched(g: Geometry) -> tuple[int, ...]:
    """The strides of dimensions that have more than one index."""
    return tuple(s for n, s in zip(g.shape, g.strides, strict=True) if n != 1)


@functools.partial(programs.jit, static_argnums=1, inline=True)
def _sum(values: Any, axes: tuple[int, ...]) -> Any:
    return values.sum(axes, keepdims=True)


def _put_plain(values: Any, shape: tuple[int, ...], g: Geometry) -> Any:
    if g.numel == math.prod(shape) and g.contiguous:
        return geometry.read(values, geometry.whole(shape))
    sharding = None if isinstance(values, jax.core.Tracer) else values.sharding
    if isinstance(sharding, jax.sharding.NamedSharding) and devices.is_far(sharding):  # zeros in all processes, too
        everywhere = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
        return geometry.write(devices.spread(_zeros(shape, np.dtype(values.dtype)), everywhere), g, values)
    return geometry.place(values, g, shape)


@functools.partial(programs.jit, static_argnums=(0, 1), inline=True)
def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return jnp.zeros(shape, dtype)


@functools.partial(programs.jit, static_argnums=(1, 2), inline=True)
def _put_overlapping(values: Any, shape: tuple[int, ...], g: Geometry) -> Any:
    base = jnp.zeros(shape, values.dtype)
    return jax.linear_transpose(lambda b: geometry.read(b, g), base)(values)[0]


def _parts_or_whole(bits: np.dtype) -> np.dtype:
    """Of a complex type the type of its parts, and the other way round."""
    return np.dtype(f"f{bits.itemsize // 2}" if bits.kind == "c" else f"c{bits.itemsize * 2}")


def _put_bits(values: Any, shape: tuple[int, ...], g: Geometry) -> Any:
    # a complex value seen as pairs of reals, or the other way round; other bit casts have no gradient
    if geometry.overlaps(g):  # the sums are made in the view's own type
        size = int(np.prod(shape)) // 2 if g.bits.kind == "c" else 2 * int(np.prod(shape))
        values = put(values, (size,), Geometry(g.shape, g.strides, g.offset))
        g = Geometry((size,), (1,), 0, g.bits)
    return geometry.write(_zeros(shape, _parts_or_whole(g.bits)), g, values)


def cleared(values: Any, look: Look) -> Any:
    """The values with zeros in the places that a view shows."""
    seen = look.g if isinstance(look, Through) else look
    dtype = values.dtype if seen.bits is None else seen.bits  # parts of complex numbers are of another type
    return replaced(values, look, _zeros(look.shape, np.dtype(dtype)))
