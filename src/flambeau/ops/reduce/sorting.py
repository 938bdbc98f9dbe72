"""Order: sorting, selection, search, and the distinct elements."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.context.grad_mode import state as grad_state
from ...core.dispatch.operator import Array, composite, operator
from ...core.tape.nodes import Underivable, camel
from ...core.tensor.tensor import Tensor, wrap
from ...native.selection import ascending, ranked
from ..support.checks import BOOL, COMPLEX, FLOAT, category, host_values, normalized_dim, refuse, refuse_outside


def _order(x: jax.Array, axis: int, descending: bool) -> jax.Array:
    if not descending:
        return ascending(x, axis)
    size = x.shape[axis]
    return size - 1 - jnp.flip(ascending(jnp.flip(x, axis), axis), axis)


def _sorted(x: jax.Array, dim: int, descending: bool) -> tuple[jax.Array, jax.Array]:
    if category(x) == COMPLEX:
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    axis = normalized_dim(dim, x.ndim)
    if x.ndim == 0:
        return x, jnp.zeros((), jnp.int64)
    order = _order(x, axis, descending)
    return jnp.take_along_axis(x, order, axis), order


@operator(returns=("values", "indices"))
def sort(input: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> tuple[Array, Array]:
    """The elements in order along `dim` and their indices, as a named pair. nan counts as the largest.

    Equal elements keep their order, whether `stable` is asked for or not.
    """
    return _sorted(input, dim, descending)


@operator()
def argsort(input: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Array:
    """The indices that sort `input` along `dim`. Equal elements keep their order."""
    return _sorted(input, dim, descending)[1]


@operator(grad="SortBackward0")
def msort(input: Array) -> Array:
    """The elements in ascending order along the first dimension."""
    return _sorted(input, 0, False)[0]


def _top(x: jax.Array, k: int, axis: int, largest: bool) -> jax.Array:
    """The indices of the k largest or smallest elements: for float32, XLA has a selection far quicker than sorting."""
    x = lax.stop_gradient(jnp.moveaxis(x, axis, -1)).astype(jnp.float32)
    # -0.0 becomes 0.0, its equal: XLA drops a sum with 0.0, and takes tiny numbers for 0 where it compares
    x = jnp.where(lax.bitcast_convert_type(x, np.int32) == np.int32(-(1 << 31)), 0.0, x)
    # XLA orders nans by their sign bit: a positive one is above infinity, a negative one below minus infinity.
    first, last = (lax.bitcast_convert_type(np.uint32(bits), np.float32) for bits in (0x7FC00000, 0xFFC00000))
    keys = jnp.where(x != x, first, x) if largest else jnp.where(x != x, last, -x)
    return jnp.moveaxis(lax.top_k(keys, k)[1].astype(jnp.int64), -1, axis)


@operator(returns=("values", "indices"))
def topk(input: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Array, Array]:
    """The `k` largest (or smallest) elements along `dim`, in order, and their indices, as a named pair."""
    if category(input) in (BOOL, COMPLEX):
        raise RuntimeError(f"topk does not support {'bool' if category(input) == BOOL else 'complex'} dtypes on CPU")
    axis = normalized_dim(dim, input.ndim)
    if not 0 <= k <= (input.shape[axis] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if input.ndim == 0:
        return (input, jnp.zeros((), jnp.int64)) if k else (jnp.zeros(0, input.dtype), jnp.zeros(0, jnp.int64))
    if category(input) == FLOAT and input.dtype.itemsize <= 4:
        order = _top(input, k, axis, largest)
    else:
        order = lax.slice_in_dim(_order(input, axis, largest), 0, k, axis=axis)
    return jnp.take_along_axis(input, order, axis), order


@operator(returns=("values", "indices"))
def kthvalue(input: Array, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The `k`-th smallest element along `dim`, counted from 1, and its index, as a named pair."""
    axis = normalized_dim(dim, input.ndim)
    if not 1 <= k <= (input.shape[axis] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    if input.ndim == 0:
        return input, jnp.zeros((), jnp.int64)
    refuse("kthvalue_cpu", input, BOOL, COMPLEX)
    index = ranked(input, axis, k - 1)
    values = jnp.take_along_axis(input, index, axis)
    return (values, index) if keepdim else (values.squeeze(axis), index.squeeze(axis))


# --- search ----------------------------------------------------------------------------------------------------------


def _search(edges: jax.Array, values: jax.Array, right: bool, out_int32: bool) -> jax.Array:
    side = "right" if right else "left"
    find = lambda e, v: jnp.searchsorted(e, v, side=side)  # noqa: E731
    for _ in range(edges.ndim - 1):
        find = jax.vmap(find)
    return find(edges, values).astype(jnp.int32 if out_int32 else jnp.int64)


@operator(promote="common", methods=False, public=())
def _searchsorted(edges: Array, values: Array, right: bool, out_int32: bool) -> Array:
    if values.size:
        refuse("searchsorted_out_cpu", values, BOOL, COMPLEX)
    if edges.ndim > 1 and edges.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(edges.shape)} and input "
            f"value tensor {list(values.shape)}"
        )
    if not (edges.size and values.size):
        return jnp.zeros(values.shape, jnp.int32 if out_int32 else jnp.int64)
    return _search(edges, values, right, out_int32)


@composite(methods=False)
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float | None = None,
    *,
    values: Tensor | float | None = None,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where in the last dimension of `sorted_sequence` each value would have to be put in for it to stay sorted.

    With several dimensions, each line has its own values. `right` (or `side="right"`) goes behind equal elements.
    `sorter` holds the indices that sort the sequence, if it is not sorted itself.
    """
    wanted = values if input is None else input
    if wanted is None:
        raise TypeError("searchsorted() missing 1 required positional argument: 'input'")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    if sorter is not None:
        if sorter.shape != sorted_sequence.shape:
            raise RuntimeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(sorted_sequence.shape)} and got sorter tensor {list(sorter.shape)}"
            )
        text = "torch.searchsorted(): sorter index out of range"
        refuse_outside(sorter, sorter.shape[-1] if sorter.ndim else 1, text, RuntimeError)
        sorted_sequence = _picked(sorted_sequence, sorter)
    return _searchsorted(sorted_sequence, wanted, right or side == "right", out_int32)


@operator(methods=False, public=())
def _picked(input: Array, index: Array) -> Array:
    return jnp.take_along_axis(input, index, -1)


@composite(methods=False)
def bucketize(input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The index of the bucket between increasing 1-D `boundaries` into which each element falls.

    `boundaries[i-1] < element <= boundaries[i]`; with `right`, `boundaries[i-1] <= element < boundaries[i]`.
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return _searchsorted(boundaries, input, right, out_int32)


# --- distinct elements -----------------------------------------------------------------------------------------------
# How many there are depends on the data, so these run on the host.


def _tensor(x: np.ndarray) -> Tensor:
    return wrap(jnp.asarray(x))


def _answer(parts: tuple[np.ndarray, Any, Any], return_inverse: bool, return_counts: bool) -> Any:
    found, inverse, counts = parts
    made = [_tensor(found)]
    if return_inverse:
        made.append(_tensor(inverse.astype(np.int64)))
    if return_counts:
        made.append(_tensor(counts.astype(np.int64)))
    return made[0] if len(made) == 1 else tuple(made)


def _recorded(made: Any, input: Tensor, name: str) -> Any:
    """What `unique` has made of a tensor, on the tape if that is: whoever wants its derivative is told that there is none."""
    if grad_state.grad and (edge := input._tape_edge()) is not None:
        first = made[0] if isinstance(made, tuple) else made
        first._edge = (Underivable(camel(name.strip("_")) + "Backward0", edge, name), 0)
    return made


def _refuse_complex(input: Tensor, dim: int | None) -> None:
    if input.dtype.is_complex:
        raise NotImplementedError(f"\"unique{'' if dim is None else '_dim'}\" not implemented for '{input.dtype.abbr}'")


def _refuse_others(name: str, **options: Any) -> None:
    for option, given in options.items():
        if not isinstance(given, bool):
            raise TypeError(f"{name}(): argument '{option}' must be bool, not {type(given).__name__}")


@composite(in_python=True)
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order; with `dim`, the distinct slices along it. Each nan is distinct.

    `return_inverse` adds where each element of `input` is found in the result, `return_counts` how often it occurs.
    """
    _refuse_others("_unique2", sorted=sorted, return_inverse=return_inverse, return_counts=return_counts)
    _refuse_complex(input, dim)
    x = host_values(input, "unique")
    name = "_unique2" if dim is None else "unique_dim"
    axis = None if dim is None else normalized_dim(dim, x.ndim)
    if not (return_inverse or return_counts):
        return _recorded(_tensor(np.unique(x, axis=axis, equal_nan=False)), input, name)
    found, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    parts = found, inverse.reshape(x.shape if dim is None else -1), counts
    return _recorded(_answer(parts, return_inverse, return_counts), input, name)


@composite(in_python=True)
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of each run of equal elements; with `dim`, of equal slices along it. See `unique`."""
    _refuse_others("unique_consecutive", return_inverse=return_inverse, return_counts=return_counts)
    _refuse_complex(input, dim)
    x = host_values(input, "unique_consecutive")
    lines = x.reshape(-1) if dim is None else np.moveaxis(x, normalized_dim(dim, x.ndim), 0)
    flat = lines.reshape(lines.shape[0], math.prod(lines.shape[1:]))
    starts = np.ones(lines.shape[0], bool)
    starts[1:] = (flat[1:] != flat[:-1]).any(axis=1)
    inverse = np.cumsum(starts) - 1
    counts = np.diff(np.append(np.flatnonzero(starts), lines.shape[0]))
    found = lines[starts]
    if dim is None:
        inverse = inverse.reshape(x.shape)
    else:
        found = np.moveaxis(found, 0, normalized_dim(dim, x.ndim))
    return _recorded(_answer((found, inverse, counts), return_inverse, return_counts), input, "unique_consecutive")
