"""What accumulates along a dimension: running sums, products, extremes; differences and integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...core.dispatch.operator import Array, Arrays, Scalar, composite, operator
from ...core.tensor.tensor import Tensor
from ...native import functions
from ..elementwise.arithmetic import _logaddexp as real_logaddexp
from ..elementwise.arithmetic import complex_logaddexp
from ..support.checks import (
    BOOL,
    COMPLEX,
    INTEGER,
    axes_of,
    category,
    in_dtype,
    inexact,
    normalized_dim,
    refuse,
    refuse_masks,
    summed_dtype,
    wide,
)
from ..support.declare import alias
from ..support.steps import Steps

# --- running ---------------------------------------------------------------------------------------------------------


def _running(name: str, formula: Callable[[jax.Array, int], jax.Array], doc: str) -> Callable[..., Any]:
    def function(input: Array, dim: int, *, dtype: Any = None) -> Array:
        axis = normalized_dim(dim, input.ndim)
        x = in_dtype(input, summed_dtype(input, dtype))
        refuse(f"{name}_out_cpu", x, BOOL)
        return formula(wide(x), axis).astype(x.dtype) if x.ndim else x

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} along `dim`. Integers and bools give int64, or `dtype`."
    return operator(inplace=True, autocast={"cuda": "float32"})(function)


cumsum: Callable[..., Tensor] = _running("cumsum", functions.cumsum, "The running sum")
cumprod: Callable[..., Tensor] = _running("cumprod", functions.cumprod, "The running product")


@operator()
def logcumsumexp(input: Array, dim: int) -> Array:
    """The logarithm of the running sum of the exponentials along `dim`."""
    refuse("logcumsumexp_out_cpu", input, BOOL, INTEGER)
    axis = normalized_dim(dim, input.ndim)
    if input.ndim == 0:
        return input
    if category(input) == COMPLEX:
        return lax.associative_scan(complex_logaddexp, input, axis=axis)
    # XLA's own looks through all elements before each
    return lax.associative_scan(lambda a, b: real_logaddexp(a, b, math.e), wide(input), axis=axis).astype(input.dtype)


def _running_best(name: str, better: Callable[..., jax.Array], word: str) -> Callable[..., Any]:
    def function(input: Array, dim: int) -> tuple[Array, Array]:
        axis = normalized_dim(dim, input.ndim)
        if input.ndim == 0:
            return input, jnp.zeros((), jnp.int64)
        if input.size == 0:
            return input, jnp.zeros(input.shape, jnp.int64)
        refuse(f"{name}_cpu", input, COMPLEX)

        def later_if_not_worse(a: Any, b: Any) -> Any:
            (left, i), (right, j) = a, b
            take = (better(right, left) | (right != right)) & ~((left != left) & (right == right))
            return jnp.where(take, right, left), jnp.where(take, j, i)

        places = lax.broadcasted_iota(jnp.int64, input.shape, axis)
        pair = (lax.stop_gradient(input), places)
        _, indices = lax.associative_scan(later_if_not_worse, pair, axis=axis)
        return jnp.take_along_axis(input, indices, axis), indices

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {word} element so far along `dim` and its index (the last one of ties), as a named pair."
    return operator(returns=("values", "indices"))(function)


cummax: Callable[..., Any] = _running_best("cummax", jnp.greater_equal, "largest")
cummin: Callable[..., Any] = _running_best("cummin", jnp.less_equal, "smallest")

# --- differences and integrals ---------------------------------------------------------------------------------------


def _less(a: jax.Array, b: jax.Array) -> jax.Array:
    return a ^ b if a.dtype == jnp.bool_ else a - b


@operator(promote="common")
def diff(input: Array, n: int = 1, dim: int = -1, prepend: Array | None = None, append: Array | None = None) -> Array:
    """The `n`-th difference of neighbours along `dim`, after joining `prepend` and `append` to the ends."""
    if input.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = normalized_dim(dim, input.ndim)
    ends = [end for end in (prepend, append) if end is not None]
    if any(end.ndim != input.ndim for end in ends):
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for end in ends:
        if any(m != k for a, (m, k) in enumerate(zip(end.shape, input.shape, strict=True)) if a != axis):
            raise RuntimeError(
                f"diff expects the shape of tensor to prepend or append to match that of input except along the "
                f"differencing dimension; input.size() = {list(input.shape)}, got {list(end.shape)}"
            )
    if n == 0:
        return input
    x = jnp.concatenate([part for part in (prepend, input, append) if part is not None], axis)
    for _ in range(min(n, x.shape[axis])):
        size = x.shape[axis]
        x = _less(lax.slice_in_dim(x, 1, size, axis=axis), lax.slice_in_dim(x, 0, size - 1, axis=axis))
    return x


def _refuse_bools(name: str) -> Callable[..., None]:
    def check(y: Any, x: Any = None, *_: Any) -> None:
        if any(a is not None and a.dtype == jnp.bool_ for a in (y, x)):
            which = "`y`" if x is None else "`x` or `y`"
            raise RuntimeError(f"{name}: received a bool input for {which}, but bool is not supported")

    return check


def _areas(y: jax.Array, x: jax.Array | None, dx: Any, dim: int, name: str) -> tuple[jax.Array, int]:
    """Twice the areas of the trapezoids between neighbouring points along an axis, and the axis (from the end)."""
    axis = normalized_dim(dim, y.ndim) - y.ndim
    size = y.shape[axis]
    sides = Steps(lax.slice_in_dim(y, 1, size, axis=axis) + lax.slice_in_dim(y, 0, max(size - 1, 0), axis=axis))
    if x is None:
        return (sides * (1.0 * dx)).array, axis
    if x.ndim == 0:
        raise RuntimeError(f"{name}: received a scalar for `x`: give `dx` instead, or one `x` per sample point")
    along = -1 if x.ndim == 1 else axis
    if x.shape[along] != size:
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
    widths = jnp.diff(x, axis=along)
    if x.ndim == 1:
        widths = widths.reshape(widths.shape + (1,) * (-axis - 1))
    return (sides * widths).array, axis


def _halved(sums: jax.Array) -> jax.Array:
    return (Steps(sums) / 2).array


_REAL_WIDTH = "Currently, we only support dx as a real number."


@operator(methods=False, real=_REAL_WIDTH, check=_refuse_bools("trapezoid"))
def trapezoid(y: Array, x: Array | None = None, *, dx: Scalar = 1, dim: int = -1) -> Array:
    """The integral along `dim` by the trapezoidal rule, for points at `x` or `dx` apart."""
    if y.ndim and y.shape[normalized_dim(dim, y.ndim)] == 0:
        return jnp.sum(y, normalized_dim(dim, y.ndim))
    areas, axis = _areas(y, x, dx, dim, "trapezoid")
    return _halved(jnp.sum(areas, axis, dtype=summed_dtype(areas)))


@operator(methods=False, real=_REAL_WIDTH, check=_refuse_bools("cumulative_trapezoid"))
def cumulative_trapezoid(y: Array, x: Array | None = None, *, dx: Scalar = 1, dim: int = -1) -> Array:
    """The running integral along `dim` by the trapezoidal rule, for points at `x` or `dx` apart."""
    areas, axis = _areas(y, x, dx, dim, "cumulative_trapezoid")
    return _halved(lax.cumsum(areas.astype(summed_dtype(areas)), areas.ndim + axis))


trapz: Callable[..., Tensor] = alias("trapz", trapezoid, methods=False)


def _slopes(y: jax.Array, x: jax.Array, axis: int, edge_order: int) -> jax.Array:
    """dy/dx along an axis from the parabolas through neighbouring points; at the ends from `edge_order` + 1 of them."""
    y, gaps = jnp.moveaxis(y, axis, -1), jnp.diff(x)

    def through_three(first: Any, a: jax.Array, b: jax.Array, at: jax.Array) -> jax.Array:
        """The slope, `at` behind the first point, of the parabola through three points with gaps a and b."""
        one, two = (first[1] - first[0]) / a, (first[2] - first[1]) / b
        return one + (2 * at - a) * (two - one) / (a + b)

    a, b = gaps[:-1], gaps[1:]
    parts = [through_three((y[..., :-2], y[..., 1:-1], y[..., 2:]), a, b, a)]
    if edge_order == 1:
        ends = [(y[..., 1] - y[..., 0]) / gaps[0], (y[..., -1] - y[..., -2]) / gaps[-1]]
    else:
        start, end = (tuple(y[..., k + i] for i in range(3)) for k in (0, y.shape[-1] - 3))
        ends = [through_three(start, a[0], b[0], jnp.zeros_like(a[0])), through_three(end, a[-1], b[-1], a[-1] + b[-1])]
    return jnp.moveaxis(jnp.concatenate([ends[0][..., None], *parts, ends[1][..., None]], -1), -1, axis)


@operator(methods=False, public=())
def _gradient(
    input: Array, points: Arrays | None, spacing: tuple[float, ...], dims: tuple[int, ...], edge_order: int
) -> tuple[Array, ...]:
    if input.dtype == jnp.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    refuse_masks(input, input)
    y, found = wide(inexact(input)), []
    dtype = inexact(input).dtype
    for k, axis in enumerate(dims):
        if y.shape[axis] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        x = jnp.arange(y.shape[axis], dtype=y.dtype) * spacing[k] if points is None else points[k].astype(y.dtype)
        found.append(_slopes(y, x, axis, edge_order).astype(dtype))
    return tuple(found)


@composite(methods=False)
def gradient(
    input: Tensor, *, spacing: Any = None, dim: int | tuple[int, ...] | None = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The partial derivatives of sampled values along `dim` (one, several, all), by differences of second order.

    `spacing` is the distance of the samples, or a list of one for each dimension, or of tensors with their places.
    At the ends the differences are of order `edge_order`, 1 or 2.
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    dims = axes_of(tuple(dim) if isinstance(dim, list) else dim, input.ndim)
    spacing = 1 if spacing is None else spacing
    given = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(given) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
            f"'self.dim() = {len(dims)}', since dim argument was not given, but got a list of length {len(given)}"
            if dim is None
            else "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the same "
            f"length, but got a spacing argument of length {len(given)} and a dim argument of length {len(dims)}."
        )
    places = given if given and isinstance(given[0], Tensor) and given[0].ndim else None
    return _gradient(input, places, () if places else tuple(given), dims, edge_order)
