"""Sparse tensors in coordinates: how they are made, what they hold, and to and from dense ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.array import dtypes, formats
from ...core.array.size import normalized_dim
from ...core.dispatch.operator import composite
from ...core.dispatch.sparse_forms import labelled
from ...core.tensor.sparse import SparseLook, empty, is_sparse, layout_of, make, pattern, stored, values_of
from ...core.tensor.tensor import Tensor, from_host
from ..making.creation import tensor as _tensor
from .layouts import KINDS, block_of, dense_dims
from .layouts import PRINTED as PRINTED

COO = formats.sparse_coo


# --- parts -----------------------------------------------------------------------------------------------------------


def host_indices(tensor: Tensor) -> np.ndarray:
    """The indices in NumPy."""
    return np.asarray(stored(tensor).indices._array)


def index_tensor(values: Any, like: Tensor) -> Tensor:
    """Whole numbers as an int64 tensor on another one's device."""
    return from_host(np.ascontiguousarray(np.asarray(values, np.int64)), like.device)


def sparse_dims(tensor: Tensor) -> int:
    """How many dimensions the indices speak of."""
    return stored(tensor).indices.shape[0]


def _layout_error(name: str, what: str, tensor: Tensor) -> RuntimeError:
    return RuntimeError(f"{name} expected {what} tensor layout but got {PRINTED[layout_of(tensor)]}")


def _check_coordinates(name: str, tensor: Tensor) -> None:
    if layout_of(tensor) != "sparse_coo":
        raise _layout_error(name, "sparse coordinate", tensor)


def flat_indices(indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Each column of indices as one number, in row-major order."""
    flat = np.zeros(indices.shape[1], np.int64)
    for row, size in zip(indices, shape, strict=False):
        flat = flat * size + row
    return flat


def grouped(values: Tensor, groups: np.ndarray, count: int) -> Tensor:
    """The sums of the rows of `values` that are in one group."""
    to = index_tensor(groups, values)
    if values.dtype is dtypes.bool:
        return grouped(values.to(dtypes.int64), groups, count) != 0  # type: ignore[return-value]
    zeros = values.new_zeros((count, *values.shape[1:]))
    return zeros.index_add(0, to, values)


# --- making ----------------------------------------------------------------------------------------------------------


@composite(methods=False)
def sparse_coo_tensor(
    indices: Any = None, values: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse tensor with `values[k]` at the coordinates `indices[:, k]`; values at the same place are added.

    `indices` is (sparse dims, nnz), `values` (nnz, *dense dims). Without `size` it is as large as the indices need.
    Raises RuntimeError for indices outside of it and for parts that do not go together.
    """
    if values is None and size is None and indices is not None and not isinstance(indices, Tensor):
        indices, size = None, indices
    if indices is None:
        shape = tuple(int(n) for n in size)
        made = empty_sparse(shape, dtype or dtypes.get_default_dtype(), device)
        return made.requires_grad_() if requires_grad else made
    if not isinstance(indices, Tensor):
        indices = _tensor(indices)
    if not isinstance(values, Tensor):
        values = _tensor(values, dtype=dtype, device=device)
    elif dtype is not None or device is not None:
        values = values.to(device=device or values.device, dtype=dtype or values.dtype)
    indices = indices.detach().to(device=values.device, dtype=dtypes.int64)
    _check_parts(indices, values, None if size is None else tuple(int(n) for n in size))
    if size is None:
        held = np.asarray(indices._array)
        top = held.max(1) + 1 if held.size else np.zeros(held.shape[0], np.int64)
        size = (*(int(n) for n in top), *values.shape[1:])
    values = values._look(values._geometry, "SparseCooTensorWithDimsAndTensorsBackward0", _whole(values))
    if requires_grad and not values.requires_grad:
        return make(indices, values.detach(), size, bool(is_coalesced)).requires_grad_()
    return make(indices, values, size, bool(is_coalesced))


def _whole(values: Tensor) -> Any:
    from ...core.array import geometry

    return geometry.whole(tuple(values.shape))


def _check_parts(indices: Tensor, values: Tensor, size: tuple[int, ...] | None) -> None:
    if indices.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(indices.shape)}")
    if values.ndim == 0:
        raise RuntimeError("values must have at least one dimension, nnz, but got a tensor without any")
    if indices.shape[1] != values.shape[0]:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {indices.shape[1]}, nnz from values: "
            f"{values.shape[0]}"
        )
    held = np.asarray(indices._array)
    for dim, row in enumerate(held):
        if row.size and row.min() < 0:
            raise RuntimeError(f"found negative index {row.min()} for dim {dim}")
    if size is None:
        return
    dense = values.ndim - 1
    if len(size) != indices.shape[0] + dense:
        raise RuntimeError(
            f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, sparse_dim = "
            f"{indices.shape[0]}, dense_dim = {dense}"
        )
    for dim, row in enumerate(held):
        if row.size and row.max() >= size[dim]:
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {dim}, size is {size[dim]} but found index {row.max()}"
            )
    if tuple(values.shape[1:]) != size[indices.shape[0] :]:
        expected = [values.shape[0], *size[indices.shape[0] :]]
        raise RuntimeError(f"values has incorrect size, expected {expected}, got {list(values.shape)}")


def empty_sparse(shape: tuple[int, ...], dtype: Any, device: Any = None, dense: int = 0) -> Tensor:
    """A sparse tensor that holds nothing."""
    return empty(shape, dtype.numpy, device, dense)


# --- to and from dense -----------------------------------------------------------------------------------------------


def _check_form(input: Tensor, source: str, target: str, blocksize: Any, dense_dim: int | None) -> None:
    """Raises RuntimeError for arguments that do not go with each other, in the words of `to_sparse`."""
    of = "dense" if source == "strided" else "sparse_coo" if source == "sparse_coo" else "sparse_compressed"
    name = "to_sparse" if source == target else f"{of}_to_sparse"
    blocks = target in ("sparse_bsr", "sparse_bsc")
    said = (
        "with blocksize"
        if blocksize is not None and not blocks
        else "without blocksize"
        if blocksize is None and blocks
        else None
    )
    if said is None and dense_dim is not None and source != "strided":
        said = "with dense_dim"
    if said is not None:
        pair = f"{PRINTED.get(source, 'Strided')} to {PRINTED.get(target, 'Strided')}"
        raise RuntimeError(f"{name}: conversion from {pair} {said} argument given is not supported")
    if dense_dim is None:
        return
    most = input.ndim if target == "sparse_coo" else input.ndim - 2
    if not 0 <= dense_dim <= most:
        raise RuntimeError(f"{name}: dense_dim argument must be in [0,{most}] range, but {dense_dim} is given")
    if target == "sparse_coo" and 0 < dense_dim == input.ndim:
        raise RuntimeError(f"{name}: dense_dim argument must be !=self.dim() when self.dim()>0")


@composite(public=())
def to_sparse(input: Tensor, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None,
              dense_dim: int | None = None) -> Tensor:  # fmt: skip
    """The sparse form of a tensor: what is not zero, by its first `sparse_dim` dimensions (default: all), or all but `dense_dim`.

    `layout` (default: coordinates) asks for another form, `blocksize` goes with forms of blocks alone.
    """
    source, target = layout_of(input), "sparse_coo" if layout is None else layout.name
    if sparse_dim is None:
        _check_form(input, source, target, blocksize, dense_dim)
    elif not (layout is blocksize is dense_dim is None):
        raise TypeError(
            "to_sparse() takes 0 positional arguments but 1 was given: sparse_dim goes with no other argument"
        )
    if target == "strided":
        return to_dense(input) if is_sparse(input) else input
    if target != "sparse_coo":
        given = () if blocksize is None else (blocksize,)
        return getattr(input, f"to_{target}")(*given, dense_dim)
    if source not in ("strided", "sparse_coo"):
        return input.to_sparse_coo()
    if is_sparse(input):
        if sparse_dim is not None and sparse_dim != sparse_dims(input):
            raise RuntimeError(
                f"to_sparse: conversion from Sparse to Sparse with sparse_dim argument !=self.sparse_dim() is not "
                f"supported: got {sparse_dim}, not {sparse_dims(input)}"
            )
        return input
    count = input.ndim - (dense_dim or 0) if sparse_dim is None else sparse_dim
    if not (1 <= count <= input.ndim or count == input.ndim == 0):
        raise RuntimeError(
            "dense_to_sparse: sparse_dim argument must be in "
            + (">0 when self.dim()>0" if count == 0 else f"[0,{input.ndim}] range, but {count} is given")
        )
    mask = np.asarray(input._array) != 0
    mask = mask.reshape(*mask.shape[:count], -1).any(-1) if count < input.ndim else mask
    found = np.argwhere(mask).T if count else np.zeros((0, int(mask)), np.int64)
    indices = index_tensor(found, input)
    values = input[tuple(indices)] if count else input.reshape(1)[: int(mask)]
    return labelled(make(indices, values, input.shape, True), "ToSparseBackward0", input)


@composite(public=())
def to_sparse_coo(input: Tensor) -> Tensor:
    """This tensor in coordinates."""
    if not is_sparse(input) or layout_of(input) == "sparse_coo":
        return to_sparse(input)
    held, kind = stored(input), KINDS[layout_of(input)]
    bounds, places = (np.asarray(part._array) for part in held.indices)
    batch, block, values = bounds.shape[:-1], block_of(input), values_of(input)
    matrices, across = math.prod(batch), bounds.shape[-1] - 1
    which = np.repeat(np.arange(matrices), places.shape[-1])
    lines = np.repeat(np.tile(np.arange(across), matrices), np.diff(bounds, axis=-1).reshape(-1))
    rows, columns = (lines, places.reshape(-1)) if kind.rows else (places.reshape(-1), lines)
    if batch:
        values = values.reshape(len(lines), *values.shape[len(batch) + 1 :])
    if block:
        inside = np.indices(block)
        which = np.repeat(which, math.prod(block))
        rows = (rows[:, None, None] * block[0] + inside[0]).reshape(-1)
        columns = (columns[:, None, None] * block[1] + inside[1]).reshape(-1)
        values = values.reshape(len(rows), *values.shape[3:])
    at = np.unravel_index(which, batch) if batch else ()
    return make(
        index_tensor(np.stack([*at, rows, columns]), input), values, input.shape, layout_of(input) == "sparse_csr"
    )


def csr_rows(crow: Tensor) -> np.ndarray:
    """The row of each stored value, from the compressed rows."""
    counts = np.diff(np.asarray(crow._array))
    return np.repeat(np.arange(len(counts)), counts)


@composite(public=())
def to_dense(input: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The dense form of a tensor. Its gradient is that of the stored values: `masked_grad=False` is refused where there is one."""
    if not is_sparse(input):
        return input if dtype is None else input.to(dtype)
    if masked_grad is False and input.requires_grad:
        raise NotImplementedError(
            "to_dense(masked_grad=False): a sparse tensor's gradient is that of the values it stores"
        )
    if layout_of(input) != "sparse_coo":
        input = to_sparse_coo(input)
    count, shape = sparse_dims(input), tuple(input.shape)
    values = values_of(input)
    values = values if dtype is None else values.to(dtype)
    places = flat_indices(host_indices(input), shape)
    return labelled(grouped(values, places, math.prod(shape[:count])).reshape(shape), "ToDenseBackward0", input)


@composite(public=())
def coalesce(input: Tensor) -> Tensor:
    """The same tensor with one value for each place, in the order of the places."""
    _check_coordinates("coalesce", input)
    held = stored(input)
    if held.coalesced:
        return input
    indices, values = host_indices(input), values_of(input)
    if indices.shape[1] < 2:
        return make(held.indices, values, held.shape, True)
    places = flat_indices(indices, held.shape)
    _, first, group = np.unique(places, return_index=True, return_inverse=True)
    made = make(index_tensor(indices[:, first], input), grouped(values, group, len(first)), held.shape, True)
    return labelled(made, "CoalesceBackward0", input)


@composite(public=())
def is_coalesced(input: Tensor) -> bool:
    """Whether there is one value for each place."""
    _check_coordinates("is_coalesced", input)
    return stored(input).coalesced


@composite(public=())
def _coalesced_(self: Tensor, coalesced: bool) -> Tensor:
    """Say whether there is one value for each place."""
    stored(self).coalesced = coalesced
    return self


@composite(public=())
def indices(input: Tensor) -> Tensor:
    """The coordinates (sparse dims, nnz) of a coalesced tensor."""
    _check_coordinates("indices", input)
    if not stored(input).coalesced:
        raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
    return stored(input).indices.detach()


@composite(public=())
def values(input: Tensor) -> Tensor:
    """The stored values (nnz, *dense dims) of a coalesced tensor."""
    if not is_sparse(input):
        raise _layout_error("values", "sparse", input)
    if layout_of(input) == "sparse_coo" and not stored(input).coalesced:
        raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
    found = values_of(input)
    return found._look(found._geometry, "ValuesBackward0", _whole(found))


@composite(public=())
def _indices(input: Tensor) -> Tensor:
    """The coordinates, whether coalesced or not."""
    _check_coordinates("_indices", input)
    return stored(input).indices.detach()


@composite(public=())
def _values(input: Tensor) -> Tensor:
    """The stored values, whether coalesced or not, off the tape."""
    _check_coordinates("_values", input)
    return stored(input).values.detach()


@composite(public=())
def _nnz(input: Tensor) -> int:
    """How many values are stored."""
    if not is_sparse(input):
        raise NotImplementedError("Could not run 'aten::_nnz' with arguments from the 'CPU' backend: it is not sparse")
    held = stored(input)
    return int((held.indices[1] if isinstance(held.indices, tuple) else held.indices).shape[-1])


@composite(public=())
def sparse_dim(input: Tensor) -> int:
    """How many dimensions the coordinates speak of; 0 for a dense tensor."""
    if is_sparse(input) and layout_of(input) != "sparse_coo":
        return 2
    return sparse_dims(input) if is_sparse(input) else 0


@composite(public=())
def dense_dim(input: Tensor) -> int:
    """How many dimensions each stored value has; all of a dense tensor."""
    if is_sparse(input) and layout_of(input) != "sparse_coo":
        return dense_dims(input)
    return stored(input).values.ndim - 1 if is_sparse(input) else input.ndim


@composite(public=())
def sparse_mask(input: Tensor, mask: Tensor) -> Tensor:
    """The values of this tensor at the places that the sparse tensor `mask` stores, in its layout."""
    if not is_sparse(mask):
        raise NotImplementedError(
            "Could not run 'aten::sparse_mask' with arguments from the 'CPU' backend: the mask is not sparse"
        )
    if input.shape != mask.shape:
        raise RuntimeError(
            f"sparse_mask(): operands have incompatible sizes; self has size {list(input.shape)} but mask has size "
            f"{list(mask.shape)}"
        )
    if is_sparse(input):
        input = to_dense(input)
    picked = input[tuple(stored(to_sparse_coo(mask)).indices)]
    return labelled(pattern(mask, picked.reshape(stored(mask).values.shape)), "SparseMaskBackward0", input)


# --- what it is ------------------------------------------------------------------------------------------------------


def _layout(self: Tensor) -> Any:
    return formats.strided if type(self._view) is not SparseLook else getattr(formats, self._view.layout)


Tensor.layout = property(_layout, doc="How its values are kept: `torch.strided`, `torch.sparse_coo` and so on.")  # type: ignore[attr-defined]
Tensor.is_sparse = property(  # type: ignore[attr-defined]
    lambda self: layout_of(self) == "sparse_coo", doc="Whether its layout is `torch.sparse_coo`."
)
Tensor.is_sparse_csr = property(  # type: ignore[attr-defined]
    lambda self: layout_of(self) == "sparse_csr", doc="Whether its layout is `torch.sparse_csr`."
)


def resized(tensor: Tensor, indices: Any, values: Tensor, shape: Any, coalesced: bool = False) -> Tensor:
    """A sparse tensor of NumPy indices, on the device of another one."""
    return make(index_tensor(indices, tensor), values, shape, coalesced)


def dim_of(tensor: Tensor, dim: int) -> int:
    """A dimension counted from the front."""
    return normalized_dim(dim, tensor.ndim)
