"""Sparse matrices with compressed rows or columns, of single numbers or of blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...core.array import dtypes, formats
from ...core.array import geometry as geometries
from ...core.array.size import out_of_range
from ...core.dispatch import sparse_forms
from ...core.dispatch.operator import composite
from ...core.tensor.sparse import SparseOperand, is_sparse, layout_of, make, stored, values_of
from ...core.tensor.tensor import Tensor
from ..making.creation import tensor as _tensor
from ..shape.copies import declare_copy
from .coo import SPARSE_NAMES, csr_rows, host_indices, index_tensor, to_dense, to_sparse_coo


class _Kind(NamedTuple):
    """A layout: which dimension is compressed, whether values are blocks."""

    rows: bool
    blocks: bool

    @property
    def names(self) -> tuple[str, str]:
        """What the index vectors are called."""
        return ("crow_indices", "col_indices") if self.rows else ("ccol_indices", "row_indices")


_KINDS = {
    "sparse_csr": _Kind(True, False),
    "sparse_csc": _Kind(False, False),
    "sparse_bsr": _Kind(True, True),
    "sparse_bsc": _Kind(False, True),
}


def _as_tensor(value: Any, dtype: Any = None) -> Tensor:
    return value if isinstance(value, Tensor) else _tensor(value, dtype=dtype)


# --- making ----------------------------------------------------------------------------------------------------------


class _Invariants:
    """Whether the order of indices is looked at where a call says nothing (`torch.sparse.check_sparse_tensor_invariants`)."""

    asked = False


invariants: _Invariants = _Invariants()


@composite(methods=False)
def sparse_compressed_tensor(
    compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix of a layout: row (or column) `i` holds `values[k]` at `plain_indices[k]`, k from `compressed_indices[i]` on.

    Of a layout with blocks the indices count blocks, and values are (nnz, block rows, block columns). Raises RuntimeError
    for other layouts and for parts that do not go together.
    """
    name = None if layout is None else layout.name
    if name not in _KINDS:
        shown = "none" if name is None else SPARSE_NAMES.get(name, "Strided")
        raise RuntimeError(f"sparse_compressed_tensor expected sparse compressed tensor layout but got {shown}")
    first, second = _as_tensor(compressed_indices), _as_tensor(plain_indices)
    values = _as_tensor(values, dtype)
    if dtype is not None or device is not None:
        values = values.to(device=device or values.device, dtype=dtype or values.dtype)
    made = _compressed(name, first, second, values, size, requires_grad)
    if invariants.asked if check_invariants is None else check_invariants:
        _check_order(_KINDS[name], np.asarray(first.detach()._array), np.asarray(second.detach()._array))
    return made


def _compressed(name: str, first: Tensor, second: Tensor, values: Tensor, size: Any, requires_grad: bool) -> Tensor:
    kind = _KINDS[name]
    if first.dtype not in (dtypes.int32, dtypes.int64) or first.dtype is not second.dtype:
        raise RuntimeError(
            f"{kind.names[0]} and {kind.names[1]} must be an int32 or int64 type, and the same, but got "
            f"{first.dtype} and {second.dtype}"
        )
    bounds, places = np.asarray(first.detach()._array), np.asarray(second.detach()._array)
    _check_dims(name, bounds, places, values, size)
    block = tuple(values.shape[1:]) if kind.blocks else (1, 1)
    if size is None:
        across, along = len(bounds) - 1, int(places.max()) + 1 if places.size else 0
        counts = (across, along) if kind.rows else (along, across)
        size = (counts[0] * block[0], counts[1] * block[1])
    size = tuple(int(n) for n in size)
    _check_parts(kind, bounds, places, values.shape[0], tuple(n // b for n, b in zip(size, block, strict=True)))
    moved = tuple(part.detach().to(values.device) for part in (first, second))
    if requires_grad and not values.requires_grad:
        return make(moved, values.detach(), size, True, name).requires_grad_()
    whole = geometries.whole(tuple(values.shape))
    seen = values._look(values._geometry, "SparseCompressedTensorBackward0", whole)
    return make(moved, seen, size, True, name)


def _check_dims(name: str, bounds: np.ndarray, places: np.ndarray, values: Tensor, size: Any) -> None:
    dims = 3 if _KINDS[name].blocks else 1
    if bounds.ndim != 1 or places.ndim != 1 or values.ndim != dims or (size is not None and len(size) != 2):
        raise NotImplementedError(
            f"{name}_tensor: only matrices, with one number or block for each place, are supported here: batches and dense "
            "dimensions are not"
        )


def _check_parts(kind: _Kind, bounds: np.ndarray, places: np.ndarray, nnz: int, counts: tuple[int, ...]) -> None:
    (first, second), (across, along) = kind.names, counts if kind.rows else counts[::-1]
    outer, inner = ("rows", "ncols") if kind.rows else ("columns", "nrows")
    if len(bounds) != across + 1:
        raise RuntimeError(
            f"{first}.shape[-1] must be equal to the number of {outer} + 1 (={across + 1}), but got {len(bounds)}"
        )
    if len(places) != nnz:
        raise RuntimeError(f"{second} and values must have the same number of elements, got {len(places)} and {nnz}")
    if bounds[0] != 0:
        raise RuntimeError(f"`{first}[..., 0] == 0` is not satisfied.")
    if bounds[-1] != len(places):
        raise RuntimeError(f"`{first}[..., -1] == nnz` is not satisfied.")
    if (np.diff(bounds) < 0).any() or (np.diff(bounds) > along).any():
        raise RuntimeError(f"`0 <= {first}[..., 1:] - {first}[..., :-1] <= {inner}` is not satisfied.")
    if places.size and (places.min() < 0 or places.max() >= along):
        raise RuntimeError(f"`0 <= {second} < {inner}` is not satisfied.")


def _check_order(kind: _Kind, bounds: np.ndarray, places: np.ndarray) -> None:
    (first, second), outer = kind.names, "nrows" if kind.rows else "ncols"
    begins = np.isin(np.arange(1, len(places)), bounds)
    if (np.diff(places)[~begins] <= 0).any():
        raise RuntimeError(
            f"`{second}[..., {first}[..., i - 1]:{first}[..., i]] for all i = 1, ..., {outer} are sorted and distinct along "
            "the last dimension values` is not satisfied."
        )


@composite(methods=False)
def sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix with compressed rows (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        crow_indices, col_indices, values, size, dtype=dtype, layout=formats.sparse_csr, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


@composite(methods=False)
def sparse_csc_tensor(
    ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix with compressed columns (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        ccol_indices, row_indices, values, size, dtype=dtype, layout=formats.sparse_csc, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


@composite(methods=False)
def sparse_bsr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix of blocks with compressed rows (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        crow_indices, col_indices, values, size, dtype=dtype, layout=formats.sparse_bsr, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


@composite(methods=False)
def sparse_bsc_tensor(
    ccol_indices: Any, row_indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
) -> Tensor:  # fmt: skip
    """A sparse matrix of blocks with compressed columns (`sparse_compressed_tensor`)."""
    return sparse_compressed_tensor(
        ccol_indices, row_indices, values, size, dtype=dtype, layout=formats.sparse_bsc, device=device,
        requires_grad=requires_grad, check_invariants=check_invariants,
    )  # fmt: skip


# --- conversions -----------------------------------------------------------------------------------------------------


def _to_numbers(name: str, input: Tensor, dense_dim: int | None) -> Tensor:
    layout = layout_of(input)
    if layout == name:
        return input
    if layout in _KINDS and _KINDS[layout].blocks:
        raise RuntimeError(
            f"sparse_compressed_to_{name}: expected SparseCsr or SparseCsc layout but got {SPARSE_NAMES[layout]}"
        )
    if input.ndim < 2:
        raise out_of_range(1, 1)
    if input.ndim != 2 or dense_dim:
        raise RuntimeError(f"to_{name}: only matrices can be converted here, got a tensor of {input.ndim} dimensions")
    form = to_sparse_coo(input).coalesce()
    if stored(form).indices.shape[0] != 2:
        raise RuntimeError(f"to_{name}: only matrices without dense dimensions can be converted here")
    rows, columns = host_indices(form)
    if _KINDS[name].rows:
        return _from_places(name, rows, columns, values_of(form), input.shape[0], input.shape)
    order = np.lexsort((rows, columns))
    values = values_of(form)[index_tensor(order, form)]
    return _from_places(name, columns[order], rows[order], values, input.shape[1], input.shape)


def _from_places(name: str, outer: np.ndarray, inner: np.ndarray, values: Tensor, count: int, shape: Any) -> Tensor:
    """A compressed matrix of the sorted places of its values."""
    bounds = np.concatenate([[0], np.cumsum(np.bincount(outer, minlength=count))])
    return make((index_tensor(bounds, values), index_tensor(inner, values)), values, shape, True, name)


def _to_blocks(name: str, input: Tensor, blocksize: Any, dense_dim: int | None) -> Tensor:
    layout, by_rows = layout_of(input), _KINDS[name].rows
    size = (blocksize, blocksize) if isinstance(blocksize, int) else tuple(int(n) for n in blocksize)
    if layout == name:
        held = tuple(stored(input).values.shape[1:])
        if held != size:
            raise RuntimeError(
                f"to_{name}: conversion from {SPARSE_NAMES[name]} to {SPARSE_NAMES[name]} with blocksize changed from "
                f"{list(held)} to {list(size)} is not supported"
            )
        return input
    if input.ndim != 2 or dense_dim:
        raise RuntimeError(f"to_{name}: only matrices can be converted here, got a tensor of {input.ndim} dimensions")
    shape = tuple(input.shape)
    if len(size) != 2 or min(size) < 1 or shape[0] % size[0] or shape[1] % size[1]:
        raise RuntimeError(
            f"dense_to_{name}: tensor sparse size ({shape[0]},{shape[1]}) must be divisible by given blocksize "
            f"({','.join(map(str, size))})"
        )
    across, along = shape[0] // size[0], shape[1] // size[1]
    if is_sparse(input):
        rows, columns = host_indices(to_sparse_coo(input))
        kept = np.zeros((across, along), bool)
        kept[rows // size[0], columns // size[1]] = True
    else:
        kept = (np.asarray(input._array) != 0).reshape(across, size[0], along, size[1]).any((1, 3))
    outer, inner = np.nonzero(kept if by_rows else kept.T)
    dense = to_dense(input).reshape(across, size[0], along, size[1]).permute(0, 2, 1, 3)
    rows, columns = (outer, inner) if by_rows else (inner, outer)
    values = dense[index_tensor(rows, input), index_tensor(columns, input)]
    return _from_places(name, outer, inner, values, across if by_rows else along, shape)


@composite(public=())
def to_sparse_csr(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix with compressed rows."""
    return _to_numbers("sparse_csr", input, dense_dim)


@composite(public=())
def to_sparse_csc(input: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix with compressed columns."""
    return _to_numbers("sparse_csc", input, dense_dim)


@composite(public=())
def to_sparse_bsr(input: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """A matrix of blocks with compressed rows."""
    return _to_blocks("sparse_bsr", input, blocksize, dense_dim)


@composite(public=())
def to_sparse_bsc(input: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """A matrix of blocks with compressed columns."""
    return _to_blocks("sparse_bsc", input, blocksize, dense_dim)


# --- parts -----------------------------------------------------------------------------------------------------------


def _part(input: Tensor, rows: bool, number: int) -> Tensor:
    layout = layout_of(input)
    if layout not in _KINDS or _KINDS[layout].rows is not rows:
        name, what = _Kind(rows, False).names[number], "row" if rows else "column"
        got = SPARSE_NAMES.get(layout, "Strided")
        raise RuntimeError(f"{name} expected sparse {what} compressed tensor layout but got {got}")
    return stored(input).indices[number].detach()


@composite(public=())
def crow_indices(input: Tensor) -> Tensor:
    """Where each row's values begin."""
    return _part(input, True, 0)


@composite(public=())
def col_indices(input: Tensor) -> Tensor:
    """The column of each value."""
    return _part(input, True, 1)


@composite(public=())
def ccol_indices(input: Tensor) -> Tensor:
    """Where each column's values begin."""
    return _part(input, False, 0)


@composite(public=())
def row_indices(input: Tensor) -> Tensor:
    """The row of each value."""
    return _part(input, False, 1)


for _name in ("indices", "values", "crow_indices", "col_indices", "ccol_indices", "row_indices"):
    declare_copy(_name, getattr(Tensor, _name))


@composite(methods=False)
def _convert_indices_from_coo_to_csr(input: Tensor, size: int, *, out_int32: bool = False) -> Tensor:
    """Where each of `size` rows begins, of the sorted rows of values."""
    counts = np.bincount(np.asarray(input._array), minlength=size)
    bounds = index_tensor(np.concatenate([[0], np.cumsum(counts)]), input)
    return bounds.to(dtypes.int32) if out_int32 else bounds


@composite(methods=False)
def _convert_indices_from_csr_to_coo(
    crow_indices: Tensor, col_indices: Tensor, *, out_int32: bool = False, transpose: bool = False
) -> Tensor:
    """The coordinates of compressed rows, a row and a column each (or the other way round)."""
    pair = [csr_rows(crow_indices), np.asarray(col_indices._array)]
    made = index_tensor(np.stack(pair[::-1] if transpose else pair), col_indices)
    return made.to(dtypes.int32) if out_int32 else made


# --- forms written for rows and coordinates --------------------------------------------------------------------------

# Made of the values alone, in whatever layout, or turned by themselves.
_ANY_LAYOUT = frozenset(
    "div true_divide pow clone cast transpose swapaxes swapdims t _reversed _matrix_transpose".split()
)
_KEEP_LAYOUT = ("add", "sub", "mul", "zeros_like", "empty_like")


def _through_rows(name: str, form: Any, of_values: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A form's result where a tensor has compressed columns or blocks: those that look at indices get compressed rows."""
    sparse = [a for a in args if is_sparse(a)]
    number = name.strip("_") in ("mul", "imul") and len(sparse) == 1 and all(
        a is sparse[0] or not isinstance(a, Tensor) or a.ndim == 0 for a in args
    )  # fmt: skip
    if of_values or number or name.rstrip("_") in _ANY_LAYOUT:
        return form(*args, **kwargs)
    if name.endswith("_") and not (name.startswith("__") and not name.startswith("__i")):
        error = SparseOperand(layout_of(sparse[0]))
        error.name = name
        raise error
    made = form(*(to_sparse_coo(a).coalesce().to_sparse_csr() if is_sparse(a) else a for a in args), **kwargs)
    layouts = {(layout_of(a), tuple(stored(a).values.shape[1:])) for a in sparse}
    if name not in _KEEP_LAYOUT or len(layouts) > 1 or not is_sparse(made):
        return made
    layout, block = layouts.pop()
    return made.to_sparse_csc() if layout == "sparse_csc" else getattr(made, f"to_{layout}")(block)


sparse_forms.through_rows = _through_rows
