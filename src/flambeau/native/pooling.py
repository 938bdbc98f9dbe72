"""Max pooling as a JAX primitive, and its derivative as two linear ones that are each other's transposes.

`flambeau_max_pool` gives the maxima of windows and, where wanted, their places: numbers of elements in the flat spatial
plane. `flambeau_pool_take` reads an array at such places, and `flambeau_pool_put` adds values up there. `channel` is the
dimension of the channels, 1 or the last one; the native kernels have it last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad

from . import serves, xla_pooling
from .kernel import kernel
from .xla_pooling import Windows

__all__ = ["max_pooled"]

_CHANNELS = 16  # measured: the kernels make vectors of channels, and with fewer XLA's form is 3 to 10 times faster
_OVERLAP = 32  # in how many windows an element may be on average; more are quicker one dimension after the other


def _channels_last(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim), 1)


def _spatial(windows: Sequence[Windows], given: bool) -> tuple[int, ...]:
    return tuple(w.size if given else w.count for w in windows)


def _of_spatial(array: Any, sizes: Sequence[int], channel: int) -> tuple[int, ...]:
    """The shape of an array with other spatial sizes."""
    batch, channels = array.shape[0], array.shape[channel]
    return (batch, channels, *sizes) if channel == 1 else (batch, *sizes, channels)


# ---------------------------------------------------------------- in XLA's operators


def _xla_max(x: jax.Array, *, windows: tuple, channel: int, places: bool) -> list[jax.Array]:
    made = xla_pooling.max_pooled(jnp.moveaxis(x, channel, 1), windows, places)
    return [jnp.moveaxis(m, 1, channel) for m in made if m is not None]


def _planes(array: jax.Array, channel: int) -> jax.Array:
    array = jnp.moveaxis(array, channel, 1)
    return array.reshape(array.shape[0] * array.shape[1], math.prod(array.shape[2:]))


def _from_planes(planes: jax.Array, like: jax.Array, sizes: tuple[int, ...], channel: int) -> jax.Array:
    return jnp.moveaxis(planes.reshape(like.shape[0], like.shape[channel], *sizes), 1, channel)


def _xla_take(t: jax.Array, places: jax.Array, *, windows: tuple, channel: int) -> jax.Array:
    taken = jnp.take_along_axis(_planes(t, channel), _planes(places, channel), 1)
    return _from_planes(taken, t, _spatial(windows, False), channel)


def _xla_put(g: jax.Array, places: jax.Array, *, windows: tuple, channel: int) -> jax.Array:
    flat, where = _planes(g, channel), _planes(places, channel)
    sizes = _spatial(windows, True)
    made = jnp.zeros((flat.shape[0], math.prod(sizes)), g.dtype)
    made = made.at[jnp.arange(flat.shape[0])[:, None], where].add(flat)
    return _from_planes(made, g, sizes, channel)


# ---------------------------------------------------------------- native forms


@cache
def _table(windows: tuple[Windows, ...]) -> dict[str, np.ndarray]:
    """The windows as the kernels want them: where each begins and ends inside the input."""
    begins, ends = [], []
    for w in windows:
        firsts = np.array(w.firsts, np.int64)
        begins.append(firsts + np.maximum(-(firsts // w.step), 0) * w.step)
        ends.append(np.minimum(firsts + (w.length - 1) * w.step + 1, np.array(w.ends, np.int64)))
    steps = np.array([w.step for w in windows], np.int64)
    return {"steps": steps, "begins": np.concatenate(begins), "ends": np.concatenate(ends)}


def _call(target: str, results: Sequence[Any], arrays: Sequence[jax.Array], windows: tuple, channel: int) -> list:
    order = _channels_last(arrays[0].ndim) if channel == 1 else tuple(range(arrays[0].ndim))
    results = [jax.ShapeDtypeStruct(tuple(r.shape[d] for d in order), r.dtype) for r in results]
    made = jax.ffi.ffi_call(target, results)(*(jnp.transpose(a, order) for a in arrays), **_table(windows))
    return [jnp.transpose(m, tuple(map(int, np.argsort(order)))) for m in made]


def _max_target(*, places: bool, **_: Any) -> str:
    return "flambeau_max_pool_places" if places else "flambeau_max_pool"


def _native_max(x: jax.Array, *, result: Any, windows: tuple, channel: int, places: bool) -> list[jax.Array]:
    return _call(_max_target(places=places), result, [x], windows, channel)


def _native_linear(target: str) -> Callable:
    def native(a: jax.Array, places: jax.Array, *, result: Any, windows: tuple, channel: int) -> jax.Array:
        return _call(target, [result], [a, places], windows, channel)[0]

    return native


def _fits(*shapes: tuple, channel: int, places: bool = True, **_: Any) -> bool:
    # Measured: with transposes around it, the kernel is slower than XLA's maxima, but its gradient is not.
    return min(map(math.prod, shapes)) > 0 and (channel != 1 or places)


# ---------------------------------------------------------------- the primitives


def _batched(primitive: Primitive, arrays: Sequence[jax.Array], dims: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    """The mapped dimension joins the batch."""
    mapped = next(a.shape[d] for a, d in zip(arrays, dims, strict=True) if d is not None)
    arrays = [
        jnp.broadcast_to(a, (mapped, *a.shape)) if d is None else jnp.moveaxis(a, d, 0)
        for a, d in zip(arrays, dims, strict=True)
    ]
    batch = arrays[0].shape[1]
    several = primitive.multiple_results
    made = primitive.bind(*(a.reshape(mapped * batch, *a.shape[2:]) for a in arrays), **params)
    parted = [m.reshape(mapped, batch, *m.shape[1:]) for m in (made if several else [made])]
    return (parted, [0] * len(parted)) if several else (parted[0], 0)


def _max_shapes(x: Any, *, windows: tuple, channel: int, places: bool) -> list[Any]:
    if channel not in (1, x.ndim - 1) or x.shape != _of_spatial(x, _spatial(windows, True), channel):
        raise TypeError(f"max_pool: the windows do not fit an array of shape {tuple(x.shape)}")
    shape = _of_spatial(x, _spatial(windows, False), channel)
    return [jax.core.ShapedArray(shape, dtype) for dtype in (x.dtype, np.dtype(np.int32))[: 1 + places]]


def _linear_shape(name: str, given: bool) -> Callable:
    """Of a primitive that takes an array over the input's plane if `given`, and gives one over the output's."""

    def shape(a: Any, places: Any, *, windows: tuple, channel: int) -> Any:
        expected = _of_spatial(a, _spatial(windows, given), channel)
        if a.shape != expected or places.shape != _of_spatial(a, _spatial(windows, False), channel):
            raise TypeError(f"{name}: the windows do not fit arrays of shapes {tuple(a.shape)} and {places.shape}")
        return jax.core.ShapedArray(_of_spatial(a, _spatial(windows, not given), channel), a.dtype)

    return shape


def _no_tangent(primal: Any) -> ad.Zero:
    return ad.Zero(jax.typeof(primal).to_tangent_aval())


def _max_jvp(primals: Any, tangents: Any, *, places: bool, **params: Any) -> tuple[list[Any], list[Any]]:
    y, where = _max_p.bind(*primals, places=True, **params)
    zero = _no_tangent(where)
    dy = _no_tangent(y) if type(tangents[0]) is ad.Zero else _take_p.bind(tangents[0], where, **params)
    return ([y, where], [dy, zero]) if places else ([y], [dy])


def _apart(dims: Sequence[set[int]], *shapes: Any, **params: Any) -> bool:
    return all(one <= {0} for one in dims)


_max_p = kernel(
    "flambeau_max_pool",
    _xla_max,
    _native_max,
    shape=_max_shapes,
    several=True,
    fits=_fits,
    handler=_max_target,
    handlers=("flambeau_max_pool", "flambeau_max_pool_places"),
    batched=_batched,
    jvp=_max_jvp,
    rows=_apart,
)


def _linear(name: str, xla: Callable, given: bool, transposed: Callable[[], Primitive]) -> Primitive:
    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        made = primitive.bind(*primals, **params)
        if type(tangents[0]) is ad.Zero:
            return made, _no_tangent(made)
        return made, primitive.bind(tangents[0], primals[1], **params)

    def transpose(cotangent: Any, a: Any, places: Any, **params: Any) -> list[Any]:
        if type(cotangent) is ad.Zero:
            return [ad.Zero(a.aval), None]
        return [transposed().bind(cotangent, places, **params), None]

    shape, native = _linear_shape(name, given), _native_linear(name)
    primitive = kernel(
        name, xla, native, shape=shape, fits=_fits, batched=_batched, jvp=jvp, transpose=transpose, rows=_apart
    )
    return primitive


_take_p: Primitive = _linear("flambeau_pool_take", _xla_take, True, lambda: _put_p)
_put_p: Primitive = _linear("flambeau_pool_put", _xla_put, False, lambda: _take_p)


# ---------------------------------------------------------------- the function


def _pays(x: jax.Array, windows: tuple[Windows, ...]) -> bool:
    """Whether the native kernels can pool these windows and are the quicker ones."""
    if jax.default_backend() != "cpu" or not serves(x.dtype):
        return False
    if x.shape[-len(windows) - 1] < _CHANNELS:
        return False
    if x.size == 0 or math.prod(_spatial(windows, True)) >= 2**31 or not all(w.valid.any(1).all() for w in windows):
        return False
    return math.prod(w.valid.sum() / w.size for w in windows) <= _OVERLAP


def max_pooled(
    x: jax.Array, windows: Sequence[Windows], with_places: bool = False
) -> tuple[jax.Array, jax.Array | None]:
    """The maxima of `x` over windows of its last dimensions, and their places in the plane if wanted.

    `x` is `(N, C, *spatial)` or `(C, *spatial)`. PyTorch's rules: the first of equal elements, the last NaN, and padding
    never.
    """
    windows = tuple(windows)
    if not _pays(x, windows):
        # XLA computes with 2-byte floats in float32 and rounds after every step; here that would only cost time
        wide = x.astype(np.float32) if x.dtype.itemsize == 2 and jnp.issubdtype(x.dtype, jnp.floating) else x
        y, where = xla_pooling.max_pooled(wide, windows, with_places)
        return y.astype(x.dtype), where
    batched = x.ndim == len(windows) + 2
    made = _max_p.bind(x if batched else x[None], windows=windows, channel=1, places=with_places)
    y, *places = made if batched else [m[0] for m in made]
    return y, places[0] if with_places else None
