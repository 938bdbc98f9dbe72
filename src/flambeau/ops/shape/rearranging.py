"""Elements in other places: repeats of the whole, flips, rolls, triangles, diagonals, and writes into a part of a copy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array.small_reader import MOST_SUMMED
from ...core.dispatch.at_once import memory, nobody_looks
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.promotion import convert
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, normalized_dim, refuse, summed_dtype, wide

# --- repeats ----------------------------------------------------------------------------------------------------------


@operator(public=(), narrow=True)
def repeat(input: Array, *repeats: int) -> Array:
    """The tensor laid out `repeats` times along each dimension; more repeats than dimensions add some in front."""
    if len(repeats) < input.ndim:
        raise RuntimeError(
            f"Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: "
            f"{len(repeats)} repeats for {input.ndim} dimensions"
        )
    shape = (1,) * (len(repeats) - input.ndim) + input.shape
    made = [n * r for n, r in zip(shape, repeats, strict=True)]
    if any(r < 0 for r in repeats):
        bad = next(n * r for n, r in zip(shape, repeats, strict=True) if r < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {made}")
    doubled = [n for pair in zip(repeats, shape, strict=True) for n in pair]
    spread = input.reshape([n for size in shape for n in (1, size)])
    return jnp.broadcast_to(spread, doubled).reshape(made)


@composite()
def tile(input: Tensor, *dims: Any) -> Tensor:
    """`repeat`, with missing repeats in front counted as 1."""
    counts = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return repeat(input, *((1,) * (input.ndim - len(counts)) + counts))


# --- flips and rolls --------------------------------------------------------------------------------------------------


def _distinct(dims: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    axes = tuple(normalized_dim(d, ndim) for d in dims)
    for axis in axes:
        if axes.count(axis) > 1:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return axes if ndim else ()


@operator()
def flip(input: Array, *dims: int) -> Array:
    """The elements in reverse order along the given dimensions."""
    return jnp.flip(input, _distinct(dims, input.ndim))


@operator(grad="FlipBackward0")
def fliplr(input: Array) -> Array:
    """Columns in reverse order."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return jnp.flip(input, 1)


@operator(grad="FlipBackward0", narrow=True)
def flipud(input: Array) -> Array:
    """Rows in reverse order."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return jnp.flip(input, 0)


@operator(narrow=True)
def roll(input: Array, shifts: int | tuple[int, ...], dims: int | tuple[int, ...] = ()) -> Array:
    """The elements moved on by `shifts` along `dims`, those that fall off the end coming in at the start.

    Without `dims` the tensor is rolled as one row.
    """
    shifts = (shifts,) if isinstance(shifts, int) else shifts
    dims = (dims,) if isinstance(dims, int) else dims
    if not shifts:
        raise RuntimeError("`shifts` required")
    if not dims and len(shifts) == 1:
        return jnp.roll(input, shifts[0])
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions to roll")
    return jnp.roll(input, shifts, tuple(normalized_dim(d, input.ndim) for d in dims))


@operator()
def rot90(input: Array, k: int = 1, dims: tuple[int, ...] = (0, 1)) -> Array:
    """Turned by 90 degrees `k` times, from the first of the two `dims` to the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)} in rot90")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    axes = normalized_dim(dims[0], input.ndim), normalized_dim(dims[1], input.ndim)
    if axes[0] == axes[1]:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]} in rot90"
        )
    return jnp.rot90(input, k, axes)


# --- triangles and diagonals ------------------------------------------------------------------------------------------


def _matrix(name: str, input: jax.Array) -> None:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")


@operator(inplace=True)
def tril(input: Array, diagonal: int = 0) -> Array:
    """The lower triangle of the matrix (or matrices), up to the given diagonal; zeros elsewhere."""
    _matrix("tril", input)
    return jnp.tril(input, diagonal)


@operator(inplace=True)
def triu(input: Array, diagonal: int = 0) -> Array:
    """The upper triangle of the matrix (or matrices), from the given diagonal on; zeros elsewhere."""
    _matrix("triu", input)
    return jnp.triu(input, diagonal)


def _embedded(input: jax.Array, offset: int, dim1: int, dim2: int) -> jax.Array:
    input = jnp.atleast_1d(input)
    ndim = input.ndim + 1
    axes = normalized_dim(dim1, ndim), normalized_dim(dim2, ndim)
    if axes[0] == axes[1]:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input.shape[-1]
    size = n + abs(offset)
    place = np.arange(n)
    out = jnp.zeros((*input.shape[:-1], size, size), input.dtype)
    out = out.at[..., place + max(-offset, 0), place + max(offset, 0)].set(input, unique_indices=True)
    return jnp.moveaxis(out, (-2, -1), axes)


@operator(narrow=True)
def diag_embed(input: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Matrices, in the new dimensions `dim1` and `dim2`, with the last dimension's elements on a diagonal."""
    if input.ndim == 0:
        raise IndexError("diag_embed: the input needs at least one dimension, got a 0-dim tensor")
    return _embedded(input, offset, dim1, dim2)


@operator(grad=lambda arrays: "DiagEmbedBackward0" if arrays[0].ndim == 1 else "DiagonalBackward0_copy", narrow=True)
def diag(input: Array, diagonal: int = 0) -> Array:
    """A matrix with the vector on its diagonal, or the diagonal of the matrix as a vector."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return _embedded(input, diagonal, -2, -1) if input.ndim == 1 else jnp.diagonal(input, diagonal)


@operator(grad="DiagEmbedBackward0", narrow=True)
def diagflat(input: Array, offset: int = 0) -> Array:
    """A matrix with all elements of the tensor, in a row, on its diagonal."""
    return _embedded(input.reshape(-1), offset, -2, -1)


def _traced(input: Any) -> Any:
    """The same of what lies in memory already, by a view."""
    if not nobody_looks() or (found := memory(input)) is None or len(found[2]) != 2 or found[0].dtype.char not in "fd":
        return None
    diagonal = input.diagonal()
    return diagonal.sum() if 1 < diagonal.shape[0] <= MOST_SUMMED else None


@operator(autocast={"cpu": "float32"}, at_once=_traced)
def trace(input: Array) -> Array:
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    refuse("trace", input, BOOL)
    return jnp.sum(wide(jnp.diagonal(input)), dtype=summed_dtype(wide(input))).astype(summed_dtype(input))


@operator(methods=False, public=("torch",), grad="PowBackward0")
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """The Vandermonde matrix: columns are powers of `x`, from `N - 1` (default: its size) down, or up from 0."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise RuntimeError("N must be non-negative.")
    if x.dtype == np.bool_ or np.issubdtype(x.dtype, np.integer):
        x = x.astype(np.int64)
    if columns == 0:
        return jnp.zeros((x.shape[0], 0), x.dtype)
    powers = [jnp.ones_like(x)]
    for _ in range(columns - 1):
        powers.append(powers[-1] * x)
    return jnp.stack(powers if increasing else powers[::-1], -1)


# --- writes into a part of a copy -------------------------------------------------------------------------------------


def _part(input: jax.Array, src: jax.Array, where: Any) -> jax.Array:
    """`input` with `src` in the part that the subscript `where` names, which must have the same shape."""
    shape = jax.eval_shape(lambda a: a[where], input).shape
    if src.shape != shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(shape)}"
        )
    return input.at[where].set(convert(src, input.dtype), unique_indices=True)


@operator(narrow=True)
def diagonal_scatter(input: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """A copy of `input` with `src` in place of the diagonal that `diagonal(offset, dim1, dim2)` shows."""
    axes = normalized_dim(dim1, input.ndim), normalized_dim(dim2, input.ndim)
    if axes[0] == axes[1]:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    turned = jnp.moveaxis(input, axes, (-2, -1))
    rows, columns = turned.shape[-2:]
    down, right = max(-offset, 0), max(offset, 0)
    place = np.arange(max(min(rows - down, columns - right), 0))
    return jnp.moveaxis(_part(turned, src, (..., place + down, place + right)), (-2, -1), axes)


@operator(narrow=True)
def select_scatter(input: Array, src: Array, dim: int, index: int) -> Array:
    """A copy of `input` with `src` in place of its slice `index` along `dim`."""
    axis = normalized_dim(dim, input.ndim)
    n = input.shape[axis]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {axis}"
        )
    return _part(input, src, (slice(None),) * axis + (index % n,))


@operator(narrow=True)
def slice_scatter(
    input: Array, src: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    """A copy of `input` with `src` in place of its `start:end:step` along `dim`."""
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    axis = normalized_dim(dim, input.ndim)
    span = range(input.shape[axis])[start:end:step]
    return _part(input, src, (slice(None),) * axis + (slice(span.start, max(span.stop, span.start), step),))
