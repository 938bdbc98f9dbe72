"""The three convolutions in XLA's own operators, for wherever the native kernels do not serve.

`on_cpu` holds the same three for XLA's CPU backend, whose own convolutions are quick in one or two dimensions of 32 bits and
without groups; elsewhere it has loops that take up to hundreds of times as long as what is here (docs/log.md has the figures).
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_SPATIAL = "DHW"


def _numbers(n: int) -> tuple[str, str, str]:
    spatial = _SPATIAL[-n:] if 0 < n <= 3 else "".join(map(str, range(n)))
    return "NC" + spatial, "OI" + spatial, "NC" + spatial


def forward(
    x: jax.Array, w: jax.Array, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        w,
        window_strides=stride,
        padding=tuple(zip(low, high, strict=True)),
        rhs_dilation=dilation,
        dimension_numbers=_numbers(len(stride)),
        feature_group_count=groups,
    )


def _by_input(forward: Callable) -> Callable:
    def by_input(g: jax.Array, w: jax.Array, *, size: tuple, groups: int, **params: tuple) -> jax.Array:
        if not jnp.issubdtype(g.dtype, jnp.inexact):  # which JAX does not transpose
            return _spread(g, w, size=size, groups=groups, **params)
        x = jax.ShapeDtypeStruct((g.shape[0], w.shape[1] * groups, *size), g.dtype)
        (result,) = jax.linear_transpose(lambda x: forward(x, w, groups=groups, **params), x)(g)
        return result

    return by_input


def _spread(
    g: jax.Array, w: jax.Array, size: tuple, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int
) -> jax.Array:
    """The gradient by the input as a convolution of `g`, with zeros between its elements, by the kernel turned round."""
    out, inside, *kernel = w.shape
    swapped = w.reshape(groups, out // groups, inside, *kernel).swapaxes(1, 2).reshape(-1, out // groups, *kernel)
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    before = [e - 1 - p for e, p in zip(extents, low, strict=True)]
    spread = [(n - 1) * s + 1 for n, s in zip(g.shape[2:], stride, strict=True)]
    after = [n + e - 1 - m - b for n, e, m, b in zip(size, extents, spread, before, strict=True)]
    return lax.conv_general_dilated(
        g,
        jnp.flip(swapped, range(2, w.ndim)),
        window_strides=(1,) * len(size),
        padding=tuple(zip(before, after, strict=True)),
        lhs_dilation=stride,
        rhs_dilation=dilation,
        dimension_numbers=_numbers(len(size)),
        feature_group_count=groups,
    )


def _by_weight(forward: Callable) -> Callable:
    def by_weight(x: jax.Array, g: jax.Array, *, size: tuple, groups: int, **params: tuple) -> jax.Array:
        w = jax.ShapeDtypeStruct((g.shape[1], x.shape[1] // groups, *size), g.dtype)
        (result,) = jax.linear_transpose(lambda w: forward(x, w, groups=groups, **params), w)(g)
        return result

    return by_weight


by_input: Callable[..., Any] = _by_input(forward)
by_weight: Callable[..., Any] = _by_weight(forward)


# ---------------------------------------------------------------- what XLA's CPU backend is quick at

_MOST_POSITIONS = 128  # of a kernel: each is an operation of the program
_PATCHES = 64 << 20  # bytes: larger ones are made for one image at a time


def _rows(a: jax.Array) -> jax.Array:
    """(N, C, *spatial) as a matrix with a row for each position of each image."""
    return jnp.moveaxis(a, 1, -1).reshape(-1, a.shape[1])


def _under_positions(x: jax.Array, size: tuple, stride: tuple, low: tuple, high: tuple, dilation: tuple) -> Iterator:
    """For each position of a kernel the inputs that it meets: arrays (N, C, *output)."""
    x = jnp.pad(x, ((0, 0), (0, 0), *zip(low, high, strict=True)))
    reach = [n - d * (k - 1) for n, k, d in zip(x.shape[2:], size, dilation, strict=True)]
    for position in itertools.product(*map(range, size)):
        first = [p * d for p, d in zip(position, dilation, strict=True)]
        last = [f + n for f, n in zip(first, reach, strict=True)]
        yield lax.slice(x, (0, 0, *first), (*x.shape[:2], *last), (1, 1, *stride))


def _pointwise(x: jax.Array, w: jax.Array, stride: tuple, low: tuple, high: tuple, **_: Any) -> jax.Array:
    """A kernel of one element is a matrix product."""
    x = jnp.pad(x, ((0, 0), (0, 0), *zip(low, high, strict=True)))
    x = x[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    y = _rows(x) @ w.reshape(w.shape[:2]).T
    return jnp.moveaxis(y.reshape(x.shape[0], *x.shape[2:], w.shape[0]), -1, 1)


def _by_patches(x: jax.Array, w: jax.Array, *, groups: int, **window: tuple) -> jax.Array:
    """What each output meets side by side, times the kernels: one matrix product for each group."""
    images, channels, *_ = x.shape
    positions = math.prod(w.shape[2:])
    if images > 1 and x.size * positions * x.dtype.itemsize > _PATCHES:
        return lax.map(lambda image: _by_patches(image[None], w, groups=groups, **window)[0], x)
    patches = jnp.stack(list(_under_positions(x, w.shape[2:], **window)), 2)
    rows = patches.reshape(images, groups, channels // groups * positions, -1)
    y = jnp.einsum("ngkp,gok->ngop", rows, w.reshape(groups, w.shape[0] // groups, -1))
    return y.reshape(images, w.shape[0], *patches.shape[3:])


def _by_sums(x: jax.Array, w: jax.Array, *, groups: int, **window: tuple) -> jax.Array:
    """Each channel by kernels of its own: a sum over the kernels' positions."""
    kernels = w.reshape(groups, w.shape[0] // groups, -1)
    parts = (
        part[:, :, None] * kernels[None, :, :, i].reshape(1, groups, -1, *[1] * (w.ndim - 2))
        for i, part in enumerate(_under_positions(x, w.shape[2:], **window))
    )
    y = functools.reduce(operator.add, parts)
    return y.reshape(y.shape[0], w.shape[0], *y.shape[3:])


def _by_planes(x: jax.Array, w: jax.Array, *, groups: int, **window: tuple) -> jax.Array:
    """A sum over the kernel's depth of convolutions in two dimensions, whose images are the planes."""
    (stride, *_), (low, *_), (high, *_), (dilation, *_) = (window[k] for k in ("stride", "low", "high", "dilation"))
    flat = {name: values[1:] for name, values in window.items()}
    depth = _under_positions(x, (w.shape[2], 1, 1), (stride, 1, 1), (low, 0, 0), (high, 0, 0), (dilation, 1, 1))
    parts = []
    for i, planes in enumerate(depth):
        images = jnp.moveaxis(planes, 2, 1).reshape(-1, x.shape[1], *x.shape[3:])
        parts.append(forward(images, w[:, :, i], groups=groups, **flat))
    y = functools.reduce(operator.add, parts)
    return jnp.moveaxis(y.reshape(x.shape[0], -1, *y.shape[1:]), 1, 2)


def _way(dtype: Any, x: tuple, w: tuple, groups: int, low: tuple, high: tuple, by_input: bool = False) -> Callable:
    """Which of them computes a convolution of such shapes; for its gradient by the input too, which is another in 64 bits."""
    positions, dimensions = math.prod(w[2:]), len(w) - 2
    wide = np.dtype(dtype).itemsize > 4
    if not jnp.issubdtype(dtype, jnp.floating) or 0 in (*x, *w) or min(*low, *high, 0) < 0 or dimensions > 3:
        return forward
    if positions == 1 and groups == 1:
        return _pointwise
    if positions > _MOST_POSITIONS:
        return forward
    if groups > 1:
        return _by_sums if w[1] == 1 else _by_patches
    if dimensions == 3:
        return _by_patches if wide else _by_planes
    return _by_patches if wide and (by_input or dimensions == 1) else forward


def _forward(x: jax.Array, w: jax.Array, *, by_input: bool = False, **params: Any) -> jax.Array:
    way = _way(x.dtype, x.shape, w.shape, params["groups"], params["low"], params["high"], by_input)
    if way is forward or x.dtype.itemsize > 2:
        return way(x, w, **params)
    return way(x.astype(np.float32), w.astype(np.float32), **params).astype(x.dtype)  # sums in 32 bits, as XLA's own


def _weight_by_products(x: jax.Array, g: jax.Array, *, size: tuple, **params: Any) -> jax.Array:
    """The gradient by the weight: of many channels one product for each position of the kernel (1.2 to 1.6x quicker)."""
    low, high, groups = params["low"], params["high"], params["groups"]
    channels = min(x.shape[1], g.shape[1])
    if groups > 1 or channels < 128 or not 1 < math.prod(size) <= 27 or min(*low, *high) < 0 or 0 in x.shape:
        return _by_weight(_forward)(x, g, size=size, **params)
    rows = _rows(g).T
    window = {name: params[name] for name in ("stride", "low", "high", "dilation")}
    parts = [rows @ _rows(part) for part in _under_positions(x, size, **window)]
    return jnp.stack(parts, -1).reshape(g.shape[1], x.shape[1], *size)


on_cpu: SimpleNamespace = SimpleNamespace(
    forward=_forward, by_input=_by_input(functools.partial(_forward, by_input=True)), by_weight=_weight_by_products
)
