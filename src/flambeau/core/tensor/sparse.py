"""Sparse tensors: a `Tensor` whose storage is a pair of dense ones, and how such a one is told from the others at no cost.

A sparse tensor's `_view` is a `SparseLook`: it knows the shape, and whoever asks it for anything else, or its storage for
the values, gets a `SparseOperand`. Operators let it pass to where a form for sparse tensors is looked up
(`dispatch/sparse_forms.py`); where there is none it is the error that the user sees. So nothing that knows only dense
tensors can compute with a sparse one, and the usual path asks nothing.

The tensor's place on the tape is that of its stored values: their gradient is the gradient of the sparse tensor.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..array.owned import OwnedArray
from ..context.grad_mode import state as grad_state
from ..context.overrides import dispatching
from ..context.tracing import Untraceable
from .tensor import Tensor, blank, from_host, wrap
from .wrappers import tensor_of_owned


class SparseOperand(NotImplementedError):
    """A sparse tensor came to something that only dense ones have. `name`: the function that the user called."""

    def __init__(self, layout: str = "sparse_coo") -> None:
        super().__init__()
        self.layout = layout
        self.name = ""

    def __str__(self) -> str:
        backend = "SparseCPU" if self.layout == "sparse_coo" else "SparseCsrCPU"
        return (
            f"Could not run 'aten::{self.name or 'as_strided'}' with arguments from the '{backend}' backend. "
            "There is no form of it for sparse tensors: use .to_dense() first"
        )


# in a traceback it is what PyTorch raises
SparseOperand.__name__ = SparseOperand.__qualname__ = "NotImplementedError"
SparseOperand.__module__ = "builtins"


class SparseArray(NamedTuple):
    """A sparse gradient on its way through the tape: `indices` (sparse dims, nnz) and `values` (nnz, *dense dims)."""

    indices: Any
    values: Any
    shape: tuple[int, ...]

    def dense(self) -> Any:
        """The same as one dense array."""
        return jnp.zeros(self.shape, self.values.dtype).at[tuple(self.indices)].add(self.values)


class SparseLook:
    """In the place of a geometry: the shape of a sparse tensor."""

    __slots__ = ("layout", "shape")
    bits = None
    contiguous = False

    def __init__(self, shape: tuple[int, ...], layout: str = "sparse_coo") -> None:
        self.shape: tuple[int, ...] = tuple(shape)
        self.layout: str = layout

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise SparseOperand(self.layout)

    def __iter__(self) -> Any:
        raise SparseOperand(self.layout)

    def __reduce__(self) -> Any:
        return SparseLook, (self.shape, self.layout)


class SparseStorage:
    """What a sparse tensor holds: dense tensors off the tape. `indices` is one matrix, or (compressed) a pair."""

    __slots__ = ("indices", "values", "shape", "coalesced", "layout", "version", "__weakref__")
    volatile = True

    def __init__(self, indices: Any, values: Tensor, shape: tuple[int, ...], coalesced: bool, layout: str) -> None:
        self.indices: Any = indices
        self.values: Tensor = values
        self.shape: tuple[int, ...] = tuple(shape)
        self.coalesced: bool = coalesced
        self.layout: str = layout
        self.version: int = 0

    @property
    def dtype(self) -> np.dtype:
        return self.values._np_dtype

    @property
    def on_host(self) -> bool:
        return self.values.device.type == "cpu"

    @property
    def value(self) -> Any:
        raise SparseOperand(self.layout)

    def read(self, look: Any) -> Any:
        raise SparseOperand(self.layout)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise SparseOperand(self.layout)

    def become(self, other: SparseStorage) -> None:
        """Hold what `other` holds."""
        self.indices, self.values, self.shape, self.coalesced = (
            other.indices, other.values, other.shape, other.coalesced,
        )  # fmt: skip
        self.version += 1


def is_sparse(tensor: Any) -> bool:
    """Whether this is a sparse tensor, of whatever layout."""
    return isinstance(tensor, Tensor) and type(tensor._view) is SparseLook


def layout_of(tensor: Tensor) -> str:
    """The name of a tensor's layout."""
    return tensor._view.layout if type(tensor._view) is SparseLook else "strided"


def check_not_traced() -> None:
    """Raises Untraceable in a function that is being compiled: how many values are stored is part of the data."""
    if grad_state.trace is not None or grad_state.transforms:
        raise Untraceable("sparse tensors are not known to a function that is being compiled or transformed")


def make(indices: Any, values: Tensor, shape: Any, coalesced: bool = False, layout: str = "sparse_coo") -> Tensor:
    """A sparse tensor of dense ones; its place on the tape is that of the values."""
    check_not_traced()
    edge = values._tape_edge() if grad_state.grad else None
    off = tuple(i.detach() for i in indices) if isinstance(indices, tuple) else indices.detach()
    storage: Any = SparseStorage(off, values.detach(), tuple(shape), coalesced, layout)
    made = blank(Tensor, storage, SparseLook(tuple(shape), layout))  # type: ignore[arg-type]
    made._edge = edge
    return made


def stored(tensor: Tensor) -> SparseStorage:
    """A sparse tensor's storage."""
    return tensor._storage  # type: ignore[return-value]


def values_of(tensor: Tensor) -> Tensor:
    """The stored values as a dense tensor in the sparse one's place on the tape."""
    check_not_traced()
    values = stored(tensor).values.detach()
    values._edge = tensor._tape_edge()
    return values


def empty(shape: tuple[int, ...], dtype: np.dtype, where: Any, dense: int = 0) -> Tensor:
    """A sparse tensor of this shape that stores nothing; its last `dense` dimensions are those of the values."""
    count = len(shape) - dense
    indices = from_host(np.zeros((count, 0), np.int64), where)
    return make(indices, from_host(np.zeros((0, *shape[count:]), dtype), where), shape, True)


def empty_compressed(
    shape: tuple[int, ...], dtype: np.dtype, where: Any, layout: str, batch: int, block: tuple[int, ...] = ()
) -> Tensor:
    """One with compressed rows or columns that stores nothing; its first `batch` dimensions are those of a batch."""
    by_rows = layout in ("sparse_csr", "sparse_bsr")
    lines = shape[batch + (not by_rows)] // (block[not by_rows] if block else 1)
    bounds = from_host(np.zeros((*shape[:batch], lines + 1), np.int64), where)
    places = from_host(np.zeros((*shape[:batch], 0), np.int64), where)
    values = from_host(np.zeros((*shape[:batch], 0, *block, *shape[batch + 2 :]), dtype), where)
    return make((bounds, places), values, shape, True, layout)


def from_array(array: Any, edge: Any = None) -> Tensor:
    """The tensor of a gradient, dense or sparse, or of a class of its own."""
    if type(array) is OwnedArray:
        return tensor_of_owned(array, edge)  # type: ignore[no-any-return]
    if type(array) is not SparseArray:
        made = wrap(array)
    else:
        made = make(wrap(array.indices), wrap(array.values), array.shape)
    made._edge = edge
    return made


def to_array(tensor: Tensor) -> Any:
    """A gradient as the tape carries it."""
    if type(tensor) in dispatching:
        return OwnedArray.of(tensor)
    if type(tensor._view) is SparseLook and tensor._view.layout == "sparse_coo":
        held = stored(tensor)
        return SparseArray(held.indices._array, held.values._array, held.shape)
    return tensor._array


def pattern(tensor: Tensor, values: Tensor) -> Tensor:
    """A sparse tensor with this one's indices and other values."""
    held = stored(tensor)
    shape = (*held.shape[: len(held.shape) - max(held.values.ndim - 1, 0)], *values.shape[1:])
    if isinstance(held.indices, tuple):  # compressed, perhaps with blocks as values: a matrix
        shape = held.shape
    return make(held.indices, values, shape, held.coalesced, held.layout)


def with_values(tensor: Tensor, values: Tensor) -> Tensor:
    """The same sparse tensor with its values in another dtype or on another device, where its indices then are, too."""
    held, where = stored(tensor), values.device
    parts = held.indices if isinstance(held.indices, tuple) else (held.indices,)
    moved = tuple(part if part.device == where else part.to(where) for part in parts)
    indices = moved if isinstance(held.indices, tuple) else moved[0]
    return make(indices, values, held.shape, held.coalesced, held.layout)


def add_arrays_sparse(a: Any, b: Any) -> Any:
    """The sum of two gradients of which one is sparse; sparse if both are."""
    if type(a) is SparseArray and type(b) is SparseArray:
        indices = jnp.concatenate([a.indices, b.indices], 1)
        return SparseArray(indices, jnp.concatenate([a.values, b.values]), a.shape)
    dense, sparse = (b, a) if type(a) is SparseArray else (a, b)
    return dense.at[tuple(sparse.indices)].add(sparse.values)
