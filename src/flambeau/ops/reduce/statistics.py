"""Reductions that describe a distribution: variance, median, quantiles, norms."""

from __future__ import annotations

import builtins
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import special as jsp

from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.dispatch.overloads import taken
from ...core.tensor.tensor import Tensor
from ...native.selection import MIDDLE, MIDDLE_OF_NUMBERS, ascending, ranked
from ..elementwise.arithmetic import modulus
from ..support.checks import (
    BOOL,
    COMPLEX,
    FLOAT,
    axes_of,
    category,
    demand,
    inexact,
    need_elements,
    refuse,
    refuse_masks,
    type_name,
    wide,
)
from .reduction import Dim, shared, take_along

# --- variance --------------------------------------------------------------------------------------------------------


def _root(x: jax.Array) -> jax.Array:
    """The square root, with the gradient 0 at 0."""
    zero = x == 0
    return jnp.where(zero, x, jnp.sqrt(jnp.where(zero, jnp.ones_like(x), x)))


def _moments(x: jax.Array, dim: Dim, correction: float, keepdim: bool) -> tuple[jax.Array, jax.Array]:
    """The variance (of halves in float32) and the mean over `dim`."""
    if category(x) < FLOAT:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    axes = axes_of(dim, x.ndim)
    count = math.prod(x.shape[a] for a in axes)
    values = wide(x)
    mean = jnp.mean(values, axes, keepdims=True)
    squares = _squares_about_mean(values, axes)
    freedom = jnp.asarray(builtins.max(count - correction, 0), squares.dtype)
    variance = (squares if keepdim else squares.squeeze(axes)) / freedom
    mean = mean if keepdim else mean.squeeze(axes)
    return variance, mean.astype(x.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _squares_about_mean(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    off = x - jnp.mean(x, axes, keepdims=True)
    return jnp.sum((off * jnp.conj(off)).real if category(x) == COMPLEX else off * off, axes, keepdims=True)


@_squares_about_mean.defjvp
def _(axes: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents  # the mean moves, too, which sums up to nothing
    off = 2 * (x - jnp.mean(x, axes, keepdims=True))
    change = (t * jnp.conj(off)).real if category(x) == COMPLEX else t * off
    return _squares_about_mean(x, axes), jnp.sum(change, axes, keepdims=True)


def _spread(name: str, deviation: bool, with_mean: bool, doc: str) -> Callable[..., Any]:
    """`var`, `std` and their forms with the mean, which take their arguments in the same two ways."""

    def compute(input: Array, dim: Dim, correction: Static[float], keepdim: bool) -> Any:
        if with_mean and category(input) < FLOAT:
            raise RuntimeError(f"{name} only support floating point and complex dtypes")
        variance, mean = _moments(input, dim, correction, keepdim)
        spread = (_root(variance) if deviation else variance).astype(input.real.dtype)
        return (spread, mean) if with_mean else spread

    compute.__name__ = name
    run = operator(methods=False, public=())(compute)

    def function(
        input: Tensor,
        dim: Dim | bool = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        elif isinstance(dim, Tensor):
            dim = dim.__index__()  # type: ignore[attr-defined]
        if unbiased is not None and correction is not None:
            raise TypeError(f"{name}() takes `unbiased` or `correction`, not both")
        if correction is None:
            correction = 0 if unbiased is False else 1
        axes = axes_of(tuple(dim) if isinstance(dim, list) else dim, input.ndim)
        if math.prod(input.shape[a] for a in axes) <= correction:
            warnings.warn(
                f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
                "(input numel divided by output numel).",
                stacklevel=3,
            )
        return run(input, axes, correction, keepdim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{doc} over `dim`. The sum of squares is divided by the number of elements less `correction` (1);\n"
        "`unbiased=False` means 0."
    )
    return composite(methods=not with_mean)(function)


var: Callable[..., Tensor] = _spread("var", False, False, "The variance")
std: Callable[..., Tensor] = _spread("std", True, False, "The standard deviation, the root of the variance,")
var_mean: Callable[..., Any] = _spread("var_mean", False, True, "The variance and the mean")
std_mean: Callable[..., Any] = _spread("std_mean", True, True, "The standard deviation and the mean")

# --- order statistics ------------------------------------------------------------------------------------------------


def _middle(x: jax.Array, axis: int, ignore_nan: bool) -> jax.Array:
    """The index of the lower median along `axis`."""
    return ranked(x, axis, MIDDLE_OF_NUMBERS if ignore_nan else MIDDLE).squeeze(axis)


def _median(name: str, ignore_nan: bool, doc: str) -> Callable[..., Any]:
    title = name.capitalize()

    # Where the middle is, is found in an operator of its own: the gradient's program does not sort again.
    def place(input: Array, dim: int | None) -> Array:
        refuse("median_cpu", input, BOOL, COMPLEX)
        if dim is None:
            return _middle(input.reshape(-1), 0, ignore_nan) if input.size else jnp.zeros((), jnp.int64)
        axes = axes_of(dim, input.ndim)
        need_elements("median()", input, axes)
        return _middle(input, axes[0], ignore_nan) if axes else jnp.zeros((), jnp.int64)

    def along(input: Array, index: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
        return take_along(input, index, (*axes_of(dim, input.ndim), 0)[0], keepdim)

    def whole(input: Array, index: Array) -> Array:
        if input.size == 0:
            return jnp.full((), jnp.nan if category(input) == FLOAT else jnp.iinfo(input.dtype).min, input.dtype)
        value = lax.stop_gradient(input.reshape(-1)[index])
        return shared(input, value) if category(input) == FLOAT else value

    place.__name__ = along.__name__ = whole.__name__ = name
    found = operator(methods=False, public=())(place)
    along_dim = operator(methods=False, public=(), returns=("values", "indices"), grad=f"{title}Backward1")(along)
    over_all = operator(methods=False, public=(), grad=f"{title}Backward0")(whole)

    def function(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        if grad_state.dispatch_modes and (made := taken(name, input, dim, keepdim)) is not PASS:
            return made if dim is None else along_dim.operator.returns(*made)  # type: ignore[attr-defined]
        index = found(input, dim)
        return over_all(input, index) if dim is None else along_dim(input, index, dim, keepdim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{doc}\nWith `dim`, a named pair of values and indices. Of two middle elements the lower counts."
    )
    return composite()(function)


median: Callable[..., Any] = _median("median", False, "The middle element in size; nan if there is one.")
nanmedian: Callable[..., Any] = _median("nanmedian", True, "The middle element in size of those that are not nan.")


@operator(returns=("values", "indices"))
def mode(input: Array, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The most frequent values along `dim` (the smallest of equally frequent ones), and where each occurs last."""
    axes = axes_of(dim, input.ndim)
    need_elements("mode()", input, axes)
    if not axes:
        return input, jnp.zeros((), jnp.int64)
    if input.size:
        refuse("mode_cpu", input, COMPLEX)
    axis = axes[0]
    order = ascending(input, axis)
    ordered = jnp.take_along_axis(input, order, axis)
    place = lax.broadcasted_iota(jnp.int64, input.shape, axis)
    first = place == 0
    starts = first | (ordered != jnp.roll(ordered, 1, axis))
    run = place - lax.cummax(jnp.where(starts, place, jnp.zeros_like(place)), axis)
    best = jnp.argmax(run, axis, keepdims=True)
    return take_along(input, jnp.take_along_axis(order, best, axis).squeeze(axis), axis, keepdim)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(name: str, ignore_nan: bool, doc: str) -> Callable[..., Any]:
    def compute(input: Array, q: Array, dim: int | None, keepdim: bool, interpolation: str) -> Array:
        if category(input) != FLOAT or input.dtype.itemsize < 4:
            raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
        if q.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if input.size == 0:
            raise RuntimeError(f"{name}() input tensor must be non-empty")
        if interpolation not in _INTERPOLATIONS:
            raise RuntimeError(
                f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, "
                f"but got {interpolation}"
            )
        axes = axes_of(dim, input.ndim)
        kept_shape = tuple(1 if a in axes else n for a, n in enumerate(input.shape))
        lines = input.reshape(1, -1) if dim is None or not axes else jnp.moveaxis(input, axes[0], -1)
        found = _between(jnp.sort(lines, axis=-1), q.reshape(-1).astype(input.dtype), interpolation, ignore_nan)
        shape = kept_shape if keepdim else tuple(n for a, n in enumerate(input.shape) if a not in axes)
        return jnp.moveaxis(found, -1, 0).reshape((*q.shape, *shape))

    compute.__name__ = name
    run = operator(methods=False, public=())(compute)

    def function(
        input: Tensor,
        q: Tensor | float,
        dim: int | None = None,
        keepdim: bool = False,
        *,
        interpolation: str = "linear",
    ) -> Tensor:
        if isinstance(q, Tensor):
            if q.dtype is not input.dtype:
                raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
            text = f"{name}() q values must be in the range [0, 1]"
            demand(lambda x: (~((x >= 0) & (x <= 1)), 0), lambda _: RuntimeError(text), q)
        elif not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        return run(input, q, dim, keepdim, interpolation)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{doc}\n`q` is a number or a 1-D tensor of numbers in [0, 1]; a tensor's length becomes the first dimension.\n"
        "`interpolation` (linear, lower, higher, midpoint, nearest) says what lies between two elements."
    )
    return composite(autocast={"cpu": "float32"})(function)


def _between(ordered: jax.Array, q: jax.Array, interpolation: str, ignore_nan: bool) -> jax.Array:
    """The elements at the fractions `q` along the last axis of sorted lines."""
    missing = jnp.sum(ordered != ordered, -1, keepdims=True)
    last = jnp.asarray(ordered.shape[-1] - 1, q.dtype)
    if ignore_nan:
        rank = q * jnp.maximum(last - missing.astype(q.dtype), 0)
    else:
        rank = jnp.where(missing > 0, last, q * last)  # nan, being last, is then the result
    if interpolation in ("lower", "higher", "nearest"):
        rank = {"lower": jnp.floor, "higher": jnp.ceil, "nearest": jnp.round}[interpolation](rank)
    below = jnp.floor(rank)
    low = jnp.take_along_axis(ordered, below.astype(jnp.int64), -1)
    if interpolation in ("lower", "higher", "nearest"):
        return low
    high = jnp.take_along_axis(ordered, jnp.ceil(rank).astype(jnp.int64), -1)
    weight = jnp.full_like(rank, 0.5) if interpolation == "midpoint" else rank - below
    return jnp.where(weight < 0.5, low + weight * (high - low), high - (high - low) * (1 - weight))


quantile: Callable[..., Tensor] = _quantile(
    "quantile", False, "The elements below which the fractions `q` of all lie; nan if there is one."
)
nanquantile: Callable[..., Tensor] = _quantile(
    "nanquantile", True, "The elements below which the fractions `q` of all but nan lie."
)

# --- norms -----------------------------------------------------------------------------------------------------------


@operator(public=("torch", "special"))
def logsumexp(input: Array, dim: Dim, keepdim: bool = False) -> Array:
    """`log(sum(exp(input)))` over `dim`, safe from overflow."""
    x = inexact(input)
    if dim == () and x.ndim and x.size and not keepdim:  # only with `keepdim` does () mean all of them
        raise RuntimeError(f"output with shape [] doesn't match the broadcast shape {[1] * x.ndim}")
    if not x.ndim and category(x) == COMPLEX:
        return jnp.log(jnp.exp(x - x.real)) + x.real  # the angle is the principal one
    return jsp.logsumexp(wide(x), axes_of(dim, x.ndim), keepdims=keepdim).astype(x.dtype)


@jax.custom_jvp
def _nan_slopes(x: jax.Array) -> jax.Array:
    """The same values; at nan the slope is nan, where that of a modulus is 0."""
    return x


@_nan_slopes.defjvp
def _nan_slopes_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return x, dx * jnp.where(jnp.isnan(x), jnp.full_like(x, jnp.nan), jnp.ones_like(x))


@jax.custom_jvp
def _slopes_alone(size: jax.Array, weights: jax.Array) -> jax.Array:
    """0, with the slopes of `size` times `weights`."""
    return jnp.zeros_like(size)


@_slopes_alone.defjvp
def _slopes_alone_jvp(primals: Any, tangents: Any) -> Any:
    (size, weights), (change, _) = primals, tangents
    return _slopes_alone(size, weights), change * weights


def distance(apart: jax.Array, p: float, skips_nan: bool = False) -> jax.Array:
    """The p-norm over the last dimension. At p = inf each of several largest differences has the whole slope, where norms share it.

    `skips_nan` says that the largest one is looked for among the others there. Slopes are nan wherever it is infinite or not to
    be compared with a difference.
    """
    if not math.isinf(p):
        if p == 1:
            apart = _nan_slopes(apart)
        return vector_norm(apart, p, (apart.ndim - 1,), False)
    size = modulus(apart)
    held = lax.stop_gradient(size)
    largest = jnp.max(jnp.where(jnp.isnan(held), 0, held) if skips_nan else held, -1, keepdims=True)
    gap = held - largest
    weights = jnp.where(jnp.isnan(gap), gap, (gap == 0).astype(gap.dtype))
    return jnp.squeeze(largest, -1) + jnp.sum(_slopes_alone(size, weights), -1)


def vector_norm(x: jax.Array, p: float, axes: tuple[int, ...], keepdim: bool, named: bool = True) -> jax.Array:
    """The p-norm `sum(abs(x) ** p) ** (1 / p)` over `axes`, its limits at 0 and +-inf, and gradient 0 where it is 0.

    `named` says whether the caller has named the dimensions.
    """
    size = modulus(x)
    made, size = size.dtype, wide(size)
    if (math.isinf(p) or p < 0) and (empty := [a for a in axes if x.shape[a] == 0]):
        where = f"the dimension {empty[0]}because this dimension is empty and" if named else "an empty tensor because"
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {p:g} norm on {where} the operation does not have an identity"
        )
    if math.isinf(p):
        found = (jnp.max if p > 0 else jnp.min)(size, axes, keepdims=keepdim)
    elif p == 0:
        found = jnp.sum(size != 0, axes, keepdims=keepdim)
    elif p == 1:
        found = jnp.sum(size, axes, keepdims=keepdim)
    elif p == 2:
        found = _root(jnp.sum(size * size, axes, keepdims=keepdim))
    else:
        held = jnp.where(size == 0, size, 0) * 0  # a slope of 0 times the norm's own, which may be nan or infinite
        found = _safe_power(jnp.sum(_safe_power(size, p) + held, axes, keepdims=keepdim), 1 / p)
    return found.astype(made)


def _safe_power(x: jax.Array, p: float) -> jax.Array:
    """x ** p for x >= 0, with the gradient 0 at 0."""
    zero = x == 0
    at_zero = jnp.full_like(x, 0.0 if p > 0 else jnp.inf)
    return jnp.where(zero, at_zero, jnp.where(zero, jnp.ones_like(x), x) ** p)


@operator(promote="common", check=refuse_masks, autocast={"cuda": "float32"})
def dist(input: Array, other: Array, p: Static[float] = 2) -> Array:
    """The `p`-norm of `input - other`."""
    if category(input) < FLOAT:
        raise RuntimeError(
            f"norm(): input dtype should be either floating point or complex. Got {type_name(input)} instead."
        )
    apart = input - other
    return vector_norm(apart, float(p), tuple(range(apart.ndim)), False)
