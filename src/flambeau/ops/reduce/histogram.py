"""Counting how often values occur, singly or in bins."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array.return_types import return_type
from ...core.dispatch.checks import demand, on_host
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Arrays, composite, operator
from ...core.tensor.tensor import Tensor, from_host
from ..support.checks import COMPLEX, INTEGER, category, host_values, require_floating, scalar_name


@composite()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 to the largest occurs in a 1-D integer tensor, or the sum of its weights."""
    kind = input.dtype
    if kind.category != INTEGER:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{kind.abbr}'")
    if minlength < 0:
        raise RuntimeError(f"minlength should be >= 0, but got {minlength}")
    numbers = host_values(input, "bincount")
    if numbers.ndim != 1 or (numbers.size and numbers.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return from_host(np.bincount(numbers, minlength=minlength).astype(np.int64, copy=False), input.device)
    if tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    held = host_values(weights, "bincount")
    made = held.dtype if held.dtype == np.float32 else np.dtype(np.float64)
    return from_host(np.bincount(numbers, held.astype(np.float64), minlength).astype(made, copy=False), input.device)


# --- equal bins ------------------------------------------------------------------------------------------------------


def _numbers(kernel: str, x: jax.Array, halves: bool) -> jax.Array:
    require_floating(kernel, x, halves=halves)
    return lax.stop_gradient(x)


def _equal_edges(x: jax.Array, bins: int, low: float, high: float, dim: int = 0) -> jax.Array:
    """The edges of equal bins from `low` to `high`; if these are equal, between the extremes of the data."""
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension {dim}")
    first, last = jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype)
    if x.size and (isinstance(low == high, jax.Array) or low == high):
        first, last = jnp.where(low == high, x.min(), first), jnp.where(low == high, x.max(), last)
    same = first == last
    first, last = jnp.where(same, first - 0.5, first), jnp.where(same, last + 0.5, last)
    return (first + jnp.arange(bins + 1, dtype=x.dtype) * ((last - first) / bins)).at[-1].set(last)


def _place(x: jax.Array, edges: jax.Array, equal: bool) -> jax.Array:
    """The bin of each element: the last edge belongs to the last bin, and what lies outside gets the number of bins."""
    bins = edges.shape[0] - 1
    if equal:
        place = jnp.floor((x - edges[0]) / (edges[-1] - edges[0]) * bins).astype(jnp.int64)
    else:
        place = jnp.searchsorted(edges, x, side="right") - 1
    outside = (x < edges[0]) | (x > edges[-1]) | (x != x)
    return jnp.where(outside, bins, jnp.clip(place, 0, bins - 1))


def _demand_range(input: Tensor, low: Any, high: Any, text: str) -> None:
    """Raise RuntimeError for limits that are not finite: given ones, or (of equal ones) the extremes of the data."""
    if low != high:
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(text.format(f"[{low:g}, {high:g}]"))
        return
    if not isinstance(input, Tensor) or not input.dtype.is_floating_point:
        return

    def error(_: int) -> Exception:
        values = on_host(input)
        said = "the values" if values is None else f"[{values.min():g}, {values.max():g}]"
        return RuntimeError(text.format(said))

    demand(lambda x: (~(abs(x) < np.inf), 0), error, input)


def _check_limits(input: Any, bins: int, min: float, max: float) -> None:
    if max < min:
        raise RuntimeError("torch.histc: max must be larger than min")


@operator(methods=False, public=(), options=_check_limits, room={"min": "own", "max": "own"}, constant={"input": ""})
def histc(input: Array, bins: int = 100, min: float = 0, max: float = 0) -> Array:
    x = _numbers("aminmax_cpu" if category(input) == COMPLEX else "histogram_cpu", input.reshape(-1), True)
    place = _place(x, _equal_edges(x, bins, min, max), True)
    return jnp.zeros(bins, x.dtype).at[place].add(jnp.ones_like(x), mode="drop")


@composite(name="histc", numbers=("min", "max"))
def _finite_histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal intervals from `min` to `max` (if equal: the data's limits)."""
    if isinstance(min, (int, float)) and isinstance(max, (int, float)) and not max < min:
        _demand_range(input, min, max, "torch.histc: range of {} is not finite")
    made: Tensor = histc(input, bins, min, max)
    return made


@operator(methods=False, public=())
def _histogram(
    points: Array,
    edges: Arrays | None,
    weight: Array | None,
    bins: tuple[int, ...],
    range: tuple[float, ...] | None,
    density: bool,
) -> tuple[Array, ...]:
    """The histogram of points (N, D), and its edges per dimension."""
    x = _numbers("histogramdd", points, edges is not None)
    limits = range or (0.0, 0.0 if x.shape[0] else 1.0) * x.shape[1]
    if edges is None:
        made = tuple(_equal_edges(x[:, d], n, limits[2 * d], limits[2 * d + 1], d) for d, n in enumerate(bins))
    else:
        made = tuple(edges)
    if weight is not None and weight.dtype != x.dtype:
        raise RuntimeError(message("histogram_weights", points=scalar_name(x), weight=scalar_name(weight)))
    places = tuple(_place(x[:, d], e, edges is None) for d, e in enumerate(made))
    weights = jnp.ones(x.shape[0], x.dtype) if weight is None else weight.reshape(-1)
    hist = jnp.zeros(tuple(e.shape[0] - 1 for e in made), x.dtype).at[places].add(weights, mode="drop")
    if density:
        hist = hist / jnp.sum(hist)
        for d, e in enumerate(made):
            hist = hist / jnp.expand_dims(jnp.diff(e), tuple(a for a in np.arange(len(made)).tolist() if a != d))
    return hist, *made


def _demand_ranges(points: Tensor, range: Any) -> None:
    for d in np.arange(points.shape[1]).tolist():
        low, high = range[2 * d : 2 * d + 2] if range else (0.0, 0.0)
        if low > high:
            text = f"min should not exceed max, but got min {low:g} max {high:g} for dimension {d}"
            raise RuntimeError(f"torch.histogramdd: {text}")
        _demand_range(points[:, d], low, high, f"torch.histogramdd: dimension {d}'s range {{}} is not finite")


_Histogram = return_type("histogram", ("hist", "bin_edges"))
_HistogramDD = return_type("histogramdd", ("hist", "bin_edges"))


@composite()
def histogram(
    input: Tensor,
    bins: int | Tensor = 100,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """The histogram of all elements and the edges of its bins: `bins` equal ones over `range`, or those given by a
    1-D tensor of increasing edges. Elements may be weighted; a density has the integral 1."""
    edges = [bins] if isinstance(bins, Tensor) else None
    column = input.reshape(-1, 1) if input.ndim else input.reshape(1, 1)
    if edges is None:
        _demand_ranges(column, range)
    return _Histogram(*_histogram(column, edges, weight, () if edges else (bins,), range, density))


@composite()
def histogramdd(
    input: Tensor,
    bins: int | list[int] | list[Tensor],
    *,
    range: list[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """The histogram of points in several dimensions, which lie along the last dimension of `input`, and its edges.

    `bins` is a number, or for each dimension a number or a tensor of edges; `range` has two limits for each.
    """
    if input.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    count = input.shape[-1]
    each: list[Any] = [bins] * count if isinstance(bins, int) else list(bins)
    if len(each) != count:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input. "
            f"(got {len(each)} for {count} dimensions)"
        )
    edges = each if isinstance(each[0], Tensor) else None
    points = input.reshape(math.prod(input.shape[:-1]), count)
    if edges is None:
        _demand_ranges(points, range)
    hist, *made = _histogram(points, edges, weight, () if edges else each, range, density)
    return _HistogramDD(hist, tuple(made))
