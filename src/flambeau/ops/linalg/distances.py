"""Between vectors: cross products, distances, covariances; and vectors cut to a largest norm."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.dtypes import BOOL, FLOAT, INTEGER
from ...core.context.warned import warn, warn_once
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Scalar, Static, composite, operator
from ...core.tensor.tensor import Tensor
from ..reduce.statistics import distance, vector_norm
from ..support.checks import (
    category,
    demand,
    inexact,
    normalized_dim,
    refuse,
    require_floating,
    scalar_name,
    type_name,
    wide,
)
from .checks import LINALG, floating
from .products import same_dtype, times


@operator(methods=False, public=LINALG, grad="LinalgCrossBackward0", autocast={"cuda": "widest"})
def cross(input: Array, other: Array, *, dim: int = -1) -> Array:
    """The cross product of vectors with three elements along `dim`; the other dimensions broadcast."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    axis = normalized_dim(dim, input.ndim)
    sizes = [x.shape[axis] if x.ndim else 1 for x in (input, other)]
    if sizes != [3, 3]:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {sizes[0]} and {sizes[1]}")
    refuse("cross", input, BOOL)
    same_dtype(input, other, "expected scalar type {} but found {}", type_name)
    a, b = jnp.broadcast_arrays(input, other)
    return jnp.roll(a, -1, axis) * jnp.roll(b, -2, axis) - jnp.roll(a, -2, axis) * jnp.roll(b, -1, axis)


@composite(name="cross")
def _cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product along `dim`, or along the first dimension that has three elements."""
    if dim is None:
        warn_once(message("cross_without_dim"))
        found = [d for d, n in enumerate(input.shape) if n == 3]
        if not found:
            raise RuntimeError("no dimension of size 3 in input")
        dim = found[0]
    return cross(input, other, dim=dim)


@operator(methods=False, public=LINALG, grad="SumBackward1", autocast={"cpu": "lower"})
def vecdot(x: Array, y: Array, *, dim: int = -1) -> Array:
    """The products of vectors along `dim`, the first one conjugated; the other dimensions broadcast."""
    floating("linalg.vecdot", x, y)
    same_dtype(
        x,
        y,
        "linalg.vecdot: Expected x and y to have the same dtype, but found x of type {} and y of type {} instead",
        type_name,
    )
    a, b = jnp.broadcast_arrays(x, y)
    return jnp.sum(jnp.conj(a) * b, normalized_dim(dim, a.ndim), dtype=a.dtype)


@operator(methods=False, public=LINALG, grad="CumprodBackward0")
def vander(x: Array, *, N: int | None = None) -> Array:
    """Vandermonde matrices: rows hold the powers, from 0 up to `N - 1`, of the elements of the last dimension."""
    if category(x) == BOOL or (x.dtype.itemsize < 4 and category(x) >= FLOAT):
        raise RuntimeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {type_name(x)}"
        )
    x = jnp.atleast_1d(x)
    count = x.shape[-1] if N is None else N
    if count <= 1:
        raise RuntimeError(f"N must be greater than 1, but got {count}.")
    x = x.astype(np.int64) if category(x) <= INTEGER else x
    steps = jnp.broadcast_to(x[..., None], (*x.shape, count - 1))
    return jnp.concatenate([jnp.ones_like(x)[..., None], jnp.cumprod(steps, -1)], -1)


@composite(methods=False, public=LINALG)
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of matrices."""
    return A.diagonal(offset, dim1, dim2)


_MODES = (
    "use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist", None, 0, 1, 2,
)  # fmt: skip


@operator(methods=False, public=("torch",), autocast="float32", in_python=True)
def cdist(
    x1: Array, x2: Array, p: Static[float] = 2.0, compute_mode: str | int | None = "use_mm_for_euclid_dist_if_necessary"
) -> Array:
    """The `p`-norm distances of every row of `x1` `(*, P, M)` to every row of `x2` `(*, R, M)`: `(*, P, R)`.

    `compute_mode` is accepted; the distances are always those of the differences.
    """
    if compute_mode not in _MODES:
        raise ValueError(message("cdist_mode", mode=compute_mode))
    for name, x in (("X1", x1), ("X2", x2)):
        if category(x) != FLOAT:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {type_name(x)}")
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        both = "X1 and X2"
        raise RuntimeError(f"{both} must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if x1.dtype != x2.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(x1).title()} but found {scalar_name(x2).title()}")
    if not p >= 0:
        raise RuntimeError("cdist only supports non-negative p values")
    products = compute_mode in (1, "use_mm_for_euclid_dist") or (
        compute_mode in (*_MODES[::3], 0) and max(x1.shape[-2], x2.shape[-2]) > 25
    )
    if not (p == 2 and products):  # which PyTorch computes with products of matrices
        require_floating("cdist", x1, halves=False)
    if x1.shape[-1] and p == 2 and products:
        return _euclidean(x1, x2)
    differences = x1[..., :, None, :] - x2[..., None, :, :]
    if x1.shape[-1] == 0:
        return jnp.zeros(differences.shape[:-1], x1.dtype)
    return distance(differences, float(p), skips_nan=True)


@jax.custom_jvp
def _euclidean(x1: jax.Array, x2: jax.Array) -> jax.Array:
    """The distances of many rows. Their slopes are products of matrices: no array holds the differences of all pairs."""
    return distance(x1[..., :, None, :] - x2[..., None, :, :], 2.0)


@_euclidean.defjvp
def _euclidean_jvp(primals: Any, tangents: Any) -> Any:
    (x1, x2), (moved1, moved2) = primals, tangents
    made = _euclidean(x1, x2)
    apart = (x1 * moved1).sum(-1)[..., :, None] - moved1 @ x2.mT + (x2 * moved2).sum(-1)[..., None, :] - x1 @ moved2.mT
    return made, apart * jnp.where(made == 0, 0, 1 / jnp.where(made == 0, 1, made))


def _check_maxnorm(input: Any, p: float, dim: int, maxnorm: Any) -> None:
    if isinstance(maxnorm, (int, float)) and not maxnorm >= 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")


@operator(inplace=True, autocast={"cuda": "float32"}, real="maxnorm must be real-valued", options=_check_maxnorm)
def renorm(input: Array, p: Static[float], dim: int, maxnorm: Scalar) -> Array:
    """Every slice along `dim` whose `p`-norm is above `maxnorm`, scaled down to it."""
    if not p > 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    floating("linalg.vector_norm", input)
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    axis = normalized_dim(dim, input.ndim)
    others = tuple(i for i in range(input.ndim) if i != axis)
    x = wide(input)
    size = vector_norm(jax.lax.stop_gradient(x), float(p), others, True)
    limit = jnp.asarray(maxnorm).astype(size.dtype)
    # the small number is PyTorch's guard against rounding above the limit
    longer = size > limit
    size = vector_norm(jnp.where(longer, x, 1), float(p), others, True)  # the slope of another one may be nan
    return (x * jnp.where(longer, limit / (jnp.where(longer, size, 1) + 1e-7), 1).astype(input.dtype)).astype(
        input.dtype
    )


def _covariance(x: jax.Array, correction: int, fweights: jax.Array | None, aweights: jax.Array | None) -> jax.Array:
    if x.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {x.ndim} dimensions"
        )
    if x.dtype == np.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows = inexact(x).reshape(1, -1) if x.ndim < 2 else inexact(x)
    if aweights is not None and category(aweights) == FLOAT:
        rows = rows.astype(jnp.promote_types(rows.dtype, aweights.dtype))
    real = rows.real.dtype
    weights: jax.Array | None = None
    for name, given, fits, kind in (
        ("fweights", fweights, lambda w: category(w) == INTEGER, "integral"),
        ("aweights", aweights, lambda w: category(w) == FLOAT, "floating point"),
    ):
        if given is None:
            continue
        if given.ndim > 1:
            raise RuntimeError(
                f"cov(): expected {name} to have one or fewer dimensions but got {name} with {given.ndim} dimensions"
            )
        if not fits(given):
            raise RuntimeError(
                f"cov(): expected {name} to have {kind} dtype but got {name} with {type_name(given)} dtype"
            )
        if given.size != rows.shape[1]:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the input "
                f"but got {given.size} != {rows.shape[1]}"
            )
        cast = given.reshape(-1).astype(real)
        weights = cast if weights is None else weights * cast
    if weights is None:
        total = jnp.asarray(rows.shape[1], real)
        centred = rows - jnp.mean(rows, 1, keepdims=True)
        weighted = centred
    else:
        total = jnp.sum(weights)
        centred = rows - jnp.sum(rows * weights, 1, keepdims=True) / total
        weighted = centred * weights
    if weights is None or aweights is None or correction == 0:
        freedom = total - correction
    else:
        freedom = total - correction * jnp.sum(weights * aweights.reshape(-1).astype(real)) / total
    product = times(weighted, jnp.conj(centred.T))
    made = product / jnp.maximum(freedom, 0)
    return made.reshape(()) if made.size == 1 else made


@operator(methods=False, public=(), grad="SqueezeBackward0")
def _cov(input: Array, correction: int, fweights: Array | None, aweights: Array | None) -> Array:
    return _covariance(input, correction, fweights, aweights)


def _look_at_freedom(input: Tensor, correction: int) -> None:
    if input.ndim < 3 and (input.shape[-1] if input.ndim else 1) <= correction:
        warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.")


@composite(autocast={"cpu": "lower"})
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of the rows (variables; columns are observations), divided by their number less `correction`.

    `fweights` counts how often an observation was made, `aweights` weighs it.
    """
    if fweights is None and aweights is None:
        _look_at_freedom(input, correction)
    made = _cov(input, correction, fweights, aweights)
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is not None:
            text = f"cov(): {name} cannot be negative"
            demand(lambda w: (w < 0, 0), lambda _, text=text: RuntimeError(text), weights)  # type: ignore[misc]
    given = [weights for weights in (fweights, aweights) if weights is not None]
    if given:
        text = "cov(): weights sum to zero, can't be normalized"
        demand(lambda *w: (math.prod(w).sum() == 0, 0), lambda _: RuntimeError(text), *given)
    return made


@composite(autocast={"cpu": "lower"})
def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlations of the rows (variables; columns are observations)."""
    _look_at_freedom(input, 1)
    return _corrcoef(input)


@operator(methods=False, public=(), grad="ClampBackward1")
def _corrcoef(input: Array) -> Array:
    if input.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    c = _covariance(input, 1, None, None)
    if c.ndim == 0:
        return c / c
    spread = jnp.sqrt(jnp.diagonal(c).real).astype(c.dtype)
    made = c / spread[:, None] / spread[None, :]
    if jnp.iscomplexobj(made):
        return jax.lax.complex(jnp.clip(made.real, -1, 1), jnp.clip(made.imag, -1, 1))
    return jnp.clip(made, -1, 1)
