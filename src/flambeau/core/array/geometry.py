"""Strided views: how a tensor looks into a storage, and the one getter and setter for all of them.

A `Geometry` is PyTorch's (shape, strides, offset) in elements of the flattened storage. `read` and `write` turn it
into reshape, slice and transpose, which XLA fuses; strides that no such chain can express (windows that overlap, say)
go through a gather or scatter.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax._src.array import ArrayImpl

from ...native.moving import kernel_takes, strided
from . import devices, programs
from .meta import MetaArray


class Geometry(NamedTuple):
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0  # in a trace it may be a number that the program computes at each call
    bits: Any = None  # the NumPy dtype as which the storage's bits are read, if not its own

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def contiguous(self) -> bool:
        return self.strides == contiguous_strides(self.shape) or is_contiguous(self.shape, self.strides)


@functools.lru_cache(4096)
def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides; a dimension of size 0 counts as 1, as in PyTorch."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


@functools.lru_cache(4096)
def whole(shape: tuple[int, ...]) -> Geometry:
    """The geometry of a fresh, contiguous tensor."""
    return Geometry(shape, contiguous_strides(shape))


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the elements lie in row-major order without gaps (strides of size-1 dimensions do not matter)."""
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def overlaps(g: Geometry) -> bool:
    """Whether two indices may lead to one element. As in PyTorch, only what can be told from sorted strides."""
    return _overlapping(g.shape, g.strides)


@functools.lru_cache(4096)
def _overlapping(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    reach = 0
    for stride, size in sorted((st, s) for st, s in zip(strides, shape, strict=True) if s > 1):
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def overlapping_write() -> RuntimeError:
    """The error for a write through a geometry that overlaps."""
    place = "memory location"
    return RuntimeError(
        f"unsupported operation: more than one element of the written-to tensor refers to a single {place}. "
        "Please clone() the tensor before performing the operation. (It comes from expand(), or has overlapping windows.)"
    )


class _Route(NamedTuple):
    """The static half of a read: reshape the (padded) flat storage, cut a block, step through it, transpose, expand."""

    pad: int  # elements to append before the reshape
    levels: tuple[int, ...]  # the shape after it
    block: tuple[int, ...]  # the cut's sizes
    steps: tuple[int, ...]  # the stride in each level
    squeezed: tuple[int, ...]  # what is left after stepping, without the digit levels
    order: tuple[int, ...]  # the transpose from strides' order to the view's
    compact: tuple[int, ...]  # the view's shape with expanded dimensions as 1


@functools.lru_cache(8192)
def _route(numel: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[_Route, tuple[int, ...]] | None:
    """The route for these strides and the unit of each level (to split offsets), or None if only a gather will do."""
    real = [i for i, (n, st) in enumerate(zip(shape, strides, strict=True)) if n != 1 and st != 0]
    real.sort(key=lambda i: -strides[i])
    if any(strides[i] < 0 for i in real):
        return None
    units: list[int] = []
    levels: list[int] = []
    block: list[int] = []
    steps: list[int] = []
    above = 0
    for i in real:
        unit = strides[i] if above == 0 or above % strides[i] == 0 else math.gcd(above, strides[i])
        step = strides[i] // unit
        if above == 0:
            padded = -(-numel // unit) * unit
            levels.append(padded // unit)
        else:
            levels.append(above // unit)
        units.append(unit)
        steps.append(step)
        block.append((shape[i] - 1) * step + 1)
        above = unit
    if above == 0:
        padded, above = numel, numel
    if above != 1:  # the digit inside the innermost stride, of which one element is taken
        levels.append(above)
        units.append(1)
        steps.append(1)
        block.append(1)
    if any(b > n for b, n in zip(block, levels, strict=True)):
        return None
    squeezed = tuple(shape[i] for i in real)
    kept = [i for i in range(len(shape)) if i in real]
    order = tuple(real.index(i) for i in kept)
    compact = tuple(n if i in real else 1 for i, n in enumerate(shape))
    route = _Route(padded - numel, tuple(levels), tuple(block), tuple(steps), squeezed, order, compact)
    return route, tuple(units)


def _starts(route: _Route, units: tuple[int, ...], offset: int) -> tuple[int, ...] | None:
    starts = []
    for unit, level, block in zip(units, route.levels, route.block, strict=True):
        digit, offset = divmod(offset, unit)
        if digit + block > level:
            return None
        starts.append(digit)
    return tuple(starts)


def _flat(base: jax.Array, bits: Any) -> jax.Array:
    """The storage's elements in a row, their bits read as another type if asked; bytes at the end that make no whole element are left
    out."""
    if bits is None or bits == base.dtype:
        return base.reshape(-1)
    flat = base.reshape(-1)
    if flat.dtype.kind == "c":  # a complex number is its two parts, in a row
        flat = jnp.stack([flat.real, flat.imag], -1).reshape(-1)
    if bits.kind == "c":
        part = np.dtype(f"f{bits.itemsize // 2}")
        parts = _grouped(_flat(flat, part), 2)
        return lax.complex(parts[:, 0], parts[:, 1])
    if flat.dtype == bits:
        return flat
    if bits.kind == "b":
        return _flat(flat, np.dtype(np.uint8)).astype(bool)
    flat = flat.astype(np.uint8) if flat.dtype.kind == "b" else flat
    if bits.itemsize > flat.dtype.itemsize:
        flat = _grouped(flat, bits.itemsize // flat.dtype.itemsize)
    return lax.bitcast_convert_type(flat, bits).reshape(-1)


def _grouped(flat: jax.Array, count: int) -> jax.Array:
    return flat[: flat.size // count * count].reshape(-1, count)


def _indices(shape: tuple[int, ...], strides: tuple[int, ...], offset: Any) -> jax.Array:
    index = jnp.full(shape, offset, np.int64)
    for axis, stride in enumerate(strides):
        index = index + lax.broadcasted_iota(np.int64, shape, axis) * stride
    return index


def _levels(flat: jax.Array, route: _Route) -> jax.Array:
    if route.pad:
        flat = lax.pad(flat, np.zeros((), flat.dtype), [(0, route.pad, 0)])
    return flat.reshape(route.levels)


def _cut(levels: jax.Array, route: _Route, starts: Any) -> jax.Array:
    if starts is None:
        starts = (0,) * len(route.levels)
    if route.block == route.levels:
        return levels
    if isinstance(starts, tuple):
        return lax.slice(levels, starts, [s + b for s, b in zip(starts, route.block, strict=True)])
    return lax.dynamic_slice(levels, [starts[i] for i in range(len(route.levels))], route.block)


@functools.partial(programs.jit, static_argnums=(2, 3, 4), inline=True)
def _read_route(base: jax.Array, starts: Any, route: _Route, shape: tuple[int, ...], bits: Any) -> jax.Array:
    cut = _cut(_levels(_flat(base, bits), route), route, starts)
    if any(step != 1 for step in route.steps):
        cut = lax.slice(cut, (0,) * cut.ndim, cut.shape, route.steps)
    compact = cut.reshape(route.squeezed).transpose(route.order).reshape(route.compact)
    return compact if route.compact == shape else jnp.broadcast_to(compact, shape)


WRITTEN_OUT = 1 << 14  # elements from which on the kernel is quicker than a loop, if none of them lie in a row


def writes_out(base: Any) -> bool:
    """Whether there is a kernel that writes out what a view shows of this memory."""
    device = getattr(base.sharding, "_device", None)
    return device is not None and device.platform == "cpu" and _takes(base.dtype)


_takes = functools.cache(kernel_takes)  # the kernel's own lowering asks again


@functools.lru_cache(4096)
def start(offset: int) -> Any:
    """Where a view begins, as `strided` takes it."""
    return devices.held(np.asarray(offset, np.int64))


def _is_turned(base: Any, g: Geometry) -> bool:
    """Whether the kernel is to write out a view of these values: a large one of elements that do not lie in a row."""
    if type(base) is not ArrayImpl or g.bits is not None or type(g.offset) is not int or g.numel < WRITTEN_OUT:
        return False
    return g.strides[-1] > 1 and 1 in g.strides and writes_out(base)


@functools.partial(programs.jit, static_argnums=(2, 3), inline=True)
def _write_out(base: jax.Array, first: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> jax.Array:
    return strided(base, first, shape, strides)


@functools.partial(programs.jit, static_argnums=(2, 3, 4), inline=True)
def _read_gather(
    base: jax.Array, offset: Any, shape: tuple[int, ...], strides: tuple[int, ...], bits: Any
) -> jax.Array:
    return _flat(base, bits)[_indices(shape, strides, offset)]


def _written(base: jax.Array, new: jax.Array, starts: Any, route: _Route, bits: Any) -> jax.Array:
    flat = _flat(base, bits)
    levels = _levels(flat, route)
    inverse = np.argsort(route.order)
    whole = jnp.broadcast_to(
        jnp.asarray(new, flat.dtype), route.compact
    )  # no dimension of what is written to is an expanded one
    squeezed = whole.reshape([route.squeezed[i] for i in route.order]).transpose(inverse)
    stepped = squeezed.reshape([-(-b // s) for b, s in zip(route.block, route.steps, strict=True)])
    if any(step != 1 for step in route.steps):
        cut = _cut(levels, route, starts)
        stepped = cut.at[tuple(slice(None, None, s) for s in route.steps)].set(stepped)
    if route.block == route.levels:
        levels = stepped
    else:
        where = [starts[i] for i in range(len(route.levels))] if starts is not None else [0] * len(route.levels)
        levels = lax.dynamic_update_slice(levels, stepped, where)
    return _unflat(levels.reshape(-1)[: flat.size], base)


_write_route = programs.jit(_written, static_argnums=(3, 4), inline=True)
_write_route_over = programs.jit(_written, static_argnums=(3, 4), donate_argnums=0)


@functools.partial(programs.jit, static_argnums=(2, 3), inline=True)
def _place_route(new: jax.Array, starts: Any, route: _Route, shape: tuple[int, ...]) -> jax.Array:
    return _written(jnp.zeros(shape, new.dtype), new, starts, route, None)


@functools.partial(programs.jit, static_argnums=(3, 4, 5), inline=True)
def _write_gather(base: jax.Array, new: jax.Array, offset: Any, shape: Any, strides: Any, bits: Any) -> jax.Array:
    flat = _flat(base, bits)
    return _unflat(flat.at[_indices(shape, strides, offset)].set(jnp.asarray(new, flat.dtype)), base)


@functools.partial(programs.jit, static_argnums=(2, 3, 4), inline=True)
def _place_gather(new: jax.Array, offset: Any, shape: Any, strides: Any, whole: tuple[int, ...]) -> jax.Array:
    return _write_gather.__wrapped__(jnp.zeros(whole, new.dtype), new, offset, shape, strides, None)


def _unflat(flat: jax.Array, base: jax.Array) -> jax.Array:
    back = _flat(flat, base.dtype)
    if back.size < base.size:  # what made no whole element stays
        back = jnp.concatenate([back, base.reshape(-1)[back.size :]])
    return back.reshape(base.shape)


def _plan(numel: int, g: Geometry, fixed: bool) -> tuple[_Route | None, Any]:
    """The route of `g` in a memory of so many elements and its starts; (None, offset) for the gather. Starts that are `fixed`
    are static, so that XLA sees them.
    """
    if type(g.offset) is int:
        return _fixed_plan(numel, *g[:3]) if fixed else eager_plan(numel, *g[:3])
    found = _route(numel, g.shape, g.strides)
    offset: Any = g.offset  # a number that is an input of a program
    starts = None if found is None else offset.parts(functools.partial(_starts, *found))
    return (None, offset.as_input()) if found is None or starts is None else (found[0], starts)


def _fixed_plan(numel: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> tuple[_Route | None, Any]:
    found = _route(numel, shape, strides)
    starts = None if found is None else _starts(*found, offset)
    if found is None or starts is None:
        return None, offset
    return found[0], starts if any(starts) else None


@functools.lru_cache(4096)
def eager_plan(numel: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> tuple[_Route | None, Any]:
    """The same with starts that are an array: XLA takes one that is there already more quickly than NumPy's."""
    route, starts = _fixed_plan(numel, shape, strides, offset)
    return route, devices.held(np.asarray(starts, np.int64)) if isinstance(starts, tuple) else starts


def _plan_of(base: Any, g: Geometry) -> tuple[_Route | None, Any]:
    numel = math.prod(base.shape)
    if g.bits is not None:
        numel = numel * base.dtype.itemsize // g.bits.itemsize
    return _plan(numel, g, isinstance(base, jax.core.Tracer))


def _reshaped(base: Any, g: Geometry) -> Any:
    """The same memory, without a copy, if `g` shows all of it in order; else None. (A part would keep the whole alive.)"""
    if type(g.offset) is not int or g.offset or g.bits is not None or not g.contiguous or g.numel != base.size:
        return None
    host = devices.memory_of(base)
    return None if host is None else devices.beside(host.reshape(g.shape), base)


def read(base: Any, g: Geometry) -> Any:
    """The values that the geometry shows of a storage's array."""
    if type(base) is MetaArray:
        return MetaArray(g.shape, base.dtype if g.bits is None else g.bits)
    if 0 in g.shape:
        return jnp.zeros(g.shape, base.dtype if g.bits is None else g.bits)
    same = _reshaped(base, g)
    if same is not None:
        return same
    if _is_turned(base, g):
        return _write_out(base, start(g.offset), g.shape, g.strides)
    route, where = _plan_of(base, g)
    if route is None:
        return _read_gather(base, where, g.shape, g.strides, g.bits)
    if isinstance(where, tuple):
        return _static_read(base, where, route, g)
    return _read_route(base, where, route, g.shape, g.bits)


def _static_read(base: Any, starts: tuple[int, ...], route: _Route, g: Geometry) -> Any:
    return _read_route.__wrapped__(base, starts, route, g.shape, g.bits)


def read_by(route: Any, base: Any, starts: Any, shape: tuple[int, ...]) -> Any:
    """What a route of `eager_plan` leads to, where it is a part of a program."""
    return _read_route.__wrapped__(base, starts, route, shape, None)


def write(base: Any, g: Geometry, new: Any, over: bool = False) -> Any:
    """The storage's array with `new` (which broadcasts to the geometry's shape) in the places that the geometry shows.

    `over` says that nobody needs the array as it was: the new one may take over its memory.
    """
    if 0 in g.shape:
        return base
    if overlaps(g):
        raise overlapping_write()
    if type(base) is MetaArray:
        return base
    route, where = _plan_of(base, g)
    if route is None:
        return _write_gather(base, new, where, g.shape, g.strides, g.bits)
    if isinstance(where, tuple):
        return _written(base, new, where, route, g.bits)
    return (_write_route_over if over else _write_route)(base, new, where, route, g.bits)


def place(new: Any, g: Geometry, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape with `new` (of the geometry's shape) in the places that the geometry shows."""
    if 0 in g.shape:
        return jnp.zeros(shape, new.dtype)
    route, where = _plan(math.prod(shape), g, isinstance(new, jax.core.Tracer))
    if route is None:
        return _place_gather(new, where, g.shape, g.strides, shape)
    if isinstance(where, tuple):
        return _place_route.__wrapped__(new, where, route, shape)
    return _place_route(new, where, route, shape)
