"""Sparse matrices with compressed rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.array import dtypes
from ...core.array import geometry as geometries
from ...core.dispatch.operator import composite, namespaces
from ...core.tensor.sparse import is_sparse, layout_of, make, stored, values_of
from ...core.tensor.tensor import Tensor
from ..shape.copies import declare_copy
from .coo import index_tensor, to_sparse_coo

_INVARIANT = "`crow_indices[..., 0] == 0` is not satisfied."


def _as_tensor(value: Any, dtype: Any = None) -> Tensor:
    return value if isinstance(value, Tensor) else namespaces["torch"]["tensor"](value, dtype=dtype)


@composite(methods=False)
def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:
    """A sparse matrix: row `i` holds `values[k]` at the columns `col_indices[k]`, k from `crow_indices[i]` to the next.

    Raises RuntimeError for parts that do not go together.
    """
    crow, columns = _as_tensor(crow_indices), _as_tensor(col_indices)
    values = _as_tensor(values, dtype)
    if dtype is not None or device is not None:
        values = values.to(device=device or values.device, dtype=dtype or values.dtype)
    if crow.dtype not in (dtypes.int32, dtypes.int64) or crow.dtype is not columns.dtype:
        raise RuntimeError(
            "crow_indices and col_indices must be an int32 or int64 type, and the same, but got "
            f"{crow.dtype} and {columns.dtype}"
        )
    rows, cols = np.asarray(crow.detach()._array), np.asarray(columns.detach()._array)
    if size is None:
        size = (len(rows) - 1, int(cols.max()) + 1 if cols.size else 0)
    size = tuple(int(n) for n in size)
    _check_rows(rows, cols, values, size)
    moved = tuple(part.detach().to(values.device) for part in (crow, columns))
    if requires_grad and not values.requires_grad:
        return make(moved, values.detach(), size, True, "sparse_csr").requires_grad_()
    whole = geometries.whole(tuple(values.shape))
    seen = values._look(values._geometry, "SparseCompressedTensorBackward0", whole)
    return make(moved, seen, size, True, "sparse_csr")


def _check_rows(rows: np.ndarray, columns: np.ndarray, values: Tensor, size: tuple[int, ...]) -> None:
    if rows.ndim != 1 or columns.ndim != 1 or values.ndim != 1 or len(size) != 2:
        raise NotImplementedError(
            "sparse_csr_tensor: only matrices, with one number for each place, are supported here: batches and dense "
            "dimensions are not"
        )
    if len(rows) != size[0] + 1:
        raise RuntimeError(
            f"crow_indices.shape[-1] must be equal to the number of rows + 1: got {len(rows)} for {size[0]} rows"
        )
    if len(columns) != values.shape[0]:
        raise RuntimeError(
            f"col_indices and values must have the same number of elements, got {len(columns)} and {values.shape[0]}"
        )
    if rows[0] != 0:
        raise RuntimeError(_INVARIANT)
    if rows[-1] != len(columns):
        raise RuntimeError("`crow_indices[..., -1] == nnz` is not satisfied.")
    if (np.diff(rows) < 0).any() or (np.diff(rows) > size[1]).any():
        raise RuntimeError("`0 <= crow_indices[..., 1:] - crow_indices[..., :-1] <= ncols` is not satisfied.")
    if columns.size and (columns.min() < 0 or columns.max() >= size[1]):
        raise RuntimeError("`0 <= col_indices < ncols` is not satisfied.")


@composite(public=())
def to_sparse_csr(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix with compressed rows."""
    if layout_of(input) == "sparse_csr":
        return input
    if input.ndim != 2 or dense_dim:
        raise RuntimeError(
            f"to_sparse_csr: only matrices can be converted here, got a tensor of {input.ndim} dimensions"
        )
    form = to_sparse_coo(input).coalesce() if not is_sparse(input) else input.coalesce()
    if stored(form).indices.shape[0] != 2:
        raise RuntimeError("to_sparse_csr: only matrices without dense dimensions can be converted here")
    rows, columns = np.asarray(stored(form).indices._array)
    crow = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=form.shape[0]))])
    parts = (index_tensor(crow, form), index_tensor(columns, form))
    return make(parts, values_of(form), form.shape, True, "sparse_csr")


def _part(input: Tensor, name: str, number: int) -> Tensor:
    if layout_of(input) != "sparse_csr":
        raise RuntimeError(f"{name} expected sparse row compressed tensor layout but got {layout_of(input)}")
    return stored(input).indices[number].detach()


@composite(public=())
def crow_indices(input: Tensor) -> Tensor:
    """Where each row's values begin."""
    return _part(input, "crow_indices", 0)


@composite(public=())
def col_indices(input: Tensor) -> Tensor:
    """The column of each value."""
    return _part(input, "col_indices", 1)


for _name in ("indices", "values", "crow_indices", "col_indices"):
    declare_copy(_name, getattr(Tensor, _name))
