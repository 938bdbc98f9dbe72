"""Views that come in several pieces: unbind, split, chunk and their relatives."""

from __future__ import annotations

import itertools
import operator
from typing import Any

from ...core.array.geometry import Geometry
from ...core.array.size import normalized_dim
from ...core.dispatch.operator import composite
from ...core.dispatch.view import view
from ...core.tensor.tensor import Tensor
from ..support.declare import alias
from .parts import sliced
from .views import _ints


@view()
def unbind(g: Geometry, dim: int = 0) -> tuple[Geometry, ...]:
    """All indices of a dimension, each as a view without it."""
    if not g.shape:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    at = normalized_dim(dim, len(g.shape))
    shape, strides = g.shape[:at] + g.shape[at + 1 :], g.strides[:at] + g.strides[at + 1 :]
    return tuple([Geometry(shape, strides, g.offset + i * g.strides[at], g.bits) for i in range(g.shape[at])])


def _pieces(g: Geometry, dim: int, sizes: Any) -> tuple[Geometry, ...]:
    """Pieces of the given sizes, which make up the dimension."""
    made, start = [], 0
    before, behind, stride = g.shape[:dim], g.shape[dim + 1 :], g.strides[dim]
    for n in sizes:
        if type(n) is int and type(start) is int:
            made.append(Geometry((*before, n, *behind), g.strides, g.offset + start * stride, g.bits))
        else:
            made.append(sliced(g, dim, start, start + n))
        start += n
    return tuple(made)


def _split_node(split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> str:
    sizes = split_size_or_sections if split_size_or_sections is not None else split_size
    return "SplitWithSizesBackward0" if isinstance(sizes, (tuple, list)) else "SplitBackward0"


@view(in_python=True, grad=_split_node)
def split(
    g: Geometry, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple[Geometry, ...]:
    """Pieces of a dimension: of one size (the last may be smaller), or of the sizes given."""
    sizes = split_size_or_sections if split_size_or_sections is not None else split_size
    if isinstance(sizes, bool):
        raise TypeError("split(): argument 'split_size' (position 1) must be int, not bool")
    if not g.shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    at = normalized_dim(dim, len(g.shape))
    n = g.shape[at]
    if isinstance(sizes, (tuple, list)):
        sections = _ints((sizes,), "split")
        if sum(sections) != n or any(s < 0 for s in sections):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {at}), but "
                f"got split_sizes={list(sections)}"
            )
        return _pieces(g, at, sections)
    step = operator.index(sizes)
    if step < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
    if step == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    count = max(1, -(-n // step)) if step else 1
    return _pieces(g, at, [min(step, n - i * step) for i in range(count)])


@view(grad="SplitWithSizesBackward0")
def split_with_sizes(g: Geometry, split_sizes: Any, dim: int = 0) -> tuple[Geometry, ...]:
    """Pieces of a dimension of the sizes given."""
    return split.__wrapped__(g, tuple(split_sizes), dim)  # type: ignore[attr-defined]


@view(grad="SplitBackward0")
def chunk(g: Geometry, chunks: int, dim: int = 0) -> tuple[Geometry, ...]:
    """At most `chunks` pieces of a dimension, of equal size but for the last."""
    if not g.shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = g.shape[normalized_dim(dim, len(g.shape))]
    if n == 0:
        return _pieces(g, normalized_dim(dim, len(g.shape)), [0] * chunks)
    return split.__wrapped__(g, -(-n // chunks), dim)  # type: ignore[attr-defined]


@view(grad="SliceBackward0")
def tensor_split(
    g: Geometry, indices_or_sections: Any, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Geometry, ...]:
    """Pieces of a dimension: a number of nearly equal ones, or cut at the indices given."""
    if not g.shape:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    where = indices_or_sections
    if isinstance(where, Tensor):
        where = where.tolist()
    at = normalized_dim(dim, len(g.shape))
    n = g.shape[at]
    if isinstance(where, (tuple, list)):
        cuts = [0, *_ints((where,), "tensor_split"), None]
        return tuple(sliced(g, at, a, b) for a, b in itertools.pairwise(cuts))
    count = operator.index(where)
    if count <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {count}")
    return _pieces(g, at, [n // count + (i < n % count) for i in range(count)])


def _split_along(name: str, dims: Any) -> None:
    def along(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.ndim < dims[0]:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {dims[0]} dimension, but got a tensor with {input.ndim} dimensions!"
            )
        at = dims[1] if input.ndim > 1 or name != "hsplit" else 0
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or input.shape[at] % indices_or_sections):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {at}, but the size of the dimension {input.shape[at]} is "
                f"not divisible by the split_size {indices_or_sections}!"
            )
        return tensor_split(input, indices_or_sections, at)

    along.__name__ = name
    along.__doc__ = f"`tensor_split` along dimension {dims[1]}; a number of sections must divide it."
    composite()(along)


for _name, _dims in {"hsplit": (1, 1), "vsplit": (2, 0), "dsplit": (3, 2)}.items():
    _split_along(_name, _dims)


for _name in ("chunk", "split", "split_with_sizes"):
    alias(f"unsafe_{_name}", globals()[_name])
