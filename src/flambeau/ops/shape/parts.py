"""Views of a part of a tensor: selected, sliced, along a diagonal, in windows, by strides of one's own."""

from __future__ import annotations

import operator
from typing import Any

from ...core.array import dtypes
from ...core.array.geometry import Geometry
from ...core.array.size import normalized_dim
from ...core.dispatch.host_numbers import HostInt, as_int
from ...core.dispatch.operator import composite
from ...core.dispatch.view import view
from ...core.tensor.tensor import Tensor
from .views import _ints, _permuted


@view(number="index")
def select(g: Geometry, dim: int, index: int) -> Geometry:
    """One index of a dimension, which is dropped."""
    if not g.shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    at, i = normalized_dim(dim, len(g.shape)), as_int(index)
    n = g.shape[at]
    if not -n <= i < n:
        raise IndexError(f"select(): index {i} out of range for tensor of size {list(g.shape)} at dimension {at}")
    i = i + n if i < 0 else i
    return g._replace(
        shape=g.shape[:at] + g.shape[at + 1 :],
        strides=g.strides[:at] + g.strides[at + 1 :],
        offset=g.offset + i * g.strides[at],
    )


def _clipped(bound: Any, absent: int, size: int) -> Any:
    """A slice's bound, as Python clips it, by comparisons alone."""
    if bound is None:
        return absent
    bound = bound + size if bound < 0 else bound
    return 0 if bound < 0 else size if bound > size else bound


def sliced(g: Geometry, dim: int, start: Any, end: Any, step: int = 1) -> Geometry:
    """The geometry of `start:end:step` in one dimension, clipped as Python slices are."""
    if start is None and end is None and step in (1, None):
        return g
    if isinstance(start, HostInt) or isinstance(end, HostInt):
        first, last = _clipped(start, 0, g.shape[dim]), _clipped(end, g.shape[dim], g.shape[dim])
    else:
        first, last, step = slice(start, end, step).indices(g.shape[dim])
    count = max(0, -(-(last - first) // step))
    if isinstance(count, HostInt):
        count = count.settle()  # a program holds for one length, wherever it begins
    shape = (*g.shape[:dim], count, *g.shape[dim + 1 :])
    strides = (*g.strides[:dim], g.strides[dim] * step, *g.strides[dim + 1 :])
    return g._replace(shape=shape, strides=strides, offset=g.offset + first * g.strides[dim])


@view(methods=False, public=(), grad="SliceBackward0")
def slice_view(g: Geometry, dim: int, start: Any, end: Any, step: int = 1) -> Geometry:
    """One dimension's `start:end:step`."""
    return sliced(g, normalized_dim(dim, len(g.shape)), start, end, step)


@view(grad="SliceBackward0", number="start")
def narrow(g: Geometry, dim: int, start: int, length: int) -> Geometry:
    """`length` indices of a dimension from `start` on."""
    if not g.shape:
        raise RuntimeError("there is no dimension, and narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor) and (start.ndim or start.dtype.category != dtypes.INTEGER):
        raise RuntimeError(f"start must be an 0-dim integral Tensor. (got {start.dtype} {list(start.shape)})")
    at, first, length = normalized_dim(dim, len(g.shape)), as_int(start), operator.index(length)
    n = g.shape[at]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= first <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {first})")
    first = first + n if first < 0 else first
    if first + length > n:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({n}).")
    return sliced(g, at, first, first + length)


@composite()
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow` with memory of its own."""
    if 0 < input.ndim <= dim:  # the one place where this is no IndexError
        raise RuntimeError(
            f"Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false. (dim is {dim}.)"
        )
    found = narrow(input, dim, start, max(length, 0))
    if length < 0:
        size = input.shape[dim]
        start = start + size if start < 0 else start
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return found.clone()


@view()
def diagonal(g: Geometry, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Geometry:
    """The diagonal of two dimensions, as the last dimension of the result."""
    a, b = normalized_dim(dim1, len(g.shape)), normalized_dim(dim2, len(g.shape))
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    offset = as_int(offset)
    rows, columns = g.shape[a], g.shape[b]
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = (offset * g.strides[b] if offset >= 0 else -offset * g.strides[a]) if count else 0
    rest = _permuted(g, [i for i in range(len(g.shape)) if i not in (a, b)])
    return Geometry((*rest.shape, count), (*rest.strides, g.strides[a] + g.strides[b]), g.offset + start, g.bits)


@view(methods=("unfold",), public=(), grad="UnfoldBackward0")
def unfold_dimension(g: Geometry, dimension: int, size: int, step: int) -> Geometry:
    """All windows of `size` in a dimension, `step` apart, as a new last dimension."""
    at, (size, step) = normalized_dim(dimension, len(g.shape)), _ints((size, step), "unfold")
    n = g.shape[at] if g.shape else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {at} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not g.shape:
        return g._replace(shape=(size,), strides=(1,))
    shape = (*g.shape[:at], (n - size) // step + 1, *g.shape[at + 1 :], size)
    strides = (*g.strides[:at], g.strides[at] * step, *g.strides[at + 1 :], g.strides[at])
    return g._replace(shape=shape, strides=strides)


@view(inplace="AsStridedBackward1", public_inplace=True, absolute=True)
def as_strided(g: Geometry, size: Any, stride: Any, storage_offset: int | None = None) -> Geometry:
    """A view of the storage with any shape, strides and offset."""
    size, stride = _ints((size,), "as_strided"), _ints((stride,), "as_strided")
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    offset = g.offset if storage_offset is None else storage_offset
    return Geometry(size, stride, offset, g.bits)
