"""Rules of products, convolutions, matrices, and our own kernels, which declare themselves (`kernel(rows=..., sums=...)`)."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ...native.kernel import rows_of
from .masked import Site, open_in, rule


@rule("dot_general")
def _dot_general(site: Site, a: Any, b: Any) -> Any:
    site.need_same("dimension_numbers")
    contracted = site.params["dimension_numbers"][0]
    return site.bind(*(site.filled(i, value, contracted[i], 0) for i, value in enumerate((a, b))))


@rule("conv_general_dilated")
def _convolution(site: Site, x: Any, w: Any) -> Any:
    site.need_same()
    p, numbers = site.params, site.params["dimension_numbers"]
    batch, channels, *space = numbers.lhs_spec
    out, into, *window = numbers.rhs_spec
    site.need(not site.open(0) & set(space) and not site.open(1) & set(window), "its windows depend on the size")
    site.need(p["batch_group_count"] == 1 or not (site.open(0) | site.open(1)) & {batch, out}, "")
    site.need(p["feature_group_count"] == 1 or not (channels in site.open(0) or site.open(1)), "")
    return site.bind(site.filled(0, x, [channels], 0), site.filled(1, w, [into], 0))


@rule("flambeau_convolution", "flambeau_convolution_input", "flambeau_convolution_weight")
def _images(site: Site, a: Any, b: Any) -> Any:
    """Images of several sizes: what lies beside one is the zeros that padding would be.

    The arrays are images, those of the result or of a gradient, and kernels, of which no size is open.
    """
    site.need_same(
        "stride", "low", "dilation", "groups"
    )  # `high` says how many outputs there are, which their sizes do
    name = site.big.primitive.name
    by_weight = name.endswith("weight")
    kernels = site.made[0] if by_weight else site.given[1]
    images = [site.given[0], *([site.given[1]] if by_weight else site.made)]
    site.need(kernels == [(k, k) for _, k in kernels], "the size of its kernels depends on the size")
    site.need(not any(1 in open_in(pairs) for pairs in images), "the number of its channels depends on the size")
    first = 0 if by_weight else 2  # the rows of a batch meet in the gradient by the weight only
    a = site.filled(0, a, range(first, a.ndim), 0)
    return site.bind(a, site.filled(1, b, range(b.ndim), 0) if by_weight else b)


_MATRICES = (
    "cholesky triangular_solve lu qr geqrf householder_product eigh eig svd schur tridiagonal tridiagonal_solve cholesky_update "
    "hessenberg symmetric_product"
).split()


@rule(*_MATRICES)
def _matrices(site: Site, *values: Any) -> Any:
    """One for each row of the batch."""
    site.need_same()
    stacked = min(len(pairs) for pairs in site.given) - 2
    opened = [site.open(i) for i in range(len(values))]
    site.need(
        all(dims == opened[0] and max(dims, default=-1) < stacked for dims in opened), "the matrix depends on the size"
    )
    return site.bind(*values)


@rule("fft")
def _fft(site: Site, value: Any) -> Any:
    site.need_same()
    first = value.ndim - len(site.params["fft_lengths"])
    site.need(max(site.open(), default=-1) < first, "its length depends on the size")
    return site.bind(value)


# ---------------------------------------------------------------- our own kernels


@rule("kernel")
def _kernel(site: Site, *values: Any) -> Any:
    site.need_same()
    known = rows_of(site.big.primitive.name)
    assert known is not None
    shapes = [np.shape(value) for value in values]
    summed = known.sums(*shapes, **site.params) if known.sums else [()] * len(values)
    values = tuple(site.filled(i, value, summed[i], 0) for i, value in enumerate(values))
    left = [site.open(i) - set(dims) for i, dims in enumerate(summed)]
    site.need(known.rows(left, *shapes, **site.params), "")
    return site.bind(*values)


@rule("flambeau_moments")
def _moments(site: Site, x: Any) -> Any:
    """Mean and variance of the rows that count: the others are zeros first, and then the mean."""
    site.need_same()
    channel = site.params["channel"]
    others = [d for d in range(x.ndim) if d != channel]
    site.need(channel not in site.open(), "the number of channels depends on the size")
    all_rows = math.prod(x.shape[d] for d in others)
    rows: Any = math.prod(site.given[0][d][1] for d in others if d not in site.open())
    for d in sorted(site.open()):
        rows = rows * site.size(site.given[0][d])
    ratio = lax.convert_element_type(all_rows / lax.convert_element_type(rows, np.float64), x.dtype)
    mean = site.bind(site.filled(0, x, others, 0))[0] * ratio
    shaped = lax.broadcast_in_dim(mean, x.shape, (channel,))
    keep: Any = None
    for d in sorted(site.open()):
        here = site.valid(x.shape, d, site.given[0][d])
        keep = here if keep is None else lax.bitwise_and(keep, here)
    again, variance = site.bind(lax.select(keep, x, shaped))
    # the second mean is of numbers around the first one: what that has lost to rounding is in it
    lost = again - mean
    exact = mean + lost * ratio
    variance = variance * ratio - (ratio - 1) * jnp.square(lost) - jnp.square(exact - again)
    return [exact, jnp.maximum(variance, 0)]
