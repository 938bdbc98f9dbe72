"""Batch normalization from sums over everything but the channels, each one pass over memory where it is native.

`moments` gives mean and variance; `paired_sums` and `spread` are each other's transposes, and are all that the gradients
need: with x' = (x - mean) * scale, `paired_sums(a, x, mean, scale)` is (sum a, sum a x') for each channel, and
`spread(s, t, x, mean, scale)` is s + t x' everywhere. `channel` is the dimension of the channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from .kernel import kernel

__all__ = ["batch_normalized"]


def _others(ndim: int, channel: int) -> tuple[int, ...]:
    return tuple(d for d in range(ndim) if d != channel)


def _shaped(values: jax.Array, ndim: int, channel: int) -> jax.Array:
    return lax.broadcast_in_dim(values, [values.size if d == channel else 1 for d in range(ndim)], (channel,))


# ---------------------------------------------------------------- what they are, in XLA's operators


def _moments(x: jax.Array, *, channel: int) -> tuple[jax.Array, jax.Array]:
    axes = _others(x.ndim, channel)
    mean = jnp.mean(x, axes)
    return mean, jnp.mean(jnp.square(x - _shaped(mean, x.ndim, channel)), axes)


def _normal(x: jax.Array, mean: jax.Array, scale: jax.Array, channel: int) -> jax.Array:
    return (x - _shaped(mean, x.ndim, channel)) * _shaped(scale, x.ndim, channel)


def _paired_sums(a: jax.Array, x: jax.Array, mean: jax.Array, scale: jax.Array, *, channel: int) -> Any:
    axes = _others(x.ndim, channel)
    return jnp.sum(a, axes), jnp.sum(a * _normal(x, mean, scale, channel), axes)


def _spread(s: jax.Array, t: jax.Array, x: jax.Array, mean: jax.Array, scale: jax.Array, *, channel: int) -> jax.Array:
    return _shaped(s, x.ndim, channel) + _shaped(t, x.ndim, channel) * _normal(x, mean, scale, channel)


# ---------------------------------------------------------------- native forms


def _rows(x: jax.Array, channel: int) -> jax.Array:
    return jnp.moveaxis(x, channel, -1).reshape(-1, x.shape[channel])


def _native(target: str, channel: int, *arrays: jax.Array) -> Any:
    arrays = tuple(_rows(a, channel) if a.ndim > 1 else a for a in arrays)
    result = jax.ShapeDtypeStruct((arrays[0].shape[1],), arrays[0].dtype)
    return jax.ffi.ffi_call(target, (result, result))(*arrays)


def _has_elements(*shapes: Any, channel: int) -> bool:
    return math.prod(shapes[0]) > 0


def _moments_native(x: jax.Array, result: Any, channel: int) -> Any:
    return _native("flambeau_moments", channel, x) if x.dtype == jnp.float32 else _moments(x, channel=channel)


def _paired_native(*arrays: jax.Array, result: Any, channel: int) -> Any:
    if arrays[0].dtype != jnp.float32:
        return _paired_sums(*arrays, channel=channel)
    return _native("flambeau_paired_sums", channel, *arrays)


# ---------------------------------------------------------------- their derivatives


def _rest_of_jvp(form: Callable, linear: tuple, rest: tuple, tangents: tuple) -> Any:
    """The part of a derivative that comes from the arguments in which the primitive is not linear."""
    if all(type(t) is ad.Zero for t in tangents):
        return None
    full = tuple(ad.instantiate_zeros(t) for t in tangents)
    return jax.jvp(lambda *r: form(*linear, *r), rest, full)[1]


def _added(a: Any, b: Any) -> Any:
    return a if b is None else b if a is None else a + b


def _paired_jvp(primals: Any, tangents: Any, *, channel: int) -> Any:
    a, *rest = primals
    made = _paired_p.bind(*primals, channel=channel)
    direct = [None, None] if type(tangents[0]) is ad.Zero else _paired_p.bind(tangents[0], *rest, channel=channel)
    others = _rest_of_jvp(partial(_paired_sums, channel=channel), (a,), tuple(rest), tuple(tangents[1:])) or (
        None,
        None,
    )
    found = [_added(d, o) for d, o in zip(direct, others, strict=True)]
    return made, [jnp.zeros_like(m) if f is None else f for m, f in zip(made, found, strict=True)]


def _paired_transpose(cotangents: Any, a: Any, x: Any, mean: Any, scale: Any, *, channel: int) -> Any:
    s, t = (ad.instantiate_zeros(c) for c in cotangents)
    return [_spread_p.bind(s, t, x, mean, scale, channel=channel), None, None, None]


def _spread_jvp(primals: Any, tangents: Any, *, channel: int) -> Any:
    s, t, *rest = primals
    made = _spread_p.bind(*primals, channel=channel)
    direct = None
    if not all(type(d) is ad.Zero for d in tangents[:2]):
        ds, dt = (ad.instantiate_zeros(d) for d in tangents[:2])
        direct = _spread_p.bind(ds, dt, *rest, channel=channel)
    other = _rest_of_jvp(partial(_spread, channel=channel), (s, t), tuple(rest), tuple(tangents[2:]))
    found = _added(direct, other)
    return made, jnp.zeros_like(made) if found is None else found


def _spread_transpose(cotangent: Any, s: Any, t: Any, x: Any, mean: Any, scale: Any, *, channel: int) -> Any:
    if type(cotangent) is ad.Zero:
        return [None] * 5
    return [*_paired_p.bind(cotangent, x, mean, scale, channel=channel), None, None, None]


# ---------------------------------------------------------------- the primitives

_moments_p = kernel("flambeau_moments", _moments, _moments_native, several=True, fits=_has_elements)
_paired_p = kernel(
    "flambeau_paired_sums",
    _paired_sums,
    _paired_native,
    several=True,
    fits=_has_elements,
    jvp=_paired_jvp,
    transpose=_paired_transpose,
    rows=lambda dims, *_, **__: not any(dims),
    sums=lambda a, x, *_, channel: (_others(len(a), channel), _others(len(x), channel), (), ()),
)
_spread_p = kernel(  # XLA fuses it
    "flambeau_spread", _spread, jvp=_spread_jvp, transpose=_spread_transpose,
    rows=lambda dims, *_, channel: channel not in dims[2] and not any((*dims[:2], *dims[3:])),
)  # fmt: skip


# ---------------------------------------------------------------- batch normalization


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def batch_normalized(x: jax.Array, weight: jax.Array, bias: jax.Array, eps: Any, channel: int = 1) -> Any:
    """`x` with mean 0 and variance 1 in each channel, times `weight`, plus `bias`; and the mean and the variance."""
    mean, variance = _moments_p.bind(x, channel=channel)
    scale = lax.rsqrt(variance + eps)
    return _spread_p.bind(bias, weight, x, mean, scale, channel=channel), mean, variance


@batch_normalized.defjvp
def _batch_normalized_jvp(channel: int, primals: Any, tangents: Any) -> Any:
    # Ioffe and Szegedy (2015), section 3, with the sums over the batch taken first: both directions need them once.
    x, weight, bias, eps = primals
    dx, dweight, dbias, _ = tangents
    y, mean, variance = batch_normalized(x, weight, bias, eps, channel)
    scale = lax.rsqrt(variance + eps)
    count = x.size // max(x.shape[channel], 1)
    first, second = (s / count for s in _paired_p.bind(dx, x, mean, scale, channel=channel))
    gain = weight * scale
    dy = _shaped(gain, x.ndim, channel) * dx
    dy = dy + _spread_p.bind(dbias - gain * first, dweight - gain * second, x, mean, scale, channel=channel)
    return (y, mean, variance), (dy, first, 2 * second / scale)
