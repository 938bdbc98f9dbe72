"""The three convolutions in XLA's own operators, for wherever the native kernels do not serve.

`on_cpu` holds the same three for XLA's CPU backend. There a kernel of one element is a matrix product (measured: 2x
faster, its weight gradient 10x), and the weight gradient of many channels is one product for each kernel position (1.2
to 1.6x); everything else is faster as XLA's convolution than as products of patches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace

import jax
import jax.numpy as jnp
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


by_input = _by_input(forward)
by_weight = _by_weight(forward)


# ---------------------------------------------------------------- as matrix products


def _rows(a: jax.Array) -> jax.Array:
    """(N, C, *spatial) as a matrix with a row for each position of each image."""
    return jnp.moveaxis(a, 1, -1).reshape(-1, a.shape[1])


def _forward(
    x: jax.Array, w: jax.Array, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int
) -> jax.Array:
    if groups > 1 or math.prod(w.shape[2:]) != 1 or any(low) or any(high) or 0 in x.shape:
        return forward(x, w, stride, low, high, dilation, groups)
    x = x[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    y = _rows(x) @ w.reshape(w.shape[:2]).T
    return jnp.moveaxis(y.reshape(x.shape[0], *x.shape[2:], w.shape[0]), -1, 1)


def _weight_by_products(
    x: jax.Array, g: jax.Array, *, size: tuple, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int
) -> jax.Array:
    channels = min(x.shape[1], g.shape[1])
    positions = math.prod(size)
    if groups > 1 or channels < 128 or not 1 < positions <= 27 or min(*low, *high) < 0 or 0 in x.shape:
        params = {"stride": stride, "low": low, "high": high, "dilation": dilation, "groups": groups}
        return _by_weight(_forward)(x, g, size=size, **params)
    x = jnp.pad(x, ((0, 0), (0, 0), *zip(low, high, strict=True)))
    rows = _rows(g).T
    parts = []
    for position in itertools.product(*map(range, size)):
        first = [p * d for p, d in zip(position, dilation, strict=True)]
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first, g.shape[2:], stride, strict=True)]
        parts.append(rows @ _rows(lax.slice(x, (0, 0, *first), (*x.shape[:2], *last), (1, 1, *stride))))
    return jnp.stack(parts, -1).reshape(g.shape[1], x.shape[1], *size)


on_cpu: SimpleNamespace = SimpleNamespace(forward=_forward, by_input=_by_input(_forward), by_weight=_weight_by_products)
